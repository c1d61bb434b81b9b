"""The replica side of one server: whom it follows, if anybody, and where in whose history its data stand."""

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlite.engine.commands.context import Context
from rlite.engine.replication.link import Link, State

if TYPE_CHECKING:
    from rlite.engine.replication.handshake import Rest, Whole

LOG = logging.getLogger("rlite.replication")
STOP_SECONDS = 10.0  # a link waits for nothing that takes longer, but for the system's look-up of a name


@dataclass(frozen=True, slots=True)
class Master:
    """Whom to follow."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Following:
    """master: None where this server is one itself; offset, database: where the stream stood when it was last
    applied, and which database it had selected.
    """

    def __init__(self, server: Context) -> None:
        self.server = server
        self.master: Master | None = None
        self.link: Link | None = None
        self.offset = 0
        self.database = 0
        self._resumable = False
        self._stopped = False

    @property
    def port(self) -> int:
        return self.server.port

    # --- roles: under every lock ---

    def follow(self, master: Master) -> None:
        """From here on this server is a replica of `master`."""
        before, self.master = self.link, master
        if before is not None:
            before.end()
        self.link = Link(self, master)
        LOG.info("following %s", master)
        self.link.start(before)

    def lead(self) -> None:
        """From here on this server is a master, with a history of its own that goes on from its master's."""
        link, self.link, self.master = self.link, None, None
        if link is not None:
            link.end()
        LOG.info("this server is a master now")

    def stop(self) -> None:
        """The server stops: ends the link, and waits for that."""
        self._stopped = True
        link = self.link
        if link is not None:
            link.end()
            if not link.join(STOP_SECONDS):
                LOG.warning("the link to the master has not ended in time")

    # --- for the link ---

    def asked(self) -> tuple[str, int]:
        """What PSYNC asks for: the history and the offset behind which it is to go on; "": everything."""
        return (self.server.replication_id, self.offset) if self._resumable else ("", -1)

    def begins(self, whole: "Whole") -> None:
        """The data are the master's now. Under every lock."""
        self.server.replication_id = whole.history
        self.offset = whole.offset
        self.database = 0
        self._resumable = True

    def goes_on(self, rest: "Rest") -> None:
        """The stream goes on where it was, perhaps under another id."""
        if rest.history:
            self.server.replication_id = rest.history

    def applied(self, offset: int, database: int) -> None:
        self.offset, self.database = offset, database

    # --- what is told of it ---

    def info(self) -> dict[str, object]:
        """The fields of INFO replication that only a replica has."""
        master, link = self.master, self.link
        if master is None or link is None:
            return {}
        now = time.monotonic()
        up, read, transfer = link.is_up, link.read, link.transfer
        config = self.server.config
        fields: dict[str, object] = {
            "master_host": master.host,
            "master_port": master.port,
            "master_link_status": "up" if up else "down",
            "master_last_io_seconds_ago": int(now - link.last_io) if link.last_io else -1,
            "master_sync_in_progress": int(link.state is State.SYNC),
            "slave_read_repl_offset": self.offset if read is None else read,
            "slave_repl_offset": self.offset,
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
            since = link.down_since
            fields["master_link_down_since_seconds"] = int(time.time() - since) if since else -1
        return fields | {
            "slave_priority": config.int("replica-priority"),
            "slave_read_only": int(config.flag("replica-read-only")),
            "replica_announced": int(config.flag("replica-announced")),
            "rlite_master_link_error": link.fault,
        }
