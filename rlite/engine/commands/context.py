"""What all handlers share: the parts of one running server. Made by server.py; holds no logic of its own."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rlite.engine.commands.scripts import Scripts
from rlite.engine.commands.subscriptions import Board
from rlite.engine.commands.timers import Timers
from rlite.engine.core.log import Log
from rlite.engine.directives import INT64_MAX

if TYPE_CHECKING:
    from collections import deque

    from rlite.engine.commands.blocking import Waiter
    from rlite.engine.commands.declare import Command
    from rlite.engine.commands.waiting import Wanted
    from rlite.engine.config import Config
    from rlite.engine.core.connection import Client
    from rlite.engine.core.counters import Counters
    from rlite.engine.core.database import Database
    from rlite.engine.core.execute import CommandTable
    from rlite.engine.core.hotkeys import HotKeys
    from rlite.engine.core.keyspace import Keyspace
    from rlite.engine.core.reactor import Gate, Loop
    from rlite.engine.reply import Reply


class CommandLog(Protocol):
    """Where calls that took long or were large are noted (observe/slowlog.py)."""

    def judge(
        self, client: "Client", command: "Command", args: list[bytes], *, database: int, ns: int,
        request: int = -1, reply: int = -1,
    ) -> None:  # fmt: skip
        """A call has ended; ns: what it took; request, reply: bytes, -1 where that is not known."""


class LatencyMonitor(Protocol):
    """Where events that took long are noted (observe/latency_monitor.py)."""

    def note(self, event: str, ns: int) -> None:
        """An event that has just ended took so long."""


class Journal(Protocol):
    """Where changes are logged (core/log): under the locks of what was changed, in the thread that did it."""

    def begin(self) -> None:
        """What this thread appends from here on is one record, until as many `commit` as `begin`."""

    def append(self, database: int, words: Sequence[bytes]) -> None:
        """Logs one command. What the core logs by itself (its commands, what expires) goes the same way."""

    def commit(self) -> None: ...

    @property
    def refusing(self) -> int:
        """The errno for which it takes no more changes; 0: it does."""

    @property
    def positions(self) -> tuple[int, int, int]:
        """How far the log was (appended, written, brought to disk), in bytes of files since the start."""

    def settle(self) -> bool:
        """To be called before a caller in this process is answered. False: it may not be on disk."""


class Rewriter(Protocol):
    """Who writes the log anew (persistence/rewriting.py). beginning: the log has no base yet."""

    beginning: bool

    def ask(self) -> bool:
        """Begins, or (False) notes that it is to begin when another child is done."""

    def later(self) -> None:
        """Notes that it is to begin soon: the data are not what the log says."""

    def facts(self) -> Mapping[str, object]:
        """What INFO persistence says of the log."""


@dataclass(slots=True)
class Loading:
    """How far loading is: written by the thread that loads, read by any. While there is one, clients are
    answered with LOADING.

    total, loaded: bytes of files; commands: run so far; started: Unix seconds, clock: the same, monotonic;
    stop: says whether to give up.
    """

    stop: Callable[[], bool] = lambda: False
    total: int = 0
    loaded: int = 0
    commands: int = 0
    started: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.loaded / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float:
        """As it looks now."""
        return (time.monotonic() - self.clock) * (1 - self.share) / self.share if self.share else 1.0


class Saves(Protocol):
    """The snapshots of the data (persistence/saves.py). refusing: writes are, for the last one failed."""

    refusing: bool

    def info(self) -> dict[str, object]:
        """Fields of INFO persistence."""

    def forked(self) -> dict[str, object]:
        """Fields of INFO stats."""

    def flushed(self, db: "Database") -> None:
        """All data have been deleted, under the locks that `db` holds."""

    def reload(self, db: "Database", *, save: bool, flush: bool) -> None:
        """Has the data come from disk. Raises RliteError, OSError."""


class Replication(Protocol):
    """The links to replicas and to a master (replication/)."""

    @property
    def master(self) -> tuple[str, int] | None:
        """Host and port of the master; None: this is one."""

    @property
    def resumable(self) -> bool:
        """Whether the data are a master's, at the offset where the log is."""

    @property
    def link_up(self) -> bool:
        """Whether the stream of the master is coming in."""

    @property
    def loading(self) -> bool:
        """Whether a master's data are being loaded beside those that are served."""

    def info(self) -> dict[str, object]:
        """The fields of INFO replication."""

    def syncs(self) -> dict[str, object]:
        """The fields of INFO stats that count synchronisations."""

    def role(self) -> "Reply":
        """What ROLE answers."""

    @property
    def wanting(self) -> bool:
        """Whether fewer replicas are well than min-replicas-to-write asks for."""

    def acknowledged(self, offset: int) -> int:
        """Replicas that have said that they hold the stream up to an offset."""

    def synced(self, offset: int) -> int:
        """Of those, how many have it on disk."""

    def written(self) -> int:
        """The offset behind what has been written."""

    def ask(self) -> None:
        """Has replicas acknowledge at once (REPLCONF GETACK)."""


