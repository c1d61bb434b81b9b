"""Replication of one server: its replicas, its link to a master, and what INFO and ROLE tell of both.

Put together by server.py; commands see it as `Context.replication`. Runs with the GIL.
"""

import time
from typing import TYPE_CHECKING

from rlite.engine.commands.holding import everything_held_if_free
from rlite.engine.replication.failing_over import Failover, Stage
from rlite.engine.replication.following import Following
from rlite.engine.replication.full_sync import FullSync, start_stream
from rlite.engine.replication.replicas import NEVER, Replicas

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.persistence.disk import Disk
    from rlite.engine.reply import Reply

GETACK = (b"REPLCONF", b"GETACK", b"*")


class Replication:
    """Both sides. following: the replica side."""

    def __init__(self, server: "Context", disk: "Disk") -> None:
        self.server = server
        self.disk = disk
        self.replicas = Replicas(server)
        self.full_sync = FullSync(server, disk.forks, self.replicas)
        self.following = Following(server, disk, self.replicas.disconnect_all)
        self.failover = Failover(self)
        self._booked = 0  # bytes of the backlog that used memory counts
        self._pinged = time.monotonic()
        self._written = self._asked = NEVER  # offsets before and behind the last GETACK
        for name in ("repl-backlog-size", "client-output-buffer-limit"):
            server.config.subscribe(name, lambda _value: self._resize())
        server.replication = self

    def _resize(self) -> None:
        if self.server.log.streaming:
            start_stream(self.server)

    # --- what others ask ---

    @property
    def master(self) -> tuple[str, int] | None:
        return self.following.master

    @property
    def resumable(self) -> bool:
        return self.following.resumable

    @property
    def link_up(self) -> bool:
        return self.following.up

    @property
    def loading(self) -> bool:
        return self.following.loading

    @property
    def wanting(self) -> bool:
        return self.replicas.wanting

    def acknowledged(self, offset: int) -> int:
        return sum(each.acked >= offset for each in self.replicas.online())

    def synced(self, offset: int) -> int:
        return sum(each.on_disk >= offset for each in self.replicas.online())

    def written(self) -> int:
        """The offset behind what has been written; a question to replicas behind that is nothing more."""
        offset = self.server.log.offset
        return self._written if offset == self._asked else offset

    def ask(self) -> None:
        """REPLCONF GETACK, once for whatever has been written by now."""
        log = self.server.log
        if log.offset != self._asked and len(self.replicas):
            self._written = log.offset
            log.say(GETACK)
            self._asked = log.offset

    def info(self) -> dict[str, object]:
        server, log = self.server, self.server.log
        first, _held, size = log.backlog
        least = server.config.int("min-replicas-to-write")
        fields: dict[str, object] = {"role": "master" if self.master is None else "slave"}
        fields |= self.following.info()
        fields["connected_slaves"] = len(self.replicas)
        if least and server.config.int("min-replicas-max-lag"):
            fields["min_slaves_good_slaves"] = self.replicas.good()
        return fields | self.replicas.lines() | {
            "master_failover_state": self.failover.stage.value,
            "master_replid": server.replication_id,
            "master_replid2": server.former_id or "0" * 40,
            "master_repl_offset": log.offset,
            "second_repl_offset": server.former_end + 1 if server.former_id else -1,
            "repl_backlog_active": int(log.streaming),
            "repl_backlog_size": size or server.config.int("repl-backlog-size"),
            "repl_backlog_first_byte_offset": first + 1 if log.streaming else 0,
            "repl_backlog_histlen": log.offset - first if log.streaming else 0,
        }  # fmt: skip

    def syncs(self) -> dict[str, object]:
        replicas = self.replicas
        return {
            "total_net_repl_input_bytes": self.following.received,
            "sync_full": replicas.full,
            "sync_partial_ok": replicas.partial,
            "sync_partial_err": replicas.partial_failed,
        }

    def role(self) -> "Reply":
        if self.master is not None:
            return self.following.role()
        online: list[Reply] = [
            [each.host.encode(), str(each.greeting.port).encode(), str(each.acked).encode()]
            for each in self.replicas.online()
        ]
        return [b"master", self.server.log.offset, online]

    # --- by itself ---

    def tick(self) -> None:
        """What is due ten times a second."""
        if self.server.loading is not None:
            return
        self.full_sync.tick()
        self.replicas.look()
        self.failover.look()
        if self.master is None and self.failover.stage is Stage.NONE:
            self._ping()
        self._release_stream()
        held = self.server.log.backlog[1]
        self.server.keyspace.book(held - self._booked)
        self._booked = held

    def _ping(self) -> None:
        """Keeps replicas' links alive. A ping is a record: so what a restart recovers is never less than what
        an idle replica has; for the same reason one follows what was sent to replicas only.
        """
        log, now = self.server.log, time.monotonic()
        if not len(self.replicas):
            return
        period = self.server.config.int("repl-ping-replica-period")
        if now - self._pinged >= period or (log.filing and log.offset != log.record_end):
            self._pinged = now
            log.ping()

    def _release_stream(self) -> None:
        """The backlog goes when there has been no replica for repl-backlog-ttl, and this is a master."""
        since, seconds = self.replicas.idle_since, self.server.config.int("repl-backlog-ttl")
        if since is None or not seconds or self.master is not None or time.monotonic() - since < seconds:
            return
        with everything_held_if_free(self.server) as held:
            if held is None or len(self.replicas):
                return
            self.replicas.idle_since = None
            self.server.log.end_stream()
            self.server.note_log()
            if not self.server.log.on:
                self.server.new_replication_id()  # nobody counts what changes from here on

    def gone(self, client: object) -> None:
        """A connection has ended."""
        self.replicas.forget(client)  # type: ignore[arg-type]

    def close(self) -> None:
        """Ends the link and every replica's connection."""
        self.following.close()
        self.replicas.disconnect_all()
