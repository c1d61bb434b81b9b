"""The manifest: which snapshot and which segments, in which order, make up the data.

A small text file that is replaced whole (written beside, synced, renamed, the directory synced), so that it
is always the old one or the new one. docs/internals/log-format.md describes it. Knows nothing of what is in
the files it names.
"""

import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from rlite.engine.errors import RliteError
from rlite.engine.persistence import files

FORMAT = 1


class ManifestError(RliteError):
    """A manifest that is none, is damaged, or is of a newer format; says which line."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """base: file name of the snapshot that the first segment continues, None: nothing was before it;
    segments: file names, oldest first; history: the replication id now; previous, previous_end: the id before
    it, and the offset up to which that one may still be continued (0 and "": none).
    """

    history: str
    base: str | None = None
    base_offset: int = 0
    segments: tuple[str, ...] = ()
    previous: str = ""
    previous_end: int = 0

    def with_segment(self, name: str) -> "Manifest":
        return replace(self, segments=(*self.segments, name))

    @property
    def files(self) -> tuple[str, ...]:
        """All that it names, in the order in which they are read."""
        return (*((self.base,) if self.base else ()), *self.segments)

    def text(self) -> str:
        lines = [f"rlite-log {FORMAT}", f"history {self.history}"]
        if self.previous:
            lines.append(f"previous {self.previous} {self.previous_end}")
        if self.base:
            lines.append(f"base {self.base} {self.base_offset}")
        lines += [f"segment {name}" for name in self.segments]
        body = "".join(f"{line}\n" for line in lines)
        return f"{body}end {zlib.crc32(body.encode()):08x}\n"


_NAME = re.compile(r"[^/\s]+")


def parsed(text: str) -> Manifest:
    """The manifest in a text. Raises ManifestError."""
    body, mark, end = text.rpartition("end ")
    lines = body.splitlines()
    first = lines[0].split() if lines else []
    if len(first) == 2 and first[0] == "rlite-log" and first[1].isdigit() and int(first[1]) > FORMAT:
        raise ManifestError(f"its format is version {first[1]}; this rlite knows version {FORMAT} and older")
    if first != ["rlite-log", str(FORMAT)]:
        raise ManifestError(f"line 1: expected 'rlite-log {FORMAT}'")
    if not mark or end.strip() != f"{zlib.crc32(body.encode()):08x}":
        raise ManifestError("its text does not agree with its last line")
    found = Manifest("")
    for number, line in enumerate(lines[1:], start=2):
        match line.split():
            case ["history", history]:
                found = replace(found, history=history)
            case ["previous", history, end_] if end_.isdigit():
                found = replace(found, previous=history, previous_end=int(end_))
            case ["base", name, offset] if _NAME.fullmatch(name) and offset.isdigit():
                found = replace(found, base=name, base_offset=int(offset))
            case ["segment", name] if _NAME.fullmatch(name):
                found = found.with_segment(name)
            case _:
                raise ManifestError(f"line {number}: {line!r} is no line of a manifest")
    return found


def read(path: Path) -> Manifest:
    """The manifest at a path. Raises ManifestError, OSError."""
    return parsed(path.read_bytes().decode("utf-8", "surrogateescape"))


def write(path: Path, manifest: Manifest) -> None:
    """Replaces the manifest at a path; on disk when this returns. Raises OSError, the old one untouched."""
    files.replace(path, manifest.text().encode("utf-8", "surrogateescape"))
