"""When snapshots are made, and how the last one went: SAVE, BGSAVE, the `save` rules, the one at shutdown.

Runs with the GIL: in the threads of clients, in the server's clock, and in the thread that waits for a child.
The counts follow Redis: changes since the last snapshot that came off, and a failed one is tried again after
five seconds.
"""

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.core.database import Database, KeyspaceBusyError
from rlite.engine.persistence import files, snapshot
from rlite.engine.persistence.forking import ChildBusyError, Forks, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlite.engine.commands.context import Context
    from rlite.engine.core.rdbload import Loaded
    from rlite.engine.persistence.snapshot import History

LOG = logging.getLogger("rlite.snapshot")
RETRY_SECONDS = 5
PURPOSE = "snapshot"


class Saves:
    """The snapshots of one server. Times are Unix seconds; refusing: writes are, as the last one failed."""

    def __init__(self, server: "Context", forks: Forks) -> None:
        self._server = server
        self.forks = forks
        self.history: Callable[[], History | None] = lambda: None  # where the data stand; under every lock
        self.last_save = int(time.time())
        self.last_ok = True
        self.last_try = 0.0
        self.last_seconds = -1
        self.last_cow = 0
        self.made = 0
        self.scheduled = False
        self.refusing = False
        self.loaded: Loaded | None = None
        self._saved_changes = 0  # of the server's count, what the last snapshot holds
        self._state = threading.Lock()
        for name in ("save", "stop-writes-on-bgsave-error"):
            server.config.subscribe(name, lambda _value: self._judge())

    # --- figures ---

    @property
    def rules(self) -> list[tuple[int, int]]:
        """(seconds, changes) of each rule."""
        rules = self._server.config["save"]
        return [(int(seconds), int(changes)) for seconds, changes in rules] if isinstance(rules, list) else []

    @property
    def changes(self) -> int:
        """Changes that no snapshot holds."""
        return max(0, self._server.total("dirty") - self._saved_changes)

    @property
    def running(self) -> bool:
        child = self.forks.current
        return child is not None and child.purpose == PURPOSE

    @property
    def _loading(self) -> bool:
        """Whether the data are not all there yet: nothing is saved then; half of them would replace all."""
        return self._server.loading is not None

    def info(self) -> dict[str, object]:
        """The fields of INFO persistence that are about snapshots and children."""
        child = self.forks.current
        saving = child if child is not None and child.purpose == PURPOSE else None
        cow = 0 if child is None else child.cow_bytes()
        keys, total = (0, 0) if child is None else (child.keys, child.keys_total)
        loaded = self.loaded
        return {
            "current_cow_peak": 0 if child is None else child.cow_peak,
            "current_cow_size": cow,
            "current_cow_size_age": 0,
            "current_fork_perc": f"{100 * keys / total if total else 0:.2f}",
            "current_save_keys_processed": keys,
            "current_save_keys_total": total,
            "rdb_changes_since_last_save": self.changes,
            "rdb_bgsave_in_progress": int(saving is not None),
            "rdb_last_save_time": self.last_save,
            "rdb_last_bgsave_status": "ok" if self.last_ok else "err",
            "rdb_last_bgsave_time_sec": self.last_seconds,
            "rdb_current_bgsave_time_sec": -1 if saving is None else int(time.monotonic() - saving.started),
            "rdb_saves": self.made,
            "rdb_last_cow_size": self.last_cow,
            "rdb_last_load_keys_expired": 0 if loaded is None else loaded.expired,
            "rdb_last_load_keys_loaded": 0 if loaded is None else loaded.keys,
        }

    def forked(self) -> dict[str, object]:
        """The fields of INFO stats that are about children."""
        return {"latest_fork_usec": self.forks.last_us, "total_forks": self.forks.count}

    def note_load(self, loaded: "Loaded | None") -> None:
        """The data are those of a snapshot, or of a log: nothing has changed yet."""
        self.loaded = loaded
        self._saved_changes = self._server.total("dirty")

    # --- one snapshot ---

    def save(self, db: Database) -> None:
        """Makes a snapshot here and now. `db` holds every lock. Raises ChildBusyError while a child makes
        one, OSError where it cannot be written.
        """
        if self.running:
            raise ChildBusyError(PURPOSE)
        self._save(db)

    def _save(self, db: Database) -> None:
        server = self._server
        path = self._path()
        started = time.monotonic()
        changes = server.total("dirty")
        try:
            keys, size = snapshot.save(path, db, server.keyspace, server.config, history=self.history())
        except OSError as fault:
            LOG.error("could not save %s: %s", path, fault.strerror)  # noqa: TRY400 - no traceback for that
            raise
        LOG.info("saved %s: %d keys, %d bytes, %.3f s", path, keys, size, time.monotonic() - started)
        self._came_off(changes)

    def _path(self) -> Path:
        """Where the snapshot goes; its directory is there."""
        path = snapshot.path_of(self._server.config)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def start(self, *, under: Database | None = None) -> None:
        """Has a child make a snapshot. Raises ChildBusyError, KeyspaceBusyError, OSError."""
        server, config = self._server, self._server.config
        path = self._path()
        for left in path.parent.glob(f"{path.name}.part-*"):  # by children whose parents were killed
            with contextlib.suppress(OSError):
                left.unlink()
        changes, history = 0, None
        self.last_try = time.time()

        def look() -> None:
            nonlocal changes, history
            changes, history = server.total("dirty"), self.history()

        def work(db: Database, progress: memoryview) -> None:
            with files.writing(files.part_of(path, os.getpid())) as file:
                snapshot.write(file.fileno(), db, server.keyspace, config, history=history, progress=progress)

        def done(outcome: Outcome) -> None:
            self._finish(outcome, files.part_of(path, outcome.pid), path, changes)

        try:
            pid = self.forks.start(PURPOSE, work, look, done=done, under=under)
        except OSError as fault:
            LOG.error("no child for a snapshot: %s", fault.strerror)  # noqa: TRY400
            self.last_ok = False
            self._judge()
            raise
        self.scheduled = False
        LOG.info("saving in the background, process %d", pid)

    def _finish(self, outcome: Outcome, part: Path, path: Path, changes: int) -> None:
        fault = outcome.fault
        if not fault:
            try:
                files.put_in_place(part, path)
            except OSError as why:
                fault = f"{path}: {why.strerror}"
        if fault:
            with contextlib.suppress(OSError):
                part.unlink()
        self.last_seconds = int(outcome.seconds)
        self.last_cow = outcome.cow_bytes
        if not fault:
            LOG.info(
                "saved %s in the background: %d keys, %.3f s, %d bytes copied",
                path, outcome.keys, outcome.seconds, outcome.cow_bytes,
            )  # fmt: skip
            self._came_off(changes)
        elif outcome.cancelled:
            LOG.warning("the snapshot in the background was ended")
        else:
            LOG.error("could not save in the background: %s", fault)
            self.last_ok = False
            self._judge()

    def _came_off(self, changes: int) -> None:
        self._saved_changes = changes
        self.last_save = int(time.time())
        self.last_ok = True
        self.made += 1
        self._judge()

    def _judge(self) -> None:
        """Decides anew whether writes are refused."""
        with self._state:
            config = self._server.config
            now = bool(self.rules) and not self.last_ok and config.flag("stop-writes-on-bgsave-error")
            if now != self.refusing:
                self.refusing = now
                (self._server.gate.close if now else self._server.gate.open)()

    # --- by themselves ---

    def tick(self) -> None:
        """Does what is due: a rule that is met, a snapshot that was asked for while another child worked."""
        if self.forks.current is not None or self._loading:
            return
        now = time.time()
        if not self.last_ok and now - self.last_try <= RETRY_SECONDS:
            return
        changes = self.changes
        for seconds, wanted in self.rules:
            if changes >= wanted and now - self.last_save > seconds:
                LOG.info("%d changes in %d seconds: saving", changes, seconds)
                self._try()
                return
        if self.scheduled:
            self._try()

    def _try(self) -> None:
        with contextlib.suppress(
            ChildBusyError, KeyspaceBusyError, OSError
        ):  # it was logged; tried again later
            self.start()

    def flushed(self, db: Database) -> None:
        """FLUSHALL: what a child is writing is not wanted any more, and the file is to be empty too."""
        self.forks.cancel(PURPOSE)
        if self.rules:
            with contextlib.suppress(OSError):
                self._save(db)

    def reload(self, db: Database, *, save: bool, flush: bool) -> None:
        """DEBUG RELOAD: to disk and back. `db` holds every lock. Raises OSError, SnapshotError: the data are
        gone then, as far as they were emptied.
        """
        if save:
            self.forks.cancel(PURPOSE)
            self._save(db)
        changes = self.changes
        path = snapshot.path_of(self._server.config)
        if flush:
            db.flush(everything=True).bury()
        loaded = snapshot.load(path, self._server.keyspace, now_ms=time.time_ns() // 1_000_000, under=db)
        self.loaded = loaded
        self._saved_changes = self._server.total("dirty") - (0 if save else changes)

    @property
    def owed(self) -> bool:
        """Whether the file is not what the data are."""
        return not self._loading and (self.changes > 0 or not self.made)

    def wanted_at_end(self) -> bool:
        """Whether a shutdown that says nothing of saving is to save."""
        return bool(self.rules) and self.changes > 0 and not self._loading
