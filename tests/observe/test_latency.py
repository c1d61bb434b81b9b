"""INFO latencystats, LATENCY HISTOGRAM, and what other parts read of the histograms."""

import re
import time

import pytest
from support.differential import Pair
from support.in_process import InProcess
from support.programs import program
from support.servers import Server
from support.wire import Array, Bulk, Int, Map, Reply, Simple, Verbatim, Wire

from rlite.engine.observe import latency


def section(wire: Wire) -> dict[str, str]:
    reply = wire.command("INFO", "latencystats")
    assert isinstance(reply, Bulk | Verbatim)
    lines = reply.data.decode().splitlines()
    assert lines[0] == "# Latencystats"
    return dict(line.split(":", 1) for line in lines[1:])


def names(reply: Reply) -> list[bytes]:
    """The commands of LATENCY HISTOGRAM's reply in RESP2."""
    assert isinstance(reply, Array)
    found = [each.data for each in reply.items[::2] if isinstance(each, Bulk)]
    assert len(found) * 2 == len(reply.items)
    return found


def test_info_tells_the_percentiles_of_each_command_that_ran(server: Server) -> None:
    with server.wire() as wire:
        wire.command("CONFIG", "RESETSTAT")
        for _ in range(50):
            wire.command("SET", "k", "v")
        wire.command("CONFIG", "GET", "port")
        found = section(wire)
    for name in ("set", "config|get"):
        text = found[f"latency_percentiles_usec_{name}"]
        assert re.fullmatch(r"p50=\d+\.\d{3},p99=\d+\.\d{3},p99\.9=\d+\.\d{3}", text)
    assert "latency_percentiles_usec_get" not in found


def test_the_percentiles_that_info_tells_are_a_directive(server: Server) -> None:
    with server.wire() as wire:
        wire.command("SET", "k", "v")
        wire.command("CONFIG", "SET", "latency-tracking-info-percentiles", "0 99.25 100")
        some = section(wire)["latency_percentiles_usec_set"]
        wire.command("CONFIG", "SET", "latency-tracking-info-percentiles", "")
        none = section(wire)["latency_percentiles_usec_set"]
        wire.command("CONFIG", "SET", "latency-tracking-info-percentiles", "50 99 99.9")
    assert re.fullmatch(r"p0=[\d.]+,p99\.25=[\d.]+,p100=[\d.]+", some)
    assert none == ""


def test_the_histogram_counts_every_call(server: Server) -> None:
    with server.wire() as wire:
        wire.command("CONFIG", "RESETSTAT")
        for _ in range(20):
            wire.command("INCR", "n")
        wire.command("INCR")  # refused before it ran
        reply = wire.command("LATENCY", "HISTOGRAM", "incr")
        assert isinstance(reply, Array)
        (name, facts) = reply.items
        assert name == Bulk(b"incr")
        assert isinstance(facts, Array)
        calls, count, word, pairs = facts.items
        assert (calls, count, word) == (Bulk(b"calls"), Int(20), Bulk(b"histogram_usec"))
        assert isinstance(pairs, Array)
        numbers = [each.value for each in pairs.items if isinstance(each, Int)]
        assert numbers[-1] == 20
        assert set(numbers[::2]) <= {1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113, 4227, 8454, 16909}
        assert numbers[1::2] == sorted(numbers[1::2])


def test_the_histogram_takes_names_of_commands_and_containers(server: Server) -> None:
    with server.wire() as wire:
        wire.command("CONFIG", "RESETSTAT")
        wire.command("SET", "k", "v")
        wire.command("CONFIG", "GET", "port")
        assert names(wire.command("LATENCY", "HISTOGRAM", "SET", "nothing", "get", "set")) == [b"set", b"set"]
        assert b"config|get" in names(wire.command("LATENCY", "HISTOGRAM", "CONFIG"))
        assert names(wire.command("LATENCY", "HISTOGRAM", "config|get")) == [b"config|get"]
        assert {b"set", b"config|get"} <= set(names(wire.command("LATENCY", "HISTOGRAM")))


def test_without_tracking_nothing_is_gathered(server: Server) -> None:
    with server.wire() as wire:
        wire.command("CONFIG", "RESETSTAT")
        wire.command("CONFIG", "SET", "latency-tracking", "no")
        wire.command("SET", "k", "v")
        assert section(wire) == {}
        assert names(wire.command("LATENCY", "HISTOGRAM", "set")) == []
        wire.command("CONFIG", "SET", "latency-tracking", "yes")
        wire.command("SET", "k", "v")
        assert names(wire.command("LATENCY", "HISTOGRAM", "set")) == [b"set"]


def test_without_calls_the_histogram_is_an_empty_map(pair: Pair) -> None:
    pair.same(program("LATENCY HISTOGRAM nothing"), protocol=3)
    pair.same(program("LATENCY HISTOGRAM nothing"))


def test_a_slow_command_shows_its_time_within_two_percent(engine: InProcess) -> None:
    wire = engine.wire()
    began = time.perf_counter_ns()
    assert wire.command("DEBUG", "SLEEP", "0.05") == Simple(b"OK")
    most = (time.perf_counter_ns() - began) / 1000
    (p50,) = latency.percentiles(engine.server.context, "debug", [50])
    assert 50_000 * 0.98 <= p50 <= most * 1.02


def test_calls_of_all_threads_and_paths_are_summed(engine: InProcess) -> None:
    wires = [engine.wire() for _ in range(6)]
    for wire in wires:
        wire.command("SET", "k", "v")
        wire.command("MULTI")
        wire.command("SET", "k", "w")
        wire.command("EXEC")
    wires[0].command("EVAL", "return redis.call('SET', 'k', 'x')", 0)
    context = engine.server.context
    assert latency.histogram(context, "set").total == 13
    bounds, counts = zip(*latency.buckets(context, "set"), strict=True)
    assert bounds[:3] == (1.024, 2.048, 4.096)
    assert len(bounds) == len(latency.LADDER_NS)
    assert list(counts) == sorted(counts)
    assert counts[-1] == 13
    assert latency.percentiles(context, "get", [50, 99]) == [0.0, 0.0]
    with pytest.raises(KeyError):
        latency.percentiles(context, "no such command", [50])


def test_resp3_names_calls_and_counts_in_maps(engine: InProcess) -> None:
    wire = engine.wire(protocol=3)
    wire.command("SET", "k", "v")
    reply = wire.command("LATENCY", "HISTOGRAM", "set")
    assert isinstance(reply, Map)
    ((name, facts),) = reply.pairs
    assert name == Bulk(b"set")
    assert isinstance(facts, Map)
    assert facts.pairs[0] == (Bulk(b"calls"), Int(1))
    assert isinstance(facts.pairs[1][1], Map)
