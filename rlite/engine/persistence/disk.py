"""What one server keeps on disk: its directory, its log, its snapshots; from start to end.

Puts the parts of persistence together for server.py, and knows no connection. `begin`, `load` and `close` are
for whoever starts and stops the server; the rest may be called by any thread that holds the GIL.
"""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.commands.context import Context, Loading
from rlite.engine.core.database import Database, KeyspaceBusyError
from rlite.engine.persistence import history, loading
from rlite.engine.persistence.forking import ChildBusyError, Forks
from rlite.engine.persistence.history import HistoryFiles
from rlite.engine.persistence.journal import Journal, Past
from rlite.engine.persistence.outcome import WHOLE, Recovered, RecoveryError
from rlite.engine.persistence.rewriting import Rewriter
from rlite.engine.persistence.saves import Saves
from rlite.engine.persistence.snapshot import History

if TYPE_CHECKING:
    from rlite.engine.persistence.lock import DirectoryLock

LOG = logging.getLogger("rlite")


class Disk:
    """The files of one server."""

    def __init__(self, server: Context) -> None:
        self._server = server
        self.forks = Forks(server.keyspace, lambda ns: server.latency_monitor.note("fork", ns))
        self.saves = server.saves = Saves(server, self.forks)
        self.saves.history = self._history
        self._journal: Journal | None = None
        self._rewriter: Rewriter | None = None
        self._owned: DirectoryLock | None = None
        self._changing = threading.Lock()  # held while it loads, begins or ends a log, or closes
        self._closed = False
        self.resumable = False  # what was loaded is what the server's id and the log's offset say
        server.config.subscribe("appendonly", self._turn_log)

    # --- start ---

    def begin(self, stop: Callable[[], bool]) -> None:
        """From here on clients hear LOADING, until `load` has returned. stop: says whether to give up."""
        server = self._server
        if loading.reads(server.config) and server.loading is None:
            server.loading = Loading(stop)
            server.keyspace.loading = True
            server.gate.close()

    def load(self) -> None:
        """Loads what is there, if this server keeps anything, and begins the log behind it.

        Raises RecoveryError, LockedError, StoppedError: the server must not serve then.
        """
        server = self._server
        if server.loading is None:
            return
        with self._changing:
            if loading.persists(server.config):
                self._owned = loading.own(server.config)
            found = loading.load(server, server.loading)
            self.saves.note_load(found.snapshot)
            self._go_on_from(found)
            if server.config.flag("appendonly"):
                self._begin_log(found)
        for watchers in list(server.watchers.values()):
            for client in list(watchers):
                client.watch_broken = True
        server.keyspace.loading = False
        server.loading = None
        server.gate.open()

    def _go_on_from(self, found: Recovered) -> None:
        """Has the server stand where what was loaded does in its history."""
        server, said = self._server, found.manifest
        if said is None:
            return
        if server.config.master() is not None:
            # A master will say whether it goes on from here: so the history is still the one that it was.
            server.replication_id = said.history
            if said.previous:
                server.former_id, server.former_end = said.previous, min(said.previous_end, found.offset)
            self.resumable = True
        else:
            # What the end of the process took from the log, a replica may have: a history of that name would
            # mean two things.
            server.former_id, server.former_end = said.history, found.offset
        server.log.start_at(found.offset)
        server.log.selected = found.selected

    def _begin_log(self, found: Recovered) -> None:
        journal = self._new_journal()
        try:
            journal.open(Past(found.manifest, found.offset, found.next_number, found.source in WHOLE))
        except OSError as fault:
            raise RecoveryError(
                f"{journal.directory}: the log cannot be begun: {os.strerror(fault.errno or 0)}"
            ) from None
        self._server.rewriter = self._rewriter

    def _new_journal(self) -> Journal:
        config = self._server.config
        directory = Path(config.text("dir")) / config.text("appenddirname")
        self._journal = Journal(self._server, directory)
        self._rewriter = Rewriter(self._journal, self.forks)
        return self._journal

    # --- while it serves ---

    def _history(self) -> History | None:
        """Where the data stand, under every lock; None: in no history, nobody has counted what changed."""
        server = self._server
        counted = server.journal is not None
        if server.replication is not None:
            counted = counted or server.replication.resumable
        if not counted:
            return None
        return History(server.replication_id, server.log.offset, server.log.selected)

    def history(self) -> HistoryFiles | None:
        """The files of the log as far as they can be read back; whoever gets them closes them."""
        return history.opened(self._journal)

    def tick(self) -> None:
        """What is due ten times a second."""
        if self._server.loading is None:
            self.saves.tick()

    def _turn_log(self, on: object) -> None:
        """CONFIG SET appendonly."""
        with self._changing:
            loading_ = self._server.loading is not None  # it looks at the directive when all is there
            if self._closed or loading_ or bool(on) == (self._server.rewriter is not None):
                return
            if on:
                self._turn_on()
            else:
                self._end_log()

    def _turn_on(self) -> None:
        """A log begins with what is there: its base is written by a child, as when one is rewritten."""
        server = self._server
        if self._owned is None:
            self._owned = loading.own(server.config)
        if not (server.log.on or server.log.following):
            server.new_replication_id()  # what changed since there was no log is in no history
        if self._journal is None:
            self._new_journal()
        assert self._journal is not None
        assert self._rewriter is not None
        self._journal.prepare()
        server.rewriter = self._rewriter
        try:
            self._rewriter.begin_log()
        except (ChildBusyError, KeyspaceBusyError, OSError) as fault:
            LOG.warning("the log begins later: %s", getattr(fault, "strerror", None) or fault)
            self._rewriter.scheduled = True

    def _end_log(self) -> None:
        server = self._server
        assert self._journal is not None
        self.forks.cancel(self._journal.PURPOSE)
        server.rewriter = None
        db = Database(server.keyspace, 0)
        with self._journal.changing:
            self._journal.complete_turn()
            db.lock_all()
            try:
                self._journal.end()
            finally:
                db.unlock()

    # --- histories ---

    def turn_history(self, replication_id: str = "", *, locked: bool = False) -> None:
        """The data go on as they are, under another replication id (none given: a new one); who has the
        former history up to here may continue it.

        locked: the caller holds every lock. Then nothing is waited for, and the files follow by themselves,
        in a moment; without, they say it when this returns. Raises KeyspaceBusyError (no change).
        """
        server, journal = self._server, self._journal
        holder = Database(server.keyspace, 0)
        if not locked:
            holder.lock_all()
        try:
            replication_id = replication_id or os.urandom(20).hex()
            if journal is not None:
                journal.turn(replication_id)
            else:
                server.go_on_as(replication_id, server.log.divide()[0])
        finally:
            if not locked:
                holder.unlock()
        if journal is None or not journal.turning:
            return
        if not locked:
            journal.complete_turn()
        else:
            threading.Thread(target=journal.complete_turn, name="log-turn", daemon=True).start()

    def restart_log(self, replication_id: str, offset: int) -> None:
        """The data are, from this moment on, those of another history, at an offset of it. With every stripe
        locked, right where they are exchanged; waits for nothing.

        What is logged from here on reaches the files with the base of a log that begins anew, which a child
        writes soon. Until that is on disk the files of before stay in force, and a start finds those data.
        """
        server = self._server
        if self._journal is not None:
            self._journal.forsake()
        server.replication_id, server.former_id, server.former_end = replication_id, "", 0
        server.log.start_at(offset)
        server.log.reselect()
        if self._rewriter is not None and server.rewriter is not None:
            self._rewriter.begin_anew()

    # --- end ---

    def save_at_end(self, save: bool | None) -> bool:
        """Makes the snapshot that a shutdown owes, where anything has changed; None: as the rules say. False:
        that failed.
        """
        saves = self.saves
        if self._server.loading is not None:  # what is not all there must not take the place of what is
            return True
        if not (saves.wanted_at_end() if save is None else save and saves.owed):
            return True
        self.forks.cancel()
        db = Database(self._server.keyspace, 0)
        db.lock_all()
        try:
            saves.save(db)
        except (ChildBusyError, OSError):
            return False
        finally:
            db.unlock()
        return True

    def close(self, save: bool | None) -> None:
        """Writes what is left, and lets the directory go. Nobody changes anything any longer."""
        with self._changing:
            self._closed = True
            child = self.forks.current
            if child is not None and self._rewriter is not None and self._rewriter.beginning:
                child.ended.wait()  # without its base the log is none
            self.forks.cancel()
            self.save_at_end(save)
            if self._journal is not None:
                self._journal.close()
            if self._owned is not None:
                self._owned.release()
                self._owned = None
