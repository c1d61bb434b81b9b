"""The log of one server on disk: its directory, segments and manifest, and when it is synced and rewritten.

The records themselves are put together and written by core/log, in the threads that serve. What is done here
is done seldom: begin a segment, note it in the manifest, have a new base written by a child, and look twice a
second whether everything is well. Runs with the GIL; holds no lock of data but where it says so.
"""

import contextlib
import errno
import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.core.database import Database
from rlite.engine.persistence import files, manifest, segment, snapshot
from rlite.engine.persistence.manifest import Manifest, ManifestError
from rlite.engine.persistence.snapshot import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlite.engine.commands.context import Context
    from rlite.engine.persistence.history import HistoryFiles

LOG = logging.getLogger("rlite.log")
TICK_SECONDS = 0.5  # under everysec a change is on disk this long after it, and what a sync takes
# Under `no`, where the system has written by then what is older: records must say what is on disk, or damage
# there could not be told from a torn end.
LAZY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Past:
    """What recovery found, and the log goes on from.

    manifest: None where there was no log of ours; whole: whether the data are what the manifest's files say,
    so that no new base is needed; next_number: of the next segment.
    """

    manifest: Manifest | None = None
    offset: int = 0
    next_number: int = 1
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Begun:
    """A segment that has been made: its number, name, file and header. part: what it is called until it has a
    base; None: it has its name.
    """

    number: int
    name: str
    part: Path | None
    descriptor: int
    header: segment.Header


@dataclass(frozen=True, slots=True)
class Turn:
    """Another history: its id, the offset at which it begins, and where the last record ended by then."""

    replication_id: str
    end: int
    record_end: int


