"""Values of recovery: what it found, what came of it, what it left out, and how it refuses. Opens nothing."""

import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.errors import RliteError
from rlite.engine.persistence.manifest import Manifest

if TYPE_CHECKING:
    from rlite.engine.core.rdbload import Loaded


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
    """What came of it. offset: where the history goes on, with the database `selected`; manifest: ours, as it
    is to be gone on with; of a snapshot that says of which history it is, one that says that and names no
    files; None: neither; next_number: of the next segment; failed: commands that answered with an error.
    """

    source: Source
    offset: int = 0
    selected: int = 0
    manifest: Manifest | None = None
    next_number: int = 1
    keys: int = 0
    commands: int = 0
    failed: int = 0
    seconds: float = 0.0
    cut: tuple[Cut, ...] = ()
    snapshot: "Loaded | None" = None  # what the base, or the snapshot that was all there was, gave

    @property
    def previous(self) -> str:
        """The replication id of what was loaded, which may be continued up to `offset`; empty: none."""
        return "" if self.manifest is None else self.manifest.history


def advice(path: Path) -> str:
    """What somebody is told who finds that the server does not start."""
    return f"`rlite aof-check {path}` tells more, `rlite aof-repair {path}` makes it loadable"


def told(cut: Cut) -> str:
    """One line on what was lost."""
    last = f"the last good record is of {when(cut.last_ms)}" if cut.last_ms else "no good record is before it"
    where = f", kept in {cut.kept.name}" if cut.kept is not None else ""
    return f"{cut.path}: {cut.size} bytes from byte {cut.at} on are left out{where} ({cut.why}); {last}"


def when(ms: int) -> str:
    """A Unix time in milliseconds, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d} UTC"
