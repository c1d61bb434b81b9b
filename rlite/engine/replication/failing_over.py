"""FAILOVER: this master and one of its replicas change places, and no write is lost.

Writes wait (as in CLIENT PAUSE) until a replica has everything; then this server follows it, with a PSYNC
that asks it to take over. If that is refused, or cannot be asked, this server is a master as before. Runs
with the GIL: begun by a client's thread, looked at by the server's clock, ended by the link.
"""

import logging
import math
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.clients import begin_pause
from rlite.engine.commands.holding import everything_held, everything_held_if_free
from rlite.engine.errors import CommandError
from rlite.engine.replication.following import Master
from rlite.engine.replication.replicas import Replica, State

if TYPE_CHECKING:
    from rlite.engine.replication.replication import Replication

LOG = logging.getLogger("rlite.replication")


class Stage(Enum):
    """How far it is, in the words of INFO."""

    NONE = "no-failover"
    WAITING = "waiting-for-sync"
    TAKING_OVER = "failover-in-progress"


@dataclass(frozen=True, slots=True)
class Wanted:
    """target: who is to take over, None: whoever has everything first; until: monotonic seconds at which it
    is given up, or with `force` done all the same.
    """

    target: Master | None = None
    until: float = math.inf
    force: bool = False


class Failover:
    """At most one at a time."""

    def __init__(self, replication: "Replication") -> None:
        self._replication = replication
        self._wanted = Wanted()
        self.stage = Stage.NONE

    def begin(self, wanted: Wanted) -> None:
        """Raises CommandError where it cannot be."""
        replication = self._replication
        if self.stage is not Stage.NONE:
            raise CommandError(errors.FAILOVER_UNDER_WAY)
        if replication.master is not None:
            raise CommandError(errors.FAILOVER_ON_REPLICA)
        if not len(replication.replicas):
            raise CommandError(errors.FAILOVER_WITHOUT_REPLICAS)
        if wanted.target is not None:
            replica = self._find(wanted.target)
            if replica is None:
                raise CommandError(errors.FAILOVER_UNKNOWN_TARGET)
            if replica.state is not State.ONLINE:
                raise CommandError(errors.FAILOVER_TARGET_OFFLINE)
        self._wanted, self.stage = wanted, Stage.WAITING
        begin_pause(replication.server, math.inf, writes_only=True)
        LOG.info("a failover begins; writes wait")
        self.look()

    def abort(self, why: str) -> None:
        """Everything goes on as before. Raises CommandError where none is under way."""
        if self.stage is Stage.NONE:
            raise CommandError(errors.NO_FAILOVER)
        if self.stage is Stage.TAKING_OVER:
            self.taken_over(why)
        else:
            self._end()
            LOG.warning("the failover is given up: %s", why)

    def look(self) -> None:
        """Goes on where it can; ten times a second."""
        if self.stage is not Stage.WAITING:
            return
        replication = self._replication
        chosen = self._find(self._wanted.target) if self._wanted.target else self._best()
        if chosen is not None and chosen.acked >= replication.written():
            self._hand_over(chosen)
        elif time.monotonic() < self._wanted.until:
            replication.ask()
        elif self._wanted.force and chosen is not None:
            self._hand_over(chosen)
        else:
            self.abort("no replica had everything in time")

    def taken_over(self, fault: str) -> None:
        """The one that was asked has taken over, or (fault says why not) has not."""
        if self.stage is not Stage.TAKING_OVER:
            return
        if fault:
            LOG.warning("the failover is given up: %s", fault)
            with everything_held(self._replication.server):
                self._replication.following.lead()
        else:
            LOG.info("the failover is done")
        self._end()

    def _end(self) -> None:
        self.stage = Stage.NONE
        self._replication.server.unpause()

    def _find(self, target: Master) -> Replica | None:
        for each in self._replication.replicas:
            if (each.host, each.greeting.port) == target:
                return each
        return None

    def _best(self) -> Replica | None:
        """The replica that is farthest."""
        return max(self._replication.replicas.online(), key=lambda each: each.acked, default=None)

    def _hand_over(self, replica: Replica) -> None:
        replication = self._replication
        with everything_held_if_free(replication.server) as held:
            if held is None:
                return
            # What came meanwhile (a key expired, a script that was under way) is waited for too.
            late = replica.acked < replication.written() and time.monotonic() < self._wanted.until
            if self.stage is not Stage.WAITING or late:
                return
            self.stage = Stage.TAKING_OVER
            replication.following.follow(
                Master(replica.host, replica.greeting.port), taking_over=self.taken_over
            )
