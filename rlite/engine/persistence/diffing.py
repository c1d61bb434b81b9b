"""What differs between two snapshots, key by key.

Memory: one small record (about 150 bytes with Python's dict) for each key of A that was not found to be equal
yet; never values, never names. A is read twice, B once, so A must be a file: its keys first, as digests; then
B against them; then A again, for the names of keys that B has not, and for the values that look different.

Values are equal when they mean the same: encoding, order in a set, a hash or a sorted set, and when consumers
of a stream were last seen do not count. Digests are BLAKE2b of 16 bytes: that two different keys of ten
billion share one is less likely than one in 10**18.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from rlite.engine.persistence.rdb_shapes import type_of
from rlite.engine.persistence.snapshot_key import SnapshotKey
from rlite.engine.persistence.snapshot_reading import DamagedError
from rlite.engine.types.rdb_stream import Image
from rlite.engine.types.rdb_string import RdbError
from rlite.engine.types.rdb_values import UNSUPPORTED, Fields

_RECORD = struct.Struct("<16sBq")  # digest of the raw value, RDB type, deadline (-1: none)
SIZE = 16
STAYS = -1


class Change(StrEnum):
    """How a key differs."""

    ONLY_A = "only-a"
    ONLY_B = "only-b"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Side:
    """A key in one of the two. deadline: Unix milliseconds, None: it stays."""

    type: str
    deadline: int | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that is not the same. what: of a changed key, "type", "value", "ttl"; a, b: None on the side
    where it is missing.
    """

    change: Change
    db: int
    key: bytes
    what: tuple[str, ...]
    a: Side | None
    b: Side | None


@dataclass(slots=True)
class Counts:
    """Keys, so far."""

    a: int = 0
    b: int = 0
    equal: int = 0
    only_a: int = 0
    only_b: int = 0
    changed: int = 0
    type: int = 0
    value: int = 0
    ttl: int = 0

    @property
    def different(self) -> int:
        return self.only_a + self.only_b + self.changed

    def note(self, found: Difference) -> None:
        if found.change is Change.ONLY_A:
            self.only_a += 1
        elif found.change is Change.ONLY_B:
            self.only_b += 1
        else:
            self.changed += 1
            self.type += "type" in found.what
            self.value += "value" in found.what
            self.ttl += "ttl" in found.what


Walk = Callable[[], Iterator[SnapshotKey]]


def name_digest(item: SnapshotKey) -> bytes:
    return blake2b(item.db.to_bytes(4, "little") + item.key, digest_size=SIZE).digest()


def raw_digest(item: SnapshotKey) -> bytes:
    return blake2b(item.raw, digest_size=SIZE).digest()


def differences(
    first: Walk, second: Walk, counts: Counts, *, tolerance_ms: int = 0, flipped: bool = False
) -> Iterator[Difference]:
    """Each key that differs, in no promised order. first: is called twice, second: once; flipped: `first` is
    B. tolerance_ms: deadlines no farther apart are the same. Raises DamagedError, OSError.
    """
    records: dict[bytes, bytes] = {}
    for item in first():
        records[name_digest(item)] = _RECORD.pack(
            raw_digest(item), item.kind, STAYS if item.deadline is None else item.deadline
        )
    seen_first, seen_second = len(records), 0
    unsure: dict[bytes, tuple[bytes, int | None]] = {}  # by name: digest of the meaning, deadline in `second`
    for item in second():
        seen_second += 1
        name = name_digest(item)
        record = records.get(name)
        if record is None:
            found = _missing(item, Change.ONLY_A if flipped else Change.ONLY_B)
            counts.note(found)
            yield found
            continue
        digest, kind, at = _RECORD.unpack(record)
        deadline = None if at == STAYS else at
        types = type_of(kind), type_of(item.kind)
        if types[0] == types[1] and (kind != item.kind or digest != raw_digest(item)):
            unsure[name] = _meant(item, "A" if flipped else "B"), item.deadline
            continue
        del records[name]
        what = changes(types, same_value=True, deadlines=(deadline, item.deadline), tolerance_ms=tolerance_ms)
        if not what:
            counts.equal += 1
            continue
        found = _changed(item, what, Side(types[0], deadline), Side(types[1], item.deadline), flipped=flipped)
        counts.note(found)
        yield found
    counts.a, counts.b = (seen_second, seen_first) if flipped else (seen_first, seen_second)
    if not records:
        return
    for item in first():
        name = name_digest(item)
        if name not in records:
            continue
        other = unsure.get(name)
        if other is None:
            found = _missing(item, Change.ONLY_B if flipped else Change.ONLY_A)
        else:
            type_ = type_of(item.kind)
            same = _meant(item, "B" if flipped else "A") == other[0]
            deadlines = item.deadline, other[1]
            what = changes((type_, type_), same_value=same, deadlines=deadlines, tolerance_ms=tolerance_ms)
            if not what:
                counts.equal += 1
                continue
            found = _changed(item, what, Side(type_, item.deadline), Side(type_, other[1]), flipped=flipped)
        counts.note(found)
        yield found


