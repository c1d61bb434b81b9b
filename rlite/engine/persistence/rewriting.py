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
from dataclasses import replace
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
            begun = journal.new_segment(log.offset)
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
            offset = 0
            switched = False

            def switch() -> None:
                nonlocal offset, switched
                offset = log.switch(begun.descriptor, segment.SIZE, begun.header.seed, forsake=bool(error))
                switched = True
                if error:
                    journal.break_off("the disk did not take all of the log")

            try:
                self._started = time.monotonic()
                pid = self._forks.start(
                    journal.PURPOSE, lambda db, page: self._write(db, page, base, offset), switch,
                    done=lambda outcome: self._done(outcome, begun, base, offset),
                )  # fmt: skip
                self.scheduled = False
            except BaseException:
                self._started = None
                raise
            finally:
                if switched:
                    log.finish_switch()
                    journal.note_sizes()
                else:
                    log.abandon_switch()
                    self._undo(begun, former)
        LOG.info("rewriting the log: process %d writes what %s continues", pid, begun.name)

    def begin_log(self) -> None:
        """Begins a log while the server serves; its manifest is written when its base is there.

        Raises OSError, ChildBusyError, KeyspaceBusyError; there is no log then.
        """
        journal = self._journal
        with journal.changing:
            begun = journal.new_segment(journal.log.offset, baseless=True)
            base = journal.path(segment.base_name(journal.stem, begun.number))
            offset = journal.log.offset
            try:
                self._started = time.monotonic()
                self.beginning = True
                self._forks.start(
                    journal.PURPOSE, lambda db, page: self._write(db, page, base, offset),
                    lambda: journal.begin(begun, offset),
                    done=lambda outcome: self._done(outcome, begun, base, offset),
                )  # fmt: skip
                self.scheduled = False
            except BaseException:
                self._started, self.beginning = None, False
                if not journal.log.filing:
                    self._undo(begun, journal.manifest)
                raise
            journal.manifest = journal.manifest.with_segment(begun.name)
            journal.note_sizes()

    def _undo(self, begun: Begun, former: Manifest) -> None:
        """Takes back a segment that nothing was written to."""
        journal = self._journal
        os.close(begun.descriptor)
        # A manifest that names it may be in place though putting it there failed: the sync after that did.
        # Where that cannot be taken back, the segment stays: one that holds nothing harms nobody.
        with contextlib.suppress(OSError, ManifestError):
            if journal.manifest is not former or journal.is_named(begun.name):
                journal.put_manifest(former)
            (begun.part or journal.path(begun.name)).unlink()

    def _write(self, db: "Database", page: memoryview, base: Path, offset: int) -> None:
        """In the child: the new base, on disk when this returns."""
        server, part = self._journal.server, files.part_of(base, os.getpid())
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, files.MODE)
        snapshot.write(
            descriptor, db, server.keyspace, server.config, log_base=True,
            history=History(server.replication_id, offset), progress=page,
        )  # fmt: skip
        os.fsync(descriptor)

    def _done(self, outcome: Outcome, begun: Begun, base: Path, offset: int) -> None:
        """The child has ended: its base takes the place of what it holds, or all stays as it is."""
        part = files.part_of(base, outcome.pid)
        self._last_cow = outcome.cow_bytes
        try:
            if outcome.cancelled:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                LOG.info("rewriting the log was ended")
            elif outcome.fault:
                self._failed(outcome.fault)
            if outcome.fault:
                if begun.part is not None:
                    self._give_up(begun)
                return
            with self._journal.changing:
                self._take_over(begun, part, base, offset)
            self._last_fine = True
            self._count += 1
            LOG.info("the log was rewritten in %.3f seconds", outcome.seconds)
        except OSError as fault:
            self._failed(os.strerror(fault.errno or 0))
            if begun.part is not None:
                self._give_up(begun)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()
            self._last_seconds = int(outcome.seconds)
            self._started, self.beginning = None, False

    def _take_over(self, begun: Begun, part: Path, base: Path, offset: int) -> None:
        journal = self._journal
        part.rename(base)
        if begun.part is not None:
            begun.part.rename(journal.path(begun.name))
        files.sync_directory(journal.directory)
        before = journal.manifest
        kept = before.segments[before.segments.index(begun.name) :]
        journal.put_manifest(replace(before, base=base.name, base_offset=offset, segments=kept))
        journal.readable = True
        journal.log.heal()
        journal.note_sizes(rewritten=True)
        if not journal.server.config.flag("aof-disable-auto-gc"):
            for name in set(before.files) - set(journal.manifest.files):
                with contextlib.suppress(OSError):
                    journal.path(name).unlink()

    def _give_up(self, begun: Begun) -> None:
        """A log that never got its base is none; it begins anew after a while."""
        keyspace = self._journal.server.keyspace
        db = Database(keyspace, 0)
        db.lock_all()
        try:
            self._journal.end()
        finally:
            db.unlock()
        with contextlib.suppress(OSError, ManifestError):
            assert begun.part is not None
            begun.part.unlink(missing_ok=True)
            if not self._journal.is_named(begun.name):
                self._journal.path(begun.name).unlink(missing_ok=True)
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
