"""LATENCY LATEST, HISTORY, RESET, GRAPH and DOCTOR: beside Redis's, and each event from where it happens."""

import time
from pathlib import Path

import pytest
from support.differential import Pair
from support.in_process import InProcess, started
from support.programs import program
from support.servers import Server, wait_for
from support.wire import Array, Bulk, Err, Int, Reply, Simple, Verbatim, Wire

from rlite.engine.core.database import Database
from rlite.engine.core.histogram import Histogram
from rlite.engine.observe.latency_monitor import LatencyMonitor, Sample, Series
from rlite.engine.observe.latency_report import age, picture, report


def watched(server: Server, threshold: int) -> Wire:
    wire = server.wire()
    wire.command("CONFIG", "SET", "latency-monitor-threshold", threshold)
    wire.command("LATENCY", "RESET")
    return wire


def events(reply: Reply) -> dict[bytes, tuple[int, int, int]]:
    """LATENCY LATEST by event: time, milliseconds, the longest ever."""
    assert isinstance(reply, Array)
    found: dict[bytes, tuple[int, int, int]] = {}
    for each in reply.items:
        assert isinstance(each, Array)
        name, *numbers = each.items
        assert isinstance(name, Bulk)
        at, ms, most = (number.value for number in numbers if isinstance(number, Int))
        found[name.data] = at, ms, most
    return found


def text(reply: Reply) -> str:
    assert isinstance(reply, Bulk | Verbatim)
    return reply.data.decode()


def test_a_slow_command_is_an_event(server: Server) -> None:
    wire = watched(server, 10)
    before = time.time()
    wire.command("DEBUG", "SLEEP", "0.03")
    wire.command("SET", "k", "v")
    at, ms, most = events(wire.command("LATENCY", "LATEST"))[b"command"]
    assert before - 2 <= at <= time.time() + 2
    assert 30 <= ms < 1000
    assert most == ms
    assert wire.command("LATENCY", "HISTORY", "command") == Array((Array((Int(at), Int(ms))),))
    wire.command("CONFIG", "SET", "latency-monitor-threshold", 0)


def test_a_command_within_the_threshold_is_none(server: Server) -> None:
    wire = watched(server, 5000)
    wire.command("DEBUG", "SLEEP", "0.01")
    assert events(wire.command("LATENCY", "LATEST")) == {}
    wire.command("CONFIG", "SET", "latency-monitor-threshold", 0)
    wire.command("DEBUG", "SLEEP", "0.01")
    assert events(wire.command("LATENCY", "LATEST")) == {}


def test_reset_says_how_many_events_it_forgot(server: Server) -> None:
    wire = watched(server, 1)
    wire.command("DEBUG", "SLEEP", "0.01")
    assert wire.command("LATENCY", "RESET", "nothing", "fork") == Int(0)
    assert wire.command("LATENCY", "RESET", "command", "command") == Int(1)
    wire.command("DEBUG", "SLEEP", "0.01")
    assert wire.command("LATENCY", "RESET") == Int(1)
    assert wire.command("LATENCY", "LATEST") == Array(())
    wire.command("CONFIG", "SET", "latency-monitor-threshold", 0)


def test_the_graph_begins_with_the_figures_and_a_line(server: Server) -> None:
    wire = watched(server, 1)
    wire.command("DEBUG", "SLEEP", "0.02")
    (_, _, most) = events(wire.command("LATENCY", "LATEST"))[b"command"]
    head, line, *rows = text(wire.command("LATENCY", "GRAPH", "command")).split("\n")
    assert head == f"command - high {most} ms, low {most} ms (all time high {most} ms)"
    assert line == "-" * 80
    assert any("s" in row for row in rows)
    wire.command("CONFIG", "SET", "latency-monitor-threshold", 0)


def test_bad_calls_and_empty_ones_are_answered_as_redis_answers_them(pair: Pair) -> None:
    lines = """
        LATENCY RESET
        LATENCY
        LATENCY LATEST
        LATENCY LATEST x
        LATENCY HISTORY
        LATENCY HISTORY nothing
        LATENCY GRAPH
        LATENCY GRAPH nothing
        LATENCY DOCTOR x
        LATENCY NOSUCH
        """
    pair.same(program(lines))
    pair.same(program(lines), protocol=3)


def test_fast_commands_and_others_are_told_apart(engine: InProcess) -> None:
    monitor = engine.server.latency_monitor
    monitor.threshold_ns = engine.server.context.slow_ns = 1
    wire = engine.wire()
    wire.command("MULTI")
    wire.command("GET", "k")
    wire.command("KEYS", "*")
    wire.command("EXEC")
    assert {"command", "fast-command"} <= set(monitor.events)


