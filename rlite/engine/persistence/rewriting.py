"""Rewriting the log: a child writes the data as a new base, which takes the place of all that came before it.

A new segment begins in the same moment in which the child is forked, under every lock, so that the base holds
exactly what the segments before hold. The manifest names old and new until the base is on disk; only then do
the old files go. A crash at any step leaves a manifest whose files are whole.
"""

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rlite.engine import errors
from rlite.engine.core.database import Database, KeyspaceBusyError
from rlite.engine.errors import CommandError
from rlite.engine.persistence import files, segment, snapshot
from rlite.engine.persistence.forking import ChildBusyError, Forks, Outcome
from rlite.engine.persistence.journal import Begun, Journal, seconds_since
from rlite.engine.persistence.manifest import Manifest, ManifestError
from rlite.engine.persistence.snapshot import History

LOG = logging.getLogger("rlite.log")
RETRY_SECONDS = 10.0  # between two tries to write a log anew that has lost something


@dataclass(slots=True)
class Rewrite:
    """One that a child is at. begun: the segment that continues its base; epoch: see Journal; offset: of the
    base; heals: the base makes good what the disk did not take.
    """

    begun: Begun
    base: Path
    epoch: int
    offset: int = 0
    heals: bool = False


class Rewriter:
    """The rewrites of one server's log."""

    def __init__(self, journal: Journal, forks: Forks) -> None:
        self._journal = journal
        self._forks = forks
        self.scheduled = False
        self._started: float | None = None  # monotonic; None: none is under way
        self._last_seconds = -1
        self._last_fine = True
        self._last_cow = 0
        self._count = 0
        self._retry_at = 0.0
        self.beginning = False  # the log has no base yet: what it holds is of no use without
        journal.tasks.append(self._look)

    # --- when ---

    def ask(self) -> bool:
        """BGREWRITEAOF: begins one, or notes that one is to begin when the other child is done (False).

        Raises CommandError, OSError, KeyspaceBusyError.
        """
        if self._started is not None:
            raise CommandError(errors.REWRITE_IN_PROGRESS)
        if self._forks.current is not None:
            self.scheduled = True
            return False
        self.start()
        return True

    def later(self) -> None:
        """Has one begin at the next look."""
        self.scheduled = True

    def _look(self) -> None:
        """Begins a rewrite that is due; called twice a second."""
        journal, config = self._journal, self._journal.server.config
        journal.syncing = self._started is None or not config.flag("no-appendfsync-on-rewrite")
        if self._started is not None or self._forks.current is not None or time.monotonic() < self._retry_at:
            return
        percentage, grown = config.int("auto-aof-rewrite-percentage"), journal.bytes
        due = (
            percentage > 0
            and grown >= config.int("auto-aof-rewrite-min-size")
            and (grown - journal.base_bytes) * 100 >= percentage * max(1, journal.base_bytes)
        )
        if not (self.scheduled or due or journal.log.lost):
            return
        try:
            if journal.log.filing:
                self.start()
            elif journal.server.rewriter is self:
                self.begin_log()
        except OSError as fault:
            self._failed(f"it could not begin: {os.strerror(fault.errno or 0)}")
        except (ChildBusyError, KeyspaceBusyError):
            pass  # the next look comes soon

    # --- how ---

    def start(self) -> None:
        """Begins a rewrite. Raises OSError, ChildBusyError, KeyspaceBusyError; the log goes on as it was."""
        journal = self._journal
        log = journal.log
        with journal.changing:
            journal.complete_turn()
            begun = journal.new_segment(log.record_end)
            former = journal.manifest
            try:
                journal.put_manifest(former.with_segment(begun.name))
                error = log.prepare_switch()
                if error and not log.lost:  # what is not written yet must not be dropped
                    log.abandon_switch()
                    raise OSError(error, os.strerror(error))
            except BaseException:
                self._undo(begun, former)
                raise
            base = journal.path(segment.base_name(journal.stem, begun.number))
            work = Rewrite(begun, base, journal.epoch)
            switched = False

            def switch() -> None:
                nonlocal switched
                if journal.turning or not log.filing:  # since then: another history
                    raise KeyspaceBusyError
                work.offset = log.switch(
                    begun.descriptor, segment.SIZE, begun.header.seed, forsake=bool(error)
                )
                switched = True

            try:
                self._started = time.monotonic()
                pid = self._forks.start(
                    journal.PURPOSE, lambda db, page: self._write(db, page, work), switch,
                    done=lambda outcome: self._done(outcome, work),
                )  # fmt: skip
                self.scheduled = False
            except BaseException:
                self._started = None
                raise
            finally:
                if switched:
                    work.heals = bool(log.finish_switch() or error)
                    if work.heals:
                        journal.break_off("the disk did not take all of the log")
                    journal.note_sizes()
                else:
                    log.abandon_switch()
                    self._undo(begun, former)
        LOG.info("rewriting the log: process %d writes what %s continues", pid, begun.name)

    def begin_log(self) -> None:
        """Begins a log while the server serves; its manifest is written when its base is there.

        Raises OSError, ChildBusyError, KeyspaceBusyError; there is no log then.
        """
        journal, server = self._journal, self._journal.server
        with journal.changing:
            journal.log.end_file()
            journal.manifest = said = Manifest(
                server.replication_id, previous=server.former_id, previous_end=server.former_end
            )
            begun = journal.new_segment(journal.log.record_end, baseless=True)
            base = journal.path(segment.base_name(journal.stem, begun.number))
            work = Rewrite(begun, base, journal.epoch)

            def begin() -> None:
                if server.replication_id != said.history or journal.epoch != work.epoch:  # since then
                    raise KeyspaceBusyError
                work.offset = journal.begin(begun)

            try:
                self._started = time.monotonic()
                self.beginning = True
                self._forks.start(
                    journal.PURPOSE, lambda db, page: self._write(db, page, work), begin,
                    done=lambda outcome: self._done(outcome, work),
                )  # fmt: skip
                self.scheduled = False
            except BaseException:
                self._started, self.beginning = None, False
                if journal.log.filing:
                    self._give_up([begun])
                else:
                    journal.discard(begun)
                raise
            journal.manifest = said.with_segment(begun.name)
            journal.parts = [begun]
            journal.note_sizes()

    def begin_anew(self) -> None:
        """The files were forsaken: what a child writes for them is of no use, and a log begins with the next
        look. With every stripe locked; waits for nothing.
        """
        self._forks.cancel(self._journal.PURPOSE, wait=False)
        self._retry_at = 0.0
        self.scheduled = True

    def _undo(self, begun: Begun, former: Manifest) -> None:
        """Takes back a segment that nothing was written to."""
        with contextlib.suppress(OSError, ManifestError):
            if self._journal.manifest is not former or self._journal.is_named(begun.name):
                self._journal.put_manifest(former)
        self._journal.discard(begun)

    def _write(self, db: "Database", page: memoryview, work: Rewrite) -> None:
        """In the child: the new base, on disk when this returns."""
        server, part = self._journal.server, files.part_of(work.base, os.getpid())
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, files.MODE)
        snapshot.write(
            descriptor, db, server.keyspace, server.config, log_base=True,
            history=History(server.replication_id, work.offset, server.log.selected), progress=page,
        )  # fmt: skip
        os.fsync(descriptor)

    def _done(self, outcome: Outcome, work: Rewrite) -> None:
        """The child has ended: its base takes the place of what it holds, or all stays as it is."""
        journal = self._journal
        part = files.part_of(work.base, outcome.pid)
        self._last_cow = outcome.cow_bytes
        try:
            with journal.changing:
                fault = outcome.fault
                if work.epoch != journal.epoch:
                    fault = "the data are of another history now"
                elif outcome.cancelled:
                    self._retry_at = time.monotonic() + RETRY_SECONDS
                elif not fault:
                    try:
                        self._take_over(work, part)
                    except OSError as error:
                        fault = os.strerror(error.errno or 0)
                    except ManifestError as error:
                        fault = f"the manifest: {error}"
                if not fault:
                    self._last_fine = True
                    self._count += 1
                    LOG.info("the log was rewritten in %.3f seconds", outcome.seconds)
                    return
                if outcome.cancelled:
                    LOG.info("rewriting the log was ended")
                else:
                    self._failed(fault)
                if work.begun.part is not None:
                    self._give_up(journal.parts, ends=work.epoch == journal.epoch)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()
            self._last_seconds = int(outcome.seconds)
            self._started, self.beginning = None, False

    def _take_over(self, work: Rewrite, part: Path) -> None:
        journal = self._journal
        part.rename(work.base)
        for each in journal.parts:
            assert each.part is not None
            each.part.rename(journal.path(each.name))
        files.sync_directory(journal.directory)
        former = set(journal.named())
        before = journal.manifest
        kept = before.segments[before.segments.index(work.begun.name) :]
        journal.put_manifest(replace(before, base=work.base.name, base_offset=work.offset, segments=kept))
        journal.parts = []
        journal.readable = True
        if work.heals:
            journal.log.heal()
        journal.note_sizes(rewritten=True)
        if not journal.server.config.flag("aof-disable-auto-gc"):
            for name in former - set(journal.manifest.files):
                with contextlib.suppress(OSError):
                    journal.path(name).unlink()

    def _give_up(self, parts: list[Begun], *, ends: bool = True) -> None:
        """A log that never got its base is none; it begins anew after a while. `changing` is held. ends: it
        is still being written.
        """
        journal = self._journal
        if ends:
            db = Database(journal.server.keyspace, 0)
            db.lock_all()
            try:
                journal.end()
            finally:
                db.unlock()
        for each in parts:
            with contextlib.suppress(OSError, ManifestError):
                assert each.part is not None
                each.part.unlink(missing_ok=True)
                if not journal.is_named(each.name):
                    journal.path(each.name).unlink(missing_ok=True)
        journal.parts = []
        self.scheduled = True

    def _failed(self, why: str) -> None:
        self._last_fine = False
        self._retry_at = time.monotonic() + RETRY_SECONDS
        LOG.error("the log was not rewritten: %s", why)

    def facts(self) -> Mapping[str, object]:
        """What INFO persistence says of it."""
        journal, log = self._journal, self._journal.log
        return {
            "aof_enabled": 1,
            "aof_rewrite_in_progress": int(self._started is not None),
            "aof_rewrite_scheduled": int(self.scheduled),
            "aof_last_rewrite_time_sec": self._last_seconds,
            "aof_current_rewrite_time_sec": -1 if self._started is None else seconds_since(self._started),
            "aof_last_bgrewrite_status": "ok" if self._last_fine else "err",
            "aof_rewrites": self._count,
            "aof_last_write_status": "err" if log.refusing else "ok",
            "aof_last_cow_size": self._last_cow,
            "aof_current_size": journal.bytes,
            "aof_base_size": journal.base_bytes,
            "aof_pending_rewrite": 0,
            "aof_buffer_length": log.pending,
            "aof_pending_bio_fsync": int(log.positions[2] < log.positions[1]),
            "aof_delayed_fsync": 0,
            "rlite_aof_fsyncs": log.syncs,
        }
