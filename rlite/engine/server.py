"""Puts the parts together: sockets, I/O threads, the keeper of deadlines, the server's clock; start and
shutdown.

A `Server` may live in any process; several can live in one. Nothing here is global.
"""

import contextlib
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rlite.engine import errors
from rlite.engine.addresses import host_port, is_loopback
from rlite.engine.commands import blocking, declare_all, monitoring, subscriptions, watching
from rlite.engine.commands.context import Context
from rlite.engine.commands.declare import REGISTRY
from rlite.engine.commands.dispatch import CrossProtocolError, execute, find, judge
from rlite.engine.commands.notifying import ALL, tell_departures
from rlite.engine.config import Config, ConfigErrors, ConfigProblem
from rlite.engine.core.connection import Client
from rlite.engine.core.counters import Counters
from rlite.engine.core.execute import CommandTable
from rlite.engine.core.hotkeys import HotKeys
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.core.reactor import Gate, Loop
from rlite.engine.directives import INT64_MAX
from rlite.engine.errors import RliteError
from rlite.engine.observe import latency_commands, slowlog_commands
from rlite.engine.observe.latency_monitor import LatencyMonitor
from rlite.engine.observe.rates import Rates
from rlite.engine.observe.slowlog import CommandLog, Kind
from rlite.engine.persistence import rewriting_commands, saving_commands
from rlite.engine.persistence.disk import Disk
from rlite.engine.replication import following_commands, master_commands
from rlite.engine.replication.replication import Replication
from rlite.engine.reply import NO_REPLY, Reply

if TYPE_CHECKING:
    from rlite.engine.http.serving import HttpServer

log = logging.getLogger("rlite")
KEEPER_BUDGET_NS = (
    5_000_000  # one turn of the keeper works at most this long before it looks at the clock again
)


# maxmemory-policy as the core counts it.
POLICIES = (
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
    "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
)  # fmt: skip


def renamed_commands(config: Config) -> dict[bytes, str]:
    """What rename-command makes of names: the declared name behind each, "" for one taken away.

    Raises ConfigErrors where it names no command, or a name that another command has.
    """
    renamed: dict[bytes, str] = {}
    problems: list[ConfigProblem] = []
    where = config.origin("rename-command")
    for old, new in cast("list[tuple[str, str]]", config["rename-command"]):
        raw = new.lower().encode("utf-8", "surrogateescape")
        if old.upper() not in REGISTRY or " " in old:
            problems.append(ConfigProblem(where, "rename-command", f"there is no command {old}"))
        elif new and renamed.get(raw, new.upper() if new.upper() in REGISTRY else ""):
            problems.append(ConfigProblem(where, "rename-command", f"there is a command {new} already"))
        else:
            renamed[old.lower().encode()] = ""
            if new:
                renamed[raw] = old.upper()
    if problems:
        raise ConfigErrors(problems)
    return renamed


def make_table(renamed: Collection[str] = ()) -> tuple[CommandTable, dict[str, int]]:
    """The reactor's table of commands, and each command's index of counters by the name it is counted as.

    renamed: commands that the reactor must not find by their own name; they are left to Python.
    """
    declare_all()
    assert latency_commands
    assert slowlog_commands
    assert rewriting_commands
    assert saving_commands
    assert master_commands
    assert following_commands
    table = CommandTable()
    ids: dict[str, int] = {}
    for command in REGISTRY.values():
        if " " in command.name or command.name in renamed:
            ids[command.counted_as] = table.add_counted(command.counted_as)
            continue
        keys = command.keys
        ids[command.counted_as] = table.add(
            command.name, command.arity, keys.first, keys.last, keys.step, "write" in command.flags,
            "denyoom" in command.flags, command.core,
        )  # fmt: skip
    return table, ids


