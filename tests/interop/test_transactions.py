"""MULTI, EXEC, DISCARD and WATCH answer as the real redis-server does, byte for byte."""

from collections.abc import Sequence
from typing import Any

import pytest
from support.differential import Pair
from support.programs import Step, each_program
from support.servers import Server, wait_for
from support.wire import Int, Null, Simple


@each_program(r"""
== MULTI queues and EXEC runs
MULTI
SET a 1
INCR a
GET a
GET missing
MGET a missing
PING
ECHO hi
EXEC
GET a

== an empty transaction
MULTI
EXEC

== DISCARD forgets
SET a 1
MULTI
SET a 2
DISCARD
GET a
EXEC
DISCARD

== outside of MULTI there is nothing to end
EXEC
DISCARD
EXEC extra
DISCARD extra
MULTI extra
WATCH
UNWATCH extra

== an error at run time stops nothing
SET s abc
MULTI
SET a 1
INCR s
SETRANGE a -1 x
SET b 2
EXEC
MGET a b

== an error while queueing aborts
MULTI
SET a 1
NOSUCH a
SET
EXEC
EXISTS a
MULTI
GET
DISCARD
MULTI
CLIENT NOSUCH
EXEC
MULTI
OBJECT ENCODING
EXEC
SET a 2

== MULTI does not nest, and EXEC still runs
MULTI
SET a 1
MULTI
SET b 1
EXEC
MGET a b

== WATCH inside MULTI is refused, and EXEC still runs
MULTI
SET a 1
WATCH a
EXEC
GET a

== UNWATCH inside MULTI is queued
WATCH a
MULTI
UNWATCH
SET a 1
EXEC

== a watched key that is changed aborts
SET a 1
WATCH a
b| SET a 2
MULTI
SET a 3
EXEC
GET a
MULTI
SET a 4
EXEC
GET a

== a watched key that is changed to the same value aborts
SET a 1
WATCH a
b| SET a 1
MULTI
GET a
EXEC

== a watched key that is only read, or written in vain, does not abort
SET a 1
WATCH a
b| GET a
b| TTL a
b| STRLEN a
b| SETNX a 5
b| SET a 5 NX
b| APPEND other x
b| GETRANGE a 0 1
b| GETBIT a 1
b| EXPIREAT a 4000000000 XX
b| PERSIST a
b| RENAMENX a a
b| COPY other a
MULTI
GET a
EXEC

== every kind of write to a watched key aborts
WATCH a
b| INCR a
MULTI
EXEC
WATCH a
b| APPEND a 1
MULTI
EXEC
WATCH a
b| SETRANGE a 0 x
MULTI
EXEC
WATCH a
b| SETBIT a 1 1
MULTI
EXEC
WATCH a
b| EXPIRE a 1000
MULTI
EXEC
WATCH a
b| PERSIST a
MULTI
EXEC
WATCH a
b| GETEX a EX 1000
MULTI
EXEC
WATCH a
b| DEL a
MULTI
EXEC
WATCH a
b| MSET a 1 c 1
MULTI
EXEC
WATCH a
b| RENAME a d
MULTI
EXEC
WATCH a
b| RENAME d a
MULTI
EXEC
WATCH a
b| COPY c a REPLACE
MULTI
EXEC
WATCH a
b| MOVE a 1
MULTI
EXEC
WATCH a
b| BITOP NOT a c
MULTI
EXEC
WATCH a
b| GETSET a x
MULTI
EXEC
WATCH a
b| GETDEL a
MULTI
EXEC
WATCH a
b| UNLINK a
MULTI
GET a
EXEC
WATCH a
b| INCRBYFLOAT a 1
MULTI
EXEC
WATCH a
b| BITFIELD a SET u8 0 1
MULTI
EXEC
WATCH a
b| FLUSHDB
MULTI
EXEC

== flushing what a watched key is not in does not abort
WATCH missing
b| FLUSHALL
MULTI
PING
EXEC
SET a 1
WATCH a
b| FLUSHALL
MULTI
PING
EXEC

== a watched key belongs to its database
SET a 1
WATCH a
b| SELECT 1
b| SET a 2
MULTI
GET a
EXEC
WATCH a
b| SELECT 0
b| SET a 2
SELECT 1
MULTI
GET a
EXEC

== SWAPDB touches watched keys of both databases
SET a 1
WATCH a
b| SWAPDB 0 1
MULTI
PING
EXEC
WATCH none
b| SWAPDB 0 1
MULTI
PING
EXEC

== UNWATCH and DISCARD forget what was watched
SET a 1
WATCH a b c
UNWATCH
b| SET a 2
MULTI
GET a
EXEC
WATCH a
b| SET a 3
MULTI
DISCARD
MULTI
GET a
EXEC

== watching twice and watching many
WATCH a a b
WATCH c
b| SET c 1
MULTI
PING
EXEC

== one's own write aborts too
WATCH a
SET a 1
MULTI
GET a
EXEC

== EXEC over several databases
MULTI
SELECT 1
SET a 1
SELECT 0
SET a 0
EXEC
GET a
SELECT 1
GET a

== others do not see a transaction that is not run
MULTI
SET a 1
b| GET a
EXEC
b| GET a

== commands that a transaction can not hold
MULTI
RESET
EXEC
MULTI
HELLO nosuch
QUIT

== RESET forgets watches and the transaction
WATCH a
MULTI
SET a 1
RESET
EXEC
GET a
b| SET a 2
MULTI
GET a
EXEC

== CLIENT inside of MULTI
MULTI
CLIENT GETNAME
CLIENT SETNAME me
CLIENT GETNAME
@kind CLIENT ID
@shape EXEC
CLIENT GETNAME

== CONFIG and server commands inside of MULTI
MULTI
CONFIG GET maxmemory-policy
DBSIZE
FLUSHALL
TYPE a
OBJECT ENCODING a
COMMAND COUNT x
EXEC

== nulls and empty maps inside of EXEC's reply
SET a 1
MULTI
GET missing
CONFIG GET port-not-there
EXEC
""")
def test_transactions(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.same(steps, **mode)


@each_program(r"""
== WATCH sees a list change
WATCH l
b| RPUSH l a
MULTI
EXEC
WATCH l
b| LPOP l
MULTI
EXEC
WATCH l
b| LPOP l
MULTI
EXEC
""")
def test_transactions_with_lists(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.needs("RPUSH", "LPOP")
    pair.same(steps, **mode)


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
def test_a_watched_key_that_expires_before_exec_aborts(request: pytest.FixtureRequest, target: str) -> None:
    server: Server = request.getfixturevalue(target)
    with server.wire() as wire, server.wire() as other:
        # Long enough that WATCH still finds the key, even on a busy machine.
        wire.command("SET", "k", "v", "PX", 150)
        assert wire.command("WATCH", "k") == Simple(b"OK")
        assert other.command("EXISTS", "k") == Int(1)
        wait_for(lambda: other.command("EXISTS", "k") == Int(0), "k gone")
        wire.command("MULTI")
        wire.command("PING")
        assert wire.command("EXEC") == Null(b"*")
