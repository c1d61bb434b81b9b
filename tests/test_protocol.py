"""Hostile and broken input: what is answered, and whether the connection lives on.

Each row runs against ours and, where 7.0 behaves alike, against the real redis-server, which keeps the table
honest. `closed`: the reply, then the end. `open`: the reply, and the next command is answered. `waits`: no
answer, since the command is not whole yet; when the client gives up, the server closes without a word.
"""

import contextlib
import enum
import socket
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.servers import Server, running, start_redis, start_rlite
from support.wire import Bulk, NoReplyError, Simple, Wire, encode


class Then(enum.Enum):
    """What becomes of the connection."""

    CLOSED = "closed"
    OPEN = "open"
    WAITS = "waits"


def _refusal(text: str) -> bytes:
    return f"-ERR Protocol error: {text}\r\n".encode()


MULTIBULK = _refusal("invalid multibulk length")
BULK = _refusal("invalid bulk length")
QUOTES = _refusal("unbalanced quotes in request")
TOO_LONG = b"1" * 70_000
PING = b"*1\r\n$4\r\nPING\r\n"

HOSTILE: dict[str, tuple[bytes, bytes, Then]] = {
    "a count of -2": (b"*-2\r\n", b"", Then.OPEN),
    "a count of -1": (b"*-1\r\n", b"", Then.OPEN),
    "a count of 0": (b"*0\r\n", b"", Then.OPEN),
    "a count of 00": (b"*00\r\n", MULTIBULK, Then.CLOSED),
    "a count of +1": (b"*+1\r\n$4\r\nPING\r\n", MULTIBULK, Then.CLOSED),
    "a count of 01": (b"*01\r\n$4\r\nPING\r\n", MULTIBULK, Then.CLOSED),
    "a count of 1e3": (b"*1e3\r\n", MULTIBULK, Then.CLOSED),
    "a count with a space": (b"* 1\r\n", MULTIBULK, Then.CLOSED),
    "a count of nothing": (b"*\r\n", MULTIBULK, Then.CLOSED),
    "a count of letters": (b"*abc\r\n", MULTIBULK, Then.CLOSED),
    "a count of 2^31": (b"*2147483648\r\n", MULTIBULK, Then.CLOSED),
    "a count of 2^63": (b"*9223372036854775808\r\n", MULTIBULK, Then.CLOSED),
    "a count of 2^64": (b"*18446744073709551616\r\n", MULTIBULK, Then.CLOSED),
    "a count of -2^63": (b"*-9223372036854775808\r\n", b"", Then.OPEN),
    "a length of -1": (b"*1\r\n$-1\r\n", BULK, Then.CLOSED),
    "a length of -2": (b"*1\r\n$-2\r\n", BULK, Then.CLOSED),
    "a length of 00": (b"*1\r\n$00\r\n\r\n", BULK, Then.CLOSED),
    "a length of +4": (b"*1\r\n$+4\r\nPING\r\n", BULK, Then.CLOSED),
    "a length of 04": (b"*1\r\n$04\r\nPING\r\n", BULK, Then.CLOSED),
    "a length of nothing": (b"*1\r\n$\r\n", BULK, Then.CLOSED),
    "a length with a space": (b"*1\r\n$4 \r\nPING\r\n", BULK, Then.CLOSED),
    "a length of letters": (b"*1\r\n$abc\r\n", BULK, Then.CLOSED),
    "a length of 1e3": (b"*1\r\n$1e3\r\n", BULK, Then.CLOSED),
    "a length over 512 MB": (b"*1\r\n$536870913\r\n", BULK, Then.CLOSED),
    "1 GB announced": (b"*2\r\n$3\r\nGET\r\n$1073741824\r\n", BULK, Then.CLOSED),
    "a length of 2^31": (b"*1\r\n$2147483648\r\n", BULK, Then.CLOSED),
    "a length of 2^63": (b"*1\r\n$9223372036854775808\r\n", BULK, Then.CLOSED),
    "a length of 2^64 and 4": (b"*1\r\n$18446744073709551620\r\nPING\r\n", BULK, Then.CLOSED),
    "a good command, then a bad one": (PING + b"*1\r\n$x\r\n" + PING, b"+PONG\r\n" + BULK, Then.CLOSED),
    "half a count": (b"*3", b"", Then.WAITS),
    "a count and no more": (b"*1\r\n", b"", Then.WAITS),
    "half a length": (b"*1\r\n$4", b"", Then.WAITS),
    "half an argument": (b"*1\r\n$4\r\nPI", b"", Then.WAITS),
    "an argument without its end": (b"*1\r\n$4\r\nPING", b"", Then.WAITS),
    "512 MB announced": (b"*2\r\n$3\r\nGET\r\n$536870912\r\n", b"", Then.WAITS),
    "fewer arguments than announced": (b"*3\r\n$4\r\nECHO\r\n$2\r\nhi\r\n", b"", Then.WAITS),
    "half an inline command": (b"PIN", b"", Then.WAITS),
    "a nested array": (b"*1\r\n*1\r\n$4\r\nPING\r\n", _refusal("expected '$', got '*'"), Then.CLOSED),
    "more arguments than announced": (PING + b"$2\r\nhi\r\n", b"+PONG\r\n-ERR unknown command", Then.OPEN),
    "inline": (b"PING\r\n", b"+PONG\r\n", Then.OPEN),
    "inline that ends in LF": (b"PING\n", b"+PONG\r\n", Then.OPEN),
    "inline with quotes": (b"ECHO \"\\x41\\n\" \r\nECHO 'b c'\r\n", b"$2\r\nA\n\r\n$3\r\nb c\r\n", Then.OPEN),
    "an empty line": (b"\r\n\n\r\nPING\r\n", b"+PONG\r\n", Then.OPEN),
    "a line of blanks": (b"   \r\nPING\r\n", b"+PONG\r\n", Then.OPEN),
    "an open double quote": (b'ECHO "abc\r\n', QUOTES, Then.CLOSED),
    "an open single quote": (b"ECHO 'abc\r\n", QUOTES, Then.CLOSED),
    "a quote in a word": (b'ECHO "a"b\r\n', QUOTES, Then.CLOSED),
    "a line that never ends": (TOO_LONG, _refusal("too big inline request"), Then.CLOSED),
    "a count that never ends": (b"*" + TOO_LONG, _refusal("too big mbulk count string"), Then.CLOSED),
    "a length that never ends": (b"*1\r\n$" + TOO_LONG, _refusal("too big bulk count string"), Then.CLOSED),
    "an HTTP POST": (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", Then.CLOSED),
    "an HTTP Host header": (b"Host: localhost\r\nPING\r\n", b"", Then.CLOSED),
    # Its own reply is lost with the connection: `Host:` closes at once.
    "an HTTP GET": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", Then.CLOSED),
    "requests after QUIT": (b"QUIT\r\nPING\r\n", b"+OK\r\n", Then.CLOSED),
}  # fmt: skip
for _kind in b"$+-:_,#!=(%~>|":
    _name = f"a request of type {chr(_kind)!r}"
    HOSTILE[_name] = (bytes([_kind]) + b"1\r\n", f"-ERR unknown command '{chr(_kind)}1'".encode(), Then.OPEN)
for _kind in b"+:_~%>":
    _name = f"an argument of type {chr(_kind)!r}"
    _text = f"-ERR Protocol error: expected '$', got '{chr(_kind)}'\r\n".encode()
    HOSTILE[_name] = (b"*1\r\n" + bytes([_kind]) + b"4\r\nPING\r\n", _text, Then.CLOSED)

# Where we are stricter than 7.0: a million arguments and more are refused at once.
OURS_ALONE: dict[str, tuple[bytes, bytes, Then]] = {
    "1,048,577 arguments": (b"*1048577\r\n", MULTIBULK, Then.CLOSED),
}


def behaves(server: Server, data: bytes, reply: bytes, then: Then) -> None:
    """Send these bytes on a new connection and see what happens; the server itself must live on."""
    with server.wire() as wire:
        wire.send_raw(data)
        if then is Then.OPEN:
            wire.send("ECHO", "still here")
            wire.half_close()
            got = wire.read_to_end()
            assert got.startswith(reply)
            assert got.endswith(b"$10\r\nstill here\r\n")
        elif then is Then.WAITS:
            wire.half_close()
            assert wire.read_to_end() == b""
        else:
            # No half-close: the server itself must end this connection.
            assert wire.read_to_end() == reply
    with server.wire() as wire:
        assert wire.command("PING") == Simple(b"PONG")


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input(request: pytest.FixtureRequest, target: str, name: str) -> None:
    behaves(request.getfixturevalue(target), *HOSTILE[name])


@pytest.mark.parametrize("name", OURS_ALONE)
def test_hostile_input_where_we_are_stricter(rlite: Server, name: str) -> None:
    if rlite.name != "rlite":
        pytest.skip("the stand-in is a real redis-server")
    behaves(rlite, *OURS_ALONE[name])


PIPELINE = (
    encode("SET", "k", b"\r\n\x00")
    + b"PING\r\n"
    + encode("GET", "k")
    + encode("MSET", "a", "1", "b", "")
    + b"*0\r\n"
    + encode("MGET", "a", "b", "missing")
    + b'ECHO "in line"\r\n'
    + encode("NOSUCH", "x")
    + encode("INCR", "k")
    + encode("ECHO", "")
)
REPLIES = (
    b"+OK\r\n+PONG\r\n$3\r\n\r\n\x00\r\n+OK\r\n*3\r\n$1\r\n1\r\n$0\r\n\r\n$-1\r\n$7\r\nin line\r\n"
    b"-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n"
    b"-ERR value is not an integer or out of range\r\n$0\r\n\r\n"
)


def answers(server: Server, pieces: list[bytes]) -> bytes:
    """The replies to bytes that are sent piece by piece, each in a packet of its own."""
    with server.wire() as wire:
        for piece in pieces:
            wire.send_raw(piece)
            # Another connection's answer proves that the server had a turn, with this piece at hand.
            if len(pieces) < 10:
                _turn(server)
        wire.half_close()
        return wire.read_to_end()


def _turn(server: Server) -> None:
    with server.wire() as other:
        assert other.command("PING") == Simple(b"PONG")


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
def test_a_pipeline_cut_at_any_byte_gives_the_same_replies(
    request: pytest.FixtureRequest, target: str
) -> None:
    server: Server = request.getfixturevalue(target)
    for at in range(len(PIPELINE) + 1):
        assert answers(server, [PIPELINE[:at], PIPELINE[at:]]) == REPLIES, f"cut at {at}"


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
def test_a_pipeline_sent_byte_by_byte_gives_the_same_replies(
    request: pytest.FixtureRequest, target: str
) -> None:
    server: Server = request.getfixturevalue(target)
    assert answers(server, [bytes([byte]) for byte in PIPELINE]) == REPLIES


FRAGMENTS = [b"*1\r\n", b"*3\r\n", b"$4\r\n", b"$-1\r\n", b"PING", b"\r\n", b"\x00", b"$2", b'"', b" "]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.lists(st.sampled_from(FRAGMENTS), max_size=20).map(b"".join))
def test_garbage_never_ends_the_server(rlite: Server, garbage: bytes) -> None:
    with rlite.wire() as wire:
        with contextlib.suppress(OSError):  # closed already: that is an answer
            wire.send_raw(garbage)
            wire.half_close()
        wire.read_to_end()
    with rlite.wire() as wire:
        assert wire.command("PING") == Simple(b"PONG")


