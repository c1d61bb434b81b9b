"""How late `expired` events are: 1,000 keys with a deadline each, beside others whose deadlines are far away.

The table of redis#15620, which found Redis a minute and a half late with a million other volatile keys: for
each number of those, how many events came, and the lag from deadline to event, as a subscriber sees it.
"""

import time

from support.servers import Server
from support.wire import Bulk, NoReplyError, Push

from bench.common import Options, Result, contestants, send_in_chunks

SHORT = 1000
SPREAD_MS = 2000  # deadlines lie within so many milliseconds
OTHERS = (0, 10_000, 100_000, 1_000_000)


def volatile(server: Server, count: int) -> None:
    names = (b"other:%012d" % number for number in range(count))
    commands = ((b"SET", name, b"x", b"EX", b"100000") for name in names)
    send_in_chunks(server, commands)


def lags(server: Server, others: int, cap: float) -> list[float]:
    """Milliseconds from each key's deadline to its event, for those that came in time."""
    with server.wire(protocol=3, timeout=cap) as listener, server.wire(timeout=120) as wire:
        wire.command("FLUSHALL")
        wire.command("CONFIG", "SET", "notify-keyspace-events", "")
        volatile(server, others)
        wire.command("CONFIG", "SET", "notify-keyspace-events", "Ex")
        listener.command("PSUBSCRIBE", "__keyevent@0__:expired")
        begin = time.time() + 1.0
        due = {b"short:%d" % n: begin + n * SPREAD_MS / SHORT / 1000 for n in range(SHORT)}
        for name, at in due.items():
            wire.command("SET", name, "x", "PXAT", int(at * 1000))
        found: list[float] = []
        until = begin + cap
        while len(found) < SHORT and time.time() < until:
            try:
                message = listener.read_reply()
            except NoReplyError:
                break
            now = time.time()
            assert isinstance(message, Push)
            name = message.items[-1]
            assert isinstance(name, Bulk)
            found.append((now - int(due[name.data] * 1000) / 1000) * 1000)
        wire.command("CONFIG", "SET", "notify-keyspace-events", "")
        return found


def measure(options: Options) -> Result:
    """One run of each: what is measured is seconds, not noise."""
    rows: list[tuple[str, ...]] = []
    data = []
    with contestants(options) as (ours, theirs):
        for others in OTHERS:
            cells = []
            for server in (ours, theirs):
                found = sorted(lags(server, others, options.cap))
                p50 = found[len(found) // 2] if found else float("nan")
                p99 = found[int(len(found) * 0.99)] if found else float("nan")
                cells += [f"{len(found)}", f"{p50:.1f}", f"{p99:.1f}"]
                data.append({"others": others, "server": server.name, "lags_ms": found})
            rows.append((f"{others:,} others", *cells))
            print(*rows[-1], flush=True)
    a, b = options.ours, options.theirs
    headers = ("volatile keys", f"{a} came", "p50 ms", "p99 ms", f"{b} came", "p50 ms", "p99 ms")
    return Result("notifications", headers, rows, data)
