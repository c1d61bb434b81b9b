"""A small client for the tools: one socket, one reply a command. Blocking; for one thread at a time.

Speaks to rlite and to any Redis-compatible server. Uses the core's own reader of replies.
"""

import socket
from types import TracebackType
from typing import Self

from rlite.engine.core.resp import IncompleteError, decode_reply, encode
from rlite.engine.errors import CommandError, RliteError
from rlite.engine.reply import ErrorReply, Reply


class ConnectError(RliteError):
    """No connection came about. number: the system's errno, 0 where it has none."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number


class NotRespError(RliteError):
    """Whoever listens there does not speak RESP."""


def request(*words: bytes | str | int) -> bytes:
    """A command as a client sends it."""
    return encode(
        [word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape") for word in words],
        2,
    )


class Connection:
    """A connection to host:port, or to a Unix socket.

    timeout: seconds for connecting and for each reply. Raises ConnectError where there is no connection,
    RliteError where no answer comes in time or the server goes away, NotRespError where it answers nonsense.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 6379, unix: str = "", timeout: float = 5.0
    ) -> None:
        self.where = unix or f"{host}:{port}"
        self._pending = b""
        try:
            if unix:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(timeout)
                self._socket.connect(unix)
            else:
                self._socket = socket.create_connection((host, port), timeout)
        except OSError as fault:
            raise ConnectError(
                f"could not connect to {self.where}: {fault.strerror or fault}", fault.errno or 0
            ) from None

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def command(self, *args: bytes | str | int) -> Reply:
        """Sends one command and reads its reply. Raises CommandError for an error reply."""
        try:
            self._socket.sendall(request(*args))
            reply = self._read()
        except TimeoutError:
            raise RliteError(f"{self.where} did not answer in time") from None
        except OSError as fault:
            raise RliteError(f"lost the connection to {self.where}: {fault.strerror or fault}") from None
        except ValueError as fault:
            raise NotRespError(f"{self.where} does not speak RESP: {fault}") from None
        if isinstance(reply, ErrorReply):
            raise CommandError(reply.text)
        return reply

    def login(self, user: str | None, password: str) -> None:
        """AUTH, as `default` where no user is named. Raises CommandError where that is refused."""
        self.command("AUTH", *([user] if user else []), password)

    def _read(self) -> Reply:
        while True:
            try:
                reply, end = decode_reply(self._pending, 0)
            except IncompleteError:
                more = self._socket.recv(65536)
                if not more:
                    raise RliteError(f"{self.where} closed the connection") from None
                self._pending += more
            else:
                self._pending = self._pending[end:]
                return reply
