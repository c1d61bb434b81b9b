"""Fields with deadlines: HEXPIRE and its kind, as Redis 7.4 documents them (the Debian peer is older)."""

import time

import pytest
from support.servers import Server, wait_for
from support.wire import Array, Bulk, Err, Int, Null, Wire


@pytest.fixture(params=["packed", "full"])
def wire(rlite: Server, request: pytest.FixtureRequest) -> Wire:
    """A connection to a server with a hash `h` of fields a, b, c."""
    connected = rlite.wire()
    connected.command("HSET", "h", "a", "1", "b", "2", "c", "3")
    if request.param == "full":
        connected.command("HSET", "h", "long", "x" * 100)
        connected.command("HDEL", "h", "long")
    return connected


def codes(*numbers: int) -> Array:
    return Array(tuple(map(Int, numbers)))


def test_deadlines_are_given_shown_and_taken(wire: Wire) -> None:
    assert wire.command("HEXPIRE", "h", 100, "FIELDS", 3, "a", "b", "nosuch") == codes(1, 1, -2)
    assert wire.command("HTTL", "h", "FIELDS", 4, "a", "b", "c", "nosuch") == codes(100, 100, -1, -2)
    left = wire.command("HPTTL", "h", "FIELDS", 1, "a")
    assert isinstance(left, Array)
    assert isinstance(left.items[0], Int)
    assert 99_000 < left.items[0].value <= 100_000
    assert wire.command("HPERSIST", "h", "FIELDS", 3, "a", "c", "nosuch") == codes(1, -1, -2)
    assert wire.command("HTTL", "h", "FIELDS", 2, "a", "b") == codes(-1, 100)
    at = int(time.time()) + 500
    assert wire.command("HEXPIREAT", "h", at, "FIELDS", 1, "c") == codes(1)
    assert wire.command("HEXPIRETIME", "h", "FIELDS", 2, "c", "a") == codes(at, -1)
    assert wire.command("HPEXPIREAT", "h", at * 1000 + 7, "FIELDS", 1, "c") == codes(1)
    assert wire.command("HPEXPIRETIME", "h", "FIELDS", 1, "c") == codes(at * 1000 + 7)
    assert wire.command("HTTL", "nosuch", "FIELDS", 2, "a", "b") == codes(-2, -2)


def test_conditions(wire: Wire) -> None:
    def expire(seconds: int, condition: str, field: str = "a") -> object:
        return wire.command("HEXPIRE", "h", seconds, condition, "FIELDS", 1, field)

    assert expire(100, "XX") == codes(0)
    assert expire(100, "GT") == codes(0)
    assert expire(100, "NX") == codes(1)
    assert expire(200, "NX") == codes(0)
    assert expire(50, "GT") == codes(0)
    assert expire(200, "GT") == codes(1)
    assert expire(300, "LT") == codes(0)
    assert expire(100, "LT") == codes(1)
    assert expire(10, "XX") == codes(1)
    assert expire(10, "LT", "b") == codes(1)  # no deadline is later than any


def test_a_deadline_that_has_passed_deletes(wire: Wire) -> None:
    assert wire.command("HPEXPIREAT", "h", 1, "FIELDS", 2, "a", "nosuch") == codes(2, -2)
    assert wire.command("HEXPIRE", "h", 0, "FIELDS", 1, "b") == codes(2)
    assert wire.command("HGETALL", "h") == Array((Bulk(b"c"), Bulk(b"3")))
    assert wire.command("HEXPIRE", "h", 0, "FIELDS", 1, "c") == codes(2)
    assert wire.command("EXISTS", "h") == Int(0)


def test_fields_go_by_themselves_and_the_hash_with_the_last(wire: Wire) -> None:
    wire.command("HPEXPIRE", "h", 30, "FIELDS", 2, "a", "b")
    wait_for(lambda: wire.command("HLEN", "h") == Int(1), "two fields to go")
    assert wire.command("HGET", "h", "a") == Null(b"$")
    wire.command("HPEXPIRE", "h", 20, "FIELDS", 1, "c")
    wait_for(lambda: wire.command("DBSIZE") == Int(0), "the hash to go")
    assert wire.command("TYPE", "h").text == b"none"  # type: ignore[union-attr]


