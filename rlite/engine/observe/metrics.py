"""Metrics for Prometheus: everything is read when somebody scrapes, out of INFO's sections and the core's
counters; nothing is counted twice, and no command knows of this.

`redis_*` as redis_exporter names, types and labels it; `rlite_*` is what only this server has. Runs with the
GIL, in the thread of whoever scrapes; touches no key. Imported where metrics are served only:
prometheus-client takes its time to import.
"""

import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.exposition import choose_encoder

from rlite.engine.commands.context import Context
from rlite.engine.commands.info import SECTIONS, Cost, costs, errors_by_word
from rlite.engine.observe.latency_monitor import LatencyMonitor
from rlite.engine.observe.metric_rows import LINK_ROWS, ROWS, Kind
from rlite.engine.observe.slowlog import CommandLog
from rlite.engine.observe.slowlog import Kind as LogKind
from rlite.engine.observe.time_lines import TimeLines
from rlite.engine.observe.typed_info import parts
from rlite.engine.version import RLITE_VERSION

Sections = Mapping[str, Mapping[str, object]]

FAMILIES = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
    Kind.UNTYPED: UnknownMetricFamily,
}
INFO_LABELS = (
    *(("Replication", name) for name in ("role", "master_replid")),
    *(("Server", name) for name in ("redis_version", "redis_build_id", "redis_mode", "os", "tcp_port")),
    *(("Server", name) for name in ("run_id", "process_id")),
    ("Memory", "maxmemory_policy"),
)
CONFIGURED = ("maxmemory", "maxclients", "io-threads", "repl-backlog-size")
SLAVE_LABELS = ["slave_ip", "slave_port", "slave_state"]
MASTER_LABELS = ["master_host", "master_port"]
END = b"# EOF\n"  # what the text of OpenMetrics ends with
WORDS = {"ok": 1.0, "yes": 1.0, "true": 1.0, "up": 1.0}  # any other word is a 0


def number(value: object) -> float:
    """A field of INFO as a metric's value.

    >>> number("ok"), number("err"), number("12.50%"), number(3)
    (1.0, 0.0, 12.5, 3)
    """
    if isinstance(value, int | float):
        return value
    text = str(value).removesuffix("%")
    try:
        return float(text)
    except ValueError:
        return WORDS.get(text, 0.0)


@dataclass(slots=True)
class Scrapes:
    """What the metrics tell of themselves."""

    count: int = 0
    seconds: float = 0.0


class ServerMetrics:
    """Collects the metrics of one server for a registry."""

    def __init__(self, server: Context, more: Iterable[Callable[[], Iterable[Metric]]] = ()) -> None:
        self.server = server
        self.scrapes = Scrapes()
        self._more = tuple(more)

    def describe(self) -> list[Metric]:
        """Nothing: a registry that has one collector need not know the names beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are at this moment."""
        started = time.perf_counter()
        server = self.server
        sections = {name: SECTIONS[name](server) for name in {row.section for row in ROWS}}
        yield GaugeMetricFamily("redis_up", "Whether the server answers.", 1)
        yield from of_rows(sections)
        yield from of_instance(server, sections)
        yield from of_commands(list(costs(server)))
        yield labelled(
            CounterMetricFamily, "redis_errors_total", "Errors replied, by their first word.", ["err"],
            sorted(((word,), count) for word, count in errors_by_word(server).items()),
        )  # fmt: skip
        yield from of_databases(server)
        yield from of_replicas(sections["Replication"])
        yield from of_slow_calls(cast("CommandLog", server.command_log))
        yield from of_spikes(cast("LatencyMonitor", server.latency_monitor))
        yield from of_log(server)
        yield labelled(
            CounterMetricFamily, "rlite_event_loop_turns_total", "Turns of each I/O thread.", ["thread"],
            [((str(i),), loop.turn_count) for i, loop in enumerate(server.loops)],
        )  # fmt: skip
        for collect in self._more:
            yield from collect()
        self.scrapes.count += 1
        self.scrapes.seconds = time.perf_counter() - started
        yield from of_scrapes(self.scrapes)


