"""An RDB file written key by key, as the keys come. Its version is the oldest that knows all types in it.

The file must be able to seek: the version stands at its beginning, and is known only at its end. Opens and
syncs nothing; see files.replacing.
"""

import time
from typing import BinaryIO

from rlite.engine.commands.dump import WRITTEN_VERSION
from rlite.engine.core.crc64 import crc64
from rlite.engine.persistence.snapshot_key import SINCE, SnapshotKey
from rlite.engine.types.rdb_string import put_length, put_string
from rlite.engine.version import REDIS_VERSION, RLITE_VERSION

FREQ, IDLE, AUX, EXPIRE_MS, SELECT, END = 0xF9, 0xF8, 0xFA, 0xFC, 0xFE, 0xFF
MAGIC = b"REDIS%04d"
VERSIONS = (10, 11, 12)
FLUSH_BYTES = 1 << 18


class RdbWriter:
    """Writes one file, from `begin` to `finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._parts: list[bytes] = []
        self._size = 0
        self._database: int | None = None
        self._version = WRITTEN_VERSION
        # One checksum for each version that it may turn out to be: they differ from the first bytes on.
        self._sums = {version: crc64(MAGIC % version) for version in VERSIONS}
        self.keys = 0

    def begin(self, more: dict[bytes, bytes] | None = None) -> None:
        """The header, and what is said of the writer. more: AUX fields, which take the place of ours."""
        self._file.write(MAGIC % self._version)
        aux = {b"redis-ver": REDIS_VERSION.encode(), b"redis-bits": b"64", b"ctime": b"%d" % time.time()}
        for name, text in {**aux, **(more or {}), b"rlite-ver": RLITE_VERSION.encode()}.items():
            self._put(
                bytes([AUX]) + put_string(name, compressed=False) + put_string(text, compressed=False),
            )

    def key(self, item: SnapshotKey) -> None:
        if item.db != self._database:
            self._put(bytes([SELECT]) + put_length(item.db))
            self._database = item.db
        parts = []
        if item.deadline is not None:
            parts.append(bytes([EXPIRE_MS]) + item.deadline.to_bytes(8, "little", signed=True))
        if item.idle is not None:
            parts.append(bytes([IDLE]) + put_length(item.idle))
        if item.frequency is not None:
            parts.append(bytes([FREQ, item.frequency]))
        parts += (bytes([item.kind]), put_string(item.key, compressed=False), item.raw)
        self._version = max(self._version, SINCE.get(item.kind, 0))
        self._put(b"".join(parts))
        self.keys += 1

    def function(self, raw: bytes) -> None:
        """A library of functions: its item, as it was read."""
        self._put(raw)

    def finish(self) -> None:
        """The end, its checksum, and the version at the beginning."""
        self._put(bytes([END]))
        self._flush()
        self._file.write(self._sums[self._version].to_bytes(8, "little"))
        end = self._file.tell()
        self._file.seek(0)
        self._file.write(MAGIC % self._version)
        self._file.seek(end)

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size >= FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        for version, sum_ in self._sums.items():
            self._sums[version] = crc64(data, sum_)
        self._file.write(data)
