"""What the log costs: SET with it and without, beside redis-server's, and the worst latency while it is
rewritten.

Throughput by redis-benchmark, 50 clients, the two servers in turn (A B A B). Their directories lie on a
disk where there is one. Rewrites by size are off, so that none falls into a run; the last row orders one
each time. Latency by loadgen.c: 50 clients, half GET and half SET, over the keys that are rewritten
(`--keys`).
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from support.servers import Server
from support.wire import Bulk, Wire

from bench.common import Options, Result, contestants, fill, loadgen, median, on_disk
from bench.throughput import KEYS, Work, compared

LOGGED = {"appendonly": "yes", "auto-aof-rewrite-percentage": "0"}
SET = Work("SET", ("-t", "set"))
Row = tuple[tuple[str, ...], dict[str, Any]]


def throughput(
    name: str, pipeline: int, options: Options, ours: Mapping[str, str], theirs: Mapping[str, str]
) -> Row:
    """One row: SET on servers with these directives."""
    with contestants(options, ours, theirs, parent=on_disk()) as pair:
        for server in pair:
            fill(server, KEYS, b"xxx")
        return compared(*pair, replace(SET, name=name), pipeline, options)


def info(server: Server, name: str) -> str:
    with server.wire() as wire:
        reply = wire.command("INFO", "persistence")
    assert isinstance(reply, Bulk)
    return dict(line.split(":", 1) for line in reply.data.decode().split("\r\n") if ":" in line)[name]


def under_rewrite(server: Server, options: Options) -> dict[str, float]:
    """Latencies of a load in the midst of which the log is rewritten; the rewrite ends before the load
    does.
    """
    probe = loadgen(server, clients=50, requests=50_000, gets=50, keys=options.keys, size=32)
    lasted: list[float] = []

    def rewrite() -> None:
        time.sleep(0.5)  # the load is under way
        began = time.monotonic()
        with Wire(server.address, timeout=60) as wire:
            wire.command("BGREWRITEAOF")
        while info(server, "aof_rewrite_in_progress") != "0" or info(server, "aof_rewrite_scheduled") != "0":
            time.sleep(0.05)
        lasted.append(time.monotonic() - began)

    requests = int(probe["per_second"] * max(options.seconds, 3.0) * 2)
    ordering = threading.Thread(target=rewrite)
    ordering.start()
    measured = loadgen(server, clients=50, requests=requests, gets=50, keys=options.keys, size=32)
    ordering.join()
    status = info(server, "aof_last_bgrewrite_status")
    assert status == "ok", f"{server.name}: {status}\n{server.log()}"
    if lasted[0] + 0.5 > measured["seconds"]:
        raise SystemExit(
            f"{server.name}: the rewrite took {lasted[0]:.1f} s, longer than the load: use --seconds"
        )
    return {**measured, "rewrite_seconds": lasted[0]}


def rewriting(options: Options) -> list[Row]:
    """Rows of latencies: the worst, and the 99.9th percentile."""
    runs: list[list[dict[str, float]]] = []
    directives = {**LOGGED, "appendfsync": "everysec"}
    with contestants(options, directives, parent=on_disk()) as pair:
        for server in pair:
            fill(server, options.keys, b"x" * 32)
        runs += [[under_rewrite(server, options) for server in pair] for _ in range(options.runs)]
    rows = []
    for point in ("worst", "p99.9"):
        ratios = [a[point] / b[point] for a, b in runs]
        a, b = (median(run[side][point] for run in runs) for side in (0, 1))
        cells = (f"{a:,.0f}", f"{b:,.0f}", f"{median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}")
        row = (f"BGREWRITEAOF of {options.keys:,} keys: {point}, µs", *cells, "", "", "")
        print(*row, flush=True)
        rows.append((row, {"point": point, "ratio": median(ratios), "ratios": ratios, "runs": runs}))
    return rows


def measure(options: Options) -> Result:
    """The table of ratios; the first row's are of one server with the log to the same without it."""
    everysec, always = ({**LOGGED, "appendfsync": policy} for policy in ("everysec", "always"))
    alone = replace(options, theirs=options.ours)
    rows = [
        throughput("SET everysec, other: the same without a log", 64, alone, everysec, {}),
        throughput("SET everysec", 64, options, everysec, everysec),
        throughput("SET always", 1, options, always, always),
        *rewriting(options),
    ]
    headers = (
        "work",
        options.ours,
        f"{options.theirs}/other",
        "ratio",
        "range",
        "µs CPU",
        "other µs CPU",
        "CPU ratio",
    )
    return Result(
        "durability (k/s, or as the row says)", headers, [row for row, _ in rows], [data for _, data in rows]
    )
