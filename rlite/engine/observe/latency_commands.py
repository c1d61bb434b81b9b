"""LATENCY, and INFO's section latencystats: how long commands and other events take.

Touches no key; runs with the GIL.
"""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.context import Context
from rlite.engine.commands.declare import REGISTRY, command, container
from rlite.engine.commands.helping import declare_help
from rlite.engine.commands.info import section
from rlite.engine.core.histogram import Histogram
from rlite.engine.errors import CommandError, printable
from rlite.engine.observe import latency, latency_report
from rlite.engine.reply import Pairs, Reply, Verbatim

if TYPE_CHECKING:
    from rlite.engine.observe.latency_monitor import LatencyMonitor

container("LATENCY", since="2.8.13", summary="What takes long, and how long.")


@section("Latencystats")
def latencystats(context: Context) -> Mapping[str, object]:
    """Percentiles of what each command took so far."""
    if not context.config.flag("latency-tracking"):
        return {}
    wanted = cast("list[float]", context.config["latency-tracking-info-percentiles"])
    return {
        f"latency_percentiles_usec_{name}": ",".join(
            f"p{f'{share:f}'.rstrip('0').rstrip('.')}={ns / 1000:.3f}"
            for share, ns in zip(wanted, times.percentiles(wanted), strict=True)
        )
        for name, times in latency.timed(context)
    }


def shown(times: Histogram) -> Reply:
    """A histogram as LATENCY HISTOGRAM has it: cumulative counts at bounds that double, where they grow."""
    grown: list[tuple[Reply, Reply]] = []
    seen = 0
    for ns, count in zip(latency.LADDER_NS, times.below(latency.LADDER_NS), strict=True):
        if count > seen:
            grown.append((label(ns), count))
            seen = count
    if times.total > seen:
        grown.append((label(latency.LADDER_NS[-1]), times.total))
    return {b"calls": times.total, b"histogram_usec": Pairs(grown)}


def label(ns: int) -> int:
    """The bound's microseconds as people know them from Redis, whose ranges are 1/128 of a power of two."""
    return (ns + ns // 128 - 1) // 1000


def named(context: Context, name: bytes) -> Iterator[str]:
    """The commands that an argument stands for: one, or all subcommands of one; none that there is not."""
    declared = context.renamed.get(name.lower()) or name.upper().decode("latin-1").replace("|", " ")
    found = REGISTRY.get(declared)
    if found is not None:
        yield from (each.counted_as for each in found.subcommands.values())
        yield found.counted_as


@command(
    "LATENCY HISTOGRAM [command [command ...]]", arity=-2, flags="admin noscript loading stale",
    group="server", since="7.0.0", complexity="O(n) where n is the number of commands that ran",
    tips=["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    summary="Tells how many calls of commands took up to how many microseconds.",
)  # fmt: skip
def latency_histogram(call: Call) -> Reply:
    server = call.server
    if len(call.args) == 2:
        return {name.encode(): shown(times) for name, times in latency.timed(server)}
    asked = [name for arg in call.args[2:] for name in named(server, arg)]
    found = [(name, latency.histogram(server, name)) for name in asked]
    return Pairs([(name.encode(), shown(times)) for name, times in found if times.total])


# --- the monitor of events ---------------------------------------------------------------------------------


def monitor_of(call: Call) -> "LatencyMonitor":
    return cast("LatencyMonitor", call.server.latency_monitor)


@command(
    "LATENCY LATEST", arity=2, flags="admin noscript loading stale", group="server", since="2.8.13",
    complexity="O(1)",
    tips=["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    summary="Returns the latest sample of each event: its time, milliseconds, and the longest ever.",
)  # fmt: skip
def latency_latest(call: Call) -> Reply:
    return [[event.encode(), last.at, last.ms, most] for event, last, most in monitor_of(call).latest()]


@command(
    "LATENCY HISTORY event", arity=3, flags="admin noscript loading stale", group="server", since="2.8.13",
    complexity="O(1)",
    tips=["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    summary="Returns the samples of an event: their times and milliseconds.",
)  # fmt: skip
def latency_history(call: Call) -> Reply:
    return [[each.at, each.ms] for each in monitor_of(call).samples(call.args[2].decode("latin-1"))]


@command(
    "LATENCY RESET [event [event ...]]", arity=-2, flags="admin noscript loading stale", group="server",
    since="2.8.13", complexity="O(1)", tips=["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary="Forgets the samples of events, of all where none is named; returns of how many.",
)  # fmt: skip
def latency_reset(call: Call) -> Reply:
    named = [arg.decode("latin-1") for arg in call.args[2:]]
    return monitor_of(call).reset(named or None)


@command(
    "LATENCY GRAPH event", arity=3, flags="admin noscript loading stale", group="server", since="2.8.13",
    complexity="O(1)",
    tips=["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    summary="Draws the samples of an event.",
)  # fmt: skip
def latency_graph(call: Call) -> Reply:
    event = call.args[2].decode("latin-1")
    series = monitor_of(call).snapshot().get(event)
    if series is None:
        raise CommandError(errors.LATENCY_NO_SAMPLES % printable(call.args[2]))
    return Verbatim("txt", latency_report.picture(event, series, int(time.time())).encode())


@command(
    "LATENCY DOCTOR", arity=2, flags="admin noscript loading stale", group="server", since="2.8.13",
    complexity="O(1)",
    tips=["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    summary="Says what took long, and what may help.",
)  # fmt: skip
def latency_doctor(call: Call) -> Reply:
    threshold = call.server.config.int("latency-monitor-threshold")
    text = latency_report.report(monitor_of(call).snapshot(), threshold, time.time())
    return Verbatim("txt", text.encode())


declare_help("LATENCY", since="2.8.13", group="server")
