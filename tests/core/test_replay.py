"""Replaying: commands from a buffer into a keyspace, and where it stops."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlite.engine.core.database import Database
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.core.records import sealed
from rlite.engine.core.replay import Replay
from rlite.engine.server import make_table

TABLE = make_table()[0]
SEED = 4711
Otherwise = Callable[[int, list[bytes]], tuple[str | None, bool]]


def resp(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def records(*parts: bytes, database: int = 0) -> bytes:
    found, offset = b"", 0
    for part in parts:
        found += sealed(part, offset, 1000 + offset, database, SEED)
        offset += len(part)
    return found


def replay(
    otherwise: Otherwise = lambda _database, _args: (None, False), *, strict: bool = True
) -> tuple[Keyspace, Replay]:
    keyspace = Keyspace()
    keyspace.loading = True
    return keyspace, Replay(keyspace, TABLE, otherwise, strict)


def run(player: Replay, data: bytes) -> tuple[str, int]:
    return player.records(data, len(data), 0, SEED, len(data))


def run_plain(player: Replay, data: bytes) -> tuple[str, int]:
    return player.commands(data, len(data), 0, len(data))


def test_records_run_in_order_and_the_offset_follows() -> None:
    keyspace, player = replay()
    data = records(resp(b"SET", b"k", b"1"), resp(b"INCR", b"k"), resp(b"APPEND", b"k", b"0"))
    assert run(player, data) == ("end", len(data))
    assert Database(keyspace, 0).get(b"k") == b"20"
    assert player.running == 3
    assert player.count == 3
    assert player.offset == sum(
        map(len, (resp(b"SET", b"k", b"1"), resp(b"INCR", b"k"), resp(b"APPEND", b"k", b"0")))
    )
    assert player.last_ms > 1000


def test_many_more_commands_than_a_batch_come_out_in_order() -> None:
    keyspace, player = replay()
    data = records(*(resp(b"APPEND", b"k%d" % (n % 7), b"%d," % n) for n in range(1000)))
    assert run(player, data) == ("end", len(data))
    for k in range(7):
        wanted = b"".join(b"%d," % n for n in range(1000) if n % 7 == k)
        assert Database(keyspace, 0).get(b"k%d" % k) == wanted


def test_a_record_says_its_database_and_select_changes_it() -> None:
    keyspace, player = replay()
    data = records(resp(b"SET", b"a", b"1"), database=3) + sealed(
        resp(b"SELECT", b"5") + resp(b"SET", b"b", b"2"), 900, 1, 5, SEED
    )
    assert run(player, data) == ("end", len(data))
    assert Database(keyspace, 3).get(b"a") == b"1"
    assert Database(keyspace, 5).get(b"b") == b"2"


def test_what_the_core_has_not_goes_to_python_in_its_place() -> None:
    seen: list[tuple[int, list[bytes], bytes | None]] = []

    def otherwise(database: int, args: list[bytes]) -> tuple[str | None, bool]:
        seen.append((database, args, Database(keyspace, database).get(b"k")))
        return None, False

    keyspace, player = replay(otherwise)
    data = records(
        resp(b"SET", b"k", b"1"),
        resp(b"FLUSHALL"),
        resp(b"SET", b"k", b"2"),
        resp(b"MOVE", b"k", b"1"),
        database=2,
    )
    assert run(player, data) == ("end", len(data))
    assert seen == [(2, [b"FLUSHALL"], b"1"), (2, [b"MOVE", b"k", b"1"], b"2")]


def test_a_failing_command_stops_at_its_record_and_is_named() -> None:
    keyspace, player = replay()
    first = records(resp(b"SET", b"k", b"text"))
    data = (
        first
        + sealed(resp(b"INCR", b"k"), 500, 1, 0, SEED)
        + sealed(resp(b"SET", b"z", b"1"), 900, 1, 0, SEED)
    )
    assert run(player, data) == ("failed", len(first))
    assert player.failure == ([b"INCR", b"k"], "ERR value is not an integer or out of range")
    assert Database(keyspace, 0).get(b"z") is None


def test_a_failing_command_is_counted_where_that_is_allowed() -> None:
    keyspace, player = replay(strict=False)
    data = (
        resp(b"SET", b"k", b"text")
        + resp(b"INCR", b"k")
        + resp(b"LPUSH", b"k", b"1")
        + resp(b"SET", b"z", b"1")
    )
    assert run_plain(player, data) == ("end", len(data))
    assert player.failed == 2
    assert player.failure == ([b"INCR", b"k"], "ERR value is not an integer or out of range")
    assert Database(keyspace, 0).get(b"z") == b"1"


def test_what_python_raises_comes_out() -> None:
    def otherwise(_database: int, _args: list[bytes]) -> tuple[str | None, bool]:
        raise KeyError("bug")

    _, player = replay(otherwise)
    with pytest.raises(KeyError):
        run(player, records(resp(b"FLUSHALL")))


@pytest.mark.parametrize("number", [b"16", b"-1", b"x"])
def test_a_database_that_is_not_there_stops_it(number: bytes) -> None:
    _, player = replay(strict=False)
    good = resp(b"SET", b"k", b"1")
    assert run_plain(player, good + resp(b"SELECT", number) + good) == ("failed", len(good))
    assert player.failure == ([b"SELECT", number], "ERR DB index is out of range")


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_cut_buffer_ends_short_behind_its_last_whole_record(cut: int) -> None:
    keyspace, player = replay()
    first = records(resp(b"SET", b"k", b"1"))
    data = first + sealed(resp(b"SET", b"k", b"2"), 100, 1, 0, SEED)
    data = data[:-cut] if cut < len(data) - len(first) else first
    assert run(player, data) == ("end" if data == first else "short", len(first))
    assert Database(keyspace, 0).get(b"k") == b"1"


def test_an_offset_that_falls_is_no_good_record() -> None:
    _, player = replay()
    player.offset = 10
    assert run(player, sealed(resp(b"PING"), 9, 1, 0, SEED)) == ("offset", 0)


def test_a_transaction_of_a_plain_log_runs_when_all_of_it_is_there() -> None:
    keyspace, player = replay(strict=False)
    before = resp(b"SET", b"a", b"1")
    whole = (
        resp(b"MULTI")
        + resp(b"SET", b"a", b"2")
        + resp(b"SELECT", b"1")
        + resp(b"SET", b"b", b"3")
        + resp(b"EXEC")
    )
    for cut in range(1, len(whole)):
        assert run_plain(player, before + whole[:-cut]) == ("short", len(before))
        assert Database(keyspace, 0).get(b"a") == b"1"
        assert Database(keyspace, 1).get(b"b") is None
    player.selected = 0
    assert run_plain(player, before + whole) == ("end", len(before + whole))
    assert Database(keyspace, 0).get(b"a") == b"2"
    assert Database(keyspace, 1).get(b"b") == b"3"


def test_remarks_between_commands_tell_the_time() -> None:
    keyspace, player = replay(strict=False)
    data = b"#TS:1700000000\r\n" + resp(b"SET", b"a", b"1") + b"# nothing\r\n" + resp(b"SET", b"b", b"1")
    assert run_plain(player, data) == ("end", len(data))
    assert player.last_ms == 1_700_000_000_000
    assert keyspace.size(0) == 2


def test_nothing_expires_while_loading_and_everything_due_does_afterwards() -> None:
    keyspace, player = replay()
    past = b"%d" % (int(time.time() * 1000) - 60_000)
    data = records(
        resp(b"SET", b"a", b"1", b"PXAT", past), resp(b"APPEND", b"a", b"2"), resp(b"SET", b"b", b"1"),
        resp(b"PEXPIREAT", b"b", past), resp(b"APPEND", b"b", b"2"), resp(b"SET", b"c", b"1"),
        resp(b"GETEX", b"c", b"PXAT", past), resp(b"PERSIST", b"b"),
    )  # fmt: skip
    assert run(player, data) == ("end", len(data))
    assert keyspace.keep(10**9) == 25_000_000
    assert keyspace.size(0) == 3
    assert Database(keyspace, 0).get(b"a") == b"12"
    keyspace.loading = False
    keyspace.keep(10**9)
    assert keyspace.size(0) == 1
    assert Database(keyspace, 0).get(b"b") == b"12"


def test_a_log_of_many_python_commands_keeps_no_arguments() -> None:
    calls = 0

    def otherwise(_database: int, args: list[bytes]) -> tuple[str | None, bool]:
        nonlocal calls
        calls += args == [b"SWAPDB", b"0", b"1"]
        return None, False

    _, player = replay(otherwise)
    data = records(*(resp(b"SWAPDB", b"0", b"1") + resp(b"SET", b"k", b"v") for _ in range(500)))
    assert run(player, data) == ("end", len(data))
    assert calls == 500


WORDS = (
    b"SET",
    b"GET",
    b"MULTI",
    b"EXEC",
    b"SELECT",
    b"DEL",
    b"APPEND",
    b"RPUSH",
    b"FLUSHDB",
    b"MSET",
    b"nosuch",
    b"",
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Commands as a log has them, some of them senseless, and some bytes changed."""
    words = st.one_of(
        st.sampled_from(WORDS), st.binary(max_size=20), st.integers(-3, 20).map(lambda n: b"%d" % n)
    )
    commands = draw(st.lists(st.lists(words, min_size=1, max_size=5), max_size=12))
    data = bytearray(b"".join(resp(*command) for command in commands))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@settings(max_examples=200, deadline=None)
@given(streams(), st.booleans())
def test_whatever_stands_in_a_log_it_is_run_up_to_a_place_that_is_told(data: bytes, strict: bool) -> None:
    def otherwise(_database: int, args: list[bytes]) -> tuple[str | None, bool]:
        return ("ERR unknown", True) if args[0].lower() == b"nosuch" else (None, False)

    _, player = replay(otherwise, strict=strict)
    why, where = run_plain(player, data)
    assert why in ("end", "short", "resp", "failed")
    assert 0 <= where <= len(data)
    assert why != "end" or where == len(data)
    assert (why == "failed") <= (player.failure is not None)
    if data:
        _, player = replay(otherwise, strict=strict)
        record = records(data)
        why, where = run(player, record)
        assert why in ("end", "resp", "failed")
        assert where == (len(record) if why == "end" else 0)
