"""A stream of a master, cut anywhere, into a keyspace that others read: what comes of it, and is logged."""

import random
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effect_programs import GROUPS, program_of
from support.effects import SEED, Logged, Records, effects_in
from support.programs import Step

from rlite.engine.commands import dispatch
from rlite.engine.core.audit import audit
from rlite.engine.core.connection import Client
from rlite.engine.core.counters import Counters
from rlite.engine.core.database import Database
from rlite.engine.core.follow import Follower
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.core.reactor import Gate
from rlite.engine.core.records import read_record
from rlite.engine.core.replay import Replay
from rlite.engine.reply import ErrorReply
from rlite.engine.server import make_table

TABLE = make_table()[0]
MULTI, EXEC = (b"MULTI",), (b"EXEC",)
Otherwise = Callable[[Database, list[bytes]], str | None]


def resp(*commands: tuple[bytes, ...]) -> bytes:
    return b"".join(
        b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        for words in commands
    )


class Replica:
    """A keyspace that follows, with a log, and what went to Python."""

    def __init__(self, answer: Otherwise = lambda _db, _args: None, *, offset: int = 0) -> None:
        self.keyspace = Keyspace(4)
        self.keyspace.following = 1
        self.journal = Records()
        self.journal.log.start_at(offset)
        self.journal.log.following = True
        self.keyspace.attach(self.journal.log)
        self.gate = Gate()
        self.counters = Counters(len(TABLE.names))
        self.seen: list[tuple[int, list[bytes]]] = []

        def otherwise(db: Database, args: list[bytes]) -> str | None:
            self.seen.append((db.index, args))
            return answer(db, args)

        self.follower = Follower(self.keyspace, TABLE, self.gate, otherwise, self.counters, offset)

    def get(self, key: bytes, database: int = 0) -> bytes | None:
        return Database(self.keyspace, database).get(key)

    @property
    def log(self) -> list[tuple[int, int, bytes]]:
        """(offset, database, RESP) of each record."""
        data, at = self.journal.data, 0
        found = []
        while at < len(data):
            state, record = read_record(data, at, SEED)
            assert record is not None, state
            offset, _ms, database, words, at = record
            found.append((offset, database, words))
        return found

    def restarted(self) -> Keyspace:
        """The keyspace as its log makes it again; fails where a command of it fails."""
        again = Keyspace(4)
        again.loading = True
        replay = Replay(again, TABLE, lambda _database, args: (f"{args}", True), True)
        data = self.journal.data
        assert replay.records(data, len(data), 0, SEED, len(data)) == ("end", len(data))
        again.loading = False
        return again


@pytest.fixture
def replica() -> Iterator[Replica]:
    made = Replica()
    yield made
    audit(made.keyspace)
    assert made.journal.log.offset == made.follower.offset
    made.journal.close()