def test_memory_is_taken_for_what_came_and_not_for_what_was_announced(rlite: Server) -> None:
    before = rlite.rss()
    wires = [rlite.wire() for _ in range(10)]
    for wire in wires:
        wire.send_raw(b"*2\r\n$3\r\nGET\r\n$536870912\r\nabc")
    with rlite.wire() as wire:
        assert wire.command("PING") == Simple(b"PONG")
    assert rlite.rss() - before < 64 << 20


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
def test_a_big_value_goes_in_and_comes_out(request: pytest.FixtureRequest, target: str) -> None:
    server: Server = request.getfixturevalue(target)
    value = bytes(range(256)) * 40_000
    with server.wire(timeout=30) as wire:
        assert wire.command("SET", "k", value) == Simple(b"OK")
        assert wire.command("GET", "k") == Bulk(value)


def test_a_reader_that_never_reads_does_not_hinder_the_others(rlite: Server) -> None:
    with rlite.wire() as writer, rlite.wire(timeout=0.5) as lazy:
        writer.command("SET", "k", b"x" * 100_000)
        # As many requests as the server takes before it stops reading from us.
        requests = encode("GET", "k") * 2000
        with contextlib.suppress(TimeoutError):
            lazy.send_raw(requests)
        started = time.monotonic()
        for _ in range(100):
            assert writer.command("PING") == Simple(b"PONG")
        assert time.monotonic() - started < 10
        # What it was owed arrives whole once it reads.
        assert lazy.read_reply(timeout=10) == Bulk(b"x" * 100_000)