def changes(
    types: tuple[str, str], *, same_value: bool, deadlines: tuple[int | None, int | None], tolerance_ms: int
) -> tuple[str, ...]:
    """What of "type", "value", "ttl" differs; a value of another type is one difference, not two."""
    found = []
    if types[0] != types[1]:
        found.append("type")
    elif not same_value:
        found.append("value")
    one, other = deadlines
    if (one is None) != (other is None) or (
        one is not None and other is not None and abs(one - other) > tolerance_ms
    ):
        found.append("ttl")
    return tuple(found)


def _missing(item: SnapshotKey, change: Change) -> Difference:
    side = Side(type_of(item.kind), item.deadline)
    a, b = (side, None) if change is Change.ONLY_A else (None, side)
    return Difference(change, item.db, item.key, (), a, b)


def _changed(
    item: SnapshotKey, what: tuple[str, ...], first: Side, second: Side, *, flipped: bool
) -> Difference:
    a, b = (second, first) if flipped else (first, second)
    return Difference(Change.CHANGED, item.db, item.key, what, a, b)


def _meant(item: SnapshotKey, side: str) -> bytes:
    try:
        return meaning(item)
    except RdbError as fault:
        raise DamagedError(
            f"{side}: in the value of the key that begins there: {fault}", item.offset
        ) from None


def meaning(item: SnapshotKey) -> bytes:
    """A digest of what a value means, whatever form it has. A module's value means its bytes. Raises
    RdbError.
    """
    if item.kind in UNSUPPORTED:
        return raw_digest(item)
    value = item.value()
    sum_ = blake2b(digest_size=SIZE)

    def put(*texts: bytes) -> None:
        for text in texts:
            sum_.update(len(text).to_bytes(8, "little"))
            sum_.update(text)

    match value:
        case bytes():
            put(value)
        case list():
            put(*value)
        case set():
            put(*sorted(value))
        case dict():
            for member in sorted(value):
                put(member, struct.pack("<d", value[member] + 0.0))
        case Fields(pairs=pairs, deadlines=times):
            for name, text in sorted(pairs):
                put(name, text, b"%d" % times.get(name, STAYS))
        case Image():
            _put_stream(value, put)
    return sum_.digest()


def _put_stream(image: Image, put: Callable[..., None]) -> None:
    for id_, texts in image.entries:
        put(b"%d-%d" % id_, b"%d" % len(texts), *texts)
    put(b"%d-%d %d-%d %d" % (*image.last_id, *image.max_deleted, image.added))
    for name, group in image.groups.named():
        read = STAYS if group.read is None else group.read
        put(name, b"%d-%d %d" % (*group.last_id, read), b"%d" % len(group.consumers))
        put(*(consumer.name for consumer in group.named()), b"%d" % len(group.pending))
        for at, pending in group.pending.items():
            put(b"%d-%d" % at, pending.consumer.name, b"%d %d" % (pending.delivered_at, pending.count))
