"""A RESP client that hides nothing: bytes out, bytes or typed replies in, a deadline on every read.

Client libraries smooth over what the tests are about (which null it was, whether a double came as a
bulk string), so replies keep their wire type here. One blocking socket, one thread, no retries.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Simple:
    """`+text`."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Err:
    """`-text`, or RESP3's `!` with `bulk` set."""

    text: bytes
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Int:
    """`:value`."""

    value: int


@dataclass(frozen=True, slots=True)
class Bulk:
    """`$n` and its bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Null:
    """One of the three nulls, told apart by its first byte: `$`, `*` or `_`."""

    kind: bytes


@dataclass(frozen=True, slots=True)
class Array:
    """`*n` and its items."""

    items: tuple["Reply", ...]


@dataclass(frozen=True, slots=True)
class Set:
    """`~n` and its items, in the order they came."""

    items: tuple["Reply", ...]


@dataclass(frozen=True, slots=True)
class Push:
    """`>n`: out of band."""

    items: tuple["Reply", ...]


@dataclass(frozen=True, slots=True)
class Map:
    """`%n`: pairs in the order they came."""

    pairs: tuple[tuple["Reply", "Reply"], ...]


@dataclass(frozen=True, slots=True)
class Double:
    """`,text`: the text is kept, since 1 and 1.0 are different replies."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Bool:
    """`#t` or `#f`."""

    value: bool


@dataclass(frozen=True, slots=True)
class BigNumber:
    """`(digits`."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Verbatim:
    """`=n`, a three-letter format and the text."""

    format: bytes
    data: bytes


Reply: TypeAlias = (
    Simple | Err | Int | Bulk | Null | Array | Set | Push | Map | Double | Bool | BigNumber | Verbatim
)


class NoReplyError(Exception):
    """The deadline passed before a whole reply came."""


class ClosedError(Exception):
    """The server closed the connection before a whole reply came; what did come is in `rest`."""

    def __init__(self, rest: bytes) -> None:
        super().__init__(f"closed by the server after {rest!r}")
        self.rest = rest


def encode(*args: bytes | str | float) -> bytes:
    """A command as clients send it: an array of bulk strings."""
    parts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class Reader:
    """A cursor over reply bytes; `more` is asked for bytes when a reply is not whole yet."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        self.buffer = bytearray()
        self._at = 0
        self._more = more

    def next(self) -> tuple[Reply, bytes]:
        """The next whole reply, and the exact bytes it came in."""
        self._at = 0
        reply = self._parse()
        raw = bytes(self.buffer[: self._at])
        del self.buffer[: self._at]
        return reply, raw

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n", self._at)) < 0:
            self.buffer += self._more()
        line = bytes(self.buffer[self._at : end])
        self._at = end + 2
        return line

    def _exact(self, length: int) -> bytes:
        while len(self.buffer) < self._at + length + 2:
            self.buffer += self._more()
        data = bytes(self.buffer[self._at : self._at + length])
        assert self.buffer[self._at + length : self._at + length + 2] == b"\r\n", "bulk without its CRLF"
        self._at += length + 2
        return data

    def _parse(self) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return Simple(rest)
            case b"-":
                return Err(rest)
            case b":":
                return Int(int(rest))
            case b"$":
                return Null(kind) if rest == b"-1" else Bulk(self._exact(int(rest)))
            case b"*":
                return Null(kind) if rest == b"-1" else Array(self._items(int(rest)))
            case b"~":
                return Set(self._items(int(rest)))
            case b">":
                return Push(self._items(int(rest)))
            case b"%":
                return Map(tuple((self._parse(), self._parse()) for _ in range(int(rest))))
            case b"_":
                return Null(kind)
            case b",":
                return Double(rest)
            case b"#":
                return Bool(rest == b"t")
            case b"(":
                return BigNumber(rest)
            case b"!":
                return Err(self._exact(int(rest)), bulk=True)
            case b"=":
                data = self._exact(int(rest))
                return Verbatim(data[:3], data[4:])
            case _:
                raise AssertionError(f"not RESP: {line[:200]!r}")

    def _items(self, count: int) -> tuple[Reply, ...]:
        return tuple(self._parse() for _ in range(count))


class Wire:
    """One connection. `address` is (host, port), or the path of a Unix socket."""

    def __init__(self, address: tuple[str, int] | str, *, timeout: float = SECONDS) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.timeout = timeout
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader(self._receive)
        self._deadline = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send_raw(self, data: bytes) -> None:
        """Send exactly these bytes."""
        self.socket.settimeout(self.timeout)
        self.socket.sendall(data)

    def send(self, *args: bytes | str | float) -> None:
        """Send one command without reading its reply."""
        self.send_raw(encode(*args))

    def command(self, *args: bytes | str | float) -> Reply:
        """Send one command and read one reply."""
        self.send(*args)
        return self.read_reply()

    def half_close(self) -> None:
        """Promise the server that nothing more comes."""
        self.socket.shutdown(socket.SHUT_WR)

    def read_reply(self, timeout: float | None = None) -> Reply:
        """The next whole reply, typed."""
        return self._next(timeout)[0]

    def read_raw_reply(self, timeout: float | None = None) -> bytes:
        """The exact bytes of the next whole reply."""
        return self._next(timeout)[1]

    def read_to_end(self, timeout: float | None = None) -> bytes:
        """Everything until the server closes; `NoReplyError` when it does not close in time."""
        self._deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            while True:
                self._reader.buffer += self._receive()
        except ClosedError:
            rest = bytes(self._reader.buffer)
            self._reader.buffer.clear()
            return rest

    def is_closed(self, timeout: float = SECONDS) -> bool:
        """Whether the server closes this connection in time, without sending anything more."""
        try:
            return self.read_to_end(timeout) == b""
        except NoReplyError:
            return False

    def _next(self, timeout: float | None) -> tuple[Reply, bytes]:
        self._deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        return self._reader.next()

    def _receive(self) -> bytes:
        return receive(self.socket, self._reader.buffer, self._deadline, ConnectionResetError)


def receive(connection: socket.socket, held: bytearray, deadline: float, ends: type[OSError]) -> bytes:
    """What comes next, by a deadline (monotonic seconds). held: what has come before, for the error; ends:
    what counts as the other side's end. Raises NoReplyError, ClosedError.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise NoReplyError(f"only {bytes(held[:200])!r} came in time")
    connection.settimeout(left)
    try:
        data = connection.recv(1 << 16)
    except TimeoutError:
        raise NoReplyError(f"only {bytes(held[:200])!r} came in time") from None
    except ends:
        data = b""
    if not data:
        raise ClosedError(bytes(held))
    return data


def parse(raw: bytes) -> Reply:
    """The typed value of one whole raw reply."""

    def nothing_more() -> bytes:
        raise ClosedError(raw)

    reader = Reader(nothing_more)
    reader.buffer += raw
    return reader.next()[0]
