"""The command log: the last calls that took long, came in a large request, or were given a large reply.

One bounded log of each kind, in memory: Redis's slow log, and Valkey's COMMANDLOG. Written with the GIL, by
any thread. An entry takes at most some 7 KiB.
"""

import contextlib
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from rlite.engine.commands.declare import Command
from rlite.engine.commands.secret import without_secrets
from rlite.engine.core.connection import Client
from rlite.engine.errors import CommandError

MAX_ARGS = 32  # of one entry; the last place says how many more there were
MAX_ARG_BYTES = 128
MAX_KEY_BYTES = 1024


class Kind(Enum):
    """Why a call is kept, by the word of COMMANDLOG."""

    SLOW = "slow"
    LARGE_REQUEST = "large-request"
    LARGE_REPLY = "large-reply"


@dataclass(frozen=True, slots=True)
class Entry:
    """One call. at: Unix seconds; value: what it is kept for, microseconds or bytes; command: as INFO
    commandstats names it; args: cut as Redis cuts them, args_cut: whether they were; key: the first, up to
    MAX_KEY_BYTES of it, None where the command has none; microseconds, request_bytes, reply_bytes: of the
    call, -1 where that is not known (a command of a script came in no request).
    """

    id: int
    at: float
    value: int
    command: str
    args: tuple[bytes, ...]
    args_cut: bool
    address: str
    name: str
    user: str
    database: int
    key: bytes | None
    microseconds: int
    request_bytes: int
    reply_bytes: int

    @property
    def when(self) -> int:
        return int(self.at)


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


def first_key(command: Command, args: list[bytes]) -> bytes | None:
    """The first key of a call, or its beginning."""
    with contextlib.suppress(CommandError):
        for at in command.key_positions(args):
            return args[at][:MAX_KEY_BYTES]
    return None


class SlowLog:
    """The log of one kind. threshold: microseconds or bytes from which on calls are kept, a negative one
    keeps none; length: how many are kept. Ids begin at 0 and only grow.
    """

    __slots__ = ("entries", "next_id", "threshold")

    def __init__(self, threshold: int = -1, length: int = 0) -> None:
        self.threshold = threshold
        self.entries: deque[Entry] = deque(maxlen=length)
        self.next_id = 0

    @property
    def length(self) -> int:
        return self.entries.maxlen or 0

    def resize(self, length: int) -> None:
        self.entries = deque(self.entries, maxlen=length)

    def takes(self, value: int) -> bool:
        return value >= self.threshold >= 0 and value >= 0

    def newest(self, count: int) -> list[Entry]:
        """Up to `count` entries (-1: all), the newest first."""
        there = list(self.entries)
        return list(islice(reversed(there), len(there) if count == -1 else count))


class CommandLog:
    """The logs of all kinds."""

    def __init__(self) -> None:
        self.kinds = {kind: SlowLog() for kind in Kind}
        self._adding = threading.Lock()

    def judge(
        self, client: Client, command: Command, args: list[bytes], *, database: int, ns: int,
        request: int = -1, reply: int = -1,
    ) -> None:  # fmt: skip
        """Keeps a call of which it is time: one that has ended. client: who is said to have made it; ns: what
        it took; request, reply: bytes, -1: unknown.
        """
        if "skip_slowlog" in command.flags:
            return
        values = {Kind.SLOW: ns // 1000, Kind.LARGE_REQUEST: request, Kind.LARGE_REPLY: reply}
        wanted = [kind for kind, value in values.items() if self.kinds[kind].takes(value)]
        if not wanted:
            return
        shown = trimmed(without_secrets(command, args))
        cut = len(args) > MAX_ARGS or any(len(arg) > MAX_ARG_BYTES for arg in args)
        key = first_key(command, args)
        with self._adding:
            for kind in wanted:
                log = self.kinds[kind]
                log.entries.append(
                    Entry(
                        log.next_id, time.time(), values[kind], command.counted_as, shown, cut,
                        client.address, client.name, client.user, database, key, ns // 1000, request, reply,
                    )
                )  # fmt: skip
                log.next_id += 1
