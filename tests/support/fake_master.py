"""A master that says exactly what a test has it say: a listening socket, and one connection at a time.

`accept()` takes the replica's connection; the conversation on it is written out by the test, command by
command. Every wait has a deadline.
"""

import socket
from types import TracebackType
from typing import Self

from support.wire import Array, Bulk, ClosedError, Reader

SECONDS = 10.0
HISTORY = "a" * 40


class Peer:
    """The replica's connection."""

    def __init__(self, peer: socket.socket) -> None:
        peer.settimeout(SECONDS)
        self.socket = peer
        self._reader = Reader(self._receive)

    def _receive(self) -> bytes:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ClosedError(bytes(self._reader.buffer))
        return data

    def command(self) -> list[bytes]:
        """The next command that the replica sends; newlines before it are passed over."""
        while True:
            while not self._reader.buffer:
                self._reader.buffer += self._receive()
            if self._reader.buffer[:1] != b"\n":
                break
            del self._reader.buffer[:1]
        reply = self._reader.next()[0]
        assert isinstance(reply, Array), reply
        words = [item.data for item in reply.items if isinstance(item, Bulk)]
        assert len(words) == len(reply.items), reply
        return words

    def greet(self, *, login: int = 0) -> list[list[bytes]]:
        """Answers what comes before PSYNC with +PONG and +OK, and returns it. login: 1: AUTH is among it."""
        said = [self.command()]
        self.send(b"+PONG\r\n")
        for _ in range(2 + login):
            said.append(self.command())
            self.send(b"+OK\r\n")
        return said

    def sync(self, data: bytes, *, history: str = HISTORY, offset: int = 0) -> list[bytes]:
        """From the first word to the end of a transfer; returns the PSYNC."""
        self.greet()
        asked = self.command()
        self.send(b"+FULLRESYNC %s %d\r\n$%d\r\n%s" % (history.encode(), offset, len(data), data))
        return asked

    def goes_on(self, history: str = "") -> list[bytes]:
        """From the first word to a stream that goes on; returns the PSYNC."""
        self.greet()
        asked = self.command()
        self.send(b"+CONTINUE %s\r\n" % history.encode() if history else b"+CONTINUE\r\n")
        return asked

    def acknowledged(self, offset: int) -> None:
        """Waits until the replica has acknowledged this offset, and nothing beyond it."""
        while True:
            words = self.command()
            assert words[:2] == [b"REPLCONF", b"ACK"], words
            assert int(words[2]) <= offset, words
            if int(words[2]) == offset:
                return

    def is_closed(self) -> bool:
        """Whether the replica ends the connection in time; what it still says is passed over."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        return True

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        self.socket.close()


class FakeMaster:
    """Listens on a port of its own on loopback."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(SECONDS)
        self.port: int = self._listener.getsockname()[1]
        self._peers: list[Peer] = []

    def accept(self) -> Peer:
        """The replica's next connection."""
        peer = Peer(self._listener.accept()[0])
        self._peers.append(peer)
        return peer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for peer in self._peers:
            peer.close()
        self._listener.close()
