"""Children that write the data of one moment while the server goes on: at most one at a time, as in Redis.

A child is forked under every lock, so what it sees is one moment, and it holds all locks itself. It must not
wait for anything that another thread may have held, sends nothing to anybody, keeps no descriptor but its
own, and ends with `_exit`. The parent hears of it by a pipe and a page of shared memory. Runs with the GIL.
"""

import contextlib
import gc
import logging
import mmap
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.core.database import Database
from rlite.engine.errors import RliteError

if TYPE_CHECKING:
    from rlite.engine.core.keyspace import Keyspace

LOG = logging.getLogger("rlite.child")
LONGEST_FAULT = 2000  # bytes of what a child says went wrong: far less than a pipe holds
Work = Callable[[Database, memoryview], None]


class ChildBusyError(RliteError):
    """Another child is at work; `purpose` says at what."""

    def __init__(self, purpose: str) -> None:
        super().__init__(f"another child is at work: {purpose}")
        self.purpose = purpose


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child has ended. fault: what went wrong, "" where nothing did; cancelled: it was told to end;
    cow_bytes: memory that it and the parent no longer shared at its end; keys: how many it said it wrote.
    """

    purpose: str
    pid: int
    seconds: float
    fault: str
    cancelled: bool
    cow_bytes: int
    keys: int


@dataclass(slots=True)
class Child:
    """The one at work. started: monotonic seconds; keys_total: keys there were when it was forked."""

    purpose: str
    pid: int
    started: float
    keys_total: int
    page: memoryview  # int64: keys written, bytes no longer shared
    ended: threading.Event
    cancelled: bool = False
    cow_peak: int = 0

    @property
    def keys(self) -> int:
        return int(self.page[0])

    def cow_bytes(self) -> int:
        """What it does not share with the parent now."""
        now = private_bytes(self.pid)
        self.cow_peak = max(self.cow_peak, now)
        return now


class Forks:
    """The children of one server. count, last_us: how many there were, and what the last fork took.

    note: is told what a fork took, in nanoseconds.
    """

    def __init__(self, keyspace: "Keyspace", note: Callable[[int], None] = lambda _ns: None) -> None:
        self._keyspace, self._note = keyspace, note
        self._starting = threading.Lock()
        self.current: Child | None = None
        self.count = 0
        self.last_us = 0

    def start(
        self, purpose: str, child: Work, under_locks: Callable[[], None] | None = None, *,
        done: Callable[[Outcome], None] | None = None, under: Database | None = None,
        keep: Collection[int] = (),
    ) -> int:  # fmt: skip
        """Forks a child and returns its process id.

        child: its work, with a Database that holds every lock, and one int64 to count keys in; what it raises
        is its fault. under_locks: called here, just before the fork, with every lock held; where it raises,
        nothing is forked. done: called in a thread of its own when the child has ended. under: a Database
        that holds every lock already; None: they are taken. keep: descriptors that the child is to have.
        Raises ChildBusyError, OSError, KeyspaceBusyError.
        """
        # Never waited for: whoever is starting one may be waiting for the locks that `under` holds.
        if not self._starting.acquire(blocking=False):
            raise ChildBusyError("one that is just being started")
        try:
            if self.current is not None:
                raise ChildBusyError(self.current.purpose)
            holder = under if under is not None else Database(self._keyspace, 0)
            reading, writing = os.pipe()
            page = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
            try:
                if under is None:
                    holder.lock_all()
                try:
                    if under_locks is not None:
                        under_locks()
                    total = sum(map(self._keyspace.size, range(self._keyspace.databases)))
                    before = time.perf_counter_ns()
                    pid = fork()
                    if pid == 0:
                        run_child(child, holder, page, writing, keep)
                    took = time.perf_counter_ns() - before
                finally:
                    if under is None:
                        holder.unlock()
            except BaseException:
                os.close(reading)
                raise
            finally:
                os.close(writing)
            self.count += 1
            self.last_us = took // 1000
            self._note(took)
            born = Child(purpose, pid, time.monotonic(), total, page, threading.Event())
            self.current = born
            threading.Thread(
                target=self._attend, args=(born, reading, done), name=f"child-{purpose}", daemon=True
            ).start()
            return pid
        finally:
            self._starting.release()

    def _attend(self, child: Child, reading: int, done: Callable[[Outcome], None] | None) -> None:
        """Waits for the end of a child, and tells of it."""
        said = b""
        with open(reading, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        fault = said.decode("utf-8", "replace")
        if code < 0:
            fault = f"it was killed by {signal.Signals(-code).name}"
        elif code and not fault:
            fault = f"it ended with status {code}"
        outcome = Outcome(
            child.purpose, child.pid, time.monotonic() - child.started, fault, child.cancelled,
            int(child.page[1]), child.keys,
        )  # fmt: skip
        try:
            if done is not None:
                done(outcome)
        except Exception:
            LOG.exception("after the end of the child for %s", child.purpose)
        finally:
            self.current = None
            child.ended.set()

    def cancel(self, purpose: str | None = None, *, wait: bool = True) -> None:
        """Ends the child at work, if there is one (for this purpose), and waits until that is done."""
        child = self.current
        if child is None or (purpose is not None and child.purpose != purpose):
            return
        child.cancelled = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        if wait:
            child.ended.wait()


def fork() -> int:
    """As os.fork, whose warning about other threads is known: the child touches nothing of theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def run_child(work: Work, db: Database, page: memoryview, writing: int, keep: Collection[int]) -> None:
    """All that happens in a child; does not return."""
    status = 1
    try:
        gc.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the parent decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        close_others({writing, *keep})
        work(db, page[0:1])
        page[1] = private_bytes(os.getpid())
        status = 0
    except BaseException as fault:
        text = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else repr(fault)
        with contextlib.suppress(OSError):
            os.write(writing, text.encode("utf-8", "replace")[:LONGEST_FAULT])
    finally:
        os._exit(status)


def close_others(mine: Collection[int]) -> None:
    """Closes every descriptor but the standard ones and these: sockets and locks are the parent's alone."""
    try:
        there = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208
    except OSError:
        there = list(range(3, 65536))
    for descriptor in there:
        if descriptor > 2 and descriptor not in mine:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def private_bytes(pid: int) -> int:
    """Memory of a process that it shares with no other; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty:")) * 1024
