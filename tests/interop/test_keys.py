"""Key and database commands answer as the real redis-server does, byte for byte."""

from collections.abc import Sequence
from typing import Any

import pytest
from support.differential import Pair
from support.programs import Step, each_program
from support.servers import Server
from support.wire import Array, Bulk, Int, Simple, Wire


@each_program(r"""
== DEL, UNLINK, EXISTS and TOUCH count
MSET a 1 b 2 c 3
EXISTS a
EXISTS a b missing a
TOUCH a b missing a
DEL a missing
DEL a
UNLINK b c b
UNLINK b
DBSIZE
DEL
UNLINK
EXISTS
TOUCH

== TYPE and RANDOMKEY
TYPE missing
SET k v
TYPE k
RANDOMKEY
DEL k
RANDOMKEY
TYPE
TYPE a b
RANDOMKEY a

== RENAME and RENAMENX
SET a 1
SET b 2
RENAME a b
GET b
EXISTS a
RENAME missing b
RENAME b b
GET b
RENAME missing missing
RENAMENX b c
RENAMENX c c
SET d 1
RENAMENX c d
RENAMENX missing x
RENAMENX missing missing
RENAME a
RENAME a b c
RENAMENX a
RENAMENX a b c

== COPY
SET a 1
COPY a b
COPY a b
GET b
SET a 2
COPY a b REPLACE
GET b
COPY a b DB 1
COPY a b DB 1
COPY a b db 1 replace
COPY a a
COPY a a DB 0
COPY a a DB 0 REPLACE
COPY a a DB 1
COPY missing b
COPY missing b REPLACE
COPY a b DB
COPY a b DB abc
COPY a b DB 16
COPY a b DB -1
COPY a b DB 9999999999
COPY a b NOSUCH
COPY a
COPY
SELECT 1
GET b
GET a

== MOVE
SET a 1
MOVE a 1
EXISTS a
SET a 2
MOVE a 1
GET a
MOVE a 0
MOVE missing 1
MOVE a 16
MOVE a -1
MOVE a abc
MOVE a 9223372036854775807
MOVE a
MOVE a 1 2
SELECT 1
GET a

== SELECT and SWAPDB
SET a 0
SELECT 1
GET a
SET b 1
SWAPDB 0 1
GET a
GET b
SWAPDB 0 0
SELECT 15
DBSIZE
SELECT 16
SELECT -1
SELECT abc
SELECT ""
SELECT 1.0
SELECT 9223372036854775808
SELECT
SELECT 1 2
SWAPDB 0 16
SWAPDB -1 0
SWAPDB a 0
SWAPDB 0 b
SWAPDB 0
SWAPDB 0 1 2
SELECT 0
SET back 1

== FLUSHDB and FLUSHALL
SET a 1
SELECT 1
SET a 1
FLUSHDB
DBSIZE
SELECT 0
DBSIZE
FLUSHDB ASYNC
DBSIZE
SET a 1
FLUSHDB sync
SET a 1
SELECT 1
FLUSHALL ASYNC
SELECT 0
DBSIZE
FLUSHALL SYNC
FLUSHALL NOSUCH
FLUSHDB NOSUCH
FLUSHALL ASYNC SYNC
FLUSHDB SYNC SYNC
DBSIZE a

== KEYS matches globs
MSET hello 1 hallo 2 hxllo 3 hllo 4 heeeello 5 h*llo 6 "h[llo" 7
MSET "h\\llo" 8 "" 9 "h\x00llo" 10 HELLO 11 h^llo 12 h-llo 13
@unordered KEYS *
@unordered KEYS h?llo
@unordered KEYS h*llo
@unordered KEYS h[ae]llo
@unordered KEYS h[^e]llo
@unordered KEYS h[a-e]llo
@unordered KEYS h[e-a]llo
@unordered KEYS h[^a-e]llo
@unordered KEYS "h\\*llo"
@unordered KEYS "h\\[llo"
@unordered KEYS "h\\\\llo"
@unordered KEYS h[
@unordered KEYS h[a
@unordered KEYS "h[\\^]llo"
@unordered KEYS h[a-]llo
@unordered KEYS h[]llo
@unordered KEYS h[^]llo
@unordered KEYS ""
@unordered KEYS hello
@unordered KEYS **
@unordered KEYS ***l?
@unordered KEYS *\x00*
@unordered KEYS "h\x00*"
@unordered KEYS *o*o*
@unordered KEYS "hello\\"
@unordered KEYS ?
KEYS nothing*
KEYS
KEYS a b

== SCAN of a small keyspace, and its bad arguments
SCAN 0
SET k v
SCAN 0
SCAN 0 COUNT 100
SCAN 0 MATCH k* COUNT 100
SCAN 0 match x* count 100
SCAN 0 TYPE string
SCAN 0 type STRING COUNT 10
SCAN 0 TYPE list
SCAN 0 COUNT 10 COUNT 20 MATCH a* MATCH k*
SCAN abc
SCAN ""
SCAN " 0"
SCAN 18446744073709551616
SCAN 0 COUNT
SCAN 0 COUNT 0
SCAN 0 COUNT -1
SCAN 0 COUNT abc
SCAN 0 COUNT 9223372036854775808
SCAN 0 MATCH
SCAN 0 TYPE
SCAN 0 NOSUCH
SCAN 0 NOSUCH 1
SCAN

== OBJECT and its subcommands
SET k v
SET n 123
OBJECT ENCODING k
OBJECT ENCODING n
OBJECT encoding missing
OBJECT REFCOUNT k
OBJECT REFCOUNT missing
OBJECT IDLETIME k
OBJECT IDLETIME missing
OBJECT FREQ k
OBJECT FREQ missing
OBJECT ENCODING
OBJECT ENCODING k k
OBJECT REFCOUNT
OBJECT IDLETIME
OBJECT FREQ
OBJECT NOSUCH k
OBJECT nosuch
OBJECT

== DUMP and RESTORE
SET k hello
SET n 5
SET m -129
SET o 100000
SET p -3000000000
SET e ""
SET long aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
@dump DUMP k
@dump DUMP n
@dump DUMP m
@dump DUMP o
@dump DUMP p
@dump DUMP e
DUMP missing
DUMP
DUMP k k
RESTORE k 0 "\x00\x05hello\n\x00bad-crc!"
RESTORE new 0 ""
RESTORE new 0 "\x00\x05hello"
RESTORE new abc x
RESTORE new -1 x
RESTORE new 0 x NOSUCH
RESTORE new 0 x REPLACE IDLETIME
RESTORE new 0 x IDLETIME -1
RESTORE new 0 x FREQ 256
RESTORE new 0 x FREQ abc
RESTORE k 0 x
RESTORE
RESTORE k 0

== RESTORE of payloads of redis 7.0
RESTORE k 0 "\x00\x05hello\n\x00cr\xdfve4 \n"
GET k
RESTORE k 0 "\x00\x05hello\n\x00cr\xdfve4 \n" REPLACE

== MEMORY USAGE
SET k v
@kind MEMORY USAGE k
@kind MEMORY USAGE k SAMPLES 5
@kind MEMORY USAGE k SAMPLES 0
MEMORY USAGE missing
MEMORY USAGE k SAMPLES
MEMORY USAGE k SAMPLES -1
MEMORY USAGE k SAMPLES abc
MEMORY USAGE k NOSUCH 1
MEMORY USAGE
MEMORY NOSUCH
MEMORY
@kind MEMORY STATS
@kind MEMORY DOCTOR
MEMORY STATS x
MEMORY DOCTOR x
""")
def test_keys(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.same(steps, **mode)


@pytest.mark.parametrize(
    "value",
    [b"hello", b"", b"5", b"-129", b"100000", b"9223372036854775807", b"x" * 300, bytes(range(256)) * 80],
)
def test_a_string_dumped_by_the_real_server_is_restored_here(
    rlite: Server, redis_peer: Server, value: bytes
) -> None:
    with rlite.wire() as ours, redis_peer.wire() as theirs:
        theirs.command("SET", "k", value)
        payload = theirs.command("DUMP", "k")
        assert isinstance(payload, Bulk)
        assert ours.command("RESTORE", "k", 0, payload.data) == Simple(b"OK")
        assert ours.command("GET", "k") == Bulk(value)
        assert ours.command("RESTORE", "t", 100000, payload.data) == Simple(b"OK")
        assert ours.command("RESTORE", "t", 4000000000000, payload.data, "ABSTTL", "REPLACE") == Simple(b"OK")
        assert ours.command("PEXPIRETIME", "t") == Int(4000000000000)
        back = ours.command("DUMP", "k")
        assert isinstance(back, Bulk)
        assert ours.command("RESTORE", "back", 0, back.data) == Simple(b"OK")
        assert ours.command("GET", "back") == Bulk(value)


def _scan(wire: Wire, *options: str, between: Any = None) -> list[bytes]:
    """Every key a full iteration returns, with repetitions; `between` runs after each call."""
    cursor, found = b"0", []
    for turn in range(100_000):
        reply = wire.command("SCAN", cursor, *options)
        assert isinstance(reply, Array)
        next_cursor, keys = reply.items
        assert isinstance(next_cursor, Bulk)
        assert isinstance(keys, Array)
        found += [key.data for key in keys.items if isinstance(key, Bulk)]
        cursor = next_cursor.data
        if cursor == b"0":
            return found
        if between is not None:
            between(turn)
    raise AssertionError("SCAN did not come to an end")


def _fill(wire: Wire, prefix: str, count: int) -> set[bytes]:
    names = [f"{prefix}{index}" for index in range(count)]
    for start in range(0, count, 500):
        batch = names[start : start + 500]
        assert wire.command("MSET", *(word for name in batch for word in (name, "v"))) == Simple(b"OK")
    return {name.encode() for name in names}


@pytest.mark.parametrize("count", ["1", "7", "10", "1000", "1000000"])
def test_scan_returns_every_key_once_when_nothing_changes(rlite: Server, count: str) -> None:
    with rlite.wire() as wire:
        names = _fill(wire, "k", 2000)
        found = _scan(wire, "COUNT", count)
        assert sorted(found) == sorted(names)


def test_scan_returns_every_key_that_stays_while_the_table_grows(rlite: Server) -> None:
    with rlite.wire() as wire, rlite.wire() as other:
        names = _fill(wire, "k", 500)
        found = _scan(wire, "COUNT", "10", between=lambda turn: _fill(other, f"n{turn % 40}-", 400))
        assert names <= set(found)


def test_scan_returns_every_key_that_stays_while_the_table_shrinks(rlite: Server) -> None:
    with rlite.wire() as wire, rlite.wire() as other:
        stays = _fill(wire, "stays", 300)
        doomed = sorted(_fill(wire, "goes", 20_000))

        def remove(_: int) -> None:
            if doomed:
                other.command("DEL", *doomed[-2000:])
                del doomed[-2000:]

        assert stays <= set(_scan(wire, "COUNT", "10", between=remove))


def test_scan_with_match_and_type_returns_only_those(rlite: Server) -> None:
    with rlite.wire() as wire:
        _fill(wire, "a", 300)
        names = _fill(wire, "b", 300)
        assert set(_scan(wire, "MATCH", "b*", "TYPE", "string")) == names
        assert _scan(wire, "TYPE", "list") == []


def test_randomkey_reaches_every_key(rlite: Server) -> None:
    with rlite.wire() as wire:
        missing = _fill(wire, "k", 20)
        for _ in range(20_000):
            reply = wire.command("RANDOMKEY")
            assert isinstance(reply, Bulk)
            missing.discard(reply.data)
            if not missing:
                break
        assert not missing
