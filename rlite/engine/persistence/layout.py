"""What stands at a path: a log of ours, one of Redis's in each of its forms, or a snapshot; and which files
it has.

Only looks: names, first bytes, manifests. What is in the files is reading.py's and foreign.py's. Damage
that shows here (a manifest that is none, a file that is named and missing) is told as faults, so that a
checker can go on.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rlite.engine.errors import RliteError
from rlite.engine.persistence import manifest, redis_manifest, segment
from rlite.engine.persistence.foreign import MAGIC as RDB_MAGIC
from rlite.engine.persistence.manifest import Manifest, ManifestError
from rlite.engine.persistence.reading import Fault, Kind
from rlite.engine.persistence.redis_manifest import RedisManifest, RedisManifestError

LOCK = "rlite.lock"
_OURS = re.compile(r"(.+)\.(\d+)\.(aof|rdb)")


class LayoutError(RliteError):
    """A path at which nothing stands that could be checked."""


class Form(Enum):
    """What kind of log it is."""

    OURS = "rlite"
    REDIS = "redis-multi-part"
    PLAIN = "redis-aof"  # one file, bare commands or with a snapshot before them
    SNAPSHOT = "rdb"


class Role(Enum):
    """What a file is in its log."""

    BASE = "base"
    SEGMENT = "segment"
    COMMANDS = "commands"  # a file of Redis's


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a log, in the order in which they are read. rdb: it is a snapshot and nothing else."""

    path: Path
    role: Role
    rdb: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """A log. manifest: the path of its manifest, None where it has none and needs none; ours, theirs: what
    that says, None where it cannot be read. parts: files that are there; missing: names that are not.
    spare: files of this log that the manifest does not name. whole: whether all of the log is asked for,
    not one file of it.
    """

    form: Form
    directory: Path
    stem: str
    parts: tuple[Part, ...]
    manifest: Path | None = None
    ours: Manifest | None = None
    theirs: RedisManifest | None = None
    missing: tuple[str, ...] = ()
    spare: tuple[Path, ...] = ()
    faults: tuple[Fault, ...] = ()
    whole: bool = True


def find(path: Path) -> list[Layout]:
    """The logs at a path: a file, a manifest, or a directory (that of the log, or `dir` around it). Raises
    LayoutError, OSError.
    """
    if path.is_dir():
        found = _in_directory(path)
        if not found:
            inner = [each for each in sorted(path.iterdir()) if each.is_dir() and not each.is_symlink()]
            found = [layout for each in inner for layout in _in_directory(each)]
            found += _loose(path) if not found else []
        if not found:
            raise LayoutError(f"{path}: no log here: no manifest, no segment, no append-only file")
        return found
    return [_of_file(path)]


def for_repair(path: Path) -> Layout:
    """The one log at a path, whole: where a file is named by a manifest beside it, all that the manifest
    names, since what is damage in the middle shows only then. Raises LayoutError, OSError.
    """
    found = find(path)
    if len(found) > 1:
        manifests = ", ".join(str(each.manifest or each.parts[0].path) for each in found)
        raise LayoutError(f"{path}: more than one log is here; name one of {manifests}")
    layout = found[0]
    if layout.whole:
        return layout
    names = sorted(each.name for each in path.parent.iterdir() if not each.is_dir())
    theirs = redis_manifest.PART.fullmatch(path.name)
    ours = _OURS.fullmatch(path.name)
    around = None
    if theirs is not None and f"{theirs[1]}.manifest" in names:
        around = _theirs(path.parent, theirs[1], names)
    elif ours is not None and segment.manifest_name(ours[1]) in names:
        around = _ours(path.parent, ours[1], names)
    return (
        around if around is not None and any(part.path.name == path.name for part in around.parts) else layout
    )


def _in_directory(directory: Path) -> list[Layout]:
    """The logs that have a manifest or numbered files in a directory."""
    names = sorted(each.name for each in directory.iterdir() if not each.is_dir())
    ours: set[str] = set()
    theirs: set[str] = set()
    for name in names:
        if found := redis_manifest.PART.fullmatch(name):
            theirs.add(found[1])
        elif name.endswith(redis_manifest.SUFFIX):
            theirs.add(name.removesuffix(redis_manifest.SUFFIX) + ".aof")
        elif name.endswith(".manifest"):
            ours.add(name.removesuffix(".manifest"))
        elif (found := _OURS.fullmatch(name)) and (found[3] == "rdb" or looks_ours(directory / name)):
            ours.add(found[1])
    stems_of_bases = {stem for stem in ours if not _has_log(stem, names)}
    return [
        *(_ours(directory, stem, names) for stem in sorted(ours - stems_of_bases)),
        *(_theirs(directory, stem, names) for stem in sorted(theirs)),
    ]


