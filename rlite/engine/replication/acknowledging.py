"""What a replica tells its master: how far it has applied the stream, and how far its log has it on disk.

The log counts what is on disk in bytes of its files, the master in bytes of the stream: pairs of both are
noted as they come about, and looked up once the files are that far. Used by the link's thread alone.
"""

from collections import deque

from rlite.engine.client import request
from rlite.engine.commands.context import Context

MOST_NOTED = 1024  # a disk that is so many notes behind makes the rest wait for the last of these


class Acknowledging:
    """Offsets of one link, from the moment on at which it is up."""

    def __init__(self, server: Context) -> None:
        self._server = server
        self._log = server.log
        self._noted: deque[tuple[int, int]] = deque()  # (appended, offset), not yet on disk
        self._on_disk = -1
        self.note()

    def note(self) -> None:
        """Takes note of where the log is, after something has been applied."""
        if self._log.filing and len(self._noted) < MOST_NOTED:
            self._noted.append((self._log.positions[0], self._log.offset))

    def words(self, offset: int) -> bytes:
        """The command that says that `offset` is applied; FACK only where there is a log."""
        fact: list[bytes | str | int] = ["REPLCONF", "ACK", offset]
        if self._is_whole() and (on_disk := self.on_disk()) >= 0:
            fact += ["FACK", on_disk]
        return request(*fact)

    def _is_whole(self) -> bool:
        """Whether the files hold the data: a log that has just begun is of no use without its base."""
        rewriter = self._server.rewriter
        return self._log.filing and rewriter is not None and not rewriter.beginning

    def on_disk(self) -> int:
        """The offset up to which the log is on disk, as far as is known; -1: it is not known."""
        if not self._noted:  # the files may have come since the last of it was applied
            self.note()
        durable = self._log.positions[2]
        while self._noted and self._noted[0][0] <= durable:
            self._on_disk = self._noted.popleft()[1]
        return self._on_disk
