"""One key of a snapshot as it passes between files: its bytes in RDB's form, and what they stand for.

The currency of inspect, diff and convert. Values are decoded only where somebody asks. Pure.
"""

from dataclasses import dataclass

from rlite.engine.commands.dump import WRITTEN_VERSION, checksum
from rlite.engine.commands.saving import read
from rlite.engine.types.rdb_stream import Image, put_stream
from rlite.engine.types.rdb_string import RdbError
from rlite.engine.types.rdb_values import (
    HASH_LISTPACK_EX,
    HASH_METADATA,
    SET_LISTPACK,
    STREAM_3,
    STRING,
    UNSUPPORTED,
    Fields,
    Put,
    put_hash,
    put_list,
    put_set,
    put_zset,
)

NO_LIMIT = 2**62
# Redis's defaults: what a value may have to be held, and written, as one packed block.
PACKED_ENTRIES, PACKED_BYTES, INTSET_ENTRIES = 128, 64, 512
NODE_ENTRIES, NODE_BYTES = 100, 4096
# The RDB version that first knew a type; older ones are all known to version 10.
SINCE = {SET_LISTPACK: 11, STREAM_3: 11, HASH_METADATA: 12, HASH_LISTPACK_EX: 12}

Value = bytes | list[bytes] | set[bytes] | dict[bytes, float] | Fields | Image


@dataclass(frozen=True, slots=True)
class SnapshotKey:
    """kind: RDB type; raw: the value's bytes behind the key; deadline: Unix milliseconds, None: it stays;
    idle: seconds, frequency: 0 to 255, where the file tells; offset: where it begins in the file (unpacked),
    size: the bytes that it takes there, opcodes and name included (0 where it comes from no RDB).
    """

    db: int
    key: bytes
    kind: int
    raw: bytes
    deadline: int | None = None
    idle: int | None = None
    frequency: int | None = None
    offset: int = 0
    size: int = 0

    def value(self) -> Value:
        """The value, decoded. Raises RdbError for damage and for types that are not held here."""
        if self.kind in UNSUPPORTED:
            raise RdbError(f"{UNSUPPORTED[self.kind]} cannot be decoded")
        value, end = read(self.kind, self.raw, 0, NO_LIMIT)
        if end != len(self.raw):
            raise RdbError(f"{len(self.raw) - end} bytes are left behind the value")
        if isinstance(value, Fields) and any(not 0 <= at < 2**63 for at in value.deadlines.values()):
            raise RdbError("a field of a hash has a deadline that cannot be")
        assert isinstance(value, bytes | list | set | dict | Fields | Image)
        return value

    def payload(self) -> bytes:
        """What DUMP would give, for RESTORE."""
        version = max(WRITTEN_VERSION, SINCE.get(self.kind, 0))
        body = bytes([self.kind]) + self.raw + version.to_bytes(2, "little")
        return body + checksum(body)


def encoded(value: Value, put: Put) -> tuple[int, bytes]:
    """(RDB type, bytes) of a value, in the forms that Redis 7.0 reads wherever they can hold it."""
    match value:
        case bytes():
            return STRING, put(value)
        case list():
            return put_list(value, put)
        case set():
            numbers = len(value) <= INTSET_ENTRIES and all(map(_is_number, value))
            return put_set(sorted(value), put, intset=numbers)
        case dict():
            pairs = sorted(value.items(), key=lambda pair: (pair[1], pair[0]))
            return put_zset(pairs, put, packed=_packs(value, 1))
        case Fields(pairs=fields):
            small = _packs([part for pair in fields for part in pair], 2)
            return put_hash(value, put, packed=small)
        case Image():
            return put_stream(value, put, node_entries=NODE_ENTRIES, node_bytes=NODE_BYTES)


def _packs(texts: "dict[bytes, float] | list[bytes]", per_entry: int) -> bool:
    return len(texts) <= PACKED_ENTRIES * per_entry and all(len(text) <= PACKED_BYTES for text in texts)


def _is_number(text: bytes) -> bool:
    """Whether a text is the canonical form of a 64-bit number."""
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 19:
        return False
    number = int(text)
    return b"%d" % number == text and -(2**63) <= number < 2**63