def test_a_plain_command_that_waits_for_a_lock_is_an_event(engine: InProcess) -> None:
    """The time of a command is what its client waits for, on whatever path it goes."""
    server = engine.server
    wire = engine.wire()
    wire.command("DEBUG", "SLEEP", "0.005")  # a loop's clock of commands runs from its second millisecond on
    wire.command("CONFIG", "SET", "latency-monitor-threshold", 5)
    holder = Database(server.keyspace, 0)
    holder.lock([b"k"])
    before = server.context.total("net_in")
    wire.send("GET", "k")
    wait_for(lambda: server.context.total("net_in") > before, "the arrival of GET")
    time.sleep(0.02)  # what it is to wait for
    holder.unlock()
    wire.read_reply()
    (sample,) = server.latency_monitor.samples("fast-command")
    assert sample.ms >= 5


def test_an_eviction_that_takes_long_is_an_event(engine: InProcess) -> None:
    engine.server.latency_monitor.threshold_ns = 1
    wire = engine.wire()
    wire.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    for n in range(500):
        wire.command("SET", n, "x" * 1000)
    wire.command("CONFIG", "SET", "maxmemory", "100kb")
    wire.command("SET", "k", "v")
    wait_for(lambda: "eviction-cycle" in engine.server.latency_monitor.events, "an event of eviction")


def test_expiry_is_an_event(engine: InProcess) -> None:
    engine.server.latency_monitor.threshold_ns = 1
    engine.wire().command("SET", "k", "v", "PX", 1)
    wait_for(lambda: "expire-cycle" in engine.server.latency_monitor.events, "an event of expiry")
    keys = engine.server.keyspace.counters()
    assert keys["expire_ns"] > 0


@pytest.mark.parametrize(("policy", "sync"), [("always", "aof-fsync-always"), ("everysec", "aof-fsync")])
def test_writing_the_log_syncing_it_and_forking_are_events(tmp_path: Path, policy: str, sync: str) -> None:
    running = started(appendonly="yes", appendfsync=policy, dir=str(tmp_path))
    try:
        monitor = running.server.latency_monitor
        monitor.threshold_ns = 1
        wire = running.wire()
        assert wire.command("SET", "k", "v") == Simple(b"OK")
        wanted = {"aof-write", "aof-write-alone", sync}
        wait_for(lambda: wanted <= set(monitor.events), f"events {wanted}")
        wire.command("BGSAVE")
        assert "fork" in monitor.events
        writes, syncs = Histogram(), Histogram()
        running.server.context.log.add_times(writes, syncs)
        assert writes.total > 0
        assert syncs.total > 0
    finally:
        running.close()


def test_a_second_has_one_sample_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monitor = LatencyMonitor()
    monitor.set_threshold(5)
    for ms in (4, 20, 30, 10):
        monitor.note("fork", ms * 1_000_000)
    now[0] = 101.2
    monitor.note("fork", 7_900_000)
    assert monitor.samples("fork") == [Sample(100, 30), Sample(101, 7)]
    assert monitor.latest() == [("fork", Sample(101, 7), 30)]
    for second in range(200, 500):
        now[0] = float(second)
        monitor.note("fork", 5_000_000)
    assert len(monitor.samples("fork")) == 160
    assert monitor.samples("fork")[0].at == 340
    assert monitor.latest()[0][2] == 30


def series(*milliseconds: int, start: int = 1000, highest: int = 0) -> Series:
    found = Series(highest=max((*milliseconds, highest)))
    found.samples.extend(Sample(start + at, ms) for at, ms in enumerate(milliseconds))
    return found


def test_the_picture_has_a_column_a_sample_and_its_age_below() -> None:
    lines = picture("fork", series(10, 20, 30, 120, highest=500), 1065).split("\n")
    assert lines[0] == "fork - high 120 ms, low 10 ms (all time high 500 ms)"
    assert lines[2:6] == ["   #", "   |", "   |", "_o#|"]
    assert lines[6:10] == ["", "1111", "mmmm", ""]


def test_a_picture_of_many_samples_has_several_strips() -> None:
    lines = picture("fork", series(*range(1, 101)), 1200).split("\n")
    assert max(map(len, lines)) == 80
    assert sum(line.startswith("m") for line in lines) == 2


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (90000, "1d")]
)
def test_ages_are_short(seconds: int, shown: str) -> None:
    assert age(seconds) == shown


def test_the_doctor_tells_of_each_event_and_what_may_help_once() -> None:
    found = report(
        {"command": series(100, 200), "aof-write": series(30), "aof-write-alone": series(30)}, 10, 1010.0
    )
    assert "1. command: 2 latency spikes (average 150ms, mean deviation 50ms, period 5.00 sec)." in found
    assert "Worst all time event 200ms." in found
    assert found.count("Writing the log took long") == 1


def test_the_doctor_says_when_there_is_nothing_to_tell(server: Server) -> None:
    wire = watched(server, 0)
    assert "latency-monitor-threshold" in text(wire.command("LATENCY", "DOCTOR"))
    wire.command("CONFIG", "SET", "latency-monitor-threshold", 1000)
    assert text(wire.command("LATENCY", "DOCTOR")).strip()
    wire.command("CONFIG", "SET", "latency-monitor-threshold", 0)


def test_an_event_without_samples_has_no_graph(engine: InProcess) -> None:
    assert engine.wire().command("LATENCY", "GRAPH", "x") == Err(b"ERR No samples available for event 'x'")
