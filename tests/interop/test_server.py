"""Connection and server commands answer as the real redis-server does.

What a server says of itself (versions, ids, addresses, its list of commands) differs of course: there the
shape is compared, or the fields that clients read.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from support.differential import Pair
from support.programs import Step, each_program
from support.servers import Server
from support.wire import Array, Bulk, Err, Int, Map, Simple


@each_program(r"""
== PING and ECHO
PING
PING hello
PING ""
PING "\r\n\x00"
PING a b
ping
ECHO hi
ECHO ""
ECHO
ECHO a b

== unknown commands show what was sent
NOSUCH
NOSUCH a b c
nosuch "a b" "\r\n" ""
NOSUCH aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b
NOSUCH aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccc d
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
"" a
"get " k
"GET\x00" k
GETT k

== AUTH without a password configured
AUTH secret
AUTH default
AUTH default secret
AUTH nobody secret
AUTH
AUTH a b c

== HELLO and its errors
HELLO 1
HELLO 4
HELLO abc
HELLO 2.0
HELLO ""
HELLO 2 NOSUCH
HELLO 2 AUTH
HELLO 2 AUTH default
HELLO 2 AUTH nobody wrong
HELLO 2 SETNAME
HELLO 2 SETNAME "a b"
CLIENT GETNAME
@shape HELLO
@shape HELLO 2
@shape HELLO 2 SETNAME me
CLIENT GETNAME
@shape HELLO 3
PING
GET missing
@shape HELLO 2 AUTH default any SETNAME you
GET missing
CLIENT GETNAME

== RESP3 shapes of plain commands
HELLO 9
SET a 1
GET missing
CONFIG GET maxmemory-policy
CONFIG GET nosuch
MGET a missing
GETDEL missing
SET n v NX GET
LCS a n IDX
OBJECT ENCODING missing
@kind RANDOMKEY
SETNX a b
EXPIRE a 100
SCAN 0 MATCH nosuch
EXEC

== RESET takes a connection back to its beginning
SELECT 1
CLIENT SETNAME me
RESET
CLIENT GETNAME
SET in-zero 1
GET in-zero
RESET extra
RESET

== QUIT closes
PING
QUIT
PING

== CLIENT SETNAME and GETNAME
CLIENT GETNAME
CLIENT SETNAME me
CLIENT GETNAME
CLIENT setname "a b"
CLIENT SETNAME "a\n"
CLIENT SETNAME "\x7f"
CLIENT SETNAME "\xc3\xa9"
CLIENT GETNAME
CLIENT SETNAME !~
CLIENT GETNAME
CLIENT SETNAME ""
CLIENT GETNAME
CLIENT SETNAME
CLIENT SETNAME a b
CLIENT GETNAME x

== CLIENT and its bad subcommands
CLIENT
CLIENT NOSUCH
CLIENT nosuch a b
@kind CLIENT ID
CLIENT ID x
@kind CLIENT INFO
CLIENT INFO x
@kind CLIENT LIST
@kind CLIENT LIST TYPE normal
@kind CLIENT LIST TYPE NORMAL
CLIENT LIST TYPE pubsub
CLIENT LIST TYPE nosuch
CLIENT LIST TYPE
CLIENT LIST ID
CLIENT LIST ID abc
CLIENT LIST ID 0
CLIENT LIST ID 999999999
CLIENT LIST NOSUCH
CLIENT LIST NOSUCH a
CLIENT LIST TYPE normal x

== CLIENT KILL and its errors
CLIENT KILL
CLIENT KILL 1.2.3.4:5
CLIENT KILL nosuch
CLIENT KILL ID
CLIENT KILL ID abc
CLIENT KILL ID 0
CLIENT KILL ID -1
CLIENT KILL ID 999999999
CLIENT KILL TYPE nosuch
CLIENT KILL TYPE pubsub
CLIENT KILL TYPE replica
CLIENT KILL TYPE slave
CLIENT KILL TYPE master
CLIENT KILL USER nobody
CLIENT KILL USER default ID 999999999
CLIENT KILL ADDR 1.2.3.4:5
CLIENT KILL LADDR 1.2.3.4:5
CLIENT KILL SKIPME yes ID 999999999
CLIENT KILL SKIPME nosuch
CLIENT KILL ID 999999999 SKIPME
CLIENT KILL NOSUCH 1
CLIENT KILL ID 999999999 NOSUCH

== CLIENT KILL ends another connection
b| PING
@kind CLIENT KILL TYPE normal
b| PING
PING

== CLIENT KILL can end its own
CLIENT KILL TYPE normal SKIPME no
PING

== CLIENT PAUSE and UNPAUSE
CLIENT UNPAUSE
CLIENT PAUSE
CLIENT PAUSE abc
CLIENT PAUSE -1
CLIENT PAUSE 1.5
CLIENT PAUSE 0
CLIENT PAUSE 10 NOSUCH
CLIENT PAUSE 10 WRITE extra
CLIENT PAUSE 60000 WRITE
GET k
CLIENT UNPAUSE
SET k v
CLIENT PAUSE 1 ALL
PING
CLIENT UNPAUSE x
CLIENT UNPAUSE

