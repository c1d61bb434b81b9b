"""Resident memory a key: 16 bytes of key, 32 of value."""

from support.servers import Server
from support.wire import Int

from bench.common import Options, Result, contestants, fill, median


def bytes_per_key(server: Server, count: int) -> float:
    """Growth of the resident set while `count` keys go in."""
    fill(server, 1, b"x" * 32)  # buffers of the first connection are not the keys' cost
    before = server.rss()
    fill(server, count, b"x" * 32)
    after = server.rss()
    with server.wire() as wire:
        assert wire.command("DBSIZE") == Int(count)
    return (after - before) / count


def measure(options: Options) -> Result:
    """Fresh servers each time, since a freed page may stay resident."""
    pairs: list[tuple[float, float]] = []
    for _ in range(min(options.runs, 3)):
        with contestants(options) as (ours, theirs):
            pairs.append((bytes_per_key(ours, options.keys), bytes_per_key(theirs, options.keys)))
    a, b = (median(pair[side] for pair in pairs) for side in (0, 1))
    row = (f"{options.keys:,} keys", f"{a:.1f}", f"{b:.1f}", f"{a / b:.2f}")
    headers = ("bytes a key", options.ours, options.theirs, "ratio")
    return Result("memory", headers, [row], {"ours": [p[0] for p in pairs], "theirs": [p[1] for p in pairs]})
