"""Full synchronisation: a child writes the data of one moment, and every replica that waits gets them.

Without a disk the child writes into a pipe, and what comes out goes to all replicas at the pace of the
slowest; by disk it writes a file, which each replica's thread sends. Either way the feeds of the replicas
hold the stream in memory from the moment of the fork. Runs with the GIL; under every lock where it says so.
"""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.core.database import KeyspaceBusyError
from rlite.engine.persistence import files, snapshot
from rlite.engine.persistence.forking import ChildBusyError, Forks, Outcome
from rlite.engine.persistence.snapshot import History
from rlite.engine.replication.replicas import Replica, Replicas, State
from rlite.engine.replication.sending import LOOK_SECONDS, LostError, send, serve, stream

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.core.database import Database

LOG = logging.getLogger("rlite.replication")
PURPOSE = "replication"
PIECE = 1 << 20  # bytes read and sent at a time
ALIVE_SECONDS = 1.0  # how often those who wait are told that they are not forgotten


class FullSync:
    """The full synchronisations of one server, one at a time."""

    def __init__(self, server: "Context", forks: Forks, replicas: Replicas) -> None:
        self._server = server
        self._forks = forks
        self._replicas = replicas
        self._waiting: list[Replica] = []
        self._since = 0.0  # when the first of them came
        self._told = 0.0
        self._lock = threading.Lock()  # held to come, and to begin

    def wait_for(self, replica: Replica) -> None:
        """A replica needs all data; it gets them with the next child."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            replica.hold()
            replica.patient = True
            self._waiting.append(replica)
        self.tick()

    def tick(self) -> None:
        """Begins what is due; called ten times a second, and when somebody comes."""
        with self._lock:
            for each in [each for each in self._waiting if each.gone]:
                self._waiting.remove(each)
                each.let_go()
            self._keep_alive()
            if not self._waiting:
                return
            if self._forks.current is not None or not self._due():
                return
            waiting, self._waiting = self._waiting, []
            try:
                self._begin(waiting)
            except (ChildBusyError, KeyspaceBusyError):
                self._waiting = waiting
            except (OSError, MemoryError) as fault:
                LOG.error("no full synchronisation: %s", fault)  # noqa: TRY400 - no traceback for that
                for each in waiting:
                    hand_over(self._replicas, each, partial(give_up, "there is no snapshot for it"))

    def _due(self) -> bool:
        """Whether to wait no longer for more replicas that could share the child."""
        config = self._server.config
        if not config.flag("repl-diskless-sync"):
            return True
        most = config.int("repl-diskless-sync-max-replicas")
        return time.monotonic() - self._since >= config.int("repl-diskless-sync-delay") or 0 < most <= len(
            self._waiting
        )

    def _keep_alive(self) -> None:
        now = time.monotonic()
        if now - self._told < ALIVE_SECONDS:
            return
        self._told = now
        for each in self._replicas:
            if each.patient and not each.gone:
                with contextlib.suppress(OSError):
                    os.write(each.descriptor, b"\n")

    # --- one of them ---

    def _begin(self, replicas: list[Replica]) -> None:
        """Forks the child. Raises ChildBusyError, KeyspaceBusyError, OSError, MemoryError."""
        diskless = self._server.config.flag("repl-diskless-sync") and all(
            each.greeting.eof for each in replicas
        )
        if diskless:
            Piped(self._server, self._forks, self._replicas, replicas).begin()
        else:
            ByDisk(self._server, self._forks, self._replicas, replicas, self._lock).begin()


def hand_over(replicas: Replicas, replica: Replica, do: Callable[[], bool]) -> None:
    """A replica that was held for its transfer goes on in a thread of its own."""
    serve(replicas, replica, do)
    replica.let_go()


def give_up(why: str) -> bool:
    raise LostError(why)


class Moment:
    """The moment of the fork, as the child and the replicas know it."""

    def __init__(self, server: "Context", replicas: list[Replica]) -> None:
        self._server = server
        self._replicas = replicas
        self.replication_id = ""
        self.offset = self.selected = 0

    def fix(self) -> None:
        """Under every lock: the stream is held from here on for each of the replicas."""
        server, log = self._server, self._server.log
        start_stream(server)
        log.reselect()
        self.replication_id, self.offset, self.selected = server.replication_id, log.offset, log.selected
        for each in self._replicas:
            if not each.feed.join(self.offset):
                raise MemoryError("no memory for the stream of a replica")

    def answer(self, replica: Replica) -> bytes:
        """What it is told first."""
        if not replica.answered:
            return b""
        return b"+FULLRESYNC %b %d\r\n" % (self.replication_id.encode(), self.offset)

    def write(self, descriptor: int, db: "Database", progress: memoryview) -> None:
        """In the child: the data."""
        server = self._server
        history = History(self.replication_id, self.offset, self.selected)
        snapshot.write(
            descriptor, db, server.keyspace, server.config, history=history, progress=progress, syncs=False
        )


def start_stream(server: "Context") -> None:
    """Has the log keep the stream in memory, if it does not yet. Every stripe is locked."""
    config, log = server.config, server.log
    if not log.on and not log.following:
        server.new_replication_id()  # what changed so far is in no history
    hard = int(config["client-output-buffer-limit"]["slave"][0])  # type: ignore[index]
    log.stream(config.int("repl-backlog-size"), hard)
    server.note_log()


class Piped:
    """A transfer without a disk: `$EOF:<mark>`, the data, the mark."""

    def __init__(self, server: "Context", forks: Forks, replicas: Replicas, waiting: list[Replica]) -> None:
        self._server = server
        self._forks = forks
        self._all = replicas
        self._replicas = waiting
        for each in waiting:
            each.patient = False
        self._mark = os.urandom(20).hex().encode()
        self._patience = server.config.int("repl-timeout")
        self._ended = threading.Event()
        self._fault = ""

    def begin(self) -> None:
        moment = Moment(self._server, self._replicas)
        reading, writing = os.pipe()
        try:
            with contextlib.suppress(AttributeError, OSError):
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIECE)
            self._forks.start(
                PURPOSE, lambda db, page: moment.write(writing, db, page), moment.fix, done=self._done,
                keep=(writing,),
            )  # fmt: skip
        except BaseException:
            os.close(reading)
            for each in self._replicas:
                each.feed.leave()
                each.patient = True
            raise
        finally:
            os.close(writing)
        LOG.info("full synchronisation of %d replica(s), without a disk", len(self._replicas))
        threading.Thread(target=self._relay, args=(moment, reading), name="full-sync", daemon=True).start()

    def _done(self, outcome: Outcome) -> None:
        self._fault = outcome.fault
        self._ended.set()

    def _relay(self, moment: Moment, reading: int) -> None:
        """Hands on what the child writes; at its end each replica goes on in a thread of its own."""
        there = []
        for each in self._replicas:
            there += self._to_all([each], moment.answer(each) + b"$EOF:" + self._mark + b"\r\n")
        with open(reading, "rb", buffering=0) as pipe:
            while there and (data := pipe.read(PIECE)):
                there = self._to_all(there, data)
        if not there:
            self._forks.cancel(PURPOSE)
        self._ended.wait()
        for each in there:
            hand_over(self._all, each, partial(self._finish, each, moment))

    def _to_all(self, there: list[Replica], data: bytes) -> list[Replica]:
        """Sends to each; who can take no more is let go. Returns those that are left."""
        left = []
        for each in there:
            try:
                send(each, data, self._patience)
            except LostError as fault:
                why = f"in the middle of its full synchronisation: {fault}"
                hand_over(self._all, each, partial(give_up, why))
            else:
                left.append(each)
        return left

    def _finish(self, replica: Replica, moment: Moment) -> bool:
        if self._fault:
            raise LostError(f"its snapshot failed: {self._fault}")
        replica.heard.clear()
        send(replica, self._mark, self._patience)
        if replica.greeting.snapshot_only:
            return True
        # A replica finds the mark at the end of what it has read; so nothing may follow until it has.
        replica.state = State.ONLINE
        replica.acked_at = time.monotonic()
        while not replica.heard.wait(LOOK_SECONDS):
            if replica.gone:
                raise LostError("it has gone before it acknowledged its data")
        stream(self._all, replica, None, moment.offset, self._patience)
        return True


class ByDisk:
    """A transfer by way of a file in `dir`: `$<length>` and the data."""

    def __init__(
        self, server: "Context", forks: Forks, replicas: Replicas, waiting: list[Replica],
        telling: threading.Lock,
    ) -> None:  # fmt: skip
        self._server = server
        self._forks = forks
        self._all = replicas
        self._replicas = waiting
        self._telling = telling  # held while those who wait are told that they are not forgotten
        self._moment = Moment(server, waiting)
        self._patience = server.config.int("repl-timeout")

    def _path(self, pid: int) -> Path:
        return Path(self._server.config.text("dir")) / f"temp-sync-{pid}.rdb"

    def begin(self) -> None:
        def child(db: "Database", page: memoryview) -> None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._moment.write(os.open(self._path(os.getpid()), flags, files.MODE), db, page)

        try:
            self._forks.start(PURPOSE, child, self._moment.fix, done=self._done)
        except BaseException:
            for each in self._replicas:
                each.feed.leave()
            raise
        LOG.info("full synchronisation of %d replica(s), by disk", len(self._replicas))
        for each in self._replicas:
            with contextlib.suppress(LostError):
                send(each, self._moment.answer(each), self._patience)

    def _done(self, outcome: Outcome) -> None:
        path, fault, descriptor = self._path(outcome.pid), outcome.fault, -1
        if not fault:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as why:
                fault = f"{path}: {os.strerror(why.errno or 0)}"
        with contextlib.suppress(OSError):
            path.unlink()
        with self._telling:
            for each in self._replicas:
                each.patient = False
        for each in self._replicas:
            mine = os.dup(descriptor) if descriptor >= 0 else -1
            hand_over(self._all, each, partial(self._send, each, mine, fault))
        if descriptor >= 0:
            os.close(descriptor)

    def _send(self, replica: Replica, descriptor: int, fault: str) -> bool:
        if fault:
            raise LostError(f"its snapshot failed: {fault}")
        replica.state = State.TRANSFER
        try:
            size = os.fstat(descriptor).st_size
            send(replica, b"$%d\r\n" % size, self._patience)
            at = 0
            while at < size:
                data = os.pread(descriptor, PIECE, at)
                send(replica, data, self._patience)
                at += len(data)
        finally:
            os.close(descriptor)
        if not replica.greeting.snapshot_only:
            stream(self._all, replica, None, self._moment.offset, self._patience)
        return True