def cut(stream: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The stream in pieces of these sizes, again and again."""
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        yield stream[at : at + size]
        at += size
        turn += 1


# --- random programs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Logged, Logged]]:
    master, replica = Logged(), Logged()
    replica.context.keyspace.following = 1
    replica.journal.log.following = True
    yield master, replica
    for one in (master, replica):
        one.server.stop()
        one.journal.close()


def runner(server: Logged) -> Otherwise:
    client = Client()

    def run(db: Database, args: list[bytes]) -> str | None:
        client.database = db.index
        command = dispatch.find(server.context, args)
        assert command is not None, args
        reply = dispatch.run(server.context, client, command, args, db)
        return reply.text if isinstance(reply, ErrorReply) else None

    return run


def pieces(server: Logged) -> list[tuple[int, bytes]]:
    """(database, RESP) of each record since the log was cleared."""
    data, at = server.journal.data, 0
    found = []
    while at < len(data):
        _state, record = read_record(data, at, SEED)
        assert record is not None
        found.append((record[2], record[3]))
        at = record[4]
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_random_programs_come_to_the_same_at_the_replica_however_they_are_cut(
    pair: tuple[Logged, Logged], group: str
) -> None:
    master, replica = pair
    keyspace = replica.context.keyspace

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(
        st.lists(program_of(group, [b"damaged"]), min_size=1, max_size=25),
        st.lists(st.integers(1, 60) | st.just(10_000), min_size=1, max_size=4),
    )
    def program(steps: list[Step], sizes: list[int]) -> None:
        master.empty()
        replica.journal.clear()
        Database(keyspace, 0).flush(True).bury()
        for step in steps:
            master.run(step.args)
        state = master.state()
        told = pieces(master)
        stream = b"".join(words for _, words in told)
        start = replica.journal.log.offset
        follower = Follower(
            keyspace, replica.context.table, replica.context.gate, runner(replica), replica.context.counters,
            start, told[0][0] if told else 0,
        )  # fmt: skip
        for piece in cut(stream, sizes):
            assert follower.feed(piece)
        assert follower.offset == follower.read == start + len(stream) == replica.journal.log.offset
        assert follower.failed == 0, follower.failure
        assert replica.state() == state
        assert b"".join(words for _, words in pieces(replica)) == stream
        logged = [effect for database, words in pieces(replica) for effect in effects_in(words, database)]
        assert logged == [effect for database, words in told for effect in effects_in(words, database)]
        audit(keyspace)

    program()


def test_nobody_sees_half_a_transaction() -> None:
    replica = Replica()
    names = [b"a", b"b", b"c", b"d"]
    stream = b"".join(
        resp(MULTI, *((b"SET", name, b"%d" % n) for name in names), EXEC, (b"SET", b"alone", b"%d" % n))
        for n in range(3000)
    )
    halves, done = list[set[bytes | None]](), threading.Event()

    def look() -> None:
        while not done.is_set():
            db = Database(replica.keyspace, 0)
            db.lock(names)
            found = {db.get(name) for name in names}
            db.unlock()
            if len(found) > 1:
                halves.append(found)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        dice = random.Random(1)
        for piece in cut(stream, [dice.randrange(1, 400) for _ in range(1000)]):
            assert replica.follower.feed(piece)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert halves == []
    assert replica.get(b"a") == b"2999"


# --- one by one --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_a_stream_may_be_cut_anywhere(replica: Replica, size: int) -> None:
    stream = resp(
        (b"SELECT", b"2"), (b"SET", b"k", b"v" * 500), (b"APPEND", b"k", b"w"), MULTI, (b"INCR", b"n"),
        (b"INCR", b"n"), EXEC, (b"PING",), (b"LPUSH", b"l", *(b"%d" % n for n in range(100))),
    )  # fmt: skip
    for piece in cut(stream, [size]):
        assert replica.follower.feed(piece)
    assert replica.get(b"k", 2) == b"v" * 500 + b"w"
    assert replica.get(b"n", 2) == b"2"
    assert replica.follower.selected == 2
    assert replica.follower.offset == len(stream)
    assert b"".join(words for _, _, words in replica.log) == stream
    assert Database(replica.restarted(), 2).get(b"n") == b"2"


def test_a_command_that_does_not_end_yet_counts_only_when_it_does(replica: Replica) -> None:
    stream = resp((b"SET", b"k", b"value"))
    replica.follower.feed(stream[:-1])
    assert (replica.follower.offset, replica.follower.read) == (0, len(stream) - 1)
    assert replica.get(b"k") is None
    replica.follower.feed(stream[-1:])
    assert (replica.follower.offset, replica.follower.read) == (len(stream), len(stream))
    assert replica.get(b"k") == b"value"
    assert replica.follower.commands == 1
    assert replica.counters.totals()["dirty"] == 1


def test_a_transaction_is_one_record_and_counts_when_all_of_it_is_there(replica: Replica) -> None:
    before, inside = resp((b"SET", b"k", b"1")), resp(MULTI, (b"INCR", b"k"), (b"SELECT", b"1"))
    rest = resp((b"SET", b"k", b"x"), EXEC)
    replica.follower.feed(before + inside)
    assert replica.follower.offset == len(before)
    assert replica.get(b"k") == b"1"
    replica.follower.feed(rest)
    assert (replica.get(b"k"), replica.get(b"k", 1)) == (b"2", b"x")
    assert replica.log == [(0, 0, before), (len(before), 0, inside + rest)]
    assert replica.follower.selected == 1


def test_records_say_the_database_that_they_begin_in(replica: Replica) -> None:
    first, ask = resp((b"SELECT", b"3"), (b"SET", b"k", b"1")), resp((b"REPLCONF", b"GETACK", b"*"))
    second = resp((b"SET", b"k", b"2"))
    replica.follower.feed(first + ask + second)
    assert replica.log == [(0, 0, first), (len(first + ask), 3, second)]


def test_what_changes_nothing_here_is_a_gap_in_the_log(replica: Replica) -> None:
    parts = [
        resp((b"SET", b"a", b"1")), b"\n", resp((b"REPLCONF", b"GETACK", b"*")), b"*0\r\n", b"\r\n",
        resp((b"PUBLISH", b"c", b"m")), resp((b"SET", b"b", b"1"), (b"PING",)),
        resp((b"SPUBLISH", b"c", b"m")), b"\n\n",
    ]  # fmt: skip
    assert not replica.follower.asked
    replica.follower.feed(b"".join(parts))
    assert replica.follower.asked
    assert replica.follower.offset == sum(map(len, parts))
    assert replica.log == [(0, 0, parts[0]), (sum(map(len, parts[:6])), 0, parts[6])]
    assert [args[0] for _, args in replica.seen] == [b"PUBLISH", b"SPUBLISH"]
    assert replica.follower.failed == 0


def test_a_command_that_fails_is_counted_and_the_stream_goes_on(replica: Replica) -> None:
    first, fails = resp((b"SET", b"k", b"text")), resp((b"INCR", b"k"), (b"SELECT", b"99"))
    last = resp((b"SET", b"k", b"more"))
    for piece in cut(first + fails + last, [len(first + fails) - 20, 1000]):  # SELECT comes later
        replica.follower.feed(piece)
    assert replica.get(b"k") == b"more"
    assert replica.follower.failed == 2
    assert replica.follower.failure == ([b"INCR", b"k"], "ERR value is not an integer or out of range")
    assert replica.log == [(0, 0, first), (len(first + fails), 0, last)]
    assert Database(replica.restarted(), 0).get(b"k") == b"more"


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_transaction_of_which_some_fails_can_run_again_from_the_log(replica: Replica, at: int) -> None:
    commands = [(b"SET", b"a", b"x"), (b"SELECT", b"1"), (b"SET", b"b", b"y")]
    commands.insert(at, (b"INCR", b"t"))
    stream = resp((b"SET", b"t", b"text"), (b"SELECT", b"1"), (b"SET", b"t", b"text"), (b"SELECT", b"0"))
    replica.follower.feed(stream + resp(MULTI, *commands, EXEC, (b"SET", b"c", b"z")))
    assert replica.follower.failed == 1
    again = replica.restarted()
    for keyspace in (replica.keyspace, again):
        assert Database(keyspace, 0).get(b"a") == b"x"
        assert Database(keyspace, 1).get(b"b") == b"y"
        assert Database(keyspace, 1).get(b"c") == b"z"
    assert not any(b"INCR" in words for _, _, words in replica.log)


def test_what_the_core_has_not_runs_in_its_place_under_every_lock() -> None:
    held = list[bool]()

    def answer(db: Database, args: list[bytes]) -> str | None:
        db.set(b"seen", db.get(b"k") or b"")
        looked = threading.Event()
        thread = threading.Thread(target=lambda: (Database(replica.keyspace, 1).get(b"any"), looked.set()))
        thread.start()
        held.append(not looked.wait(0.05))
        waiting.append(thread)
        return "ERR no" if args[1:] == [b"no"] else None

    replica, waiting = Replica(answer), list[threading.Thread]()
    stream = resp((b"SET", b"k", b"1"), (b"FLUSHFUN", b"yes"), (b"SET", b"k", b"2"), (b"FLUSHFUN", b"no"))
    replica.follower.feed(stream)
    assert replica.get(b"seen") == b"2"
    assert held == [True, True]
    assert replica.follower.failure == ([b"FLUSHFUN", b"no"], "ERR no")
    assert b"".join(words for _, _, words in replica.log) == stream[: -len(resp((b"FLUSHFUN", b"no")))]
    for thread in waiting:
        thread.join()


def test_keys_that_somebody_observes_go_to_python(replica: Replica) -> None:
    replica.keyspace.observe(0, b"watched", 1)
    replica.follower.feed(resp((b"SET", b"watched", b"1"), MULTI, (b"DEL", b"watched"), (b"PING",), EXEC))
    assert replica.seen == [(0, [b"SET", b"watched", b"1"]), (0, [b"DEL", b"watched"])]
    replica.keyspace.observe(0, b"watched", -1)
    replica.follower.feed(resp((b"SET", b"watched", b"2")))
    assert len(replica.seen) == 2


def test_everything_goes_to_python_while_the_gate_is_closed(replica: Replica) -> None:
    replica.gate.close()
    replica.follower.feed(resp((b"SET", b"k", b"1"), (b"SELECT", b"1"), (b"SET", b"k", b"2")))
    assert replica.seen == [(0, [b"SET", b"k", b"1"]), (1, [b"SET", b"k", b"2"])]
    replica.gate.open()
    replica.follower.feed(resp((b"SET", b"k", b"3")))
    assert replica.get(b"k", 1) == b"3"


def test_the_link_finds_what_is_past_its_deadline(replica: Replica) -> None:
    replica.follower.feed(resp((b"SET", b"k", b"1", b"PXAT", b"1"), (b"APPEND", b"k", b"2")))
    assert replica.get(b"k") is None
    replica.follower.feed(resp((b"PERSIST", b"k")))
    assert replica.get(b"k") == b"12"


@pytest.mark.parametrize(
    "garbage",
    [b"GET k\r\n", b"*x\r\n", b"*1\r\n:1\r\n", b"*1\r\n$4\r\nPINGxx", resp(MULTI, MULTI), b"\0\0"],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_no_command_ends_it_and_the_error_names_the_offset(garbage: bytes, size: int) -> None:
    replica = Replica(offset=1000)
    good = resp((b"SET", b"k", b"1"))
    with pytest.raises(ValueError, match=r"at offset (1027|1042) of the master's stream is no command"):
        any(not replica.follower.feed(piece) for piece in cut(good + garbage, [size]))
    assert replica.get(b"k") == b"1"
    assert replica.follower.offset == 1000 + len(good)
    assert not replica.follower.feed(good)


def test_nothing_is_applied_after_the_end_was_told() -> None:
    def answer(_db: Database, _args: list[bytes]) -> None:
        replica.follower.end()  # as whoever gives this server another role does, under every lock

    replica = Replica(answer)
    stream = resp((b"SET", b"k", b"1"), (b"FLUSHFUN",))
    assert not replica.follower.feed(stream + resp((b"SET", b"k", b"2")))
    assert replica.get(b"k") == b"1"
    assert replica.follower.offset == len(stream)


def test_what_python_raises_is_raised_and_ends_it() -> None:
    def answer(_db: Database, _args: list[bytes]) -> None:
        raise LookupError("no such command")

    replica = Replica(answer)
    with pytest.raises(LookupError, match="no such command"):
        replica.follower.feed(resp((b"SET", b"k", b"1"), (b"FLUSHFUN",), (b"SET", b"k", b"2")))
    assert replica.get(b"k") == b"1"
    assert not replica.follower.feed(resp((b"SET", b"k", b"3")))
    db = Database(replica.keyspace, 0)
    db.lock_all()  # none is left locked
    db.unlock()


def test_a_replica_that_is_to_keep_within_its_own_limit_evicts(replica: Replica) -> None:
    replica.keyspace.configure(maxmemory=1 << 20, policy=1)
    replica.follower.feed(b"".join(resp((b"SET", b"k%d" % n, b"x" * 10_000)) for n in range(500)))
    assert 0 < replica.keyspace.size(0) < 180  # the limit, and one batch
    replica.keyspace.configure(evicting=False)
    replica.follower.feed(b"".join(resp((b"SET", b"l%d" % n, b"x" * 10_000)) for n in range(200)))
    assert replica.keyspace.size(0) > 200
    assert b"".join(words for _, _, words in replica.log).count(b"DEL") == 0


def test_large_commands_come_whole_out_of_small_pieces(replica: Replica) -> None:
    many = (b"RPUSH", b"l", *(b"%d" % n for n in range(20_000)))
    stream = resp(many, (b"SET", b"big", bytes(5 << 20)))
    for piece in cut(stream, [65_536]):
        replica.follower.feed(piece)
    db = Database(replica.keyspace, 0)
    db.lock([b"l"])
    assert len(db.list(b"l")) == 20_000
    db.unlock()
    assert db.length(b"big") == 5 << 20