def _has_log(stem: str, names: list[str]) -> bool:
    """Whether there is more of a log than files that are called like a base of it."""
    return f"{stem}.manifest" in names or any(
        (found := _OURS.fullmatch(name)) and found[1] == stem and found[3] == "aof" for name in names
    )


def _loose(directory: Path) -> list[Layout]:
    """Append-only files of Redis's that stand alone in a directory; without any, snapshots."""
    files = [each for each in sorted(directory.iterdir()) if each.is_file()]
    logs = [each for each in files if each.suffix == ".aof"]
    return [_of_file(each) for each in logs or [each for each in files if each.suffix == ".rdb"]]


def looks_ours(path: Path) -> bool:
    """Whether a file begins as a segment of ours, be it damaged: its magic, or what follows it. An empty
    one may be.
    """
    with path.open("rb") as file:
        head = file.read(16)
    behind = segment.VERSION.to_bytes(4, "little") + segment.SIZE.to_bytes(4, "little")
    return not head.strip(b"\0") or head[:8] == segment.MAGIC[: len(head)] or head[8:] == behind


def _of_file(path: Path) -> Layout:
    with path.open("rb") as file:
        head = file.read(16)
    if path.name.endswith(".manifest"):
        theirs = path.name.endswith(redis_manifest.SUFFIX) or head.startswith(b"file ")
        names = sorted(each.name for each in path.parent.iterdir() if not each.is_dir())
        stem = path.name.removesuffix(".manifest")
        return (_theirs if theirs else _ours)(path.parent, stem, names)
    named = _OURS.fullmatch(path.name) is not None and redis_manifest.PART.fullmatch(path.name) is None
    if head[:8] == segment.MAGIC or (named and path.suffix == ".aof" and looks_ours(path)):
        stem = path.name.rsplit(".", 2)[0]
        return Layout(Form.OURS, path.parent, stem, (Part(path, Role.SEGMENT),), whole=False)
    if path.suffix == ".rdb" or (head.startswith(RDB_MAGIC) and path.suffix != ".aof"):
        return Layout(Form.SNAPSHOT, path.parent, path.stem, (Part(path, Role.BASE, rdb=True),), whole=False)
    return Layout(Form.PLAIN, path.parent, path.name, (Part(path, Role.COMMANDS),), whole=False)


def without_manifest(layout: Layout) -> Layout:
    """The same log, as if it had no manifest: all of its files, by their numbers."""
    names = sorted(each.name for each in layout.directory.iterdir() if not each.is_dir())
    said = segment.manifest_name(layout.stem) if layout.manifest is None else layout.manifest.name
    names = [name for name in names if name != said]
    return (_ours if layout.form is Form.OURS else _theirs)(layout.directory, layout.stem, names)


def _ours(directory: Path, stem: str, names: list[str]) -> Layout:
    path = directory / segment.manifest_name(stem)
    said, faults = None, []
    if path.name in names:
        try:
            said = manifest.read(path)
        except ManifestError as error:
            size = path.stat().st_size
            faults.append(Fault(path, Kind.MANIFEST, 0, size, 0, "a manifest", str(error), grave=True))
    else:
        faults.append(
            Fault(path, Kind.MISSING, 0, 0, 0, "a manifest", "segments of a log without one", grave=True)
        )
    there = [name for name in names if (found := _OURS.fullmatch(name)) and found[1] == stem]
    if said is None:
        segments = _by_number(name for name in there if name.endswith(".aof"))
        named: tuple[str, ...] = tuple(segments)
        base: str | None = None
    else:
        named, base = said.files, said.base
    missing = tuple(name for name in named if name not in names)
    faults += [_missing(directory / name, path) for name in missing]
    spare = tuple(directory / name for name in there if name not in named)
    faults += [_spare(each, path) for each in spare if said is not None]
    parts = tuple(
        Part(directory / name, Role.BASE if name == base else Role.SEGMENT, rdb=name == base)
        for name in named if name in names
    )  # fmt: skip
    return Layout(
        Form.OURS, directory, stem, parts, path, said, missing=missing, spare=spare, faults=tuple(faults)
    )


