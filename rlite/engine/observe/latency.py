"""How long commands take: percentiles and cumulative counts out of the core's histograms.

Sums over threads, taken when somebody asks, with the GIL; touches no key. What the histograms hold is the
time of each call of each command, in nanoseconds, since the start or CONFIG RESETSTAT, while
`latency-tracking` is on; relative error at most 1.6 %. They take 9 KiB for each command that ran, in each
I/O thread that ran it.
"""

from collections.abc import Iterator, Sequence

from rlite.engine.commands.context import Context
from rlite.engine.core.histogram import Histogram

# Bounds of the buckets that people see: doubling, from 1.024 µs on to 1.07 s, as Redis's.
LADDER_NS = tuple(1 << power for power in range(10, 31))


def histogram(context: Context, command: str) -> Histogram:
    """What calls of a command took, over all threads; empty where none was timed.

    command: a name as INFO commandstats has it, in lower case: `get`, `config|get`. Raises KeyError for one
    that does not exist.
    """
    which = context.ids[command]
    found = Histogram()
    for counters in context.all_counters():
        counters.add_times(which, found)
    return found


def timed(context: Context) -> Iterator[tuple[str, Histogram]]:
    """Every command that has been timed, by name, with its histogram (see `histogram`)."""
    for name in sorted(context.ids):
        found = histogram(context, name)
        if found.total:
            yield name, found


def percentiles(context: Context, command: str, wanted: Sequence[float]) -> list[float]:
    """For each percentage (0 to 100) the microseconds that so many calls did not exceed; zeros where none was
    timed. Raises KeyError for a command that does not exist.
    """
    return [ns / 1000 for ns in histogram(context, command).percentiles(wanted)]


def buckets(context: Context, command: str) -> list[tuple[float, int]]:
    """(bound in microseconds, calls that took less), over a ladder of bounds that double and are always the
    same, so that series made of it neither come nor go; calls that took longer than the last bound are in
    `histogram(...).total` only. Raises KeyError for a command that does not exist.
    """
    return list(
        zip([ns / 1000 for ns in LADDER_NS], histogram(context, command).below(LADDER_NS), strict=True)
    )
