"""SLOWLOG beside Redis's, COMMANDLOG as Valkey has it, and what entries know beyond that."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.differential import Pair
from support.in_process import InProcess
from support.programs import program
from support.servers import Server
from support.wire import Array, Bulk, Err, Int, Map, Null, Reply, Simple, Wire, encode

from rlite.engine import Engine


def entries(wire: Wire, *command: str | int) -> list[tuple[Reply, ...]]:
    """The entries of SLOWLOG GET or another such command."""
    reply = wire.command(*(command or ("SLOWLOG", "GET", -1)))
    assert isinstance(reply, Array)
    return [each.items for each in reply.items if isinstance(each, Array)]


def words(entry: tuple[Reply, ...]) -> list[bytes]:
    args = entry[3]
    assert isinstance(args, Array)
    return [each.data for each in args.items if isinstance(each, Bulk)]


def commands(found: list[tuple[Reply, ...]]) -> list[bytes]:
    """What was logged, the oldest first, without what the test itself asked."""
    lines = [b" ".join(words(each)) for each in reversed(found)]
    return [line for line in lines if not line.startswith((b"SLOWLOG", b"CONFIG"))]


@contextmanager
def logging_all(server: Server) -> Iterator[Wire]:
    """A connection to a server whose slow log is empty and takes every command."""
    with server.wire() as wire:
        wire.command("CONFIG", "SET", "slowlog-log-slower-than", 0)
        wire.command("SLOWLOG", "RESET")
        yield wire
        wire.command("CONFIG", "SET", "slowlog-log-slower-than", 10000, "slowlog-max-len", 128)


def test_an_entry_is_an_id_a_time_microseconds_the_arguments_and_the_client(server: Server) -> None:
    with logging_all(server) as wire:
        wire.command("CLIENT", "SETNAME", "somebody")
        wire.command("SET", "k", "v")
        wire.command("GET", "k")
        found = entries(wire)
        assert commands(found) == [b"CLIENT SETNAME somebody", b"SET k v", b"GET k"]
        newest, older = found[:2]
        assert isinstance(newest[0], Int)
        assert isinstance(older[0], Int)
        assert newest[0].value == older[0].value + 1
        assert isinstance(newest[1], Int)
        assert abs(newest[1].value - wire_time(wire)) < 60
        assert isinstance(newest[2], Int)
        assert 0 <= newest[2].value < 1_000_000
        assert isinstance(newest[4], Bulk)
        assert newest[4].data.startswith(b"127.0.0.1:")
        assert newest[5] == Bulk(b"somebody")


def wire_time(wire: Wire) -> int:
    reply = wire.command("TIME")
    assert isinstance(reply, Array)
    assert isinstance(reply.items[0], Bulk)
    return int(reply.items[0].data)


def test_long_arguments_and_many_are_cut_as_redis_cuts_them(server: Server) -> None:
    with logging_all(server) as wire:
        wire.command("SET", "k", "x" * 128)
        wire.command("SET", "k", "y" * 129)
        wire.command("DEL", *map(str, range(31)))
        wire.command("DEL", *map(str, range(32)))
        found = [words(each) for each in reversed(entries(wire))]
        wanted = [
            [b"SET", b"k", b"x" * 128],
            [b"SET", b"k", b"y" * 128 + b"... (1 more bytes)"],
            [b"DEL", *(b"%d" % n for n in range(31))],
            [b"DEL", *(b"%d" % n for n in range(30)), b"... (2 more arguments)"],
        ]
        assert [each for each in found if each[0] in (b"SET", b"DEL")] == wanted


def test_commands_of_transactions_and_scripts_have_entries_of_their_own(server: Server) -> None:
    with logging_all(server) as wire:
        wire.send_raw(encode("MULTI") + encode("SET", "k", "v") + encode("LPUSH", "k", "x") + encode("EXEC"))
        for _ in range(4):
            wire.read_reply()
        assert commands(entries(wire)) == [b"MULTI", b"SET k v", b"LPUSH k x"]
        wire.command("SLOWLOG", "RESET")
        script = "redis.call('SET', 'k', 1); return redis.call('SORT', 'none')"
        wire.command("EVAL", script, 0)
        assert commands(entries(wire)) == [b"SET k 1", b"SORT none", b"EVAL " + script.encode() + b" 0"]


def test_passwords_are_not_logged(server: Server) -> None:
    with logging_all(server) as wire:
        wire.command("AUTH", "default", "secret1")
        wire.command("AUTH", "secret2")
        wire.command("HELLO", 2, "AUTH", "default", "secret3", "SETNAME", "n")
        wire.command("CONFIG", "SET", "masterauth", "secret4", "maxmemory-samples", 5)
        wire.command("CONFIG", "SET", "masterauth", "")
        wire.command("MIGRATE", "127.0.0.1", 1, "absent", 0, 10, "AUTH", "secret5")
        wire.command("MIGRATE", "127.0.0.1", 1, "absent", 0, 10, "AUTH2", "u", "secret6")
        found = [b" ".join(words(each)) for each in reversed(entries(wire))]
    text = b"\n".join(found)
    assert b"secret" not in text
    assert b"AUTH (redacted) (redacted)" in found
    assert b"HELLO 2 AUTH (redacted) (redacted) SETNAME n" in found
    assert b"CONFIG SET masterauth (redacted) maxmemory-samples 5" in found
    assert b"MIGRATE 127.0.0.1 1 absent 0 10 AUTH2 (redacted) (redacted)" in found


def test_the_log_keeps_as_many_as_it_is_told(server: Server) -> None:
    with logging_all(server) as wire:
        for n in range(20):
            wire.command("SET", "k", n)
        assert len(entries(wire, "SLOWLOG", "GET")) == 10
        assert len(entries(wire, "SLOWLOG", "GET", 3)) == 3
        assert entries(wire, "SLOWLOG", "GET", 0) == []
        wire.command("CONFIG", "SET", "slowlog-max-len", 5)
        wire.command("SET", "k", "last")
        found = entries(wire)
        assert len(found) == 5
        assert wire.command("SLOWLOG", "LEN") == Int(5)
        wire.command("CONFIG", "SET", "slowlog-max-len", 0)
        wire.command("SET", "k", "none")
        assert entries(wire) == []


def test_ids_go_on_after_a_reset(server: Server) -> None:
    with logging_all(server) as wire:
        wire.command("SET", "k", "v")
        before = entries(wire)[0][0]
        wire.command("SLOWLOG", "RESET")
        wire.command("SET", "k", "v")
        after = entries(wire)[0][0]
        assert isinstance(before, Int)
        assert isinstance(after, Int)
        assert after.value > before.value


def test_nothing_is_logged_while_the_threshold_is_negative(server: Server) -> None:
    with logging_all(server) as wire:
        wire.command("CONFIG", "SET", "slowlog-log-slower-than", -1)
        wire.command("SLOWLOG", "RESET")
        wire.command("DEBUG", "SLEEP", "0.02")
        assert entries(wire) == []


def test_a_command_that_is_refused_is_not_logged(server: Server) -> None:
    with logging_all(server) as wire:
        wire.command("SET", "k")
        wire.command("NOSUCH", "thing")
        assert commands(entries(wire)) == []


def test_bad_calls_are_answered_as_redis_answers_them(pair: Pair) -> None:
    pair.same(
        program("""
        SLOWLOG
        SLOWLOG GET -2
        SLOWLOG GET x
        SLOWLOG GET 1 2
        SLOWLOG LEN 1
        SLOWLOG RESET 1
        SLOWLOG NOSUCH
        """)
    )


# --- rlite's own -------------------------------------------------------------------------------------------


def described(wire: Wire, kind: str, *options: str | int) -> list[dict[str, object]]:
    """The entries of COMMANDLOG ENTRIES, as Python has them."""
    reply = wire.command("COMMANDLOG", "ENTRIES", kind, *options)
    assert isinstance(reply, Map)
    facts = {key.data: value for key, value in reply.pairs if isinstance(key, Bulk)}
    assert set(facts) == {b"run-id", b"next-id", b"threshold", b"max-len", b"entries"}
    found = facts[b"entries"]
    assert isinstance(found, Array)
    return [{k.data.decode(): plain(v) for k, v in each.pairs} for each in found.items]  # type: ignore[union-attr]


def plain(reply: Reply) -> object:
    match reply:
        case Bulk(data):
            return data
        case Int(value):
            return value
        case Null():
            return None
        case Array(items):
            return [plain(each) for each in items]
    raise AssertionError(reply)


@pytest.mark.parametrize("busy", [False, True], ids=["plain path", "ordinary path"])
def test_large_requests_and_replies_are_logged_with_their_sizes(engine: InProcess, busy: bool) -> None:
    wire = engine.wire(protocol=3)
    wire.command(
        "CONFIG", "SET", "commandlog-request-larger-than", 1000, "commandlog-reply-larger-than", 2000
    )
    if busy:  # while keyspace events are on, every command goes the ordinary way
        wire.command("CONFIG", "SET", "notify-keyspace-events", "KEA")
    wire.command("SET", "small", "x" * 10)
    wire.command("SET", "large", "x" * 5000)
    wire.command("GET", "large")
    wire.command("GET", "small")
    (request,) = described(wire, "large-request")
    size = len(encode("SET", "large", "x" * 5000))
    assert (request["command"], request["key"]) == (b"set", b"large")
    assert request["value"] == request["request-bytes"] == size
    assert request["reply-bytes"] == len(b"+OK\r\n")
    assert request["args-cut"] == 1
    (reply,) = described(wire, "large-reply")
    assert (reply["command"], reply["args"]) == (b"get", [b"GET", b"large"])
    assert reply["value"] == reply["reply-bytes"] == len(b"$5000\r\n\r\n") + 5000
    assert reply["request-bytes"] == len(encode("GET", "large"))
    assert (reply["user"], reply["db"], reply["args-cut"]) == (b"default", 0, 0)
    assert described(wire, "slow") == []


def test_large_commands_of_a_transaction_are_judged_one_by_one(engine: InProcess) -> None:
    wire = engine.wire(protocol=3)
    wire.command(
        "CONFIG", "SET", "commandlog-request-larger-than", 1000, "commandlog-reply-larger-than", 1000
    )
    wire.command("SELECT", 3)
    wire.command("MULTI")
    wire.command("SET", "k", "x" * 2000)
    assert described_later(wire, engine) == []  # what is only queued is not logged
    wire.command("GET", "k")
    wire.command("LRANGE", "none", 0, -1)
    wire.command("EXEC")
    (request,) = described(wire, "large-request")
    assert (request["command"], request["value"], request["db"]) == (
        b"set",
        len(encode("SET", "k", "x" * 2000)),
        3,
    )
    (reply,) = described(wire, "large-reply")
    assert (reply["command"], reply["reply-bytes"]) == (b"get", len(b"$2000\r\n\r\n") + 2000)


def described_later(wire: Wire, engine: InProcess) -> list[dict[str, object]]:
    """As `described` for large requests, by another connection."""
    del wire
    return described(engine.wire(protocol=3), "large-request")


def test_commandlog_speaks_as_valkeys(engine: InProcess) -> None:
    wire = engine.wire()
    wire.command(
        "CONFIG", "SET", "commandlog-request-larger-than", 100, "commandlog-large-request-max-len", 2
    )
    for key in ("a", "b", "c"):
        wire.command("SET", key, "x" * 100)
    found = entries(wire, "COMMANDLOG", "GET", -1, "large-request")
    assert [words(each)[:2] for each in found] == [[b"SET", b"c"], [b"SET", b"b"]]
    assert found[0][2] == Int(len(encode("SET", "c", "x" * 100)))
    assert len(entries(wire, "COMMANDLOG", "GET", 1, "LARGE-REQUEST")) == 1
    assert wire.command("COMMANDLOG", "LEN", "large-request") == Int(2)
    assert wire.command("COMMANDLOG", "RESET", "large-request") == Simple(b"OK")
    assert wire.command("COMMANDLOG", "LEN", "large-request") == Int(0)
    assert entries(wire, "COMMANDLOG", "GET", 10, "large-reply") == []
    wrong = Err(b"ERR type should be one of the following: slow, large-request, large-reply")
    for call in (("GET", 1, "other"), ("LEN", "other"), ("RESET", "other"), ("ENTRIES", "other")):
        assert wire.command("COMMANDLOG", *call) == wrong
    assert wire.command("COMMANDLOG", "GET", -2, "slow") == Err(
        b"ERR count should be greater than or equal to -1"
    )


def test_valkeys_names_of_the_slow_logs_directives_are_known(engine: InProcess) -> None:
    wire = engine.wire()
    wire.command(
        "CONFIG", "SET", "commandlog-execution-slower-than", 7, "commandlog-slow-execution-max-len", 9
    )
    assert wire.command("CONFIG", "GET", "slowlog-log-slower-than") == Array(
        (Bulk(b"slowlog-log-slower-than"), Bulk(b"7"))
    )
    assert wire.command("CONFIG", "GET", "slowlog-max-len") == Array((Bulk(b"slowlog-max-len"), Bulk(b"9")))


def test_entries_can_be_asked_for_from_an_id_on(engine: InProcess) -> None:
    wire = engine.wire(protocol=3)
    wire.command("CONFIG", "SET", "commandlog-request-larger-than", 100)
    for key in "abcde":
        wire.command("SET", key, "x" * 100)
    keys = [each["key"] for each in described(wire, "large-request")]
    assert keys == [b"a", b"b", b"c", b"d", b"e"]
    assert [each["id"] for each in described(wire, "large-request", "AFTER", 2)] == [3, 4]
    assert [each["id"] for each in described(wire, "large-request", "COUNT", 2)] == [3, 4]
    assert [each["id"] for each in described(wire, "large-request", "AFTER", 3, "COUNT", 2)] == [4]
    assert described(wire, "large-request", "AFTER", 4) == []
    for options in (("AFTER",), ("SINCE", "1"), ("AFTER", "1", "COUNT")):
        assert wire.command("COMMANDLOG", "ENTRIES", "slow", *options) == Err(b"ERR syntax error")


def test_a_command_of_a_script_is_its_callers(engine: InProcess) -> None:
    wire = engine.wire(protocol=3)
    wire.command("CLIENT", "SETNAME", "caller")
    wire.command("CONFIG", "SET", "slowlog-log-slower-than", 0)
    wire.command("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", 1, "key", "value")
    found = {str(each["command"]): each for each in described(wire, "slow")}
    inner = found["b'set'"]
    assert (inner["client-name"], inner["key"], inner["request-bytes"]) == (b"caller", b"key", -1)
    assert found["b'eval'"]["key"] == b"key"


def test_calls_in_process_are_logged_too() -> None:
    with Engine(slowlog_log_slower_than=0) as engine:
        engine.set("k", "v")
        found = engine.execute("SLOWLOG", "GET", 1)
    assert isinstance(found, list)
    (entry,) = found
    assert isinstance(entry, list)
    assert entry[3] == [b"SET", b"k", b"v"]
