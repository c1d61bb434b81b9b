"""A file of the log, read piece by piece into a buffer and handed to whoever runs it. Reads only.

Reading, not mapping: a disk that fails then is an OSError, not the end of the process.
"""

from collections.abc import Callable
from io import FileIO

from rlite.engine.commands.context import Loading

CHUNK = 4 << 20  # bytes between two looks at whether to stop; some 20 ms of replay
Step = Callable[[bytearray, int, int], tuple[str, int]]


class StoppedError(Exception):
    """The server was told to stop while it loaded."""


def feed(file: FileIO, at: int, size: int, step: Step, progress: Loading) -> tuple[str, int]:
    """Hands bytes `at` to `size` of a file to `step(buffer, held, left)` until it stops for another reason
    than that it wants more: `held` bytes of the buffer are filled, `left` are there from the first of them on
    to `size`. `step` returns (why, how many it has dealt with), as `Replay.records` does.

    Returns (why, where in the file). Raises OSError, StoppedError.
    """
    file.seek(at)
    buffer = bytearray(min(CHUNK, max(size - at, 1)))
    held = 0
    while True:
        if progress.stop():
            raise StoppedError
        with memoryview(buffer) as view:
            more = file.readinto(view[held : held + size - at - held])
        held += more
        why, done = step(buffer, held, size - at)
        at += done
        held -= done
        progress.loaded += done
        if why not in ("end", "short") or at + held == size or not more:
            return why, at
        buffer[:held] = buffer[done : done + held]
        if held == len(buffer):
            buffer.extend(bytes(min(held, size - at - held)))