class Journal:
    """The log of one server: `open` or `prepare` and `begin`, then `end`, and again; at last `close`.

    changing: held while files of the log come and go. tasks: what is to be done at each tick. readers: who
    reads its files, and is told what becomes of them.
    """

    PURPOSE = "log"  # of the children that write its bases

    def __init__(self, server: "Context", directory: Path) -> None:
        config = server.config
        self.log = server.log
        self.server = server
        self.directory = directory
        self.stem = segment.stem_of(config.text("appendfilename"))
        self.manifest = Manifest(server.replication_id)
        self.changing = threading.RLock()
        self.tasks: list[Callable[[], None]] = []
        self.readers: set[HistoryFiles] = set()
        self.readable = False  # whether the manifest's files are the whole log, up to what is written
        self.epoch = 0  # how often the files have been forsaken
        self.parts: list[Begun] = []  # segments of a log whose base is not there yet
        self._turn: Turn | None = None  # one that the files do not show yet
        self.syncing = True  # False: a child writes, and no-appendfsync-on-rewrite leaves the disk to it
        self.base_bytes = 0  # of all files when the log was last rewritten
        self._closed_bytes = 0  # of all files but the segment that is being written
        self._next = 1
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = 0  # errno that was told of already
        self._policy = ""
        self._follow(config.text("appendfsync"))
        config.subscribe("appendfsync", self._follow)

    def _follow(self, policy: object) -> None:
        self._policy = str(policy)
        self.log.configure(self._policy)

    # --- life ---

    def open(self, past: Past) -> None:
        """Begins a new segment behind what there is, and has changes logged. Nobody else is there yet.

        Raises OSError.
        """
        self.make_directory()
        before = past.manifest
        self._next = past.next_number
        if before is not None:
            # Who wrote them may have been killed before it had synced: what is shown from now on must stay.
            for name in before.segments:
                files.sync_file(self.path(name))
            self.manifest = before
            if before.history != self.server.replication_id:
                self.manifest = replace(
                    before, history=self.server.replication_id, previous=before.history,
                    previous_end=past.offset,
                )  # fmt: skip
        if past.whole:
            begun = self.new_segment(past.offset)
            self.put_manifest(self.manifest.with_segment(begun.name))
        else:
            begun = self._begin_with_base(past.offset)
        self.begin(begun, past.offset)
        self.note_sizes(rewritten=True)

    def make_directory(self) -> None:
        self.directory.mkdir(mode=0o700, exist_ok=True)
        files.sync_directory(self.directory.parent)
        for part in self.directory.glob(f"{self.stem}.*.part-*"):  # of children that outlived their server
            with contextlib.suppress(OSError):
                part.unlink()

    def prepare(self) -> None:
        """Makes ready for a log that begins while the server serves, with a base that a child writes; what
        the directory holds of an earlier one counts no more once that is there. Raises OSError.
        """
        self.make_directory()
        numbers = [segment.number_of(path) or 0 for path in self.directory.iterdir()]
        self._next = max(self._next, max(numbers, default=0) + 1)
        self._watch_on()

    def _begin_with_base(self, offset: int) -> Begun:
        """A log whose base holds what was loaded from somewhere else."""
        begun = self.new_segment(offset)
        base = segment.base_name(self.stem, begun.number)
        db = Database(self.server.keyspace, 0)
        db.lock_all()
        try:
            snapshot.save(
                self.path(base), db, self.server.keyspace, self.server.config,
                history=History(self.server.replication_id, offset, self.log.selected), log_base=True,
            )  # fmt: skip
        finally:
            db.unlock()
        self.put_manifest(replace(self.manifest, base=base, base_offset=offset, segments=(begun.name,)))
        return begun

    def begin(self, begun: Begun, offset: int | None = None) -> int:
        """Has changes logged to this segment, from an offset on (None: the one where the log is), which is
        returned. Every stripe is locked, or nobody else is there yet.
        """
        offset = self.log.open(begun.descriptor, segment.SIZE, begun.header.seed, offset)
        self.server.note_log()
        self.readable = begun.part is None
        self._watch_on()
        return offset

    def _watch_on(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="log", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Writes and syncs what there is, and logs no more. Every stripe is locked, and `changing` held
        before that: who switches segments waits for stripes while nobody may write.
        """
        self.break_off("the log has ended")
        self._turn = None
        error = self.log.close()
        self.server.note_log()
        if error:
            LOG.error("the end of the log could not be written: %s", os.strerror(error))

    def close(self) -> None:
        """As `end`, for good. Nobody changes anything any longer."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        with self.changing:
            self.complete_turn()
            self.end()

    # --- another history ---

    def turn(self, replication_id: str) -> None:
        """With every stripe locked: the log goes on under another replication id, which the server takes; the
        former is what may be continued up to here. Waits for nothing.

        In the files that takes a new segment: `complete_turn`, which is to be called soon. Nothing that comes
        from here on is written before, and nobody is answered who would have to wait for that.
        """
        offset, record_end = self.log.divide()
        if self._turn is not None:
            self._turn = replace(self._turn, replication_id=replication_id)
        elif self.log.filing:
            self._turn = Turn(replication_id, offset, record_end)
        self.server.go_on_as(replication_id, offset)

    @property
    def turning(self) -> bool:
        """Whether a turn waits for its segment."""
        return self._turn is not None

    def complete_turn(self) -> None:
        """Has the files say what `turn` did, if they do not yet. No stripe is locked.

        Where that fails, no more is written until the log has been written anew, as when a sync fails.
        """
        with self.changing:
            turn, self._turn = self._turn, None
            if turn is None:
                return
            before = self.manifest
            self.manifest = replace(
                before, history=turn.replication_id, previous=before.history, previous_end=turn.end
            )
            try:
                begun = self.new_segment(turn.record_end, baseless=bool(self.parts))
            except OSError as fault:
                self.log.prepare_switch()
                self._give_up(fault)
                return
            error = self.log.prepare_switch()
            try:
                if error:
                    raise OSError(error, os.strerror(error))
                if self.parts:
                    self.manifest = self.manifest.with_segment(begun.name)
                    self.parts.append(begun)
                else:
                    self.put_manifest(self.manifest.with_segment(begun.name))
            except OSError as fault:
                self._give_up(fault)
                self.discard(begun)
                return
            self.log.go_on(begun.descriptor, segment.SIZE, begun.header.seed)
            self.log.finish_switch()
            self.note_sizes()

    def forsake(self) -> None:
        """With every stripe locked: what comes does not continue what the files hold. They stay as they are,
        and in force, until there is a log anew (`Rewriter.begin_log`). Waits for nothing.
        """
        self.log.forsake()
        self._turn = None
        self.epoch += 1
        self.break_off("the data are of another history now")

    def _give_up(self, fault: OSError) -> None:
        """Between two steps of a switch: nothing more can be written, but by writing the log anew."""
        self.log.give_up(fault.errno or errno.EIO)
        self.log.abandon_switch()
        self.break_off("the log could not go on under another replication id")

    # --- files ---

    def path(self, name: str) -> Path:
        return self.directory / name

    def new_segment(self, offset: int, *, baseless: bool = False) -> Begun:
        """Makes the next segment's file, on disk with its header when this returns. Raises OSError.

        baseless: what it continues is in no file yet. Until it is, no start may take it for a log, nor for
        what is left of one: it goes by another name.
        """
        header = segment.Header.new(self.manifest.history, offset)
        number, name = self._next, segment.segment_name(self.stem, self._next)
        part = files.part_of(self.path(name), os.getpid()) if baseless else None
        path = part or self.path(name)
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, files.MODE
        )
        try:
            os.write(descriptor, header.packed())
            os.fsync(descriptor)
            files.sync_directory(self.directory)
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._next += 1
        return Begun(number, name, part, descriptor, header)

    def discard(self, begun: Begun) -> None:
        """Takes back a segment that nothing was written to."""
        os.close(begun.descriptor)
        # A manifest that names it may be in place though putting it there failed: the sync after that did.
        # Then it stays: a segment that holds nothing harms nobody.
        with contextlib.suppress(OSError, ManifestError):
            if not self.is_named(begun.name):
                (begun.part or self.path(begun.name)).unlink()

    def put_manifest(self, to: Manifest) -> None:
        """Replaces the manifest. Raises OSError, the old one in force."""
        manifest.write(self.path(segment.manifest_name(self.stem)), to)
        self.manifest = to
        for each in self.readers:
            each.follow()

    def break_off(self, why: str) -> None:
        """The manifest's files are not the whole log any more: whoever reads them ends."""
        self.readable = False
        for each in list(self.readers):
            each.end(why)

    def named(self) -> tuple[str, ...]:
        """The files that the manifest names that is in place. Raises OSError, ManifestError."""
        path = self.path(segment.manifest_name(self.stem))
        return manifest.read(path).files if path.exists() else ()

    def is_named(self, name: str) -> bool:
        """Whether that names a file. Raises OSError, ManifestError."""
        return name in self.named()

    # --- sizes, in bytes ---

    def note_sizes(self, *, rewritten: bool = False) -> None:
        """Looks at the files anew, after some have come or gone. rewritten: growth counts from here."""
        total = 0
        for name in self.manifest.files[:-1]:
            with contextlib.suppress(OSError):
                total += self.path(name).stat().st_size
        self._closed_bytes = total
        if rewritten:
            self.base_bytes = self.bytes

    @property
    def bytes(self) -> int:
        """What the files of the log hold now."""
        return self._closed_bytes + self.log.segment_bytes

    # --- twice a second ---

    def _watch(self) -> None:
        synced = time.monotonic()
        while not self._stopping.wait(TICK_SECONDS):
            now = time.monotonic()
            may = self.syncing and (self._policy != "no" or now - synced >= LAZY_SECONDS)
            if may:
                synced = now
            self._tell(self.log.tick(may))
            for task in self.tasks:
                try:
                    task()
                except Exception:
                    LOG.exception("internal error in the log's thread")

    def _tell(self, error: int) -> None:
        """Logs that something went wrong, or is well again, once each."""
        if error == self._trouble:
            return
        self._trouble = error
        if not error:
            LOG.warning("the log can be written again; writes are taken again")
        elif self.log.lost:
            LOG.error(
                "the log could not be synced (%s): writes are refused until it has been written anew",
                os.strerror(error),
            )
        else:
            LOG.error(
                "the log could not be written (%s): writes are refused until it can", os.strerror(error)
            )


def seconds_since(started: float) -> int:
    """Whole seconds since a monotonic time."""
    return int(time.monotonic() - started)
