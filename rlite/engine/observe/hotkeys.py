"""The hot keys of one server: what its threads have seen, put together.

Read when somebody asks; nothing here runs for a command. A key is hot when its rate is above the 99th
percentile of the rates of all tracked keys. Rates are of about the last ten seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context

PERCENTILE = 0.99
LEAST_RATE = 1.0  # uses a second below which no key is hot, however quiet the others are


@dataclass(frozen=True, slots=True)
class HotKey:
    """One tracked key. cut: the key is longer, and this its beginning. All figures are rates a second: uses
    (of which `error` may have been another key's), writes among them, microseconds of CPU, bytes of requests;
    share: of all tracked uses, from 0 to 1.
    """

    database: int
    key: bytes
    cut: bool
    uses: float
    error: float
    writes: float
    cpu_us: float
    net_bytes: float
    share: float
    hot: bool

    @property
    def reads(self) -> float:
        return max(0.0, self.uses - self.error - self.writes)


ORDERS = {
    "ops": lambda each: each.uses - each.error,
    "cpu": lambda each: each.cpu_us,
    "net": lambda each: each.net_bytes,
}


def tracked(server: "Context", by: str = "ops") -> list[HotKey]:
    """All tracked keys, the most used first. by: a word of ORDERS."""
    sums: dict[tuple[int, bytes, int], list[float]] = {}
    for each in (server.hot_keys, *(loop.hot_keys for loop in server.loops)):
        for database, key, cut, hash_, *figures in each.uses():
            place = (database, key, hash_ if cut else -1)
            found = sums.setdefault(place, [0.0] * 5)
            for at, figure in enumerate(figures):
                found[at] += figure
    total = sum(figures[0] - figures[1] for figures in sums.values()) or 1.0
    threshold = hot_from(figures[0] - figures[1] for figures in sums.values())
    keys = [
        HotKey(
            database, key, hash_ >= 0, uses, error, writes, ns / 1000, size, (uses - error) / total,
            uses - error >= threshold,
        )
        for (database, key, hash_), (uses, error, writes, ns, size) in sums.items()
    ]  # fmt: skip
    return sorted(keys, key=ORDERS[by], reverse=True)


def hot_from(rates: Iterable[float]) -> float:
    """The rate from which on a key is hot."""
    ordered = sorted(rates)
    if not ordered:
        return LEAST_RATE
    return max(LEAST_RATE, ordered[min(len(ordered) - 1, int(len(ordered) * PERCENTILE))])
