"""What is there at start: finds the data under `dir`, loads it, and says how far it goes.

Reads our log (manifest, base snapshot, segments), Redis's in each of its forms, or a snapshot. What a crash
left unfinished at the end is cut off and kept beside; damage with good records behind it is refused: cutting
there would lose what was durable. docs/internals/log-format.md has the rules. Runs before anything is logged.
"""

import logging
import time
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from rlite.engine.commands.context import Context, Loading
from rlite.engine.config import Config
from rlite.engine.core.replay import Replay
from rlite.engine.errors import RliteError
from rlite.engine.persistence import manifest, replaying, segment, tails
from rlite.engine.persistence.feeding import feed
from rlite.engine.persistence.manifest import Manifest, ManifestError
from rlite.engine.persistence.reading import Fault, Kind, Verdict
from rlite.engine.persistence.segment import Header, HeaderError

log = logging.getLogger("rlite")


class RecoveryError(RliteError):
    """The data cannot be loaded, or must not be; says which file, where, and what to do."""


class DamageError(RecoveryError):
    """Something durable was damaged, and good data stands behind it: no truncation repairs that."""


class Source(Enum):
    """What the data is read from."""

    NOTHING = "nothing"
    LOG = "append only file"
    REDIS_LOG = "append only file of Redis"
    SNAPSHOT = "snapshot"


WHOLE = (Source.NOTHING, Source.LOG)  # what our own log can simply be gone on with


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be loaded. files: a base first, in the order in which they are read; total: their bytes;
    next_number: of a segment whose name nobody has.
    """

    source: Source
    directory: Path
    files: tuple[Path, ...] = ()
    total: int = 0
    manifest: Manifest | None = None
    next_number: int = 1


@dataclass(frozen=True, slots=True)
class Cut:
    """What was left out at the end of a file: `size` bytes from `at` on; kept: the file that has them now,
    None where they stayed; last_ms: Unix time of the last good record, 0: unknown.
    """

    path: Path
    at: int
    size: int
    why: str
    kept: Path | None
    last_ms: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came of it. offset: where the history goes on; previous: the replication id of what was loaded
    ("": none), which may be continued up to previous_end; manifest: ours, as it is to be gone on with, None
    where there was none; next_number: of the next segment; failed: commands that answered with an error.
    """

    source: Source
    offset: int = 0
    previous: str = ""
    previous_end: int = 0
    manifest: Manifest | None = None
    next_number: int = 1
    keys: int = 0
    commands: int = 0
    failed: int = 0
    seconds: float = 0.0
    cut: tuple[Cut, ...] = ()


# --- finding -----------------------------------------------------------------------------------------------


def plan(config: Config) -> Plan:
    """What there is to load. Raises RecoveryError where that is not clear or not complete; OSError."""
    directory = Path(config.text("dir"))
    if config.flag("appendonly"):
        found = _our_log(directory / config.text("appenddirname"), config.text("appendfilename"))
        if found is not None:
            return found
    return Plan(Source.NOTHING, directory)


def _our_log(directory: Path, appendfilename: str) -> Plan | None:
    stem = segment.stem_of(appendfilename)
    path = directory / segment.manifest_name(stem)
    ours = [each for each in _listed(directory) if segment.number_of(each) is not None
            and each.name.rsplit(".", 2)[0] == stem]  # fmt: skip
    if not path.exists():
        if any(_has_records(each) for each in ours):
            raise RecoveryError(f"{path} is missing, though there are segments of a log. {advice(directory)}")
        return None
    try:
        found = manifest.read(path)
    except ManifestError as fault:
        raise RecoveryError(f"{path}: {fault}. {advice(directory)}") from None
    paths = tuple(directory / name for name in found.files)
    for each in paths:
        if not each.exists():
            raise RecoveryError(f"{each} is missing, and {path.name} names it. {advice(directory)}")
    total = sum(each.stat().st_size for each in paths)
    numbers = (segment.number_of(each) or 0 for each in (*ours, *paths))
    return Plan(Source.LOG, directory, paths, total, found, max(numbers, default=0) + 1)


