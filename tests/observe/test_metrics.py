"""The metrics against real parsers: every name that dashboards ask for, and figures that are INFO's."""

import time
from collections.abc import Iterator

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rlite.engine import Engine
from rlite.engine.observe.latency import LADDER_NS
from rlite.engine.observe.metrics import Metrics

# The series that the panels and alerts of public dashboards (763, 11835, 14091, the redis mixin) read on a
# master, with the labels they group by.
DASHBOARDS = {
    "redis_up": (),
    "redis_uptime_in_seconds": (),
    "redis_instance_info": ("role", "redis_version", "redis_mode", "os", "maxmemory_policy"),
    "redis_start_time_seconds": (),
    "redis_connected_clients": (),
    "redis_blocked_clients": (),
    "redis_connections_received_total": (),
    "redis_rejected_connections_total": (),
    "redis_memory_used_bytes": (),
    "redis_memory_used_rss_bytes": (),
    "redis_memory_max_bytes": (),
    "redis_memory_fragmentation_ratio": (),
    "redis_mem_fragmentation_ratio": (),
    "redis_total_system_memory_bytes": (),
    "redis_config_maxclients": (),
    "redis_config_maxmemory": (),
    "redis_commands_processed_total": (),
    "redis_commands_total": ("cmd",),
    "redis_commands_duration_seconds_total": ("cmd",),
    "redis_commands_latencies_usec_bucket": ("cmd", "le"),
    "redis_keyspace_hits_total": (),
    "redis_keyspace_misses_total": (),
    "redis_net_input_bytes_total": (),
    "redis_net_output_bytes_total": (),
    "redis_db_keys": ("db",),
    "redis_db_keys_expiring": ("db",),
    "redis_expired_keys_total": (),
    "redis_evicted_keys_total": (),
    "redis_connected_slaves": (),
    "redis_master_repl_offset": (),
    "redis_rdb_last_save_timestamp_seconds": (),
    "redis_rdb_last_bgsave_status": (),
    "redis_rdb_changes_since_last_save": (),
    "redis_aof_enabled": (),
    "redis_aof_last_bgrewrite_status": (),
    "redis_slowlog_length": (),
    "redis_cpu_sys_seconds_total": (),
    "redis_cpu_user_seconds_total": (),
    "redis_pubsub_channels": (),
    "redis_cluster_enabled": (),
    "redis_exporter_last_scrape_error": ("err",),
    "redis_exporter_last_scrape_duration_seconds": (),
}
FIGURES = (
    "rlite_build_info",
    "rlite_log_fsyncs_total",
    "rlite_log_unsynced_bytes",
    "process_resident_memory_bytes",
)

COMMANDS = (
    *("HSET h f 1", "HGET h f", "HGETALL h", "LPUSH l 1", "RPUSH l 2", "LLEN l", "LRANGE l 0 1", "LPOP l"),
    *("RPOP l", "SADD s 1", "SCARD s", "SMEMBERS s", "ZADD z 1 m", "ZRANGE z 0 -1", "ZCARD z", "INCR n"),
    *("TTL s", "EXPIRE s 100", "PERSIST s", "EXISTS a", "DBSIZE", "PING", "ECHO a", "TIME", "MGET a b"),
    *("MSET a 1", "TYPE a", "KEYS x", "RANDOMKEY", "STRLEN a", "APPEND a b", "GETRANGE a 0 1", "DEL a"),
    *("SETRANGE a 0 x", "XADD x * a 1", "XLEN x", "INFO", "SCAN 0"),
)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        for i in range(50):
            engine.set(f"key{i}", "value", ex=1000 if i % 5 == 0 else None)
            engine.get(f"key{i}")
        engine.get("missing")
        yield engine


def exposed(engine: Engine, accept: str = "") -> dict[str, Metric]:
    """The metrics by family's name, once parsed."""
    text, media_type = Metrics(engine._server.context).text(accept)
    parse = parse_openmetrics if "openmetrics" in media_type else parse_text
    return {family.name: family for family in parse(text.decode())}


