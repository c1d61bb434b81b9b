"""The end of a log that is not as it should be: what stands behind the fault, and how a torn end is cut off.

What the fault means is decided by `reading`, as it is for aof-check and aof-repair.
"""

import os
import shutil
import time
from pathlib import Path

from rlite.engine.persistence import files
from rlite.engine.persistence.reading import Reading, Verdict, read_segment, verdict


def judged(paths: list[Path]) -> tuple[Verdict, list[Reading]]:
    """What is wrong with segments that follow each other. Raises OSError."""
    readings = [read_segment(path) for path in paths]
    return verdict(readings), readings


def cut_off(path: Path, at: int) -> Path:
    """Moves what stands in a file from a byte on into a file beside it, whose path it returns; both are on
    disk then. Raises OSError, the file as it was.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = path.with_name(f"{path.name}.lost-{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.lost-{stamp}-{number}")
    with path.open("rb") as source, files.replacing(kept) as copy:
        source.seek(at)
        shutil.copyfileobj(source, copy, 1 << 20)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return kept
