"""Where a log stops being good: a torn end, or damage with good records behind it; how a torn end is cut off.

What lies behind a fault is searched for records; nothing else tells the two apart (see
docs/internals/log-format.md).
"""

import mmap
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rlite.engine.core.records import find_record
from rlite.engine.persistence import files, segment
from rlite.engine.persistence.segment import Header, HeaderError


@dataclass(frozen=True, slots=True)
class Place:
    """A byte of a file."""

    path: Path
    at: int


def good_behind(path: Path, at: int, header: Header | None, least: int, later: list[Path]) -> Place | None:
    """The first good record behind a fault at a byte of a segment, there or in a later one; None: there is
    none, and the fault is the end.

    header: the segment's, None where that is what is bad; least: the offset that the next record may have.
    """
    size = path.stat().st_size
    if header is not None:
        found = _search(path, at + 1, header, least)
        if found is not None:
            return Place(path, found)
    elif size > segment.SIZE and not _only_zeros(path, segment.SIZE):
        return Place(path, segment.SIZE)  # without its salt nobody can tell, so it counts as good
    for each in later:
        found = _first_in(each)
        if found is not None:
            return Place(each, found)
    return None


def _first_in(path: Path) -> int | None:
    """Where the first good record of a segment is; what lies behind a bad header counts as good."""
    with path.open("rb") as file:
        head = file.read(segment.SIZE)
    try:
        header = segment.read_header(head)
    except HeaderError:
        return segment.SIZE if path.stat().st_size > segment.SIZE and not _only_zeros(path, 0) else None
    return _search(path, segment.SIZE, header, header.first)


def _search(path: Path, at: int, header: Header, least: int) -> int | None:
    if path.stat().st_size <= at:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return find_record(data, at, header.seed, least)


def _only_zeros(path: Path, at: int) -> bool:
    with path.open("rb") as file:
        file.seek(at)
        while piece := file.read(1 << 20):
            if piece.count(0) != len(piece):
                return False
    return True


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