def labelled(
    family: Callable[..., Metric],
    name: str,
    text: str,
    labels: list[str],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    """A metric with a value for each set of labels."""
    made = family(name, text, labels=labels)
    for of, value in values:
        made.add_metric(of, value)  # type: ignore[attr-defined] # every family has it
    return made


def of_rows(sections: Sections) -> Iterator[Metric]:
    """The metrics that are one field of INFO each; a field that is not there has none."""
    for row in ROWS:
        value = sections[row.section].get(row.field)
        if value is not None:
            yield FAMILIES[row.kind](f"redis_{row.name}", row.help, number(value) * row.scale)


def of_instance(server: Context, sections: Sections) -> Iterator[Metric]:
    """What kind of server this is."""
    yield labelled(
        GaugeMetricFamily, "redis_instance_info", "What kind of server this is.",
        [label for _, label in INFO_LABELS],
        [(tuple(str(sections[section].get(label, "")) for section, label in INFO_LABELS), 1)],
    )  # fmt: skip
    yield GaugeMetricFamily("redis_start_time_seconds", "When the server started.", server.started)
    for name in CONFIGURED:
        yield GaugeMetricFamily(
            f"redis_config_{name.replace('-', '_')}", f"The directive {name}.", number(server.config[name])
        )
    yield labelled(
        GaugeMetricFamily, "rlite_build_info", "What the server is made of.", ["version", "python"],
        [((RLITE_VERSION, platform.python_version()), 1)],
    )  # fmt: skip


def of_commands(spent: Sequence[Cost]) -> Iterator[Metric]:
    """Calls and time of each command."""
    figures: tuple[tuple[str, str, Callable[[Cost], float]], ...] = (
        ("commands_total", "Calls of each command.", lambda cost: cost.calls),
        ("commands_duration_seconds_total", "Time in each command.", lambda cost: cost.ns / 1e9),
        ("commands_rejected_calls_total", "Calls refused before they ran.", lambda cost: cost.rejected),
        ("commands_failed_calls_total", "Calls that ended in an error.", lambda cost: cost.failed),
    )
    for name, text, figure in figures:
        values = [((cost.name,), figure(cost)) for cost in spent]
        yield labelled(CounterMetricFamily, f"redis_{name}", text, ["cmd"], values)


def of_databases(server: Context) -> Iterator[Metric]:
    """Keys of each database that there is, empty ones too: so their series do not come and go."""
    keys = server.keyspace
    figures: tuple[tuple[str, str, Callable[[int], float]], ...] = (
        ("db_keys", "Keys of each database.", keys.size),
        ("db_keys_expiring", "Keys with a deadline.", keys.volatile_size),
        ("db_avg_ttl_seconds", "Mean time left of those.", lambda i: keys.average_ttl_ms(i) / 1000),
    )
    for name, text, figure in figures:
        values = [((f"db{i}",), figure(i)) for i in range(keys.databases)]
        yield labelled(GaugeMetricFamily, f"redis_{name}", text, ["db"], values)


def of_replicas(fields: Mapping[str, object]) -> Iterator[Metric]:
    """What INFO replication says of each replica, and of the link of one."""
    replicas = [
        parts(str(value)) for name, value in fields.items() if name.startswith("slave") and name[5:].isdigit()
    ]
    found = [(each, (each["ip"], each["port"], each["state"])) for each in replicas]
    for name, text, field in (
        ("connected_slave_offset_bytes", "Offset each replica has acknowledged.", "offset"),
        ("connected_slave_lag_seconds", "Seconds since each replica was heard.", "lag"),
    ):
        values = [(labels, number(each[field])) for each, labels in found]
        yield labelled(GaugeMetricFamily, f"redis_{name}", text, SLAVE_LABELS, values)
    if "master_host" not in fields:
        return
    master = (str(fields["master_host"]), str(fields["master_port"]))
    for row in LINK_ROWS:
        yield labelled(
            GaugeMetricFamily, f"redis_{row.name}", row.help, MASTER_LABELS,
            [(master, number(fields.get(row.field)))],
        )  # fmt: skip
    yield labelled(
        GaugeMetricFamily, "redis_slave_info", "Whom this replica follows.", [*MASTER_LABELS, "read_only"],
        [((*master, str(fields.get("slave_read_only", 1))), 1)],
    )  # fmt: skip


def of_slow_calls(command_log: CommandLog) -> Iterator[Metric]:
    """The slow log in figures."""
    entries = list(command_log.kinds[LogKind.SLOW].entries)
    last = entries[-1] if entries else None
    for name, text, value in (
        ("slowlog_length", "Calls in the slow log.", len(entries)),
        ("slowlog_last_id", "Id of the latest; 0 for none.", last.id if last else 0),
        ("last_slow_execution_duration_seconds", "What the latest took.", last.value / 1e6 if last else 0),
    ):
        yield GaugeMetricFamily(f"redis_{name}", text, value)


def of_spikes(monitor: LatencyMonitor) -> Iterator[Metric]:
    """The latest of each event that took long."""
    latest = sorted(monitor.latest())
    for name, text, figures in (
        ("latency_spike_last", "When it last happened.", [each.at for _, each, _ in latest]),
        ("latency_spike_duration_seconds", "How long it took.", [each.ms / 1000 for _, each, _ in latest]),
    ):
        values = [((event,), figure) for (event, _, _), figure in zip(latest, figures, strict=True)]
        yield labelled(GaugeMetricFamily, f"redis_{name}", text, ["event_name"], values)


def of_log(server: Context) -> Iterator[Metric]:
    """The log: how much of it, and how far its parts lag behind each other."""
    log = server.log
    appended, written, synced = log.positions
    for name, text, value in (
        ("log_appended_bytes_total", "Bytes put into the log since the start.", appended),
        ("log_written_bytes_total", "Bytes of it given to the system.", written),
        ("log_synced_bytes_total", "Bytes of it brought to disk.", synced),
        ("log_fsyncs_total", "Times the log was brought to disk.", log.syncs),
    ):
        yield CounterMetricFamily(f"rlite_{name}", text, value)
    for name, text, value in (
        (
            "log_unwritten_bytes",
            "Bytes of the log that a crash of the server would lose.",
            appended - written,
        ),
        ("log_unsynced_bytes", "Bytes of the log that a loss of power would lose.", appended - synced),
        ("log_refusing_writes", "Whether writes are refused, for the log takes no more.", bool(log.refusing)),
    ):
        yield GaugeMetricFamily(f"rlite_{name}", text, value)


def of_scrapes(scrapes: Scrapes) -> Iterator[Metric]:
    """What an exporter tells of its scrapes."""
    yield CounterMetricFamily("redis_exporter_scrapes_total", "Scrapes so far.", scrapes.count)
    yield GaugeMetricFamily(
        "redis_exporter_last_scrape_duration_seconds", "What the present one took.", scrapes.seconds
    )
    yield labelled(
        GaugeMetricFamily, "redis_exporter_last_scrape_error", "Whether it failed; it did not.", ["err"],
        [(("",), 0)],
    )  # fmt: skip


class Metrics:
    """The registry of one server, and its text. more: further sources, such as the HTTP API's own figures."""

    def __init__(self, server: Context, more: Iterable[Callable[[], Iterable[Metric]]] = ()) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(ServerMetrics(server, more))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._times = TimeLines(server)
        self._one = threading.Lock()

    def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its media type, for the value of an Accept header. One scrape at a time: more
        would only wait for each other all the same.
        """
        encode, media_type = choose_encoder(accept)
        with self._one:
            text, times = encode(self.registry), self._times.text()
        if text.endswith(END):
            return text.removesuffix(END) + times + END, media_type
        return text + times, media_type