== CLIENT REPLY
CLIENT REPLY
CLIENT REPLY NOSUCH
CLIENT REPLY ON
@silent CLIENT REPLY SKIP
@silent SET a 1
GET a
@silent CLIENT REPLY OFF
@silent SET a 2
@silent NOSUCH
CLIENT REPLY ON
GET a
CLIENT REPLY ON x

== CLIENT NO-EVICT, TRACKINGINFO, GETREDIR, UNBLOCK
CLIENT NO-EVICT on
CLIENT NO-EVICT OFF
CLIENT NO-EVICT nosuch
CLIENT NO-EVICT
CLIENT GETREDIR
CLIENT UNBLOCK 999999999
CLIENT UNBLOCK abc
CLIENT UNBLOCK 999999999 TIMEOUT
CLIENT UNBLOCK 999999999 error
CLIENT UNBLOCK 999999999 NOSUCH
CLIENT UNBLOCK

== COMMAND and its subcommands
@kind COMMAND COUNT
COMMAND COUNT x
COMMAND NOSUCH
COMMAND INFO nosuch
COMMAND INFO nosuch nosuch2
COMMAND GETKEYS GET k
COMMAND GETKEYS SET k v EX 10
COMMAND GETKEYS MSET a 1 b 2
COMMAND GETKEYS MGET a b a
COMMAND GETKEYS DEL a b
COMMAND GETKEYS RENAME a b
COMMAND GETKEYS COPY a b
COMMAND GETKEYS BITOP AND d a b
COMMAND GETKEYS LCS a b LEN
COMMAND GETKEYS OBJECT ENCODING k
COMMAND GETKEYS MEMORY USAGE k
COMMAND GETKEYS PING
COMMAND GETKEYS DBSIZE
COMMAND GETKEYS NOSUCH a
COMMAND GETKEYS GET
COMMAND GETKEYS MSET a
COMMAND GETKEYS
COMMAND GETKEYSANDFLAGS GET k
COMMAND GETKEYSANDFLAGS SET k v
COMMAND GETKEYSANDFLAGS DEL a b
COMMAND GETKEYSANDFLAGS RENAME a b
COMMAND GETKEYSANDFLAGS COPY a b
COMMAND GETKEYSANDFLAGS BITOP NOT d a
COMMAND GETKEYSANDFLAGS NOSUCH
COMMAND LIST FILTERBY
COMMAND LIST FILTERBY NOSUCH a
COMMAND LIST FILTERBY ACLCAT nosuch
COMMAND LIST FILTERBY PATTERN nosuch*
@unordered COMMAND LIST FILTERBY PATTERN mset*
COMMAND LIST FILTERBY MODULE nosuch
COMMAND LIST NOSUCH
COMMAND DOCS nosuch

== CONFIG GET and SET
CONFIG GET maxmemory-policy
CONFIG GET MAXMEMORY-POLICY
CONFIG GET nosuch
@unordered CONFIG GET maxmemory-policy timeout maxmemory-policy
@unordered CONFIG GET maxmemory*
CONFIG SET timeout 100
CONFIG GET timeout
CONFIG SET timeout 0
CONFIG SET maxmemory 100mb
CONFIG GET maxmemory
CONFIG SET maxmemory 1GB
CONFIG GET maxmemory
CONFIG SET maxmemory 1g
CONFIG GET maxmemory
CONFIG SET maxmemory 0
CONFIG SET maxmemory 1xb
CONFIG SET maxmemory abc
CONFIG SET maxmemory -1
CONFIG SET maxmemory ""
CONFIG SET maxmemory-policy allkeys-lru
CONFIG GET maxmemory-policy
CONFIG SET maxmemory-policy ALLKEYS-LFU
CONFIG GET maxmemory-policy
CONFIG SET maxmemory-policy nosuch
CONFIG SET maxmemory-policy noeviction
CONFIG SET maxmemory-samples 0
CONFIG SET maxmemory-samples abc
CONFIG SET maxmemory-samples 5
CONFIG SET timeout -1
CONFIG SET timeout abc
CONFIG SET timeout 2147483648
CONFIG SET hz 10
CONFIG SET databases 5
CONFIG SET nosuch 1
CONFIG SET nosuch
CONFIG SET timeout 1 nosuch 1
CONFIG SET timeout 1 timeout 2
CONFIG SET timeout 1 maxmemory abc
CONFIG GET timeout
CONFIG SET timeout 1 maxmemory 1mb
@unordered CONFIG GET timeout maxmemory
CONFIG SET timeout 0 maxmemory 0
CONFIG SET
CONFIG SET timeout
CONFIG SET timeout 1 maxmemory
CONFIG GET
CONFIG
CONFIG NOSUCH
CONFIG RESETSTAT
CONFIG RESETSTAT x
CONFIG REWRITE
CONFIG REWRITE x

