"""Logs made by hand: segments of known records, for the tests of what reads them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlite.engine.core.records import sealed
from rlite.engine.persistence import manifest
from rlite.engine.persistence.history import HistoryFiles
from rlite.engine.persistence.manifest import Manifest
from rlite.engine.persistence.segment import SIZE, Header

HISTORY = "5f0c" * 10
START_MS = 1_700_000_000_000


def resp(*words: bytes | str | int) -> bytes:
    """A command as a client sends it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


@dataclass
class Log:
    """A segment that is being made. bounds: where its records begin, and the end; resps: what they hold."""

    history: str = HISTORY
    first: int = 0
    salt: int = 0x1122334455667788
    offset: int = -1
    ms: int = START_MS
    data: bytearray = field(default_factory=bytearray)
    bounds: list[int] = field(default_factory=list)
    resps: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.header = Header(self.history, self.first, self.ms, self.salt)
        self.data += self.header.packed()
        self.offset = self.first
        self.bounds = [SIZE]

    def add(
        self,
        content: bytes,
        *,
        offset: int | None = None,
        ms: int | None = None,
        database: int = 0,
        synced: int | None = None,
    ) -> None:
        """A record. ms: by default one millisecond after the one before it; synced: how far the segment was
        on disk when the record was written, by default up to it.
        """
        self.offset = self.offset if offset is None else offset
        self.ms = self.ms + 1 if ms is None else ms
        unsynced = 0 if synced is None else len(self.data) - synced
        self.data += sealed(content, self.offset, self.ms, database, self.header.seed, unsynced)
        self.offset += len(content)
        self.bounds.append(len(self.data))
        self.resps.append(content)

    def fill(self, count: int, size: int = 3) -> "Log":
        """SETs of keys that differ."""
        for number in range(count):
            self.add(resp("SET", f"key:{number}", "v" * size))
        return self


def directory(root: Path, logs: Sequence[Log], *, stem: str = "appendonly", first: int = 1) -> Path:
    """`root/appendonlydir` with these segments and their manifest; returns it."""
    place = root / "appendonlydir"
    place.mkdir(parents=True, exist_ok=True)
    names = [f"{stem}.{number}.aof" for number in range(first, first + len(logs))]
    for name, log in zip(names, logs, strict=True):
        (place / name).write_bytes(log.data)
    last = logs[-1].history
    older = [log.history for log in logs if log.history != last]
    since = next(log.first for log in logs if log.history == last)
    said = Manifest(
        last, segments=tuple(names), previous=older[-1] if older else "", previous_end=since if older else 0
    )
    manifest.write(place / f"{stem}.manifest", said)
    return place


def kept(path: Path) -> list[bytes]:
    """The RESP of the records of a segment, read one by one with the plain functions of core/records."""
    from rlite.engine.core.records import read_record
    from rlite.engine.persistence.segment import read_header

    data = path.read_bytes()
    seed, at, found = read_header(data).seed, SIZE, []
    while True:
        state, record = read_record(data, at, seed)
        if record is None:
            assert state == "end", f"{state} at {at}"
            return found
        found.append(record[3])
        at = record[4]


def joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts)


def chunks(files: HistoryFiles, offset: int) -> Iterator[bytes]:
    """All of the stream from an offset to the end of what is written."""
    files.seek(offset)
    while data := files.read():
        yield data