# The directives of each log of calls: from where on they are kept, and how many.
COMMAND_LOGS = {
    Kind.SLOW: ("slowlog-log-slower-than", "slowlog-max-len"),
    Kind.LARGE_REQUEST: ("commandlog-request-larger-than", "commandlog-large-request-max-len"),
    Kind.LARGE_REPLY: ("commandlog-reply-larger-than", "commandlog-large-reply-max-len"),
}

LIMITS = {  # directives that say up to where values stay compact, and the words of Keyspace.limit
    "hash-max-listpack-entries": "hash_entries",
    "hash-max-listpack-value": "hash_value",
    "set-max-intset-entries": "set_intset",
    "set-max-listpack-entries": "set_entries",
    "set-max-listpack-value": "set_value",
    "zset-max-listpack-entries": "zset_entries",
    "zset-max-listpack-value": "zset_value",
    "list-max-listpack-size": "list_size",
    "stream-node-max-bytes": "stream_bytes",
    "stream-node-max-entries": "stream_entries",
}


class Server:
    """One server. `start()` returns when it serves all its data, `stop()` when everything has ended.

    Raises RliteError from `start` where an address cannot be had, or what is on disk cannot be loaded;
    StoppedError where it was told to stop while it loaded.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        renamed = renamed_commands(config)
        gone = {raw.decode().upper() for raw, name in renamed.items() if not name}
        table, ids = make_table(gone)
        self.command_log, self.latency_monitor = CommandLog(), LatencyMonitor()
        self.keyspace = Keyspace(config.int("databases"), config.int("lock-stripes"))
        self.context = Context(
            config=config, keyspace=self.keyspace, table=table, gate=Gate(),
            counters=Counters(len(table.names)), link_counters=Counters(len(table.names)), ids=ids,
            command_log=self.command_log, latency_monitor=self.latency_monitor,
            hot_keys=HotKeys(self.keyspace), renamed=renamed, config_file=config.file,
        )  # fmt: skip
        self.keyspace.attach(self.context.log)
        self.context.unpause = self.unpause
        self.context.resume_all = self.resume_all
        self.context.shutdown = self._shut_down
        self.disk = Disk(self.context)
        self.replication = Replication(self.context, self.disk)
        self._last_save: bool | None = None  # whether the shutdown saves; None: as the rules say
        self.context.startup_memory = self.keyspace.used_memory()
        self._rates = Rates()
        self.asked_to_stop = threading.Event()  # by SHUTDOWN; whoever started the server may set it too
        self._stop_lock = threading.Lock()
        self.stopping = threading.Event()
        self.stopped = threading.Event()
        self._listeners: list[socket.socket] = []
        self._http_listeners: list[socket.socket] = []
        self._http: HttpServer | None = None
        self._threads: list[threading.Thread] = []
        self._next_loop = 0
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._follow()

    def _follow(self) -> None:
        """Has each directive that may change take effect, now and whenever it is set."""
        followers: tuple[tuple[str, Callable[[Any], None]], ...] = (
            ("maxmemory", lambda value: self.keyspace.configure(maxmemory=min(value, INT64_MAX))),
            ("maxmemory-policy", lambda value: self.keyspace.configure(policy=POLICIES.index(value))),
            ("maxmemory-samples", lambda value: self.keyspace.configure(samples=value)),
            ("maxmemory-eviction-tenacity", lambda value: self.keyspace.configure(tenacity=value)),
            ("lfu-log-factor", lambda value: self.keyspace.configure(lfu_log_factor=value)),
            ("lfu-decay-time", lambda value: self.keyspace.configure(lfu_decay_minutes=value)),
            ("proto-max-bulk-len", self._limit_strings),
            ("client-query-buffer-limit", self._limit_queries),
            *((name, self._watch_calls) for name, _ in COMMAND_LOGS.values()),
            *((name, self._bound_logs) for _, name in COMMAND_LOGS.values()),
            ("latency-monitor-threshold", self._watch_calls),
            ("latency-tracking", self._track_latency),
            ("requirepass", self._let_in),
            ("notify-keyspace-events", self._choose_events),
            ("client-output-buffer-limit", self._limit_pushes),
            *((name, self._limit_values) for name in LIMITS),
        )
        for name, apply in followers:
            self.config.subscribe(name, apply)
            apply(self.config[name])

    def _limit_strings(self, size: Any) -> None:
        self.keyspace.configure(max_string=size)
        for client in list(self.context.clients.values()):
            client.max_bulk = size

    def _limit_values(self, _value: Any) -> None:
        self.keyspace.limit(**{word: self.config.int(name) for name, word in LIMITS.items()})

    def _limit_pushes(self, limits: Any) -> None:
        for loop in self.context.loops:
            loop.configure(push_limit=min(limits["pubsub"][0], INT64_MAX))

    def _choose_events(self, letters: Any) -> None:
        """While any class of keyspace events is on, every command comes to Python."""
        classes = letters.replace("A", ALL)
        if not set(classes) & {"K", "E"} or not set(classes) - {"K", "E"}:
            classes = ""
        before, self.context.notify_classes = self.context.notify_classes, classes
        if bool(classes) != bool(before):
            (self.context.gate.close if classes else self.context.gate.open)()
        self.keyspace.note_departures(bool(set(classes) & {"x", "e", "h", "g"}))

    def _limit_queries(self, size: Any) -> None:
        for loop in self.context.loops:
            loop.configure(query_limit=min(size, INT64_MAX))

    def _watch_calls(self, _value: object) -> None:
        """Sets from where on calls are noted, in the logs and wherever calls end."""
        config, context = self.config, self.context
        self.latency_monitor.set_threshold(config.int("latency-monitor-threshold"))
        for kind, (threshold, _) in COMMAND_LOGS.items():
            self.command_log.kinds[kind].threshold = config.int(threshold)
        slow, request, reply = (
            log.threshold if log.threshold >= 0 else INT64_MAX for log in self.command_log.kinds.values()
        )
        context.slow_ns = min(slow * 1000, self.latency_monitor.threshold_ns)
        context.large_request, context.large_reply = request, reply
        for loop in context.loops:
            loop.configure(slow_ns=context.slow_ns, large_request=request, large_reply=reply)

    def _bound_logs(self, _value: object) -> None:
        for kind, (_, length) in COMMAND_LOGS.items():
            self.command_log.kinds[kind].resize(min(self.config.int(length), sys.maxsize))

    def _track_latency(self, on: Any) -> None:
        for counters in self.context.all_counters():
            counters.track(on)

    def _let_in(self, password: Any) -> None:
        """Once no password is asked for, those who owe it may come in; a new one binds new clients only."""
        if not password:
            for client in list(self.context.clients.values()):
                client.lift("auth")

    def _drop_idle(self) -> None:
        seconds = self.config.int("timeout")
        if not seconds:
            return
        for client in list(self.context.clients.values()):
            if client.mailbox is not None and client.facts()["idle"] > seconds:
                client.mailbox("close", client)

    @property
    def port(self) -> int:
        return self.context.port

    @property
    def role(self) -> str:
        """As Redis's log lines say it: M for a master, S for a replica."""
        return "M" if self.replication.master is None else "S"

    # --- life ---

    def start(self) -> None:
        try:
            self._listen()
        except RliteError:
            for listener in (*self._listeners, *self._http_listeners):
                listener.close()
            raise
        self._begin_loading()
        threads = self.config.int("io-threads")
        use_poll = self.config.text("event-poller") == "poll"
        for _ in range(threads):
            loop = Loop(self.keyspace, self.context.table, self.context.gate, self, use_poll)
            self.context.loops.append(loop)
        self._limit_queries(self.config.int("client-query-buffer-limit"))
        self._watch_calls(None)
        self._track_latency(self.config.flag("latency-tracking"))
        self._limit_pushes(self.config["client-output-buffer-limit"])
        self.start_background()
        for i, loop in enumerate(self.context.loops):
            self._thread(f"io-{i}", loop.run)
        self._start_http()
        for listener in self._listeners:
            self.context.loops[0].post("listen", None, listener)
        self.load()

    def _start_http(self) -> None:
        """The HTTP API, where a port is set; only then its libraries are imported."""
        if not self._http_listeners:
            return
        from rlite.engine.http.api import Api
        from rlite.engine.http.serving import HttpServer

        api = Api(self.context, self.command_log, self.stopping.is_set, self._note_call)
        self._http = HttpServer(api, self._http_listeners)
        self._http.start()
        log.info("the HTTP API listens on port %d", self.config.int("http-port"))

    def _note_call(self, client: Client, args: Sequence[bytes], ns: int) -> None:
        self.noteworthy(client, list(args), ns, -1, -1)

    def _begin_loading(self) -> None:
        self.replication.following.prepare()
        self.disk.begin(lambda: self.stopping.is_set() or self.asked_to_stop.is_set())

    def load(self) -> None:
        """Has the data that are on disk, if this server keeps any; changes are logged from then on.

        Raises RliteError (see Disk.load), StoppedError; everything has ended then.
        """
        self._begin_loading()
        try:
            self.disk.load()
        except BaseException:
            self.stop()
            raise
        self.replication.following.begin()

    def start_background(self) -> None:
        """Starts what goes on beside commands; all that an engine without sockets needs."""
        self._thread("keeper", self._keep)
        self._thread("clock", self._tick)
        self._thread("timers", self.context.timers.run)
        self._thread("bury", self._bury)
        self.context.bury = self._jobs.put

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Stops accepting, lets commands under way finish, closes every connection, ends every thread."""
        with self._stop_lock:
            first = not self.stopping.is_set()
            self.stopping.set()
        if not first:
            self.stopped.wait()
            return
        for listener in self._listeners:
            listener.close()
        running = self.context.scripts.running
        if running is not None:
            running.killed = True
        self.replication.close()
        for loop in self.context.loops:
            loop.stop()
        self.context.timers.stop()
        self._jobs.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        if self._http is not None:
            self._http.stop()
        # What has changed since it was saved, as the shutdown began, is saved again.
        self.disk.close(self._last_save)
        unix = self.config.text("unixsocket")
        if unix:
            with contextlib.suppress(OSError):
                Path(unix).unlink()
        self.stopped.set()

    def ready_to_stop(self, how: str) -> bool:
        """Does what must come off before a server stops that a signal ended. how: what the directive says of
        it (shutdown-on-sigterm). False: the data could not be saved, and the server goes on.
        """
        if self.stopping.is_set():
            return True
        save = {"save": True, "nosave": False}.get(how)
        if not self.disk.save_at_end(save) and how != "force":
            return False
        self._last_save = save
        return True

    def _shut_down(self, save: bool | None, force: bool) -> bool:
        """SHUTDOWN: from an I/O thread, which `stop` will wait for, so another thread does the stopping."""
        if not self.disk.save_at_end(save) and not force:
            return False
        self._last_save = save
        threading.Thread(target=self.stop, name="shutdown").start()
        self.stopping.wait()
        self.asked_to_stop.set()
        return True

    def _listen(self) -> None:
        backlog = self.config.int("tcp-backlog")
        self._listeners, port = self._bound(self.config.words("bind"), self.config.int("port"), backlog)
        self.context.port = port if self._listeners else 0
        unix = self.config.text("unixsocket")
        if unix:
            self._listeners.append(self._unix(unix, backlog))
        self._listen_http(backlog)

    def _listen_http(self, backlog: int) -> None:
        port = self.config.int("http-port")
        if not port:
            return
        addresses = self.config.words("http-bind")
        if not self.config["http-token"] and not self.config["requirepass"]:
            for address in addresses:
                if not is_loopback(address.removeprefix("-")):
                    raise RliteError(
                        f"http-bind {address} is reached from other machines: set http-token, or requirepass"
                    )
        self._http_listeners, _ = self._bound(addresses, port, backlog)

    def _bound(self, addresses: Sequence[str], port: int, backlog: int) -> tuple[list[socket.socket], int]:
        """Sockets that listen on these addresses, and their port: with 0, all share one that was found."""
        found: list[socket.socket] = []
        for address in addresses:
            optional = address.startswith("-")
            host = address.removeprefix("-")
            host = "" if host == "*" else "::" if host == "::*" else host
            try:
                listener = self._tcp(host, port, backlog)
            except OSError as fault:
                if optional:
                    continue
                for each in found:
                    each.close()
                raise RliteError(
                    f"could not listen on {host or '*'}:{port}: {os.strerror(fault.errno or 0)}"
                ) from None
            found.append(listener)
            port = listener.getsockname()[1]
        return found, port

    @staticmethod
    def _tcp(host: str, port: int, backlog: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
            listener.listen(backlog)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        return listener

    def _unix(self, path: str, backlog: int) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mode = self.config.int("unixsocketperm")
        mask = os.umask(0o777 & ~mode if mode else 0o077)  # never open to others, not even for a moment
        try:
            Path(path).unlink(missing_ok=True)
            listener.bind(path)
        except OSError as fault:
            raise RliteError(f"could not listen on {path}: {os.strerror(fault.errno or 0)}") from None
        finally:
            os.umask(mask)
        listener.listen(backlog)
        listener.setblocking(False)
        return listener

    # --- background work ---

    def _keep(self) -> None:
        """The keeper of deadlines: without the GIL but for a moment each turn."""
        while not self.stopping.is_set():
            wait = self.keyspace.keep(KEEPER_BUDGET_NS) / 1e9
            if self.context.notify_classes:
                tell_departures(self.context)
            if self.keyspace.discarded():
                self._jobs.put(self.keyspace.bury_discarded)
            self.stopping.wait(wait)

    def _tick(self) -> None:
        """The server's clock: what is due ten times a second."""
        while not self.stopping.wait(0.1):
            for task in (
                self.keyspace.follow_wall_clock, self._drop_idle, self._hear_again, self.disk.tick,
                self._note_longest, self.replication.tick, self._sample, self._end_pause,
            ):  # fmt: skip
                try:
                    task()
                except Exception:
                    log.exception("internal error in the server's clock")

    def _hear_again(self) -> None:
        """Connections are taken again, where descriptors had run out."""
        for loop in self.context.loops:
            if loop.resting:
                loop.post("hear")

    def _note_longest(self) -> None:
        """Brings what took long without the GIL to the latency monitor."""
        note = self.latency_monitor.note
        expiry, eviction = self.keyspace.take_longest()
        note("expire-cycle", expiry)
        note("eviction-cycle", eviction)
        write, stalled, sync = self.context.log.take_longest()
        note("aof-write", max(write, stalled))
        note("aof-write-pending-fsync", stalled)
        note("aof-write-active-child" if self.disk.forks.current else "aof-write-alone", write)
        note("aof-fsync-always" if self.config.text("appendfsync") == "always" else "aof-fsync", sync)

    def _sample(self) -> None:
        """Feeds the per-second figures of INFO."""
        sums = dict.fromkeys(("commands", "net_in", "net_out"), 0)
        for counters in self.context.all_counters():
            totals = counters.totals()
            for name in sums:
                sums[name] += totals[name]
        sums["repl_in"] = self.replication.following.received
        self.context.samples = self._rates.sample(time.monotonic(), sums)

    def _bury(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def unpause(self) -> None:
        """Ends CLIENT PAUSE: whoever waits goes on."""
        self._end_pause(at_once=True)

    def _end_pause(self, *, at_once: bool = False) -> None:
        """Ends the pause, if there is one and its time is over."""
        with self.context.pausing:
            pause = self.context.pause
            if pause is None or (not at_once and time.monotonic() < pause.until):
                return
            self.context.pause = None
            self.context.gate.open()
        self.resume_all()

    def resume_all(self) -> None:
        """Has every client that was told to wait try again."""
        for client in list(self.context.clients.values()):
            if client.mailbox is not None:
                client.mailbox("resume", client)

    # --- what the loops ask ---

    def execute(self, client: Client, args: list[bytes]) -> Reply:
        try:
            return execute(self.context, client, args)
        except CrossProtocolError:
            log.warning(
                "closed a connection from %s: it speaks HTTP, which a browser may have been tricked into",
                client.address,
            )
            client.drop()
            return NO_REPLY

    def admit(self, peer: socket.socket, address: object) -> Client | None:
        """A new connection; None where it may not stay."""
        context = self.context
        context.connections_received += 1
        if len(context.clients) >= self.config.int("maxclients"):
            context.connections_rejected += 1
            return self._turn_away(peer, errors.MAX_CLIENTS)
        unix = peer.family == socket.AF_UNIX
        guarded = self.config.flag("protected-mode") and not self.config["requirepass"]
        if guarded and not (unix or (isinstance(address, tuple) and is_loopback(address[0]))):
            return self._turn_away(peer, errors.PROTECTED)
        peer.setblocking(False)
        if not unix:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keepalive = self.config.int("tcp-keepalive")
            if keepalive:
                _keep_alive(peer, keepalive)
        local = _shown(peer.getsockname(), self.config)
        client = Client(peer.detach())
        client.is_unix = unix
        client.address = local + ":0" if unix else _shown(address, self.config)
        client.local_address = local + ":0" if unix else local
        client.max_bulk = self.config.int("proto-max-bulk-len")
        if self.config["requirepass"]:
            client.restrict("auth")
        context.clients[client.id] = client
        return client

    @staticmethod
    def _turn_away(peer: socket.socket, text: str) -> None:
        with contextlib.suppress(OSError):
            peer.setblocking(False)
            peer.send(b"-" + text.encode() + b"\r\n")
        peer.close()

    def place(self, client: Client) -> None:
        """Gives a new client to the next I/O thread."""
        loops = self.context.loops
        loop = loops[self._next_loop % len(loops)]
        self._next_loop += 1
        client.mailbox = loop.post
        client.loop = loop
        loop.post("adopt", client)

    def closed(self, client: Client) -> None:
        self.context.clients.pop(client.id, None)
        watching.unwatch(self.context, client)
        blocking.gone(self.context, client)
        subscriptions.forget(self.context, client)
        monitoring.forget(self.context, client)
        self.replication.gone(client)

    def noteworthy(self, client: Client, args: list[bytes], ns: int, request: int, reply: int) -> None:
        """A command has ended that took long, or whose request or reply is large (see Loop.configure)."""
        command = find(self.context, args)
        if command is not None:
            judge(self.context, client, command, args, ns=ns, request=request, reply=reply)

    def refused(self, client: Client | None, reason: str) -> None:
        """A connection was ended, or (client None) could not be taken."""
        if client is None:
            log.warning("%s", reason)
        else:
            log.info("closed a connection from %s: %s", client.address, reason)

    def bug(self, client: Client | None, args: list[bytes]) -> None:
        """A fault of ours: the traceback goes to the log, the client is told, the server goes on."""
        where = (
            "an I/O thread" if client is None else f"a command of {client.address or 'a client in process'}"
        )
        log.error("internal error in %s: %s", where, args[:1], exc_info=True)  # noqa: LOG014 - while it is handled


def _shown(address: object, config: Config) -> str:
    """An address as CLIENT LIST shows it."""
    if isinstance(address, tuple):
        return host_port(*address[:2])
    return config.text("unixsocket")


def _keep_alive(peer: socket.socket, seconds: int) -> None:
    """Probes a silent peer after `seconds`, and gives it up after three probes in the same time again."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPINTVL", max(1, seconds // 3)),
        ("TCP_KEEPCNT", 3),
    ):
        if hasattr(socket, option):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
