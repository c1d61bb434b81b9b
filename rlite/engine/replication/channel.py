"""The connection to the master: bytes in and out, with deadlines, and an end that others bring about.

Used by the link's thread alone. Every wait is cut short (EndedError) once the `wake` descriptor can be read,
so that a link ends at once when another master is named or the server stops, whatever it waits for.
"""

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Self

from rlite.engine.addresses import host_port
from rlite.engine.client import request
from rlite.engine.errors import RliteError

LONGEST_LINE = 64 * 1024  # of what the master says outside the stream
PIECE = 64 * 1024  # bytes asked for at a time outside a transfer


class EndedError(Exception):
    """The link is not wanted any more."""


class LinkError(RliteError):
    """Why the link is down. word: the kind of fault, one of a few: auth, refused, unreachable, timeout, lost,
    protocol, version, data, disk. The message begins with it.
    """

    def __init__(self, word: str, text: str) -> None:
        super().__init__(f"{word}: {text}")
        self.word = word


def connected(host: str, port: int, wake: int, *, source: str, seconds: float) -> socket.socket:
    """A socket to the first address of `host` that answers within `seconds`, not blocking.

    source: the address it comes from; empty: the system's choice. Raises LinkError, EndedError.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as fault:
        raise LinkError("unreachable", f"{host} is no address: {_reason(fault)}") from None
    last = LinkError("unreachable", f"{host} has no address")
    for family, kind, protocol, _, address in found:
        peer = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
        try:
            peer.setblocking(False)
            if source:
                peer.bind((source, 0))
            _connect(peer, address, wake, seconds)
        except LinkError as fault:
            peer.close()
            last = fault
        except OSError as fault:
            peer.close()
            word = "refused" if isinstance(fault, ConnectionRefusedError) else "unreachable"
            last = LinkError(word, f"could not connect to {host}:{port}: {_reason(fault)}")
        except BaseException:
            peer.close()
            raise
        else:
            return peer
    raise last


def _connect(peer: socket.socket, address: object, wake: int, seconds: float) -> None:
    code = peer.connect_ex(address)  # type: ignore[arg-type]
    if code == errno.EINPROGRESS:
        if not _poll(peer, wake, select.POLLOUT, time.monotonic() + seconds):
            raise LinkError("timeout", f"no connection within {seconds:.0f} s")
        code = peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _poll(peer: socket.socket, wake: int, events: int, until: float) -> bool:
    """Waits for a socket. False: the time is up. Raises EndedError."""
    poll = select.poll()
    poll.register(peer, events)
    poll.register(wake, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)}
    if wake in ready:
        raise EndedError
    return bool(ready)


def _reason(fault: Exception) -> str:
    return getattr(fault, "strerror", None) or str(fault)


class Channel:
    """A connection to a master that is up. last_io: monotonic seconds of the last byte that came; address,
    local_address: of its two ends, as CLIENT LIST shows them.

    timeout: tells how long the master may be silent, in seconds. Raises LinkError where it is for longer, or
    the connection ends.
    """

    def __init__(self, peer: socket.socket, wake: int, timeout: Callable[[], float]) -> None:
        self._socket, self._wake, self._timeout = peer, wake, timeout
        self._reading = select.poll()
        self._reading.register(peer, select.POLLIN)
        self._reading.register(wake, select.POLLIN)
        self._pending = bytearray()  # came behind a line, and was not asked for yet
        self._unsent = b""
        self.last_io = time.monotonic()
        self.address = self.local_address = ""
        with contextlib.suppress(OSError):  # it may be lost already, which the first word will show
            self.address = host_port(*peer.getpeername()[:2])
            self.local_address = host_port(*peer.getsockname()[:2])
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def shut(self) -> None:
        """Ends the connection, from any thread; the link's own sees that it is lost."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    # --- in ---

    def ready(self, until: float) -> bool:
        """Waits for bytes. False: none came by then (monotonic seconds). Raises EndedError."""
        if self._pending:
            until = 0.0
        found = {fd for fd, _ in self._reading.poll(max(0.0, until - time.monotonic()) * 1000)}
        if self._wake in found:
            raise EndedError
        return bool(found or self._pending)

    def take(self, into: memoryview) -> int:
        """Receives what there is, at least a byte. Raises LinkError, EndedError."""
        if self._pending:
            n = min(len(self._pending), len(into))
            into[:n] = self._pending[:n]
            del self._pending[:n]
            return n
        while True:
            self._wait()
            try:
                n = self._socket.recv_into(into)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as fault:
                raise LinkError("lost", f"the connection to the master broke: {_reason(fault)}") from None
            if not n:
                raise LinkError("lost", "the master closed the connection")
            self.last_io = time.monotonic()
            return n

    def put_back(self, data: memoryview) -> None:
        """Gives back what was taken too much; it comes again."""
        self._pending[:0] = data

    def line(self) -> bytes:
        """The next line, without its end; the master sends empty ones while it works."""
        while (end := self._pending.find(b"\n")) < 0:
            if len(self._pending) > LONGEST_LINE:
                raise LinkError("protocol", f"the master sent no line but {bytes(self._pending[:40])!r}…")
            piece = bytearray(PIECE)
            held, self._pending = self._pending, bytearray()
            n = self.take(memoryview(piece))
            self._pending = held + piece[:n]
        line = bytes(self._pending[:end]).removesuffix(b"\r")
        del self._pending[: end + 1]
        return line

    def answer(self) -> bytes:
        """The next line that is not empty."""
        while not (line := self.line()):
            pass
        return line

    def _wait(self) -> None:
        limit = self._timeout()
        if not self.ready(self.last_io + limit):
            raise LinkError("timeout", f"nothing came from the master for {limit:.0f} s")

    # --- out ---

    def send(self, *commands: tuple[bytes | str | int, ...]) -> None:
        """Sends commands, all of them. Raises LinkError, EndedError."""
        self._unsent += b"".join(request(*words) for words in commands)
        until = time.monotonic() + self._timeout()
        while not self._flush():
            if not _poll(self._socket, self._wake, select.POLLOUT, until):
                raise LinkError("timeout", "the master takes no bytes")

    def offer(self, data: bytes) -> None:
        """Sends a few bytes if the other end takes them now; what it has not taken before goes first, and
        while it does not, nothing more is added. Raises LinkError.
        """
        if self._flush():
            self._unsent = data
            self._flush()

    def _flush(self) -> bool:
        while self._unsent:
            try:
                n = self._socket.send(self._unsent)
            except InterruptedError:
                continue
            except BlockingIOError:
                return False
            except OSError as fault:
                raise LinkError("lost", f"the connection to the master broke: {_reason(fault)}") from None
            self._unsent = self._unsent[n:]
        return True