def test_a_client_that_resets_in_mid_reply_is_only_gone(rlite: Server) -> None:
    with rlite.wire() as wire:
        wire.command("SET", "k", b"x" * 1_000_000)
    for _ in range(20):
        wire = Wire(rlite.address)
        wire.send_raw(encode("GET", "k") * 10)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    with rlite.wire() as wire:
        assert wire.command("PING") == Simple(b"PONG")


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
def test_strangers_may_not_announce_much_before_auth(target: str) -> None:
    start = start_rlite if target == "rlite" else start_redis
    with running(start, {"requirepass": "secret"}) as server:
        behaves_before_auth(server, b"*11\r\n", _refusal("unauthenticated multibulk length"))
        behaves_before_auth(server, b"*1\r\n$16385\r\n", _refusal("unauthenticated bulk length"))


def behaves_before_auth(server: Server, data: bytes, reply: bytes) -> None:
    """The reply to these bytes from a stranger, and the end of the connection."""
    with server.wire() as wire:
        wire.send_raw(data)
        assert wire.read_to_end() == reply


@pytest.mark.parametrize("target", ["rlite", "redis_peer"])
def test_half_a_command_is_not_answered_until_the_rest_comes(
    request: pytest.FixtureRequest, target: str
) -> None:
    server: Server = request.getfixturevalue(target)
    with server.wire() as wire:
        wire.send_raw(b"*1\r\n$4\r\nPI")
        with pytest.raises(NoReplyError):
            wire.read_reply(timeout=0.05)
        wire.send_raw(b"NG\r\n")
        assert wire.read_reply() == Simple(b"PONG")
