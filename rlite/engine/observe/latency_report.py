"""What the latency monitor's samples look like to people: LATENCY GRAPH and LATENCY DOCTOR.

Pure functions from samples to text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rlite.engine.observe.latency_monitor import Sample, Series

WIDTH = 80
LEVELS = "_o#"  # of the topmost character of a column, from its lower third up
ROWS = 4

# What may help against each event, by the start of its name; the first that fits is said.
ADVICE = {
    "command": """SLOWLOG GET, or `rlite slowlog tail --group-by command`, tells which took long.""",
    "fast-command": """A command that is always short took long: it waited, for a lock that another held
  (see the slow log), or for a processor. Look at the load of the machine.""",
    "fork": """BGSAVE and rewrites of the log copy the page tables: less memory in the process, or
  transparent huge pages switched off, makes forks shorter.""",
    "aof-fsync": """The disk takes long to sync. Something else may keep it busy; a faster one helps, and
  so does `appendfsync everysec` in place of `always`.""",
    "aof-write": """Writing the log took long: the disk is busy or slow. A disk of its own for the log
  helps, or `no-appendfsync-on-rewrite yes` where children write at the same time.""",
    "expire-cycle": """Many keys expired at once. Give them deadlines that lie apart.""",
    "eviction-cycle": """Evicting took long: more is written than `maxmemory` has room for. Raise it, or
  write less; `maxmemory-eviction-tenacity` bounds how long one command evicts.""",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one event: samples, their mean and mean deviation (ms), seconds between two of them, the longest
    ever (ms).
    """

    count: int
    mean: float
    deviation: float
    period: float
    highest: int


def figures(series: Series, now: float) -> Figures:
    lengths = [sample.ms for sample in series.samples]
    mean = fmean(lengths)
    return Figures(
        len(lengths), mean, fmean(abs(ms - mean) for ms in lengths),
        max(now - series.samples[0].at, 0) / len(lengths), series.highest,
    )  # fmt: skip


def advice(events: Iterable[str]) -> list[str]:
    """What may help against these events, each thing once."""
    found = [next((text for start, text in ADVICE.items() if each.startswith(start)), "") for each in events]
    return list(dict.fromkeys(filter(None, found)))


def report(events: Mapping[str, Series], threshold_ms: int, now: float) -> str:
    """LATENCY DOCTOR. threshold_ms: 0 where the monitor is off."""
    if not events:
        if threshold_ms == 0:
            return (
                "The latency monitor is off. `CONFIG SET latency-monitor-threshold 100` has it keep events "
                "that take 100 ms or more; choose what is too long for you.\n"
            )
        return f"No event has taken {threshold_ms} ms or more since the start or LATENCY RESET.\n"
    lines = [f"Events that took {threshold_ms or 'as many as the threshold was'} ms or more:", ""]
    for number, (name, series) in enumerate(events.items(), 1):
        each = figures(series, now)
        lines.append(
            f"{number}. {name}: {each.count} latency spike{'s' if each.count != 1 else ''} "
            f"(average {each.mean:.0f}ms, mean deviation {each.deviation:.0f}ms, "
            f"period {each.period:.2f} sec). Worst all time event {each.highest}ms."
        )
    helps = advice(events)
    if helps:
        lines += ["", "What may help:", "", *(f"- {text}" for text in helps)]
    return "\n".join(lines) + "\n"


def age(seconds: int) -> str:
    """How long ago, in at most four characters or so: 5s, 12m, 3h, 20d."""
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "m"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def picture(event: str, series: Series, now: int) -> str:
    """LATENCY GRAPH: a column a sample, the oldest first, its height between the lowest and the highest of
    them; below it, downwards, how long ago.
    """
    samples = list(series.samples)
    low, high = min(each.ms for each in samples), max(each.ms for each in samples)
    lines = [f"{event} - high {high} ms, low {low} ms (all time high {series.highest} ms)", "-" * WIDTH]
    for start in range(0, len(samples), WIDTH):
        part = samples[start : start + WIDTH]
        lines += [*columns(part, low, high), "", *labels([age(max(now - each.at, 0)) for each in part]), ""]
    return "\n".join(line.rstrip() for line in lines)


def columns(samples: Sequence[Sample], low: int, high: int) -> list[str]:
    """The rows of one strip of the picture, the uppermost first."""
    steps = ROWS * len(LEVELS)
    heights = [
        1 + round((each.ms - low) * (steps - 1) / (high - low)) if high > low else steps for each in samples
    ]
    return [
        "".join(character(height - row * len(LEVELS)) for height in heights) for row in reversed(range(ROWS))
    ]


def character(height: int) -> str:
    """What a column shows in a row that it reaches `height` thirds into."""
    if height <= 0:
        return " "
    return "|" if height > len(LEVELS) else LEVELS[height - 1]


def labels(words: Sequence[str]) -> list[str]:
    """Words written downwards, one a column."""
    longest = max(map(len, words))
    return ["".join(word[at : at + 1] or " " for word in words) for at in range(longest)]
