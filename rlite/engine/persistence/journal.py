"""The log of one server on disk: its directory, segments and manifest, and when it is synced and rewritten.

The records themselves are put together and written by core/log, in the threads that serve. What is done here
is done seldom: begin a segment, note it in the manifest, have a new base written by a child, and look twice a
second whether everything is well. Runs with the GIL, in threads of its own; holds no lock of data but where
it says so.
"""

import contextlib
import logging
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.core.log import Log
from rlite.engine.persistence import files, manifest, segment
from rlite.engine.persistence.manifest import Manifest

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context

LOG = logging.getLogger("rlite.log")
TICK_SECONDS = 0.5  # under everysec a change is on disk this long after it, and what a sync takes


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


class Journal:
    """The log of one server. `open` begins it, `close` ends it, both for the thread that starts and stops."""

    def __init__(self, server: "Context", directory: Path) -> None:
        config = server.config
        self.log = Log()
        self._server = server
        self.directory = directory
        self.stem = segment.stem_of(config.text("appendfilename"))
        self.manifest = Manifest(server.replication_id)
        self._next = 1
        self._changing = threading.Lock()  # held while files of the log come and go
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = 0  # errno that was told of already
        self.base_bytes = 0  # of all files when the log was last rewritten
        self.log.configure(config.text("appendfsync"))
        config.subscribe("appendfsync", lambda value: self.log.configure(str(value)))

    # --- life ---

    def open(self, past: Past) -> None:
        """Begins a new segment behind what there is, and has changes logged. Raises OSError."""
        server = self._server
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.sync_directory(self.directory.parent)
        before = past.manifest
        if before is not None:
            self.manifest = replace(
                before, history=server.replication_id, previous=before.history, previous_end=past.offset
            )
        self._next = past.next_number
        descriptor, header = self._new_segment(past.offset)
        self.base_bytes = self.bytes_on_disk()
        self.log.open(descriptor, segment.SIZE, header.seed, past.offset)
        server.keyspace.attach(self.log)
        server.journal = self.log
        self._thread = threading.Thread(target=self._watch, name="log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Writes and syncs what there is, and logs no more. Nobody changes anything any longer."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._server.journal = None
        error = self.log.close()
        if error:
            LOG.error("the end of the log could not be written: %s", os.strerror(error))

    # --- files ---

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _new_segment(self, offset: int) -> tuple[int, segment.Header]:
        """Makes the next segment, and notes it in the manifest; on disk when this returns. Raises OSError."""
        header = segment.Header.new(self._server.replication_id, offset)
        name = segment.segment_name(self.stem, self._next)
        path = self._path(name)
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, files.MODE
        )
        try:
            os.write(descriptor, header.packed())
            os.fsync(descriptor)
            files.sync_directory(self.directory)
            self._put_manifest(self.manifest.with_segment(name))
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._next += 1
        return descriptor, header

    def _put_manifest(self, to: Manifest) -> None:
        manifest.write(self._path(segment.manifest_name(self.stem)), to)
        self.manifest = to

    def bytes_on_disk(self) -> int:
        """What the files of the log take."""
        total = 0
        for name in self.manifest.files:
            with contextlib.suppress(OSError):
                total += self._path(name).stat().st_size
        return total

    # --- twice a second ---

    def _watch(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            self._tell(self.log.tick())

    def _tell(self, error: int) -> None:
        """Logs that something went wrong, or is well again, once each."""
        if error == self._trouble:
            return
        self._trouble = error
        if not error:
            LOG.warning("the log can be written again; writes are taken again")
        elif self.log.lost:
            LOG.error(
                "the log could not be synced (%s): writes are refused until BGREWRITEAOF has made a new one",
                os.strerror(error),
            )
        else:
            LOG.error(
                "the log could not be written (%s): writes are refused until it can", os.strerror(error)
            )
