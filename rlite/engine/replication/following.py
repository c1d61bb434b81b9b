"""The replica side of one server: whom it follows, if anybody, and where in whose history its data stand.

Roles change under every lock, in the thread of whoever says so; the link does the rest in its own. The place
in the history is what the log says (server.log.offset), under the id of the server.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rlite.engine import errors
from rlite.engine.addresses import host_port
from rlite.engine.commands import blocking
from rlite.engine.commands.context import Context
from rlite.engine.replication.full_sync import start_stream
from rlite.engine.replication.link import Link, State
from rlite.engine.reply import ErrorReply, Reply

if TYPE_CHECKING:
    from rlite.engine.core.rdbload import Loaded
    from rlite.engine.persistence.disk import Disk
    from rlite.engine.replication.handshake import Rest, Whole

LOG = logging.getLogger("rlite.replication")
STOP_SECONDS = 10.0  # a link waits for nothing that takes longer, but for the system's look-up of a name


class Master(NamedTuple):
    """Whom to follow."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_port(self.host, self.port)


class Following:
    """master: None where this server is one itself; received: bytes that came over all links.

    let_go: disconnects the replicas of this server, so that they ask again where they stand.
    """

    def __init__(self, server: Context, disk: "Disk", let_go: Callable[[], None]) -> None:
        self.server = server
        self._disk = disk
        self.master: Master | None = None
        self.link: Link | None = None
        self.received = 0
        self._let_go = let_go
        self.taking_over: Callable[[str], None] | None = None
        self._resumable = False  # whether the data are what the server's id and the log's offset say
        self._judging = threading.Lock()
        for name in ("replica-read-only", "replica-serve-stale-data", "replica-ignore-maxmemory"):
            server.config.subscribe(name, lambda _value: self._judge())

    # --- roles: under every lock, or while nobody is there yet ---

    def prepare(self) -> None:
        """At start: what `replicaof` says holds from the first moment on, though the link must wait."""
        found = self.server.config.master()
        if found is not None:
            self.master = Master(*found)
            self._judge()

    def begin(self) -> None:
        """At start, when all data are there."""
        self._resumable = self._disk.resumable
        if self.master is not None:
            self._start(None)

    def follow(self, master: Master, taking_over: Callable[[str], None] | None = None) -> None:
        """From here on this server is a replica of `master`. taking_over: that one is still a replica of this
        server, and is to take over; called with why it has not, "" where it has.
        """
        server, before = self.server, self.link
        self.taking_over = taking_over
        if self.master is None:
            # Data that nobody has logged are in no history.
            self._resumable = server.journal is not None
            for waiter in list(server.blocked.values()):
                blocking.end(server, waiter, ErrorReply(errors.ROLE_CHANGED))
                if waiter.client.mailbox is not None:
                    waiter.client.mailbox("close_after", waiter.client)
        self.master = master
        server.config.set_master(master)
        if before is not None:
            before.end()
        LOG.info("following the master %s", master)
        self._start(before)

    def _start(self, before: Link | None) -> None:
        assert self.master is not None
        self.link = Link(self, self.master)
        self._judge()
        self.link.start(before)

    def lead(self) -> None:
        """From here on this server is a master, with a history of its own that goes on from its master's."""
        link, self.taking_over = self.link, None
        if link is not None:
            link.end()
        self._disk.turn_history(locked=True)  # first: what a master logs by itself is of the new history
        self.link = self.master = None
        self.server.config.set_master(None)
        self._judge()
        self.server.log.reselect()
        self._let_go()
        LOG.info("this server is a master now, of history %s", self.server.replication_id)

    def close(self) -> None:
        """The server stops: ends the link, and waits for that."""
        link = self.link
        if link is not None:
            link.end()
            if not link.join(STOP_SECONDS):
                LOG.warning("the link to the master has not ended in time")

    def _judge(self) -> None:
        """Has everybody see what the role, the link's state and the directives come to."""
        server, config, following = self.server, self.server.config, self.master is not None
        with self._judging:
            server.log.following = following
            server.keyspace.following = 0 if not following else 1 if config.flag("replica-read-only") else 2
            server.keyspace.configure(evicting=not (following and config.flag("replica-ignore-maxmemory")))
            server.read_only = following and config.flag("replica-read-only")
            stale = following and not self.up and not config.flag("replica-serve-stale-data")
            if stale != server.stale:
                server.stale = stale
                (server.gate.close if stale else server.gate.open)()

    @property
    def resumable(self) -> bool:
        return self.master is not None and self._resumable

    # --- for the link ---

    def asked(self) -> tuple[str, int]:
        """What PSYNC asks for: the history and the offset behind which it is to go on; "": everything."""
        return (self.server.replication_id, self.server.log.offset) if self._resumable else ("", -1)

    def begins(self, whole: "Whole", database: int, loaded: "Loaded") -> None:
        """The data are the master's now. Under every lock."""
        self._disk.restart_log(whole.history, whole.offset)
        start_stream(self.server)  # if this one is to be the master, the others can go on from here
        self._disk.saves.note_load(loaded)
        self.server.log.selected = database
        self._resumable = True
        self._let_go()

    def goes_on(self, rest: "Rest") -> None:
        """The stream goes on where it was, perhaps under another id. Under every lock."""
        if rest.history and rest.history != self.server.replication_id:
            self._disk.turn_history(rest.history, locked=True)
            self._let_go()

    def answered(self, fault: str) -> None:
        """The master has let this server in, or (fault says why) has not, or cannot be reached."""
        told, self.taking_over = self.taking_over, None
        if told is not None:
            told(fault)

    def forget(self) -> None:
        """The data may not be what the master's are at any offset: the next link asks for everything."""
        self._resumable = False

    def changed(self) -> None:
        """The link is up, or down."""
        self._judge()

    # --- what is told of it ---

    @property
    def up(self) -> bool:
        link = self.link
        return link is not None and link.is_up

    def role(self) -> Reply:
        """What ROLE answers on a replica."""
        master, link = self.master, self.link
        assert master is not None
        state = State.CONNECT if link is None else link.state
        host, offset = (
            master.host.encode("utf-8", "surrogateescape"),
            self.server.log.offset if self.up else -1,
        )
        return [b"slave", host, master.port, state.value.encode(), offset]

    def info(self) -> dict[str, object]:
        """The fields of INFO replication that only a replica has; none on a master."""
        master, link = self.master, self.link
        if master is None:
            return {}
        now = time.monotonic()
        up = self.up
        last = link.last_io if link is not None else 0.0
        read = link.read if link is not None else None
        transfer = link.transfer if link is not None else None
        config = self.server.config
        fields: dict[str, object] = {
            "master_host": master.host,
            "master_port": master.port,
            "master_link_status": "up" if up else "down",
            "master_last_io_seconds_ago": int(now - last) if last else -1,
            "master_sync_in_progress": int(transfer is not None),
            "slave_read_repl_offset": self.server.log.offset if read is None else read,
            "slave_repl_offset": self.server.log.offset,
        }
        if transfer is not None:
            share = transfer.read / transfer.size if transfer.size > 0 else 0.0
            fields |= {
                "master_sync_total_bytes": transfer.size,
                "master_sync_read_bytes": transfer.read,
                "master_sync_left_bytes": transfer.size - transfer.read,
                "master_sync_perc": f"{100 * share:.2f}",
                "master_sync_last_io_seconds_ago": int(now - transfer.last_io),
            }
        if not up:
            since = 0.0 if link is None else link.down_since
            fields["master_link_down_since_seconds"] = int(time.time() - since) if since else -1
        return fields | {
            "slave_priority": config.int("replica-priority"),
            "slave_read_only": int(config.flag("replica-read-only")),
            "replica_announced": int(config.flag("replica-announced")),
            "rlite_master_link_error": "" if link is None else link.fault,
        }

    @property
    def loading(self) -> bool:
        """Whether a master's data are being loaded beside those that are served."""
        link = self.link
        return link is not None and link.loading
