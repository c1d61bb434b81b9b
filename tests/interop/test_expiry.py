"""Expiry commands answer as the real redis-server does; keys go when their time has come."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from support.differential import Pair
from support.programs import Step, each_program
from support.servers import Server, wait_for
from support.wire import Bulk, Int, Null, Simple


@each_program(r"""
== TTL of what is not there and of what stays
TTL k
PTTL k
EXPIRETIME k
PEXPIRETIME k
SET k v
TTL k
PTTL k
EXPIRETIME k
PEXPIRETIME k
PERSIST k
PERSIST missing
EXPIRE missing 100
PEXPIRE missing 100
EXPIREAT missing 4000000000
PEXPIREAT missing 4000000000000

== EXPIRE in its four forms
SET k v
EXPIRE k 100
@about TTL k
@about PTTL k
PEXPIRE k 200000
@about TTL k
EXPIREAT k 4000000000
EXPIRETIME k
PEXPIRETIME k
PEXPIREAT k 4000000000999
EXPIRETIME k
PEXPIRETIME k
PEXPIREAT k 4000000000500
EXPIRETIME k
PEXPIREAT k 4000000000499
EXPIRETIME k
PERSIST k
PERSIST k
TTL k

== a deadline in the past deletes at once
SET k v
EXPIRE k 0
EXISTS k
SET k v
EXPIRE k -1
GET k
SET k v
PEXPIRE k -9223372036854775808
SET k v
EXPIREAT k 1
TTL k
SET k v
PEXPIREAT k 0
DBSIZE
SET k v
EXPIREAT k -100
EXISTS k

== EXPIRE NX XX GT LT
SET k v
EXPIREAT k 4000000000 XX
EXPIREAT k 4000000000 GT
EXPIREAT k 4000000000 NX
EXPIREAT k 4000000001 NX
EXPIREAT k 4000000000 GT
EXPIREAT k 4000000001 GT
EXPIREAT k 4000000001 LT
EXPIREAT k 4000000000 LT
EXPIREAT k 4100000000 xx
EXPIREAT k 4200000000 XX GT
EXPIREAT k 4100000000 XX GT
EXPIREAT k 4100000000 LT XX
EXPIREAT k 4100000000 XX XX
EXPIRETIME k
PERSIST k
EXPIREAT k 4000000000 LT
EXPIRETIME k
EXPIRE k 100 GT
EXPIRE k 100 LT
@about TTL k
PEXPIRE k 1000000000 gt
PEXPIREAT k 1 GT
EXISTS k
PEXPIREAT k 1 NX
EXISTS k
PEXPIREAT k 1 LT
EXISTS k
SET k v
EXPIRE k -1 XX
EXISTS k
EXPIRE k -1 GT
EXISTS k
EXPIRE k -1 NX
EXISTS k
EXPIRE missing 10 NX

== EXPIRE refuses bad options and numbers
SET k v
EXPIRE k 10 NX XX
EXPIRE k 10 NX GT
EXPIRE k 10 NX LT
EXPIRE k 10 GT LT
EXPIRE k 10 NOSUCH
EXPIRE k 10 XX NOSUCH
EXPIRE k 10 ""
EXPIRE k abc
EXPIRE k 1.5
EXPIRE k ""
EXPIRE k " 1"
EXPIRE k 9223372036854775807
EXPIRE k 9223372036854775
EXPIRE k 9223372036854776
EXPIRE k -9223372036854775808
EXPIRE k -9223372036854776
EXPIRE k 9223372036854775808
PEXPIRE k 9223372036854775807
PEXPIRE k 9223372036854775000
EXPIREAT k 9223372036854775807
EXPIREAT k 9223372036854775
PERSIST k
PEXPIREAT k 9223372036854775807
PEXPIREAT k abc
PEXPIREAT k 9223372036854775808
EXPIRE missing abc
EXPIRE missing 10 NX XX
EXPIRE missing 9223372036854775807
EXPIRE k
EXPIRE
PEXPIRE k
EXPIREAT k
PEXPIREAT k
TTL
TTL a b
PTTL
EXPIRETIME
EXPIRETIME a b
PEXPIRETIME
PERSIST
PERSIST a b

== what keeps a TTL and what drops it
SET k v EX 100
RENAME k l
@about TTL l
COPY l m
@about TTL m
SET p v
RENAME p m
TTL m
MOVE l 1
SELECT 1
@about TTL l
SET l w
TTL l
GETSET l v
TTL l
SET l v EX 100
GETSET l v
TTL l
""")
def test_expiry(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.same(steps, **mode)


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "k", "v", "PX", "40"),
        ("PSETEX", "k", "40", "v"),
        ("SET", "k", "v", "PXAT", "{at}"),
    ],
)
def test_a_key_is_there_before_its_deadline_and_gone_after(rlite: Server, command: tuple[str, ...]) -> None:
    with rlite.wire() as wire:
        started = time.monotonic()
        at = str(int(time.time() * 1000) + 40)
        assert wire.command(*(word.format(at=at) for word in command)) == Simple(b"OK")
        while wire.command("GET", "k") == Bulk(b"v"):
            assert time.monotonic() - started < 2, "the key outlived its deadline"
        assert time.monotonic() - started >= 0.035
        assert wire.command("GET", "k") == Null(b"$")
        assert wire.command("TTL", "k") == Int(-2)


def test_a_key_that_nobody_reads_goes_too(rlite: Server) -> None:
    with rlite.wire() as wire:
        for index in range(200):
            wire.send("SET", f"k{index}", "v", "PX", 30)
        for _ in range(200):
            assert wire.read_reply() == Simple(b"OK")
        wire.command("SET", "stays", "v")
        wait_for(lambda: wire.command("DBSIZE") == Int(1), "200 keys gone", seconds=5)


def test_without_active_expiry_a_dead_key_still_can_not_be_read(rlite: Server) -> None:
    with rlite.wire() as wire:
        assert wire.command("DEBUG", "SET-ACTIVE-EXPIRE", "0") == Simple(b"OK")
        try:
            wire.command("SET", "k", "v", "PX", "1")
            wait_for(lambda: wire.command("GET", "k") == Null(b"$"), "k gone")
            assert wire.command("EXISTS", "k") == Int(0)
        finally:
            assert wire.command("DEBUG", "SET-ACTIVE-EXPIRE", "1") == Simple(b"OK")
