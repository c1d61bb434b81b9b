"""Things to do at a moment: one thread, a heap of deadlines on the monotonic clock, milliseconds' precision.

Blocked clients' timeouts live here. Knows nothing of commands; what is due runs in the thread, with the GIL.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(order=True, slots=True)
class Timer:
    """One thing to do; `cancelled` ones are passed over when their time comes."""

    at: float  # monotonic seconds
    number: int
    action: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)


class Timers:
    """`run` is a thread's work until `stop`."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._stopping = False

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Has `action` run in so many seconds, unless it is cancelled."""
        timer = Timer(time.monotonic() + seconds, next(self._numbers), action)
        with self._changed:
            heapq.heappush(self._heap, timer)
            if self._heap[0] is timer:
                self._changed.notify()
        return timer

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and (not self._heap or self._heap[0].at > time.monotonic()):
                    wait = self._heap[0].at - time.monotonic() if self._heap else None
                    self._changed.wait(wait if wait is None or wait > 0 else 0)
                if self._stopping:
                    return
                timer = heapq.heappop(self._heap)
            if not timer.cancelled:
                timer.action()
