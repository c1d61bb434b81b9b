"""The slow log: the last calls that took longer than a threshold. Written with the GIL, bounded, in
memory.
"""

import time
from collections import deque
from dataclasses import dataclass

from rlite.engine.core.connection import Client

MAX_ARGS = 32  # of one entry; the last place says how many more there were
MAX_ARG_BYTES = 128


@dataclass(frozen=True, slots=True)
class Entry:
    """One slow call. when: Unix seconds; took: microseconds."""

    id: int
    when: int
    took: int
    args: tuple[bytes, ...]
    address: str
    name: str


def trimmed(args: list[bytes]) -> tuple[bytes, ...]:
    """The arguments as the log keeps them: few, and each short, with a note of what was left out."""
    kept = args if len(args) <= MAX_ARGS else args[: MAX_ARGS - 1]
    short = [
        arg
        if len(arg) <= MAX_ARG_BYTES
        else arg[:MAX_ARG_BYTES] + b"... (%d more bytes)" % (len(arg) - MAX_ARG_BYTES)
        for arg in kept
    ]
    if len(kept) < len(args):
        short.append(b"... (%d more arguments)" % (len(args) - MAX_ARGS + 1))
    return tuple(short)


class SlowLog:
    """threshold_us: calls that take as long are kept, a negative one keeps none; length: how many are
    kept.
    """

    __slots__ = ("entries", "next_id", "threshold_us")

    def __init__(self, threshold_us: int, length: int) -> None:
        self.threshold_us = threshold_us
        self.entries: deque[Entry] = deque(maxlen=length)
        self.next_id = 0

    def resize(self, length: int) -> None:
        self.entries = deque(self.entries, maxlen=length)

    def add(self, client: Client, args: list[bytes], microseconds: int) -> None:
        self.entries.append(
            Entry(self.next_id, int(time.time()), microseconds, trimmed(args), client.address, client.name)
        )
        self.next_id += 1
