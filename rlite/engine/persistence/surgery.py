"""A plan of repair.py carried out: never in place, each step durable before the next, all of it undoable.

For each file: a second name for what is there (`.bak-<time>`), what is cut out written beside
(`.lost-<time>`), the new file written, synced, renamed over the old name, the directory synced. At any
moment a crash leaves the old file or the new one under its name, and the old one under its second name.
"""

import contextlib
import os
import shlex
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rlite.engine.errors import RliteError
from rlite.engine.persistence import files, layout
from rlite.engine.persistence.check import Report, check
from rlite.engine.persistence.reading import Tick, no_tick
from rlite.engine.persistence.repair import Act, Change, Plan

_PIECE = 1 << 20


class LiveError(RliteError):
    """A server is at work on the files."""


class ChangedError(RliteError):
    """The files are no longer as they were when the plan was made."""


class UnfinishedError(RliteError):
    """A repair that failed on its way; says how to undo what it has done."""


@dataclass(slots=True)
class Done:
    """What was done. undo: words of shell commands, to be run in this order; kept: the files that hold what
    was there before; after: the log as it is now.
    """

    undo: list[list[str]] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    after: Report | None = None

    def undo_command(self) -> str:
        """One line for a shell that brings everything back as it was."""
        return " && ".join(shlex.join(words) for words in self.undo)


def carry_out(plan: Plan, tick: Tick = no_tick) -> Done:
    """Repairs, and checks what has come of it. Raises LiveError, ChangedError (nothing was done then),
    UnfinishedError, OSError (nothing was done).
    """
    done = Done()
    with layout.held(plan.layout) as free:
        if not free or layout.holder(plan.layout, locked=True) is not None:
            raise LiveError("a server is running on these files: stop it first")
        for change in plan.changes:
            there = change.path.stat().st_size if change.path.exists() else 0
            if there != change.size:
                raise ChangedError(f"{change.path}: it had {change.size} bytes, and has {there} now")
        stamp = _stamp(plan)
        order = {Act.MANIFEST: 0, Act.REWRITE: 1, Act.ASIDE: 2}
        try:
            # The manifest comes first: it takes segments out of use before they are moved.
            for change in sorted(plan.changes, key=lambda change: order[change.act]):
                _carry_out(change, stamp, done, tick)
        except OSError as error:
            if not done.undo:
                raise
            raise UnfinishedError(
                f"{error.filename or ''}: {error.strerror}. What was done is undone by: {done.undo_command()}"
            ) from error
        again = layout.for_repair(plan.path)
        done.after = check(
            plan.path, again, deep=plan.wish.deep, databases=plan.wish.databases, tick=tick, locked=True
        )
    return done


def _stamp(plan: Plan) -> str:
    """A time that no file beside the log has in its name yet."""
    stamp = base = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = 1
    while any(
        change.path.with_name(f"{change.path.name}.{word}-{stamp}").exists()
        for change in plan.changes
        for word in ("bak", "lost")
    ):
        number += 1
        stamp = f"{base}-{number}"
    return stamp


def _carry_out(change: Change, stamp: str, done: Done, tick: Tick) -> None:
    path = change.path
    lost = path.with_name(f"{path.name}.lost-{stamp}")
    if change.act is Act.ASIDE:
        path.rename(lost)
        files.sync_directory(path.parent)
        done.kept.append(lost)
        done.undo.insert(0, _back(lost, path))
        return
    back = ["rm", "-f", "--", str(path.absolute())]
    made: list[Path] = []
    try:
        if path.exists():
            backup = path.with_name(f"{path.name}.bak-{stamp}")
            _second_name(path, backup)
            made.append(backup)
            back = _back(backup, path)
        if change.lost:
            with files.replacing(lost) as out, path.open("rb") as source:
                _as_before(path, out)
                for start, end in change.lost:
                    _copy(source, out, start, end, tick)
            made.append(lost)
        _write(change, tick)
    except OSError:
        for each in made:
            with contextlib.suppress(OSError):
                each.unlink()
        raise
    done.kept += made
    done.undo.insert(0, back)


def _back(kept: Path, path: Path) -> list[str]:
    return ["mv", "-f", "--", str(kept.absolute()), str(path.absolute())]


def _write(change: Change, tick: Tick) -> None:
    """Puts the new file in the place of the old one."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(change.path.open("rb")) if change.keep else None
        out = stack.enter_context(files.replacing(change.path))
        _as_before(change.path, out)
        out.write(change.head)
        for start, end in change.keep:
            assert source is not None
            _copy(source, out, start, end, tick)


def _second_name(path: Path, backup: Path) -> None:
    """Keeps a file under a second name; where the file system knows no such thing, as a copy."""
    try:
        os.link(path, backup)
    except FileExistsError:
        raise
    except OSError:
        with path.open("rb") as source, files.replacing(backup) as out:
            _as_before(path, out)
            shutil.copyfileobj(source, out, _PIECE)
    files.sync_directory(path.parent)


def _as_before(path: Path, out: BinaryIO) -> None:
    """Gives a new file the owner and the mode of the old one: its server must be able to open it."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return
    os.fchmod(out.fileno(), there.st_mode & 0o7777)
    with contextlib.suppress(PermissionError):
        os.fchown(out.fileno(), there.st_uid, there.st_gid)


def _copy(source: BinaryIO, out: BinaryIO, start: int, end: int, tick: Tick) -> None:
    source.seek(start)
    while start < end:
        piece = source.read(min(_PIECE, end - start))
        if not piece:
            raise OSError(5, "the file has become shorter", source.name)
        out.write(piece)
        start += len(piece)
        tick(len(piece))