def series(engine: Engine) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in exposed(engine).values()
        for sample in family.samples
    }


def value(engine: Engine, name: str, **labels: str) -> float:
    return series(engine)[name, frozenset(labels.items())]


def test_every_series_that_public_dashboards_read_is_there_with_its_labels(engine: Engine) -> None:
    found: dict[str, set[str]] = {}
    for name, labels in series(engine):
        found.setdefault(name, set()).update(label for label, _ in labels)
    missing = {name for name in (*DASHBOARDS, *FIGURES) if name not in found}
    assert not missing
    for name, labels in DASHBOARDS.items():
        assert set(labels) <= found[name], name


def test_both_formats_say_the_same(engine: Engine) -> None:
    plain, open_metrics = exposed(engine), exposed(engine, "application/openmetrics-text; version=1.0.0")
    assert plain.keys() == open_metrics.keys()
    for name, family in plain.items():
        # One is written a moment after the other, so what is measured differs; names and labels do not.
        shape = {(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples}
        other = {(sample.name, tuple(sorted(sample.labels.items()))) for sample in open_metrics[name].samples}
        assert shape == other, name
        assert family.documentation == open_metrics[name].documentation
        assert family.type == open_metrics[name].type, name


def test_calls_and_their_time_are_those_of_commandstats(engine: Engine) -> None:
    assert value(engine, "redis_commands_total", cmd="set") == 50
    assert value(engine, "redis_commands_total", cmd="get") == 51
    assert 0 < value(engine, "redis_commands_duration_seconds_total", cmd="get") < 1
    assert value(engine, "redis_keyspace_hits_total") == 50
    assert value(engine, "redis_keyspace_misses_total") == 1


def test_a_subcommand_is_named_as_info_names_it(engine: Engine) -> None:
    engine.execute("CONFIG", "GET", "maxmemory")
    assert value(engine, "redis_commands_total", cmd="config|get") == 1


def test_failed_and_refused_calls_and_errors_are_counted_by_their_word(engine: Engine) -> None:
    engine.execute("LPUSH", "list", "a")
    with pytest.raises(Exception, match="WRONGTYPE"):
        engine.execute("GET", "list")
    assert value(engine, "redis_commands_failed_calls_total", cmd="get") == 1
    assert value(engine, "redis_errors_total", err="WRONGTYPE") == 1


def test_keys_are_counted_by_database_and_an_empty_database_is_a_zero(engine: Engine) -> None:
    assert value(engine, "redis_db_keys", db="db0") == 50
    assert value(engine, "redis_db_keys_expiring", db="db0") == 10
    assert value(engine, "redis_db_keys", db="db7") == 0


def test_a_histogram_counts_every_call_once_over_bounds_that_never_change(engine: Engine) -> None:
    samples = [
        sample
        for sample in exposed(engine)["redis_commands_latencies_usec"].samples
        if sample.labels["cmd"] == "get"
    ]
    counts = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    assert len(counts) == len(LADDER_NS) + 1
    assert counts == sorted(counts)
    assert counts[-1] == value(engine, "redis_commands_latencies_usec_count", cmd="get") == 51
    assert value(engine, "redis_commands_latencies_usec_sum", cmd="get") == pytest.approx(
        value(engine, "redis_commands_duration_seconds_total", cmd="get") * 1e6
    )


def test_nothing_is_double_and_every_name_is_of_a_known_kind(engine: Engine) -> None:
    text = Metrics(engine._server.context).text("")[0].decode()
    lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))
    assert {line.split("_")[0] for line in lines} == {"redis", "rlite", "process", "python"}


def test_a_scrape_of_forty_commands_stays_within_its_budget(engine: Engine) -> None:
    for command in COMMANDS:
        engine.execute(*command.split())
    metrics = Metrics(engine._server.context)
    metrics.text("")
    took = []
    for _ in range(15):
        started = time.thread_time()  # not the time in which other processes had the processor
        metrics.text("")
        took.append(time.thread_time() - started)
    assert min(took) < 0.005
