"""Waiting until a replica has what its master had: polls both, shows how far it is, finds out why not.

One server is asked by INFO, some ten times a second; its master, where it can be reached from here, for its
offset and for reasons. Changes nothing on either.
"""

import time
from dataclasses import dataclass, replace

from rlite.cli.asking import connected, refusal
from rlite.cli.options import Progress, Target
from rlite.cli.output import escaped, size_text
from rlite.cli.replica_faults import OF_THE_WAY, Sight, is_talking, lasting, look, newer, passing, read_status
from rlite.cli.replica_status import Fault, Status
from rlite.engine.addresses import Address
from rlite.engine.client import Connection
from rlite.engine.errors import CommandError, RliteError

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0  # between two looks at the master, while there is no link
# Without --timeout: how long a fault that may pass is borne, and how long nothing may move.
PATIENCE_SECONDS = 5.0
STILL_SECONDS = 60.0
RETRY_SECONDS = 10.0  # in which an rlite tries to reach its master anew, whatever went wrong before
BROKEN_TRANSFERS = 2  # after which it is no accident
LOST_POLLS = 3  # a server that does not answer so often in a row is gone


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: as it was last seen; fault: why the wait ended without a replica in step, None: it is;
    received: bytes of the data set that came, 0 where the stream just went on.
    """

    status: Status
    fault: Fault | None
    seconds: float
    received: int


class Wait:
    """One wait. told: the server that follows; master: whom, with its login, as it is reached from here,
    None where it is not; asked: the master as the server was told; before: why its link was down before it
    was told; timeout: seconds, None for patience that depends on what moves.
    """

    def __init__(
        self, told: Target, connection: Connection, asked: Address, master: Target | None, *,
        before: Fault | None, timeout: float | None, progress: bool | None,
    ) -> None:  # fmt: skip
        self._told, self._connection, self._asked, self._master = told, connection, asked, master
        self._timeout, self._progress, self._before = timeout, progress, before
        self._began = self._moved = time.monotonic()
        self._last_look = 0.0
        self._sight = Sight(None, None)
        self._last: tuple[object, ...] = ()
        self._reason: Fault | None = None
        self._fault_since: float | None = None
        self._unexplained_since: float | None = None
        self._goal: int | None = None
        self._received = self._transfers = self._total = self._start = 0
        self._transferring = False
        self._bar = Progress("waiting", 0, wanted=progress)

    def run(self) -> Outcome:
        """Polls until the replica is in step, or there is no point in waiting. Raises RliteError where the
        server cannot be asked any more.
        """
        try:
            while True:
                status = self._polled()
                now = time.monotonic()
                fault = self._judged(status, now)
                done = self._goal is not None and status.link_up and status.offset >= self._goal
                if done or fault is not None:
                    return Outcome(
                        replace(status, fault=status.fault or fault, master_offset=self._offset_of_master()),
                        None if done else fault, now - self._began, self._received,
                    )  # fmt: skip
                time.sleep(POLL_SECONDS if now - self._began > 1 else POLL_SECONDS / 4)
        finally:
            self._bar.done()

    def _offset_of_master(self) -> int | None:
        return self._sight.status.offset if self._sight.status is not None else None

    # --- asking ---

    def _polled(self) -> Status:
        """How the server stands; comes back to it where the connection breaks."""
        for left in range(LOST_POLLS, 0, -1):
            try:
                return read_status(self._connection)
            except CommandError as fault:
                raise RliteError(f"{self._told}: {refusal(fault, 'tell how it stands')}") from None
            except RliteError:
                if left == 1:
                    raise
                time.sleep(POLL_SECONDS * 3)
                self._connection.close()
                self._connection = connected(self._told)
        raise AssertionError("unreachable")

    def close(self) -> None:
        self._connection.close()

    def _looked(self, now: float) -> Sight:
        """The master, as it was when it was last asked, not long ago."""
        if now - self._last_look >= LOOK_SECONDS:
            self._last_look = now
            self._sight = look(self._master)
        return self._sight

    # --- judging ---

    def _judged(self, status: Status, now: float) -> Fault | None:
        """Shows how far it is; a fault where waiting makes no sense any more."""
        if status.master is None or (status.master.host, status.master.port) != (
            self._asked.host,
            self._asked.port,
        ):
            whom = "nobody" if status.master is None else escaped(str(status.master))
            return Fault("changed", f"somebody told it otherwise meanwhile: it follows {whom}")
        self._note_moves(status, now)
        if status.link_up:
            self._stream(status, now)
            fault = None
        elif status.transfer is not None:
            fault = self._transfer(status)
        else:
            fault = self._down(status, now)
        return fault or self._too_long(status, now)

    def _note_moves(self, status: Status, now: float) -> None:
        transfer = status.transfer
        seen = (status.link_up, status.offset, status.history, status.loading, transfer and transfer.read)
        alive = transfer is not None and transfer.last_io_seconds < STILL_SECONDS
        if seen != self._last or alive:
            self._last, self._moved = seen, now

    def _too_long(self, status: Status, now: float) -> Fault | None:
        said = f" ({why})" if (why := self._why(status)) else ""
        if self._timeout is not None and now - self._began >= self._timeout:
            return Fault("timeout", f"not within {self._timeout:g} seconds{said}")
        if self._timeout is None and now - self._moved >= STILL_SECONDS:
            return Fault("timeout", f"nothing has moved for {STILL_SECONDS:.0f} seconds{said}")
        return None

    def _why(self, status: Status) -> str:
        if status.link_up:
            lag = self._goal - status.offset if self._goal is not None else 0
            return f"it is {size_text(lag)} behind" if lag > 0 else ""
        reason = self._reason
        return escaped(reason.text) if reason is not None else f"the log of {self._told} may say why"

    def _stream(self, status: Status, now: float) -> None:
        """The link is up: has it what the master had when that was first seen?"""
        if self._transferring:
            self._received = max(self._received, self._total)
        self._transferring = False
        self._fault_since = None
        if self._goal is None:
            self._last_look = 0.0
            master = self._looked(now).status
            self._goal = status.offset if master is None else master.offset
            self._start = status.offset
            self._bar.done()
            total = max(0, self._goal - self._start)
            self._bar = Progress("catching up", total, wanted=self._progress)
        master = self._looked(now).status
        lag = "" if master is None else f"{size_text(max(0, master.offset - status.offset))} behind now"
        self._bar.step(max(0, status.offset - self._start), lag)

    def _transfer(self, status: Status) -> Fault | None:
        transfer = status.transfer
        assert transfer is not None
        self._goal = self._fault_since = None
        if not self._transferring:
            self._transferring = True
            self._transfers += 1
            if self._transfers > BROKEN_TRANSFERS:
                return self._broken(status)
            self._total = -1
        if transfer.total != self._total:  # it is known only once the data begin to come
            self._total = transfer.total
            self._bar.done()
            self._bar = Progress("receiving", transfer.total, wanted=self._progress)
        self._received = max(self._received, transfer.read)
        if not transfer.read:
            self._bar.say("nothing yet: the master prepares its data")
        elif transfer.total and transfer.read >= transfer.total:
            self._bar.say(f"all {size_text(transfer.total)} are there; loading")
        elif (
            not transfer.total and transfer.last_io_seconds > 1
        ):  # without a size nobody can tell the end from a pause
            still = f"nothing new for {transfer.last_io_seconds} s; loading, perhaps"
            self._bar.say(f"{size_text(transfer.read)}, {still}")
        else:
            self._bar.step(transfer.read)
        return None

    def _broken(self, status: Status) -> Fault:
        sight = look(self._master)
        if sight.fault is not None and lasting(sight.fault):
            return sight.fault
        return newer(sight.status, status) or Fault(
            "data", f"the transfer broke off {BROKEN_TRANSFERS} times; the log of {self._told} says why"
        )

    def _down(self, status: Status, now: float) -> Fault | None:
        """There is no link, and no transfer: why?"""
        self._transferring = False
        self._goal = None
        fault = status.fault
        if fault is None and now - self._began >= POLL_SECONDS * 3:
            fault = self._looked(now).fault
            if fault is not None and fault.kind in OF_THE_WAY and is_talking(self._connection):
                fault = None
        self._reason = fault
        if fault is None:
            self._fault_since = None
            return self._unexplained(now, status)
        self._unexplained_since = None
        self._bar.say(f"for the link: {escaped(fault.text)}")
        if lasting(fault):
            return None if self._is_old(fault, now) else fault
        if passing(fault):
            self._moved = now
            return None
        if self._fault_since is None:
            self._fault_since = now
        patient = self._timeout is not None or now - self._fault_since < PATIENCE_SECONDS
        return None if patient else fault

    def _is_old(self, fault: Fault, now: float) -> bool:
        """Whether a fault may be that of a try before the server was told: it tries again before long."""
        return fault == self._before and now - self._began < RETRY_SECONDS

    def _unexplained(self, now: float, status: Status) -> Fault | None:
        """The master can be reached, and nobody says what is wrong. Perhaps nothing: it prepares its data."""
        master = self._sight.status
        if master is not None and any(each.state != "online" for each in master.replicas):
            self._unexplained_since = None
            self._bar.say("for the master, which prepares its data")
            return None
        self._bar.say("for the link to the master")
        if self._unexplained_since is None:
            self._unexplained_since = now
        # A Redis that cannot read what it is sent tries again and again, each time for a moment.
        return newer(master, status) if now - self._unexplained_since >= PATIENCE_SECONDS else None
