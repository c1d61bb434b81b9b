"""Replication, a pair of ours beside a pair of redis-server, in turn (A B A B): what a replica costs its
master, how long a full and a partial resync take, and how far a healthy replica lags.

SET by redis-benchmark with one replica attached; the next run begins when all replicas have caught up. A full
resync of `--keys` keys is timed from REPLICAOF to master_link_status:up, a partial one until the replica has
all of the gap. Lag: `--rate` writes a second, among them a time stamp each millisecond, which is read on the
replica all the time; what is shown is its age, so up to a millisecond of it is the writer's.
"""

import multiprocessing
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from support.replication import Pair, fields, follow, in_sync, is_rlite, is_up, offset, stat
from support.servers import Server, running, wait_for
from support.wire import Bulk, encode

from bench.common import STARTS, Options, Result, fill, median, on_disk
from bench.throughput import KEYS, Work, compared

DIRECTIVES = {"repl-diskless-sync-delay": "0", "repl-timeout": "600"}
GAP = 64 << 20  # bytes of the stream that a partial resync has to bring
ROOMY = {"repl-backlog-size": "256mb"}
FILES = {"appendonly": "yes", "auto-aof-rewrite-percentage": "0", "repl-backlog-size": "1mb"}
Row = tuple[tuple[str, ...], dict[str, Any]]


@contextmanager
def one(kind: str, more: Mapping[str, str] | None = None) -> Iterator[Server]:
    start, always = STARTS[kind]
    with running(start, {**always, **DIRECTIVES, **(more or {})}, parent=on_disk()) as server:
        yield server


@contextmanager
def pairs(options: Options, *directives: Mapping[str, str]) -> Iterator[tuple[Pair, Pair]]:
    """Ours and theirs, each a master and a replica in sync. directives: of both masters, or of ours and of
    theirs.
    """
    more = directives if len(directives) == 2 else (directives or ({},)) * 2
    with ExitStack() as stack:
        made = []
        for kind, own in zip((options.ours, options.theirs), more, strict=True):
            pair = Pair(stack.enter_context(one(kind, own)), stack.enter_context(one(kind)))
            follow(pair.replica, pair.master)
            in_sync(*pair)
            made.append(pair)
        yield made[0], made[1]


def row(name: str, unit: str, options: Options, runs: list[tuple[float, float]], more: Any = None) -> Row:
    """Medians of two contestants, and the ratios of their runs."""
    ratios = [a / b for a, b in runs]
    a, b = (median(run[side] for run in runs) for side in (0, 1))
    cells = (f"{a:,.3f}", f"{b:,.3f}", f"{median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}")
    data = {"work": name, "unit": unit, "ratio": median(ratios), "ratios": ratios, "runs": runs, "more": more}
    print(f"{name}, {unit}", options.ours, options.theirs, *cells, flush=True)
    return (f"{name}, {unit}", *cells), data


def throughput(options: Options) -> list[Row]:
    """SET on masters with a replica, k/s."""
    with pairs(options) as both:

        def settle(_server: Server, _requests: int) -> None:
            for pair in both:
                in_sync(*pair, seconds=120)

        for pair in both:
            fill(pair.master, KEYS, b"xxx")
        work = Work("SET with a replica", ("-t", "set"), settle)
        cells, data = compared(both[0].master, both[1].master, work, 16, options)
        settle(both[0].master, 0)
        for pair in both:
            assert stat(pair.master, "sync_full") == 1, (
                f"{pair.master.name}: the replica was dropped meanwhile"
            )
    return [((f"{cells[0]}, k/s", *cells[1:5]), data)]


def full_resync(master: Server, kind: str, keys: int) -> float:
    """Seconds from REPLICAOF until the link is up, of a replica that is new."""
    with one(kind) as replica, replica.wire(timeout=120) as wire:
        began = time.perf_counter()
        follow(replica, master)

        def is_there() -> bool:
            time.sleep(0.005)
            reply = wire.command("INFO", "replication")
            return isinstance(reply, Bulk) and b"master_link_status:up" in reply.data

        wait_for(is_there, "a full resync", seconds=300)
        took = time.perf_counter() - began
        in_sync(master, replica)
        size = fields(replica, "keyspace")["db0"]
        assert size.startswith(f"keys={keys},"), size
        return took


def full_resyncs(options: Options) -> list[Row]:
    kinds = (options.ours, options.theirs)
    with ExitStack() as stack:
        masters = [stack.enter_context(one(kind)) for kind in kinds]
        for master in masters:
            fill(master, options.keys, b"x" * 32)
        runs = []
        for _ in range(options.runs):
            a, b = (full_resync(*pair, options.keys) for pair in zip(masters, kinds, strict=True))
            runs.append((a, b))
    return [row(f"full resync of {options.keys:,} keys", "s", options, runs)]