@dataclass(slots=True)
class Pause:
    """CLIENT PAUSE: until when (monotonic seconds), and whether for all commands or for writes only."""

    until: float
    writes_only: bool


@dataclass(slots=True)
class Context:
    config: "Config"
    keyspace: "Keyspace"
    table: "CommandTable"
    gate: "Gate"
    counters: "Counters"  # of the ordinary path; written with the GIL
    hot_keys: "HotKeys"  # of the ordinary path
    command_log: CommandLog
    latency_monitor: LatencyMonitor
    link_counters: "Counters"  # of the link to a master
    ids: dict[str, int]  # command name -> index of its counters
    log: Log = field(default_factory=Log)
    journal: Journal | None = None  # that log, while anybody reads it: there are files, or replicas
    rewriter: Rewriter | None = None  # None: there are no files
    loading: Loading | None = None  # None: all is there
    saves: Saves | None = None
    loops: list["Loop"] = field(default_factory=list)
    clients: dict[int, "Client"] = field(default_factory=dict)
    watchers: dict[tuple[int, bytes], set["Client"]] = field(default_factory=dict)
    waiting: dict[tuple[int, bytes], "deque[Waiter]"] = field(
        default_factory=dict
    )  # (database, key) -> who blocks on it, first come first
    ready: dict[tuple[int, bytes], None] = field(
        default_factory=dict
    )  # of those, what has changed and is to be looked at, in order
    blocked: dict[int, "Waiter"] = field(default_factory=dict)  # by client id
    acknowledging: dict[int, "Wanted"] = field(default_factory=dict)  # of those, who waits for replicas
    serving: threading.Lock = field(default_factory=threading.Lock)  # held to end somebody's wait
    board: Board = field(default_factory=Board)
    scripts: Scripts = field(default_factory=Scripts)
    monitors: dict["Client", None] = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)
    # From here on a call is looked at by `dispatch.judge`: what it took, its request's and its reply's bytes.
    slow_ns: int = INT64_MAX
    large_request: int = INT64_MAX
    large_reply: int = INT64_MAX
    notify_classes: str = ""  # the letters of notify-keyspace-events that are on, A spelt out; empty: off
    errors: dict[str, int] = field(default_factory=dict)  # error replies by their first word
    run_id: str = field(default_factory=lambda: os.urandom(20).hex())
    started: float = field(default_factory=time.time)
    pause: Pause | None = None
    pausing: threading.Lock = field(default_factory=threading.Lock)  # held to begin, extend or end a pause
    unpause: Callable[[], None] = lambda: None  # ends the pause: whoever waits goes on
    resume_all: Callable[[], None] = lambda: None  # has every client that waits try again
    replication_id: str = field(default_factory=lambda: os.urandom(20).hex())
    former_id: str = ""  # of the history before, which may be continued up to former_end; "": there is none
    former_end: int = 0
    replication: Replication | None = None
    read_only: bool = False  # it is a replica that clients may not write to
    stale: bool = False  # it is a replica whose link is down, and is not to show what may be old
    unexpected_errors: int = 0  # commands of a master's stream that failed here
    connections_received: int = 0
    connections_rejected: int = 0
    samples: dict[str, float] = field(
        default_factory=dict
    )  # per-second figures of INFO, kept by the server's clock
    # Asks the server to stop: whether to save (None: as the rules say), whether to stop though that failed.
    # False: it could not be saved, and the server goes on.
    shutdown: Callable[[bool | None, bool], bool] | None = None
    renamed: dict[bytes, str] = field(
        default_factory=dict
    )  # rename-command: what clients say -> declared name
    config_file: str = ""
    port: int = 0
    startup_memory: int = 0  # bytes used when the server had just started
    bury: Callable[[Callable[[], object]], None] = lambda job: (job(), None)[
        1
    ]  # frees memory later, elsewhere

    def new_replication_id(self) -> None:
        """A new history begins, which continues none."""
        self.former_id, self.former_end = "", 0
        self.replication_id = os.urandom(20).hex()

    def go_on_as(self, replication_id: str, offset: int) -> None:
        """The history has another name from this offset on, where the log is now. Under every lock."""
        self.former_id, self.former_end = self.replication_id, offset
        self.replication_id = replication_id

    @property
    def follows(self) -> bool:
        """Whether this server is a replica."""
        return self.replication is not None and self.replication.master is not None

    def note_log(self) -> None:
        """Takes note of whether anybody reads the log. Every stripe is locked, or nobody is there yet."""
        self.journal = self.log if self.log.on else None

    def all_counters(self) -> Iterable["Counters"]:
        """One set a thread, and that of the ordinary path."""
        return [self.counters, self.link_counters, *(loop.counters for loop in self.loops)]

    def total(self, name: str) -> int:
        """A figure of `Counters.totals`, summed over all threads."""
        return sum(each.totals()[name] for each in self.all_counters())