== TIME, LOLWUT, INFO and DEBUG
@shape TIME
TIME x
@kind LOLWUT
@kind LOLWUT VERSION 5
@kind INFO
@kind INFO server clients
@kind INFO all
@kind INFO everything
INFO nosuch
DEBUG
DEBUG NOSUCH
DEBUG SLEEP 0
DEBUG SLEEP
DEBUG SET-ACTIVE-EXPIRE 1
DEBUG OBJECT missing
SET k v
@kind DEBUG OBJECT k
@kind DEBUG DIGEST
SHUTDOWN NOSUCH
SHUTDOWN SAVE NOSAVE
SHUTDOWN ABORT
DBSIZE x
""")  # noqa: E501  (a long unknown command is cut in the error, so it must be long here)
def test_server(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.same(steps, **mode)


def test_hello_tells_clients_a_version_of_redis(rlite: Server) -> None:
    with rlite.wire() as wire:
        reply = wire.command("HELLO", 3)
    assert isinstance(reply, Map)
    said = dict(reply.pairs)
    assert said[Bulk(b"server")] == Bulk(b"redis")
    assert said[Bulk(b"proto")] == Int(3)
    assert said[Bulk(b"role")] == Bulk(b"master")
    assert said[Bulk(b"modules")] == Array(())
    version = said[Bulk(b"version")]
    assert isinstance(version, Bulk)
    assert int(version.data.split(b".")[0]) >= 7


def test_a_password_is_asked_for(rlite_proc: Any, redis_peer: Server) -> None:
    server = rlite_proc({"requirepass": "secret"})
    with server.wire() as wire, redis_peer.wire():
        refused = Err(b"NOAUTH Authentication required.")
        assert wire.command("GET", "k") == refused
        assert wire.command("NOSUCH") == Err(b"ERR unknown command 'NOSUCH', with args beginning with: ")
        assert wire.command("MULTI") == refused
        wrong = Err(b"WRONGPASS invalid username-password pair or user is disabled.")
        assert wire.command("AUTH", "wrong") == wrong
        assert wire.command("AUTH", "default", "wrong") == wrong
        assert wire.command("HELLO", 3, "AUTH", "default", "wrong") == wrong
        hello = wire.command("HELLO", 3)
        assert isinstance(hello, Err)
        assert hello.text.startswith(b"NOAUTH HELLO must be called with the client already authenticated")
        assert wire.command("AUTH", "secret") == Simple(b"OK")
        assert wire.command("PING") == Simple(b"PONG")
        assert wire.command("RESET") == Simple(b"RESET")
        assert wire.command("PING") == refused
        assert isinstance(wire.command("HELLO", 3, "AUTH", "default", "secret"), Map)
        assert wire.command("PING") == Simple(b"PONG")


def test_connections_over_maxclients_are_told_so(rlite_proc: Any) -> None:
    server = rlite_proc({"maxclients": "3"})
    wires = [server.wire() for _ in range(3)]
    for wire in wires:
        assert wire.command("PING") == Simple(b"PONG")
    with server.wire() as refused:
        assert refused.read_to_end() == b"-ERR max number of clients reached\r\n"


@pytest.mark.parametrize(
    "how", [("SHUTDOWN",), ("SHUTDOWN", "NOSAVE"), ("shutdown", "nosave", "now", "force")]
)
def test_shutdown_ends_the_process_with_exit_code_zero(rlite_proc: Any, how: tuple[str, ...]) -> None:
    server = rlite_proc()
    with server.wire() as wire:
        wire.send(*how)
        assert wire.read_to_end() == b""
    assert server.wait_ended() == 0


def test_commands_newer_than_the_peer_exist_as_in_redis_7_4(rlite: Server) -> None:
    with rlite.wire() as wire:
        if b"redis_version:7.0" in getattr(wire.command("INFO", "server"), "data", b""):
            pytest.skip("the stand-in is an older redis-server")
        assert wire.command("CLIENT", "SETINFO", "LIB-NAME", "lib") == Simple(b"OK")
        assert wire.command("CLIENT", "SETINFO", "LIB-VER", "1.2.3") == Simple(b"OK")
        assert isinstance(wire.command("CLIENT", "SETINFO", "NOSUCH", "x"), Err)
        assert isinstance(wire.command("CLIENT", "SETINFO", "LIB-NAME", "a b"), Err)
        info = wire.command("CLIENT", "INFO")
        assert isinstance(info, Bulk)
        assert b" lib-name=lib lib-ver=1.2.3" in info.data
        assert wire.command("CLIENT", "NO-TOUCH", "on") == Simple(b"OK")
        assert wire.command("CLIENT", "NO-TOUCH", "off") == Simple(b"OK")
        assert wire.command("CLIENT", "NO-TOUCH", "nosuch") == Err(b"ERR syntax error")
        # Since 7.2 arguments are checked even where the key is missing.
        assert wire.command("BITCOUNT", "missing", "a", "b") == Err(
            b"ERR value is not an integer or out of range"
        )
