"""The histograms of what commands take, as lines of the exposition format.

By hand, with the part of each line that never changes kept: they are more than half of a scrape's lines, and
prometheus-client takes 2 µs for each. The lines are the same in its text format and in OpenMetrics. Runs with
the GIL; one thread at a time.
"""

from rlite.engine.commands.context import Context
from rlite.engine.commands.info import costs
from rlite.engine.observe.latency import LADDER_NS, histogram

NAME = "redis_commands_latencies_usec"
HEAD = f"# HELP {NAME} Microseconds that calls took, by command.\n# TYPE {NAME} histogram\n"
# Histograms of so many commands at most, those that were called most: each is two dozen series.
MAX_COMMANDS = 40


class TimeLines:
    """The lines of one server."""

    def __init__(self, server: Context) -> None:
        self.server = server
        self._frames: dict[str, str] = {}

    def _frame(self, command: str) -> str:
        """The lines of one command, with %s for each figure."""
        if command not in self._frames:
            of = f'cmd="{command}"'
            bounds = [*(f"{ns / 1000:.3f}" for ns in LADDER_NS), "+Inf"]
            self._frames[command] = "".join(
                [f'{NAME}_bucket{{{of},le="{bound}"}} %s\n' for bound in bounds]
                + [f"{NAME}_count{{{of}}} %s\n", f"{NAME}_sum{{{of}}} %s\n"]
            )
        return self._frames[command]

    def text(self) -> bytes:
        """The lines as they are now."""
        most = sorted(costs(self.server), key=lambda cost: cost.calls, reverse=True)[:MAX_COMMANDS]
        parts = [HEAD]
        for cost in sorted(most, key=lambda cost: cost.name):
            found = histogram(self.server, cost.name)
            if found.total:
                figures = (*found.below(LADDER_NS), found.total, found.total, cost.ns / 1000)
                parts.append(self._frame(cost.name) % figures)
        return "".join(parts).encode()
