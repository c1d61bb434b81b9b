"""Per-second figures out of running totals: the mean of the last sixteen samples, as Redis smooths them.

One thread, the server's clock, feeds it. Knows nothing of where the totals come from.
"""

from collections import deque
from collections.abc import Mapping

SAMPLES = 16


class Rates:
    """Turns totals that only grow into rates."""

    __slots__ = ("_before", "_rates")

    def __init__(self) -> None:
        self._before: tuple[float, Mapping[str, int]] | None = None
        self._rates: dict[str, deque[float]] = {}

    def sample(self, now: float, totals: Mapping[str, int]) -> dict[str, float]:
        """Takes the totals at `now` (seconds) and returns the smoothed rate of each, per second.

        A total that went back was reset: that sample counts as nothing happened.
        """
        if self._before is not None and now > self._before[0]:
            elapsed = now - self._before[0]
            for name, total in totals.items():
                kept = self._rates.setdefault(name, deque(maxlen=SAMPLES))
                kept.append(max(0, total - self._before[1].get(name, 0)) / elapsed)
        self._before = now, dict(totals)
        return {name: sum(kept) / len(kept) for name, kept in self._rates.items() if kept}