# --- lag ----------------------------------------------------------------------------------------------------


def write_steadily(address: tuple[str, int], rate: int, seconds: float, done: Any) -> None:
    """In a process of its own: `rate` SETs a second, each millisecond some of them and the time. Sends how
    many there were a second.
    """
    each = rate // 1000 - 1
    blocks = [
        b"".join(encode("SET", f"key:{n * each + at:012d}", "x" * 32) for at in range(each))
        for n in range(100)
    ]
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(60)
    began = time.perf_counter()
    answered, turns = 0, int(seconds * 1000)
    for turn in range(turns):
        due = began + turn / 1000
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        stamp = encode("SET", "stamp", time.monotonic_ns())
        connection.sendall(blocks[turn % len(blocks)] + stamp)
        # Replies of the turn before; never far behind, or a late server would not be seen as late.
        while answered < 5 * (each + 1) * turn - 5 * 100 * rate // 1000:
            answered += len(connection.recv(1 << 20))
    while answered < 5 * (each + 1) * turns:
        answered += len(connection.recv(1 << 20))
    done.send((each + 1) * turns / (time.perf_counter() - began))
    connection.close()


def lag(pair: Pair, options: Options) -> dict[str, float]:
    """Ages in milliseconds of what a reader of the replica sees."""
    here, there = multiprocessing.Pipe()
    seconds = max(2.0, options.seconds)
    writing = multiprocessing.get_context("fork").Process(
        target=write_steadily, args=(pair.master.address, options.rate, seconds, there)
    )
    ages: list[float] = []
    with pair.replica.wire(timeout=60) as wire:
        writing.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until - 0.05:
            reply = wire.command("GET", "stamp")
            if isinstance(reply, Bulk):
                ages.append((time.monotonic_ns() - int(reply.data)) / 1e6)
            time.sleep(0.0005)
        rate = here.recv()
        writing.join()
    in_sync(*pair)
    with pair.master.wire() as wire:
        wire.command("DEL", "stamp")
    in_sync(*pair)
    ages.sort()
    tail = {f"p{point}": ages[int(len(ages) * point / 100)] for point in (50, 99)}
    return {**tail, "worst": ages[-1], "rate": rate, "samples": len(ages)}


def lags(options: Options) -> list[Row]:
    runs = []
    with pairs(options) as both:
        for _ in range(options.runs):
            a, b = (lag(pair, options) for pair in both)
            runs.append((a, b))
    rates = [f"{median(run[side]['rate'] for run in runs):,.0f}" for side in (0, 1)]
    name = f"lag at {' and '.join(rates)} writes/s"
    return [
        row(f"{name}: {point}", "ms", options, [(a[point], b[point]) for a, b in runs], runs)
        for point in ("p50", "p99", "worst")
    ]


# --- a partial resync ---------------------------------------------------------------------------------------


def catch_up(pair: Pair) -> float:
    """Seconds until a replica has a gap, from the moment when it is told of its master again."""
    follow(pair.replica, ("127.0.0.1", 1))  # nobody is there
    wait_for(lambda: not is_up(pair.replica), "it has left")
    before, full = offset(pair.master), stat(pair.master, "sync_full")
    size = len(encode("SET", f"key:{0:012d}", "x" * 32))
    fill(pair.master, GAP // size, b"x" * 32)
    goal = offset(pair.master)
    assert goal - before > GAP / 2
    began = time.perf_counter()
    follow(pair.replica, pair.master)
    wait_for(lambda: offset(pair.replica) >= goal, "it has caught up", seconds=120)
    took = time.perf_counter() - began
    in_sync(*pair)
    assert stat(pair.master, "sync_full") == full, f"{pair.master.name}: the resync was a full one"
    return took


def partial_resyncs(options: Options) -> list[Row]:
    """Ours from the files, theirs from memory: it has no other; and both from memory."""
    rows = []
    for where, own in (("memory", ROOMY), ("files", FILES if options.ours == "rlite" else ROOMY)):
        with pairs(options, own, ROOMY) as both:
            assert is_rlite(both[0].master) == (options.ours == "rlite")
            runs = []
            for _ in range(options.runs):
                a, b = (catch_up(pair) for pair in both)
                runs.append((a, b))
        name = f"partial resync of {GAP >> 20} MB from {where} (other: memory)"
        rows.append(row(name, "s", options, runs))
    return rows


def measure(options: Options) -> Result:
    """All of it; at most three runs of what takes long."""
    few = replace(options, runs=min(options.runs, 3))
    rows = [*throughput(options), *full_resyncs(few), *lags(few), *partial_resyncs(few)]
    headers = ("work", options.ours, f"{options.theirs}/other", "ratio", "range")
    return Result("replication", headers, [cells for cells, _ in rows], [data for _, data in rows])
