"""Calls of a log put together by command, key or client: how many, and what they cost. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from rlite.cli.slowlog_reading import Logged

BY = ("command", "key", "client")
MOST = 10_000  # groups kept apart; what comes beyond them is counted together
OTHERS = b"(others)"
NONE = b"(none)"


@dataclass(slots=True)
class Group:
    """Calls with something in common. total, longest: microseconds or bytes, as the log's type has it;
    last_ms: Unix milliseconds of the last of them.
    """

    name: bytes
    calls: int = 0
    total: int = 0
    longest: int = 0
    last_ms: int = 0

    @property
    def mean(self) -> float:
        return self.total / self.calls if self.calls else 0.0


class Groups:
    """What was seen so far, by one of BY."""

    def __init__(self, by: str) -> None:
        self.by = by
        self._groups: dict[bytes, Group] = {}

    def add(self, calls: Iterable[Logged]) -> None:
        for call in calls:
            name = self._name(call)
            if name not in self._groups and len(self._groups) >= MOST:
                name = OTHERS
            group = self._groups.setdefault(name, Group(name))
            group.calls += 1
            group.total += call.value
            group.longest = max(group.longest, call.value)
            group.last_ms = max(group.last_ms, call.time_ms)

    def sorted(self) -> list[Group]:
        """Those that cost most come first."""
        return sorted(self._groups.values(), key=lambda group: (-group.total, group.name))

    def _name(self, call: Logged) -> bytes:
        match self.by:
            case "key":
                return NONE if call.key is None else call.key
            case "client":  # by its name where it has one: addresses change with each connection
                return call.client_name or call.client.rpartition(b":")[0] or NONE
        return call.command.encode("utf-8", "surrogateescape")
