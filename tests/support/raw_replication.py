"""A replica and a master that are the test itself: they say exactly the bytes they are told to, and see what
they are sent byte by byte.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from support.wire import Array, Bulk, ClosedError, NoReplyError, Reader, Reply, encode, receive

SECONDS = 10.0
HISTORY = "5f0c" * 10
# A snapshot without any key; a checksum of zero says that there is none.
EMPTY_RDB = b"REDIS0009\xff" + bytes(8)


class Link:
    """One end of a replication link: commands and bytes in and out. `offset` counts the stream's bytes once
    it is set.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.offset = 0
        self._reader = Reader(self._more)
        self._deadline = 0.0

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.settimeout(SECONDS)
        self.socket.sendall(data)

    def line(self, seconds: float = SECONDS) -> bytes:
        """The next line of the handshake, without the newlines before it that only keep the link alive."""
        self._begin(seconds)
        self._skip()
        while b"\r\n" not in self._reader.buffer:
            self._reader.buffer += self._more()
        line, _, rest = bytes(self._reader.buffer).partition(b"\r\n")
        self._reader.buffer[:] = rest
        return line

    def exactly(self, count: int, seconds: float = SECONDS) -> bytes:
        self._begin(seconds)
        while len(self._reader.buffer) < count:
            self._reader.buffer += self._more()
        data = bytes(self._reader.buffer[:count])
        del self._reader.buffer[:count]
        return data

    def until(self, mark: bytes, seconds: float = SECONDS) -> bytes:
        """Bytes up to a mark, without it."""
        self._begin(seconds)
        while (at := self._reader.buffer.find(mark)) < 0:
            self._reader.buffer += self._more()
        data = bytes(self._reader.buffer[:at])
        del self._reader.buffer[: at + len(mark)]
        return data

    def reply(self, seconds: float = SECONDS) -> Reply:
        self._begin(seconds)
        return self._reader.next()[0]

    def command(self, seconds: float = SECONDS) -> tuple[bytes, ...]:
        """The next command, counted in `offset` as are the newlines before it."""
        self._begin(seconds)
        self._skip()
        reply, raw = self._reader.next()
        self.offset += len(raw)
        assert isinstance(reply, Array), reply
        return tuple(item.data for item in reply.items if isinstance(item, Bulk))

    def is_closed(self, seconds: float = SECONDS) -> bool:
        """Whether the other side closes in time; what it still sends is dropped."""
        self._begin(seconds)
        try:
            while True:
                self._more()
        except ClosedError:
            return True
        except NoReplyError:
            return False

    def _skip(self) -> None:
        while True:
            while not self._reader.buffer:
                self._reader.buffer += self._more()
            if self._reader.buffer[:1] != b"\n":
                return
            del self._reader.buffer[:1]
            self.offset += 1

    def _begin(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def _more(self) -> bytes:
        return receive(self.socket, self._reader.buffer, self._deadline, OSError)


class RawReplica(Link):
    """A replica of a real server: connected, and introduced with PING and REPLCONF."""

    def __init__(
        self, address: tuple[str, int], *, capa: Sequence[str] = ("eof", "psync2"), port: int = 4711
    ):
        super().__init__(socket.create_connection(address, timeout=SECONDS))
        self.history = ""
        self.send(encode("PING"))
        assert self.line() == b"+PONG"
        self.send(encode("REPLCONF", "listening-port", port))
        assert self.line() == b"+OK"
        for word in capa:
            self.send(encode("REPLCONF", "capa", word))
            assert self.line() == b"+OK"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def psync(self, history: str = "?", offset: int = -1) -> bytes:
        """Asks, and returns the line of the answer. offset: the next byte wanted."""
        self.send(encode("PSYNC", history, offset))
        answer = self.line()
        words = answer.split()
        if words[0] == b"+FULLRESYNC":
            self.history, self.offset = words[1].decode(), int(words[2])
        elif words[0] == b"+CONTINUE":
            self.history = words[1].decode() if len(words) > 1 else history
            self.offset = offset - 1
        return answer

    def snapshot(self, seconds: float = SECONDS) -> bytes:
        """The RDB of a full resync, sent either way."""
        at = self.offset
        head = self.line(seconds)
        self.offset = at  # newlines before a snapshot are not of the stream
        assert head[:1] == b"$", head
        if head.startswith(b"$EOF:"):
            return self.until(head[5:], seconds)
        return self.exactly(int(head[1:]), seconds)

    def attach(self) -> Self:
        """A full resync to its end, acknowledged."""
        answer = self.psync()
        assert answer.startswith(b"+FULLRESYNC "), answer
        self.snapshot()
        self.ack()
        return self

    def ack(self, offset: int | None = None) -> None:
        self.send(encode("REPLCONF", "ACK", self.offset if offset is None else offset))

    def told(self, seconds: float = SECONDS) -> tuple[bytes, ...]:
        """The next command that changes something. Acknowledges while it waits, as replicas do: only then
        a real master lets a replica have the stream that it sent a snapshot without a file.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                words = self.command(0.1)
            except NoReplyError:
                if time.monotonic() > deadline:
                    raise
                self.ack()
                continue
            if words[0].upper() not in (b"PING", b"REPLCONF", b"SELECT"):
                return words


class RawMaster:
    """A listener that a real server is told to follow. Each connection is given to the script, on a thread of
    its own; a connection that the script returns from is closed.
    """

    def __init__(self, script: Callable[["MasterLink"], None]) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[MasterLink] = []
        self.address: tuple[str, int] = self._listener.getsockname()
        self.failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self._links)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            with suppress(OSError):
                link.socket.shutdown(socket.SHUT_RDWR)
            link.close()
        if error is None and self.failures:
            raise self.failures[0]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                link = MasterLink(connection)
                self._links.append(link)
                threading.Thread(target=self._run, args=(link,), daemon=True).start()

    def _run(self, link: "MasterLink") -> None:
        try:
            self._script(link)
        except (ClosedError, OSError):
            pass  # the replica has left: what it does then is what the test looks at
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            link.close()


class PatientMaster:
    """A listener whose connections the test takes one by one, and talks on itself."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(SECONDS)
        self._links: list[MasterLink] = []
        self.port: int = self._listener.getsockname()[1]

    def accept(self) -> "MasterLink":
        """The replica's next connection."""
        link = MasterLink(self._listener.accept()[0])
        self._links.append(link)
        return link

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._links:
            link.close()
        self._listener.close()


class MasterLink(Link):
    """The master's end."""

    def handshake(self, seconds: float = SECONDS) -> tuple[bytes, ...]:
        """Answers what a replica says before its PSYNC, and returns that."""
        while True:
            words = self.command(seconds)
            match words[0].upper():
                case b"PSYNC":
                    return words
                case b"PING":
                    self.send(b"+PONG\r\n")
                case _:
                    self.send(b"+OK\r\n")

    def full(self, rdb: bytes = EMPTY_RDB, *, history: str = HISTORY, offset: int = 0) -> None:
        """A full resync. offset: bytes of the stream before it; from then on `sent` counts."""
        self.send(b"+FULLRESYNC %b %d\r\n$%d\r\n%b" % (history.encode(), offset, len(rdb), rdb))

    def sync(self, rdb: bytes = EMPTY_RDB, *, history: str = HISTORY, offset: int = 0) -> tuple[bytes, ...]:
        """From the replica's first word to the end of a full resync; returns its PSYNC."""
        asked = self.handshake()
        self.full(rdb, history=history, offset=offset)
        return asked

    def goes_on(self, history: str = "") -> tuple[bytes, ...]:
        """From the replica's first word to a partial resync; returns its PSYNC."""
        asked = self.handshake()
        self.send(b"+CONTINUE %b\r\n" % history.encode() if history else b"+CONTINUE\r\n")
        return asked

    def acknowledged(self, offset: int, seconds: float = SECONDS) -> None:
        """Reads acknowledgements until one of at least this offset."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            words = self.command(seconds)
            assert [word.upper() for word in words[:2]] == [b"REPLCONF", b"ACK"], words
            if int(words[2]) >= offset:
                return
        raise NoReplyError(f"no acknowledgement of {offset}")
