"""Throughput and server CPU a command, by redis-benchmark, the two servers in turn (A B A B)."""

import csv
import io
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from support.servers import Server

from bench.common import Options, Result, contestants, fill, median, program

CLIENTS = 50
KEYS = 100_000


@dataclass(frozen=True, slots=True)
class Work:
    """What is measured. arguments: those of redis-benchmark, one of its tests or a command; prepare: what a
    server must hold before a run of so many requests.
    """

    name: str
    arguments: tuple[str, ...]
    prepare: Callable[[Server, int], None] = lambda _server, _requests: None


@dataclass(frozen=True, slots=True)
class Run:
    """One redis-benchmark run."""

    per_second: float
    cpu_micros: float
    p50_ms: float
    p99_ms: float


def run(server: Server, work: Work, pipeline: int, requests: int) -> Run:
    """Run one work; CPU is what all threads of the server used meanwhile, divided by the commands."""
    work.prepare(server, requests)
    options = ["-c", CLIENTS, "-r", KEYS, "-P", pipeline, "-n", requests, "--precision", 3, "--csv"]
    argv = [program("redis-benchmark", "redis-tools"), "-p", str(server.port), *map(str, options)]
    before = server.cpu_seconds()
    done = subprocess.run([*argv, *work.arguments], check=True, capture_output=True, text=True)
    cpu = server.cpu_seconds() - before
    row = list(csv.DictReader(io.StringIO(done.stdout)))[-1]
    return Run(
        float(row["rps"]), cpu / requests * 1e6, float(row["p50_latency_ms"]), float(row["p99_latency_ms"])
    )


def compared(
    ours: Server, theirs: Server, work: Work, pipeline: int, options: Options
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """(row of the table, everything measured) of one work; ratios pair by pair, so that drift falls out."""
    probe = run(theirs, work, pipeline, 20_000 * min(pipeline, 10))
    requests = max(1000, int(probe.per_second * options.seconds))
    pairs = [
        (run(ours, work, pipeline, requests), run(theirs, work, pipeline, requests))
        for _ in range(options.runs)
    ]
    ratios = [a.per_second / b.per_second for a, b in pairs]
    cpu_ratios = [a.cpu_micros / b.cpu_micros for a, b in pairs]
    a_rate, b_rate = (median(pair[side].per_second for pair in pairs) for side in (0, 1))
    a_cpu, b_cpu = (median(pair[side].cpu_micros for pair in pairs) for side in (0, 1))
    row = (
        f"{work.name} P={pipeline}", f"{a_rate / 1000:.1f}", f"{b_rate / 1000:.1f}",
        f"{median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}",
        f"{a_cpu:.3f}", f"{b_cpu:.3f}", f"{median(cpu_ratios):.2f}",
    )  # fmt: skip
    data = {
        "test": work.name,
        "pipeline": pipeline,
        "requests": requests,
        "ratio": median(ratios),
        "cpu_ratio": median(cpu_ratios),
        "ratios": ratios,
        "cpu_ratios": cpu_ratios,
        "ours": [asdict(pair[0]) for pair in pairs],
        "theirs": [asdict(pair[1]) for pair in pairs],
    }
    print(*row, flush=True)
    return row, data


def headers(options: Options) -> tuple[str, ...]:
    a, b = options.ours, options.theirs
    return "work", f"{a} k/s", f"{b} k/s", "ratio", "range", f"{a} µs CPU", f"{b} µs CPU", "CPU ratio"


def measure(options: Options) -> Result:
    """Medians of each test at each pipeline depth."""
    measured = []
    with contestants(options) as (ours, theirs):
        for server in (ours, theirs):
            fill(server, KEYS, b"xxx")
        for pipeline in options.pipelines:
            for test in options.tests:
                work = Work(test.upper(), ("-t", test))
                measured.append(compared(ours, theirs, work, pipeline, options))
    return Result(
        "throughput", headers(options), [row for row, _ in measured], [data for _, data in measured]
    )