def _by_number(names: Iterator[str]) -> list[str]:
    return sorted(names, key=lambda name: int(name.rsplit(".", 2)[1]))


def _theirs(directory: Path, stem: str, names: list[str]) -> Layout:
    path = directory / f"{stem}.manifest"
    said, faults = None, []
    if path.name in names:
        try:
            said = redis_manifest.read(path)
        except RedisManifestError as error:
            size = path.stat().st_size
            faults.append(Fault(path, Kind.MANIFEST, 0, size, 0, "a manifest", str(error), grave=True))
    else:
        faults.append(
            Fault(path, Kind.MISSING, 0, 0, 0, "a manifest", "files of a log without one", grave=True)
        )
    there = [name for name in names if (found := redis_manifest.PART.fullmatch(name)) and found[1] == stem]
    named = said.files if said is not None else redis_manifest.guessed(there).files
    missing = tuple(name for name in named if name not in names)
    faults += [_missing(directory / name, path) for name in missing]
    history = set(said.history) if said is not None else set()
    spare = tuple(directory / name for name in there if name not in named and name not in history)
    faults += [_spare(each, path) for each in spare if said is not None]
    base = said.base if said is not None else next((name for name in named if ".base." in name), None)
    parts = tuple(
        Part(
            directory / name, Role.BASE if name == base else Role.COMMANDS,
            rdb=name == base and name.endswith(".rdb"),
        )
        for name in named if name in names
    )  # fmt: skip
    return Layout(
        Form.REDIS,
        directory,
        stem,
        parts,
        path,
        theirs=said,
        missing=missing,
        spare=spare,
        faults=tuple(faults),
    )


def _missing(path: Path, named_by: Path) -> Fault:
    return Fault(
        path, Kind.MISSING, 0, 0, 0, f"a file that {named_by.name} names", "no such file", grave=True
    )


def _spare(path: Path, manifest_path: Path) -> Fault:
    found = f"{path.stat().st_size} bytes that nobody reads; a rewrite that did not end may leave such a file"
    return Fault(path, Kind.EXTRA, 0, 0, 0, f"a file that {manifest_path.name} names", found)


# --- a live server -----------------------------------------------------------------------------------------


def lock_paths(layout: Layout) -> list[Path]:
    """Where the lock of the server that owns a log would stand: beside the log's directory, as `dir` is
    around it; or in it, for a file that stands in `dir` itself.
    """
    directory = layout.directory.resolve()
    return [directory.parent / LOCK, directory / LOCK]


def holder(layout: Layout, *, locked: bool = False) -> int | None:
    """The process id of the server that holds a log's directory; 0 where it does not say; None: nobody.
    locked: the lock is this process's own (see `held`), so it is not asked for.
    """
    for path in () if locked else lock_paths(layout):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                text = os.pread(descriptor, 32, 0).strip()
                return int(text) if text.isdigit() else 0
        finally:
            os.close(descriptor)
    # Redis takes no lock.
    return None if layout.form is Form.OURS else writer([part.path for part in layout.parts])


def writer(paths: list[Path]) -> int | None:
    """A process that has one of some files open for writing, as far as the system tells (Linux: those one
    may look at); None: nobody. Redis takes no lock.
    """
    wanted = set()
    for path in paths:
        with contextlib.suppress(OSError):
            found = path.stat()
            wanted.add((found.st_dev, found.st_ino))
    for process in Path("/proc").glob("[0-9]*") if wanted else ():
        if int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    there = descriptor.stat()
                    if (there.st_dev, there.st_ino) in wanted and _for_writing(process, descriptor.name):
                        return int(process.name)
    return None


def _for_writing(process: Path, descriptor: str) -> bool:
    text = (process / "fdinfo" / descriptor).read_text()
    flags = re.search(r"^flags:\s*([0-7]+)", text, re.MULTILINE)
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY


@contextlib.contextmanager
def held(layout: Layout) -> Iterator[bool]:
    """Keeps servers away from a log while it is repaired. False: one is there. Where there is no lock file
    nothing is made: what stands there was brought from elsewhere.
    """
    descriptors: list[int] = []
    try:
        for path in lock_paths(layout):
            with contextlib.suppress(FileNotFoundError):
                descriptors.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        for descriptor in descriptors:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
        yield True
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
