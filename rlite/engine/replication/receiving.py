"""The transfer: an RDB file from the master's socket to a file of ours.

Two forms: `$<length>` and so many bytes, or `$EOF:<mark>` and bytes up to that mark, from a master that does
not know the length beforehand. Run by the link's thread, which holds no lock.
"""

import os
import time
from dataclasses import dataclass, field

from rlite.engine.errors import printable
from rlite.engine.replication.channel import Channel, LinkError

MARK_LENGTH = 40
CHUNK = 1 << 20


@dataclass(slots=True)
class Transfer:
    """How far a transfer is: written by the link's thread, read by any. size: -1 until the master has said
    it, 0 where it cannot say; last_io: monotonic seconds.
    """

    size: int = -1
    read: int = 0
    last_io: float = field(default_factory=time.monotonic)


def receive(channel: Channel, descriptor: int, transfer: Transfer) -> None:
    """Writes what comes to a file. Raises LinkError, EndedError, OSError for the file's."""
    head = channel.answer()  # empty lines before it say that the master is still working on it
    if head.startswith(b"-"):
        raise LinkError("refused", f"the master could not send its data: {printable(head[1:])}")
    if not head.startswith(b"$"):
        raise LinkError("protocol", f"the master announced its data with {printable(head)}")
    if head.startswith(b"$EOF:"):
        mark = head.removeprefix(b"$EOF:")
        if len(mark) != MARK_LENGTH:
            raise LinkError("protocol", f"the master announced its data with {printable(head)}")
        transfer.size = 0
        _until(channel, descriptor, transfer, mark)
    elif head[1:].isdigit():
        transfer.size = int(head[1:])
        _counted(channel, descriptor, transfer)
    else:
        raise LinkError("protocol", f"the master announced its data with {printable(head)}")


def _counted(channel: Channel, descriptor: int, transfer: Transfer) -> None:
    buffer = memoryview(bytearray(CHUNK))
    while (left := transfer.size - transfer.read) > 0:
        n = channel.take(buffer[: min(left, CHUNK)])
        _write(descriptor, buffer[:n])
        transfer.read += n
        transfer.last_io = channel.last_io


def _until(channel: Channel, descriptor: int, transfer: Transfer, mark: bytes) -> None:
    """Up to the mark, which may be cut anywhere by what is received at a time: as many bytes as could begin
    it are held back until more have come.
    """
    store = bytearray(MARK_LENGTH + CHUNK)
    buffer = memoryview(store)
    held = 0
    while True:
        n = channel.take(buffer[held : held + CHUNK])
        transfer.last_io = channel.last_io
        filled = held + n
        end = store.find(mark, 0, filled)
        if end >= 0:
            _write(descriptor, buffer[:end])
            transfer.read += end
            channel.put_back(buffer[end + MARK_LENGTH : filled])
            return
        whole = max(0, filled - MARK_LENGTH + 1)
        _write(descriptor, buffer[:whole])
        transfer.read += whole
        held = filled - whole
        store[:held] = store[whole:filled]


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
