"""Snapshots: what SAVE takes, and loading what it wrote (DEBUG RELOAD NOSAVE into an empty server).

16 bytes of key, 32 of value that nothing compresses. Each server saves and loads its own file, in turn.
"""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

from support.servers import Server, running
from support.wire import Int, Simple, Wire

from bench.common import STARTS, Options, Result, median, send_in_chunks


def commands(count: int) -> Iterator[list[bytes]]:
    """MSETs of ten keys."""
    numbers = random.Random(1)
    for first in range(0, count, 10):
        words = [b"MSET"]
        for n in range(first, min(first + 10, count)):
            words += (b"key:%012d" % n, b"%032x" % numbers.getrandbits(128))
        yield words


def timed(wire: Wire, *command: str) -> float:
    started = time.perf_counter()
    assert wire.command(*command) == Simple(b"OK")
    return time.perf_counter() - started


def save_and_load(server: Server, count: int) -> tuple[float, float]:
    """Seconds of each."""
    with server.wire(timeout=300) as wire:
        saving = timed(wire, "SAVE")
        timed(wire, "FLUSHALL")
        loading = timed(wire, "DEBUG", "RELOAD", "NOSAVE")
        assert wire.command("DBSIZE") == Int(count)
    return saving, loading


def measure(options: Options) -> Result:
    """The two servers in turn, so that both see the same weather."""
    runs: list[tuple[tuple[float, float], tuple[float, float]]] = []
    with ExitStack() as stack:
        pair = []
        for name in (options.ours, options.theirs):
            start, directives = STARTS[name]
            pair.append(
                stack.enter_context(running(start, {**directives, "enable-debug-command": "yes", "save": ""}))
            )
        for server in pair:
            send_in_chunks(server, commands(options.keys), chunk=100)
        runs += [
            (save_and_load(pair[0], options.keys), save_and_load(pair[1], options.keys))
            for _ in range(options.runs)
        ]
    rows = []
    for which, name in ((0, "save"), (1, "load")):
        ours, theirs = (median(run[side][which] for run in runs) for side in (0, 1))
        speed = median(run[1][which] / run[0][which] for run in runs)
        rows.append((name, f"{ours:.3f}", f"{theirs:.3f}", f"{speed:.2f}"))
    headers = (f"{options.keys:,} strings, seconds", options.ours, options.theirs, "times as fast")
    return Result("snapshots", headers, rows, runs)
