"""The latency monitor: events that took at least `latency-monitor-threshold`, by name and second, as Redis's.

Written with the GIL by any thread; bounded: a sample a second, 160 of each event. What takes long without
the GIL (writing the log, expiry, eviction) the core notes as the longest so far, and the server's clock, ten
times a second, brings it here.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rlite.engine.directives import INT64_MAX

SAMPLES = 160


@dataclass(frozen=True, slots=True)
class Sample:
    """The longest of one second: when (Unix seconds), milliseconds."""

    at: int
    ms: int


@dataclass(slots=True)
class Series:
    """What is known of one event: its latest samples, the oldest first, and the longest ever (ms)."""

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    highest: int = 0


class LatencyMonitor:
    """threshold_ns: events from so long on are kept; INT64_MAX: none. events: by name, never empty ones."""

    __slots__ = ("_lock", "events", "threshold_ns")

    def __init__(self) -> None:
        self.threshold_ns = INT64_MAX
        self.events: dict[str, Series] = {}
        self._lock = threading.Lock()

    def set_threshold(self, milliseconds: int) -> None:
        """0: nothing is kept."""
        self.threshold_ns = min(milliseconds * 1_000_000, INT64_MAX) if milliseconds else INT64_MAX

    def note(self, event: str, ns: int) -> None:
        """An event that has just ended took so long."""
        if ns < self.threshold_ns:
            return
        now, ms = int(time.time()), ns // 1_000_000
        with self._lock:
            series = self.events.setdefault(event, Series())
            series.highest = max(series.highest, ms)
            if series.samples and series.samples[-1].at == now:
                if ms > series.samples[-1].ms:
                    series.samples[-1] = Sample(now, ms)
            else:
                series.samples.append(Sample(now, ms))

    def samples(self, event: str) -> list[Sample]:
        """The latest samples, the oldest first; none for an event that has not happened."""
        with self._lock:
            return list(self.events[event].samples) if event in self.events else []

    def snapshot(self) -> dict[str, Series]:
        """What is known of each event, apart from what goes on."""
        with self._lock:
            return {
                name: Series(deque(each.samples, maxlen=SAMPLES), each.highest)
                for name, each in self.events.items()
            }

    def latest(self) -> list[tuple[str, Sample, int]]:
        """(event, its latest sample, ms of the longest ever) of each event that has happened."""
        with self._lock:
            return [(name, each.samples[-1], each.highest) for name, each in self.events.items()]

    def reset(self, events: Iterable[str] | None = None) -> int:
        """Forgets these events (None: all). Returns how many there were."""
        with self._lock:
            gone = list(self.events) if events is None else [name for name in events if name in self.events]
            return sum(self.events.pop(name, None) is not None for name in gone)
