"""Segment files of the log: their names and their header. The records behind it are core/records.

docs/internals/log-format.md has every byte. Reads and packs bytes; opens nothing.
"""

import os
import re
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from rlite.engine.errors import RliteError

MAGIC = b"RLITEAOF"
VERSION = 1
ID_SIZE = 40  # of a replication id
_LAYOUT = struct.Struct("<8sII40sqqQ")  # magic, version, size of the header, id, first offset, made, salt
SIZE = _LAYOUT.size + 4  # and the CRC-32 of all that


class HeaderError(RliteError):
    """A file that does not begin as a segment of ours does; says what was found."""


class NewerVersionError(HeaderError):
    """A segment of a format that this rlite does not know."""


@dataclass(frozen=True, slots=True)
class Header:
    """history: the replication id (40 hexadecimal digits) of what is recorded; first: the offset at which it
    begins; made_ms: Unix time; salt: a number that no other segment has.
    """

    history: str
    first: int
    made_ms: int
    salt: int

    @classmethod
    def new(cls, history: str, first: int) -> "Header":
        """The header of a segment that begins now."""
        return cls(history, first, time.time_ns() // 1_000_000, int.from_bytes(os.urandom(8)))

    @property
    def seed(self) -> int:
        """What the CRC of each record starts from: the CRC-32 of the salt."""
        return seed_of(self.salt.to_bytes(8, "little"))

    def packed(self) -> bytes:
        fields = _LAYOUT.pack(
            MAGIC, VERSION, SIZE, self.history.encode(), self.first, self.made_ms, self.salt
        )
        return fields + zlib.crc32(fields).to_bytes(4, "little")


def seed_of(salt: bytes) -> int:
    """What the CRC of each record starts from, from the eight bytes of the salt."""
    return zlib.crc32(salt)


def salt_for(seed: int) -> int:
    """A salt that gives a seed: for a segment whose header was lost, and whose records tell the seed.

    The first half is random. The second is what leads from there to the seed: four steps of the CRC are taken
    back from it, which is possible because each entry of the CRC's table has a highest byte of its own.
    """
    first = os.urandom(4)
    state = ~seed & 0xFFFFFFFF
    for _ in range(4):
        entry = _BY_HIGHEST[state >> 24]
        state = ((state ^ _TABLE[entry]) << 8 & 0xFFFFFFFF) | entry
    second = state ^ (~zlib.crc32(first) & 0xFFFFFFFF)
    return int.from_bytes(first + second.to_bytes(4, "little"), "little")


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xEDB88320 if byte & 1 else 0)
    return byte


_TABLE = [_entry(byte) for byte in range(256)]
_BY_HIGHEST = {entry >> 24: byte for byte, entry in enumerate(_TABLE)}


def read_header(data: bytes) -> Header:
    """The header that a file begins with. Raises NewerVersionError, or HeaderError for what is none."""
    if data[:8] != MAGIC[: len(data[:8])] or len(data) < 16:
        raise HeaderError(f"it begins with {data[:8]!r}, not with {MAGIC!r}")
    version = int.from_bytes(data[8:12], "little")
    if version > VERSION:
        raise NewerVersionError(
            f"its format is version {version}; this rlite knows version {VERSION} and older"
        )
    if len(data) < SIZE:
        raise HeaderError(f"its header is cut: {len(data)} bytes of {SIZE}")
    _, _, size, history, first, made_ms, salt = _LAYOUT.unpack_from(data)
    if zlib.crc32(data[: SIZE - 4]) != int.from_bytes(data[SIZE - 4 : SIZE], "little") or size != SIZE:
        raise HeaderError("its header does not agree with its checksum")
    return Header(history.decode("latin-1"), first, made_ms, salt)


# --- names -------------------------------------------------------------------------------------------------


def stem_of(appendfilename: str) -> str:
    """NAME of the files: the directive without its ending, in one word, since the manifest is of words."""
    return "_".join(appendfilename.removesuffix(".aof").split()) or "_"


def segment_name(stem: str, number: int) -> str:
    return f"{stem}.{number}.aof"


def base_name(stem: str, number: int) -> str:
    """The snapshot that the segments from `number` on continue."""
    return f"{stem}.{number}.rdb"


def manifest_name(stem: str) -> str:
    return f"{stem}.manifest"


def number_of(path: Path) -> int | None:
    """The number in the name of a segment or of a base; None for other files."""
    found = re.fullmatch(r".+\.(\d+)\.(?:aof|rdb)", path.name)
    return int(found[1]) if found else None