def test_nobody_sees_a_field_past_its_deadline(rlite: Server) -> None:
    with rlite.wire() as wire:
        wire.command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        try:
            wire.command("HSET", "h", "a", "1", "b", "2")
            wire.command("HPEXPIRE", "h", 1, "FIELDS", 1, "a")
            wait_for(lambda: wire.command("HEXISTS", "h", "a") == Int(0), "the deadline to pass")
            assert wire.command("HLEN", "h") == Int(1)
            assert wire.command("HKEYS", "h") == Array((Bulk(b"b"),))
            assert wire.command("HSETNX", "h", "a", "new") == Int(1)
            assert wire.command("HTTL", "h", "FIELDS", 1, "a") == codes(-1)
        finally:
            wire.command("DEBUG", "SET-ACTIVE-EXPIRE", 1)


def test_writing_ends_a_deadline_and_adding_keeps_it(wire: Wire) -> None:
    wire.command("HEXPIRE", "h", 100, "FIELDS", 3, "a", "b", "c")
    wire.command("HSET", "h", "a", "x")
    wire.command("HINCRBY", "h", "b", 1)
    wire.command("HINCRBYFLOAT", "h", "c", "0.5")
    assert wire.command("HTTL", "h", "FIELDS", 3, "a", "b", "c") == codes(-1, 100, 100)


def test_deadlines_go_with_the_value(wire: Wire) -> None:
    wire.command("HEXPIRE", "h", 100, "FIELDS", 1, "a")
    wire.command("COPY", "h", "copied")
    wire.command("RENAME", "h", "renamed")
    dumped = wire.command("DUMP", "renamed")
    assert isinstance(dumped, Bulk)
    wire.command("RESTORE", "restored", 0, dumped.data)
    for key in ("copied", "renamed", "restored"):
        assert wire.command("HTTL", key, "FIELDS", 2, "a", "b") == codes(100, -1), key


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("HEXPIRE h 100 a b c", "FIELDS is missing"),
        ("HEXPIRE h 100 FIELDS 0 a", "should be greater than 0"),
        ("HEXPIRE h 100 FIELDS 2 a", "must match the number of arguments"),
        ("HEXPIRE h 100 FIELDS x a", "should be greater than 0"),
        ("HEXPIRE h x FIELDS 1 a", "not an integer"),
        ("HEXPIRE h -1 FIELDS 1 a", "invalid expire time"),
        ("HPEXPIRE h 9223372036854775807 FIELDS 1 a", "invalid expire time"),
        ("HEXPIRE h 1 NX XX FIELDS 1 a", "Multiple condition flags"),
        ("HTTL h a b c", "FIELDS is missing"),
        ("HEXPIRE s 100 FIELDS 1 a", "WRONGTYPE"),
        ("HPERSIST s FIELDS 1 a", "WRONGTYPE"),
    ],
)
def test_bad_arguments(wire: Wire, line: str, said: str) -> None:
    wire.command("SET", "s", "v")
    reply = wire.command(*line.split())
    assert isinstance(reply, Err), reply
    assert said in reply.text.decode()
    assert wire.command("HTTL", "h", "FIELDS", 1, "a") == codes(-1)


def test_info_counts_fields_that_went(rlite: Server) -> None:
    def counted() -> int:
        info = wire.command("INFO", "stats")
        assert isinstance(info, Bulk)
        return int(info.data.partition(b"expired_subkeys:")[2].split()[0])

    with rlite.wire() as wire:
        before = counted()
        wire.command("HSET", "h", "a", "1", "b", "2", "c", "3")
        wire.command("HPEXPIRE", "h", 10, "FIELDS", 2, "a", "b")
        wait_for(lambda: counted() == before + 2, "two fields to go")