def _listed(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _has_records(path: Path) -> bool:
    """Whether it is a segment that was written to. One with no more than a header may be of the first start
    ever, which ended before it had written the manifest.
    """
    with path.open("rb") as file:
        return file.read(len(segment.MAGIC)) == segment.MAGIC and path.stat().st_size > segment.SIZE


def advice(path: Path) -> str:
    """What somebody is told who finds that the server does not start."""
    return f"`rlite aof-check {path}` tells more, `rlite aof-repair {path}` makes it loadable"


# --- loading -----------------------------------------------------------------------------------------------


def recover(found: Plan, server: Context, progress: Loading, *, truncated: bool = True) -> Recovered:
    """Loads what was found into an empty keyspace. truncated: whether a torn end may be cut off
    (aof-load-truncated). Raises RecoveryError, StoppedError, OSError.
    """
    began = time.monotonic()
    progress.total = found.total
    server.keyspace.loading = True  # until the caller has begun the log: what is due then is logged
    done = Recovered(found.source)
    if found.source is Source.LOG:
        done = _Log(found, server, progress, truncated=truncated).load()
    keys = sum(server.keyspace.size(index) for index in range(server.keyspace.databases))
    return replace(done, keys=keys, seconds=time.monotonic() - began, next_number=found.next_number)


class _Log:
    """One loading of our log: how far it is, and what it has found."""

    def __init__(self, found: Plan, server: Context, progress: Loading, *, truncated: bool) -> None:
        assert found.manifest is not None
        self.manifest = found.manifest
        self.directory = found.directory
        self.progress = progress
        self.truncated = truncated
        self.replay = Replay(server.keyspace, server.table, replaying.runner(server), True)
        self.replay.offset = self.manifest.base_offset
        self.histories: list[str] = []  # of the segments so far, each once where several follow each other
        self.reached = -1  # the offset where something was cut off; -1: nothing was
        self.empty: set[str] = set()
        self.cut: list[Cut] = []

    def load(self) -> Recovered:
        segments = [self.directory / name for name in self.manifest.segments]
        if self.manifest.base is not None:
            raise RecoveryError(f"{self.directory / self.manifest.base}: snapshots are not read yet")
        for index, path in enumerate(segments):
            self.segment(path, segments[index + 1 :])
        kept = tuple(name for name in self.manifest.segments if name not in self.empty)
        return Recovered(
            Source.LOG, offset=self.replay.offset, previous=self.manifest.history,
            previous_end=self.replay.offset if self.reached < 0 else self.reached,
            manifest=replace(self.manifest, segments=kept), commands=self.replay.running, cut=tuple(self.cut),
        )  # fmt: skip

    def segment(self, path: Path, later: list[Path]) -> None:
        """Runs one segment. Raises RecoveryError where what is behind it could be lost."""
        size, before = path.stat().st_size, self.replay.offset
        with path.open("rb", buffering=0) as file:
            try:
                header = segment.read_header(file.read(segment.SIZE))
            except HeaderError as fault:
                self.ended(path, str(fault), before, later)
                return
            self.belongs(path, header, last=not later)
            self.replay.offset = header.first

            def run(data: bytearray, held: int, left: int) -> tuple[str, int]:
                why, done = self.replay.records(data, held, 0, header.seed, held)
                self.progress.commands = self.replay.running
                if why == "short" and held >= done + 4:
                    length = int.from_bytes(data[done : done + 4], "little")
                    if length + 8 > left - done:  # no need to read on to see that it does not end here
                        return "beyond", done
                return why, done

            why, at = feed(file, segment.SIZE, size, run, self.progress)
        if why == "failed" and self.replay.failure is not None:
            args, error = self.replay.failure
            name = args[0].decode("utf-8", "backslashreplace")
            raise RecoveryError(f"{path}: byte {at}: {name} failed: {error}. {advice(self.directory)}")
        if why != "end":
            self.ended(path, why, before, later)

    def belongs(self, path: Path, header: Header, *, last: bool) -> None:
        """Raises RecoveryError for a segment that the others do not lead to, or that is not in its place."""
        ids, now = self.histories, self.manifest.history
        foreign = header.history in ids[:-1] or (last and header.history not in (now, self.manifest.previous))
        if not ids or header.history != ids[-1]:
            foreign = foreign or (header.history == now and bool(ids) and ids[-1] != self.manifest.previous)
            ids.append(header.history)
        if foreign:
            raise RecoveryError(
                f"{path}: it is of history {header.history}, and the manifest is of {now}"
                f"{self.manifest.previous and ' after '}{self.manifest.previous}: a segment of another log. "
                f"{advice(self.directory)}"
            )
        if header.first < self.replay.offset:
            raise RecoveryError(
                f"{path}: it begins at offset {header.first}, and the log before it goes to "
                f"{self.replay.offset}: it is of another log, or not in its place. {advice(self.directory)}"
            )

    def ended(self, path: Path, why: str, before: int, later: list[Path]) -> None:
        """Something is not good: cut off where it is the log's end, RecoveryError where it is not."""
        size = path.stat().st_size
        meaning, readings = tails.judged([path, *later], before)
        damage = readings[0].damage
        at, what = (damage[0].at, fault_text(damage[0])) if damage else (0, why)
        if meaning is Verdict.UNREADABLE:
            raise RecoveryError(f"{path}: {why}")
        if damage and damage[0].kind is Kind.HEADER and size > segment.SIZE:
            meaning = Verdict.MIDDLE  # it was there before the first record: what is behind it is not torn
        if meaning is Verdict.MIDDLE or (size == 0 and any(reading.spans for reading in readings)):
            raise DamageError(
                f"{path}: byte {at}: {what}, and it is not the end of the log: this is damage. "
                f"{advice(self.directory)}"
            )
        if meaning is Verdict.FINE and size:
            raise RecoveryError(f"{path}: byte {at}: {what}. {advice(self.directory)}")
        if not self.truncated:
            raise RecoveryError(
                f"{path}: byte {at}: {what}, and aof-load-truncated is no. {advice(self.directory)}"
            )
        if at == 0:
            self.empty.add(path.name)
        if self.reached < 0:
            self.reached = self.replay.offset
        kept = tails.cut_off(path, at) if size > at else None
        cut = Cut(path, at, size - at, what, kept, self.replay.last_ms)
        self.cut.append(cut)
        log.warning("%s", told(cut))


def fault_text(fault: Fault) -> str:
    """What is wrong, in words."""
    found = f": found {fault.found}" if fault.found else ""
    return f"{fault.kind.value}{found}{fault.expected and ', expected '}{fault.expected}"


def told(cut: Cut) -> str:
    """One line on what was lost."""
    last = f"the last good record is of {when(cut.last_ms)}" if cut.last_ms else "no good record is before it"
    where = f", kept in {cut.kept.name}" if cut.kept is not None else ""
    return f"{cut.path}: {cut.size} bytes from byte {cut.at} on are left out{where} ({cut.why}); {last}"


def when(ms: int) -> str:
    """A Unix time in milliseconds, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d} UTC"
