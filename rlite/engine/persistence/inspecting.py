"""What is in a snapshot, summed up: keys and bytes by database, type, encoding, time to live and prefix; the
largest keys. Memory does not grow with the snapshot. The walk over the file is snapshot_reading's.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rlite.engine.persistence.prefixes import PrefixTree
from rlite.engine.persistence.rdb_shapes import shape_of, type_of
from rlite.engine.persistence.selecting import Wanted
from rlite.engine.persistence.snapshot_key import SnapshotKey
from rlite.engine.persistence.snapshot_reading import (
    Aux,
    DamagedError,
    End,
    Function,
    Header,
    ModuleData,
    SnapshotReader,
)
from rlite.engine.types.rdb_string import RdbError

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
# Times left: (name, milliseconds below which it holds).
TTL_RANGES: tuple[tuple[str, float], ...] = (
    ("expired", 1), ("under 1m", MINUTE), ("1m to 1h", HOUR), ("1h to 1d", DAY), ("1d to 7d", 7 * DAY),
    ("7d to 30d", 30 * DAY), ("over 30d", float("inf")),
)  # fmt: skip
STAYS = "no ttl"


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One key of a snapshot. size: all bytes that it takes in the file, name and deadline included; elements:
    see rdb_shapes.Shape; deadline: Unix milliseconds, None: it stays; offset: where it begins (unpacked, of
    gzip).
    """

    size: int
    db: int
    key: bytes
    type: str
    encoding: str
    elements: int
    deadline: int | None = field(compare=False)
    idle: int | None = field(compare=False)
    frequency: int | None = field(compare=False)
    offset: int


@dataclass(slots=True)
class Sum:
    """Of some keys. strings' elements are not counted: they are bytes, not members."""

    keys: int = 0
    size: int = 0
    elements: int = 0
    volatile: int = 0
    expired: int = 0

    def add(self, other: "Sum") -> None:
        self.keys += other.keys
        self.size += other.size
        self.elements += other.elements
        self.volatile += other.volatile
        self.expired += other.expired


class Statistics:
    """Takes keys one by one. at: the Unix milliseconds that "now" is; top: how many of the largest are
    kept.
    """

    def __init__(self, at: int, *, top: int = 10, prefixes: PrefixTree | None = None) -> None:
        self.at = at
        self.top = top
        self.prefixes = prefixes
        self.cells: dict[tuple[int, str, str], Sum] = {}  # by database, type, encoding
        self.ttl: dict[str, Sum] = {}
        self._largest: list[Found] = []

    def add(self, found: Found) -> None:
        cell = self.cells.get((found.db, found.type, found.encoding))
        if cell is None:
            cell = self.cells[found.db, found.type, found.encoding] = Sum()
        cell.keys += 1
        cell.size += found.size
        if found.type != "string":
            cell.elements += found.elements
        name = STAYS
        if found.deadline is not None:
            cell.volatile += 1
            left = found.deadline - self.at
            cell.expired += left <= 0
            name = range_of(left)
        range_ = self.ttl.get(name)
        if range_ is None:
            range_ = self.ttl[name] = Sum()
        range_.keys += 1
        range_.size += found.size
        if len(self._largest) < self.top:
            heapq.heappush(self._largest, found)
        elif self.top and found.size > self._largest[0].size:
            heapq.heapreplace(self._largest, found)
        if self.prefixes is not None:
            self.prefixes.add(found.key, found.size)

    @property
    def total(self) -> Sum:
        return joined(self.cells.values())

    def by(self, *parts: int) -> list[tuple[tuple[int | str, ...], Sum]]:
        """Sums by parts of (0 database, 1 type, 2 encoding), in the order of their names."""
        found: dict[tuple[int | str, ...], Sum] = {}
        for cell, sum_ in self.cells.items():
            found.setdefault(tuple(cell[part] for part in parts), Sum()).add(sum_)
        return sorted(found.items(), key=lambda item: tuple((str(type(p)), p) for p in item[0]))

    @property
    def largest(self) -> list[Found]:
        return sorted(self._largest, reverse=True)

    def ttl_ranges(self) -> list[tuple[str, Sum]]:
        """The histogram, every range of it, shortest first; keys that stay last."""
        names = [name for name, _ in TTL_RANGES] + [STAYS]
        return [(name, self.ttl.get(name, Sum())) for name in names]


def range_of(left: int) -> str:
    """The name of the range that a time left (milliseconds) lies in."""
    return next(name for name, high in TTL_RANGES if left < high)


def joined(sums: Iterable[Sum]) -> Sum:
    total = Sum()
    for sum_ in sums:
        total.add(sum_)
    return total


class Inspection:
    """One pass over a snapshot. Its fields are complete when `keys` has come to its end.

    aux: what the writer says of itself; read: all keys of the file so far, wanted or not; end: None where the
    file was not read to its end; damage: what stopped it; trailing: bytes behind the end.
    """

    def __init__(self, reader: SnapshotReader, wanted: Wanted) -> None:
        self._reader = reader
        self._wanted = wanted
        self.version = 0
        self.aux: dict[bytes, bytes] = {}
        self.functions = 0
        self.modules = 0
        self.read = 0
        self.end: End | None = None
        self.damage: DamagedError | None = None
        self.trailing = 0

    def keys(self) -> Iterator[Found]:
        """Each wanted key, in the file's order. Damage ends it, and is kept. Raises OSError."""
        wants = self._wanted.test()
        try:
            for event in self._reader.events():
                if isinstance(event, SnapshotKey):
                    self.read += 1
                    if wants(event.db, event.key, type_of(event.kind), event.size, event.deadline):
                        yield found_in(event)
                elif isinstance(event, Header):
                    self.version = event.version
                elif isinstance(event, Aux):
                    self.aux[event.name] = event.text
                elif isinstance(event, Function):
                    self.functions += 1
                elif isinstance(event, ModuleData):
                    self.modules += 1
                else:
                    self.end = event
            self.trailing = self._reader.trailing()
        except DamagedError as fault:
            self.damage = fault

    @property
    def offset(self) -> int:
        """How far it has been read, unpacked."""
        return self._reader.offset


def found_in(item: SnapshotKey) -> Found:
    """Raises DamagedError where the value cannot be what it says."""
    try:
        shape = shape_of(item.kind, item.raw)
    except RdbError as fault:
        raise DamagedError(f"in the value of the key that begins here: {fault}", item.offset) from None
    return Found(
        item.size, item.db, item.key, shape.type, shape.encoding, shape.elements, item.deadline, item.idle,
        item.frequency, item.offset,
    )  # fmt: skip
