"""An RDB file read from its start to its end in one pass: its keys, and all else that is in it.

Holds one piece of the file and the value it is at, never more; checks the CRC-64 on the way. What the bytes
mean is core/rdb's walker's; where they come from byte_source's. Damage ends the walk with a DamagedError:
what was yielded before it is good.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from rlite.engine.core.crc64 import crc64
from rlite.engine.core.rdb import Walker
from rlite.engine.errors import RliteError
from rlite.engine.persistence.byte_source import CompressionError
from rlite.engine.persistence.snapshot_key import SnapshotKey
from rlite.engine.types.rdb_string import RdbError

CHECKSUM_SIZE = 8
MARK_SIZE = 40
LONGEST_STRING = 2**32 - 1


class DamagedError(RliteError):
    """A snapshot that cannot be read on. offset: where, in the file (unpacked, of gzip)."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset


class Checksum(StrEnum):
    """What the checksum at the end of a file says of it."""

    GOOD = "good"
    BAD = "bad"
    OFF = "off"  # whoever wrote the file was told to compute none
    NONE = "none"  # older than version 5


@dataclass(frozen=True, slots=True)
class Header:
    """The first item of each file."""

    version: int


@dataclass(frozen=True, slots=True)
class Aux:
    """Something the writer says of itself: redis-ver, ctime, used-mem and others."""

    name: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class Function:
    """A library of functions. raw: its item as it stands in the file, the opcode included."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class ModuleData:
    """What a module has saved beside the keys; read by nobody here. offset: where it begins."""

    offset: int


@dataclass(frozen=True, slots=True)
class End:
    """The last item. offset: behind its last byte; stored, computed: the CRC-64s."""

    checksum: Checksum
    offset: int
    stored: int
    computed: int


Event = Header | Aux | Function | ModuleData | SnapshotKey | End


class SnapshotReader:
    """Reads one RDB from pieces of bytes; what follows its end is left for `rest`."""

    def __init__(
        self, pieces: Iterator[bytes], begun: bytes = b"", *, size: Callable[[], int | None] = lambda: None
    ) -> None:
        """begun: bytes that somebody has taken from the pieces already; size: tells how many there are in
        all, where that is known: what is said to go beyond it is not waited for.
        """
        self._pieces = pieces
        self._data = begun
        self._at = 0
        self._base = 0  # offset in the file at which _data begins
        self._size = size
        self._over = False
        self._fault: CompressionError | None = None

    @property
    def offset(self) -> int:
        """Where in the file (unpacked) the next item begins."""
        return self._base + self._at

    def events(self) -> Iterator[Event]:
        """Each item, in the file's order, from Header to End. Raises DamagedError, OSError."""
        computed = 0
        walker = Walker()
        while True:
            try:
                item = walker.next(self._data, self._at, base=self._base, last=self._over and not self._fault)
            except RdbError as fault:
                raise self._damage(fault) from None
            if item is None:
                computed = crc64(memoryview(self._data)[: self._at], computed)
                if self._fault is not None:
                    raise DamagedError(str(self._fault), self._base + len(self._data))
                self._refuse(walker.wanted)
                self._more(walker.wanted)
                continue
            kind = item.kind
            if kind == "key":
                assert item.database is not None
                assert item.name is not None
                assert item.type is not None
                yield SnapshotKey(
                    item.database, item.name, item.type, self._data[item.value : item.end], item.expire_ms,
                    item.idle_s, item.freq, self._base + item.start, item.end - item.start,
                )  # fmt: skip
            elif kind == "header":
                yield Header(walker.version)
            elif kind == "aux":
                yield Aux(item.name or b"", item.text or b"")
            elif kind == "function":
                yield Function(self._data[item.start : item.end])
            elif kind == "module":
                yield ModuleData(self._base + item.start)
            self._at = item.end
            if kind == "end":
                checked = item.end if item.checksum is None else item.end - CHECKSUM_SIZE
                yield self._end(item.checksum, crc64(memoryview(self._data)[:checked], computed))
                return

    def _end(self, stored: int | None, computed: int) -> End:
        if stored is None:
            verdict = Checksum.NONE
        elif stored == 0:
            verdict = Checksum.OFF
        else:
            verdict = Checksum.GOOD if stored == computed else Checksum.BAD
        return End(verdict, self.offset, stored or 0, computed)

    def _damage(self, fault: RdbError) -> DamagedError:
        if self._over and not self._base and not self._data:
            return DamagedError("the file is empty", 0)
        offset = getattr(fault, "offset", None)
        text = str(fault)
        return DamagedError(text, self.offset if offset is None else offset)

    def _refuse(self, wanted: int) -> None:
        """Raises DamagedError for a length that cannot be: a damaged one must not fill the memory."""
        if self._over:
            return
        size = self._size()
        if size is not None and wanted > size:
            raise DamagedError(
                f"the file ends in the middle of what begins at offset {self.offset} and is said to need "
                f"{wanted - self.offset} bytes or more",
                size,
            )
        if wanted - self._base - len(self._data) > LONGEST_STRING:
            raise DamagedError(f"a string is said to be longer than {LONGEST_STRING} bytes", self.offset)

    def _more(self, wanted: int) -> None:
        """Drops what has been read, and gets what is wanted, and at least half as much again as is left: a
        value that is larger than many pieces is not measured anew with each of them.
        """
        left = self._data[self._at :]
        self._base += self._at
        self._at = 0
        parts, size = [left], 0
        enough = max(wanted - self._base - len(left), len(left) // 2, 1)
        while not self._over and size < enough:
            try:
                piece = next(self._pieces, b"")
            except CompressionError as fault:
                self._fault = fault
                piece = b""
            if not piece:
                self._over = True
            parts.append(piece)
            size += len(piece)
        self._data = b"".join(parts)

    def rest(self) -> Iterator[bytes]:
        """What follows the end of the RDB, piece by piece. Raises DamagedError where it cannot be
        unpacked.
        """
        left, self._data = self._data[self._at :], b""
        self._base, self._at = self.offset, 0
        if left:
            yield left
        if self._fault is None and not self._over:
            try:
                yield from self._pieces
            except CompressionError as fault:
                self._fault = fault
        if self._fault is not None:
            raise DamagedError(str(self._fault), self._base + len(left))

    def trailing(self) -> int:
        """How many bytes follow the end; the mark that ends a transfer to a replica (redis-cli --rdb leaves
        it on standard output) counts as none. Raises DamagedError.
        """
        count, head = 0, b""
        for piece in self.rest():
            count += len(piece)
            head += piece[: MARK_SIZE - len(head)]
        return 0 if count == MARK_SIZE and head.isalnum() else count


def sound_keys(reader: SnapshotReader) -> Iterator[SnapshotKey]:
    """The keys of a file that must be good to its end: a checksum that disagrees is damage, too."""
    for event in reader.events():
        if isinstance(event, SnapshotKey):
            yield event
        elif isinstance(event, End):
            sound(event)
    for _ in reader.rest():  # a packed file that is cut says so at its end
        pass


def sound(end: End) -> None:
    """Raises DamagedError where the checksum says that something was changed."""
    if end.checksum is Checksum.BAD:
        raise DamagedError(
            f"the checksum here is {end.stored:016x}, that of what stands before it {end.computed:016x}",
            end.offset - CHECKSUM_SIZE,
        )
