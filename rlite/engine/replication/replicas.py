"""The replicas of this server: who they are, how far each is, and what INFO and ROLE say of them.

A replica is a client that has sent PSYNC. Its I/O thread goes on reading what it says (REPLCONF ACK); what it
is sent comes from a thread of its own (sending.py). Runs with the GIL.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from rlite.engine.core.feed import Feed

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.core.connection import Client

LOG = logging.getLogger("rlite.replication")
NEVER = -1


class State(Enum):
    """What a replica is at, in the words of INFO."""

    WAITING = "wait_bgsave"
    TRANSFER = "send_bulk"
    ONLINE = "online"


@dataclass(slots=True)
class Greeting:
    """What a client has said of itself with REPLCONF, before PSYNC."""

    port: int = 0
    address: str = ""
    eof: bool = False
    psync2: bool = False
    snapshot_only: bool = False


@dataclass(slots=True, eq=False)
class Replica:
    """One replica. descriptor: its socket, a duplicate that nobody else closes; acked, on_disk: offsets that
    it has said it holds, and has in its own log on disk; acked_at: monotonic seconds; soft_since: since when
    it is further behind than the soft limit, 0: it is not.
    """

    client: "Client"
    greeting: Greeting
    feed: Feed
    descriptor: int
    state: State = State.WAITING
    acked: int = 0
    on_disk: int = NEVER
    acked_at: float = field(default_factory=time.monotonic)
    soft_since: float = 0
    heard: threading.Event = field(default_factory=threading.Event)  # it has acknowledged
    gone: bool = False
    answered: bool = True  # it is told the history and the offset before its data (PSYNC, not SYNC)
    patient: bool = False  # it waits for its data, and may be told that it is not forgotten
    _holders: int = 0  # of the descriptor
    _closing: threading.Lock = field(default_factory=threading.Lock)  # held to count them, and to end it

    @property
    def host(self) -> str:
        return self.greeting.address or self.client.address.rpartition(":")[0].strip("[]")

    @property
    def name(self) -> str:
        """For the log."""
        return f"{self.host}:{self.greeting.port}"

    @property
    def lag(self) -> int:
        """Whole seconds since it last acknowledged."""
        return int(time.monotonic() - self.acked_at)

    def hold(self) -> None:
        """For whoever is going to send: the descriptor, if it is there, stays until as many `let_go`."""
        with self._closing:
            self._holders += 1

    def let_go(self) -> None:
        with self._closing:
            self._holders -= 1
            self._close_unheld()

    def hang_up(self) -> None:
        """Ends its connection: whoever sends or reads finds it ended."""
        self.feed.stop()
        with self._closing:
            self.gone = True
            if self.descriptor >= 0:
                end = socket.socket(fileno=self.descriptor)
                with contextlib.suppress(OSError):  # the other side was faster
                    end.shutdown(socket.SHUT_RDWR)
                end.detach()
            self._close_unheld()

    def _close_unheld(self) -> None:
        if self.gone and not self._holders and self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Replicas:
    """All replicas of one server, the oldest first."""

    def __init__(self, server: "Context") -> None:
        self._server = server
        self._all: dict[int, Replica] = {}
        self.greetings: dict[int, Greeting] = {}
        self.wanting = False  # fewer are well than min-replicas-to-write asks for
        self.unreadable_to = NEVER  # from before this offset the log's files do not lead to what is now
        self.full = self.partial = self.partial_failed = 0  # syncs, for INFO
        self.idle_since: float | None = (
            None  # since when there has been none; None: there is one, or never was
        )
        for name in ("min-replicas-to-write", "min-replicas-max-lag"):
            server.config.subscribe(name, lambda _value: self.judge())
        self.judge()

    def __iter__(self) -> Iterator[Replica]:
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def greeting(self, client: "Client") -> Greeting:
        return self.greetings.setdefault(client.id, Greeting())

    def add(self, client: "Client") -> Replica:
        """The client is a replica from here on. Raises OSError where no descriptor is left."""
        replica = Replica(client, self.greeting(client), Feed(self._server.log), os.dup(client.fd))
        client.peer = "replica"
        client.reply_mode = "off"  # what its thread sends is the stream, and nothing may come between
        client.restrict("silenced")
        self._all[client.id] = replica
        self.idle_since = None
        self.judge()
        return replica

    def of(self, client: "Client") -> Replica | None:
        return self._all.get(client.id)

    def forget(self, client: "Client") -> None:
        """Its connection has ended."""
        self.greetings.pop(client.id, None)
        replica = self._all.pop(client.id, None)
        if replica is not None:
            replica.hang_up()
            if not self._all:
                self.idle_since = time.monotonic()
            self.judge()

    def drop(self, replica: Replica) -> None:
        """Ends a replica's connection."""
        replica.hang_up()
        if replica.client.mailbox is not None:
            replica.client.mailbox("close", replica.client)

    def disconnect_all(self) -> None:
        """Ends every replica's connection: what they follow is not what it was, and they are to ask anew."""
        for replica in self:
            self.drop(replica)

    def look(self) -> None:
        """Lets go of who is silent, or has been far behind for too long; called ten times a second."""
        now = time.monotonic()
        timeout = self._server.config.int("repl-timeout")
        _hard, soft, seconds = self._server.config["client-output-buffer-limit"]["slave"]  # type: ignore[index]
        for each in self:
            behind = self._server.log.offset - each.feed.at
            if not soft or each.state is State.WAITING or behind <= soft:
                each.soft_since = 0
            elif not each.soft_since:
                each.soft_since = now
            late = each.state is State.ONLINE and now - each.acked_at > timeout
            if late or each.feed.overrun or (each.soft_since and now - each.soft_since > seconds):
                why = "it has not acknowledged for too long" if late else "it is too far behind"
                LOG.warning("replica %s is let go: %s", each.name, why)
                self.drop(each)
        self.judge()

    # --- how far they are ---

    def online(self) -> list[Replica]:
        return [each for each in self if each.state is State.ONLINE]

    def note_ack(self, replica: Replica, offset: int, on_disk: int) -> None:
        """REPLCONF ACK: a late one, of less than was said before, changes nothing but the time."""
        replica.acked = max(replica.acked, min(offset, self._server.log.offset))
        replica.on_disk = max(replica.on_disk, min(on_disk, replica.acked))
        replica.acked_at = time.monotonic()
        replica.heard.set()
        self.judge()

    def good(self) -> int:
        """How many have acknowledged within min-replicas-max-lag."""
        most = self._server.config.int("min-replicas-max-lag")
        return sum(each.lag <= most for each in self.online())

    def judge(self) -> None:
        """Decides anew whether writes are refused for want of replicas."""
        config, gate = self._server.config, self._server.gate
        least = config.int("min-replicas-to-write")
        wanting = least > 0 and config.int("min-replicas-max-lag") > 0 and self.good() < least
        if wanting != self.wanting:
            self.wanting = wanting
            (gate.close if wanting else gate.open)()

    def lines(self) -> dict[str, object]:
        """The slaveN fields of INFO."""
        return {
            f"slave{n}": f"ip={each.host},port={each.greeting.port},state={each.state.value},"
            f"offset={each.acked},lag={each.lag if each.state is State.ONLINE else 0}"
            for n, each in enumerate(self)
        }
