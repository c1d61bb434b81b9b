"""Files on their way into the keyspace: a log piece by piece, a snapshot whole. Reads only.

Reading, not mapping: a disk that fails then is an OSError, not the end of the process.
"""

import mmap
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from rlite.engine.commands.context import Loading
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.core.rdb import RdbError
from rlite.engine.core.rdbload import Loaded
from rlite.engine.persistence import snapshot
from rlite.engine.persistence.outcome import RecoveryError
from rlite.engine.persistence.replaying import StoppedError
from rlite.engine.persistence.snapshot import SnapshotError

CHUNK = 4 << 20  # bytes between two looks at whether to stop; some 20 ms of replay
Step = Callable[[bytearray, int, int], tuple[str, int]]


def feed(file: FileIO, at: int, size: int, step: Step, progress: Loading) -> tuple[str, int]:
    """Hands bytes `at` to `size` of a file to `step(buffer, held, left)` until it stops for another reason
    than that it wants more: `held` bytes of the buffer are filled, `left` are there from the first of them on
    to `size`. `step` returns (why, how many it has dealt with), as `Replay.records` does.

    Returns (why, where in the file). Raises OSError, StoppedError.
    """
    file.seek(at)
    buffer = bytearray(min(CHUNK, max(size - at, 1)))
    held = 0
    while True:
        if progress.stop():
            raise StoppedError
        with memoryview(buffer) as view:
            more = file.readinto(view[held : held + size - at - held])
        held += more
        why, done = step(buffer, held, size - at)
        at += done
        held -= done
        progress.loaded += done
        if why not in ("end", "short") or at + held == size or not more:
            return why, at
        buffer[:held] = buffer[done : done + held]
        if held == len(buffer):
            buffer.extend(bytes(min(held, size - at - held)))


def load_snapshot(path: Path, keyspace: Keyspace, progress: Loading, *, now_ms: int | None = None) -> Loaded:
    """Loads an RDB file. now_ms: what expired before is left out.

    Raises RecoveryError, OSError, StoppedError.
    """
    before = progress.loaded
    try:
        loaded = snapshot.load(path, keyspace, now_ms=now_ms, progress=_watch(progress))
    except SnapshotError as fault:
        raise RecoveryError(str(fault)) from None
    progress.loaded = before + path.stat().st_size
    return loaded


def load_preamble(path: Path, keyspace: Keyspace, progress: Loading) -> Loaded:
    """Loads the RDB that a log of Redis begins with. Raises RecoveryError, OSError, StoppedError."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return snapshot.load_bytes(data, keyspace, progress=_watch(progress))
        except RdbError as fault:
            raise RecoveryError(f"{path}: in the snapshot that it begins with: {fault}") from None


def _watch(progress: Loading) -> Callable[[int, int], None]:
    before = progress.loaded

    def watch(done: int, _total: int) -> None:
        progress.loaded = before + done
        if progress.stop():
            raise StoppedError

    return watch
