"""Resident memory of small values, many of each: a hash of 10 fields, a set and a sorted set of 100."""

from collections.abc import Callable, Iterator

from support.servers import Server
from support.wire import Int

from bench.common import Options, Result, contestants, median

Filler = Callable[[int], list[bytes]]


def hash_of_10(number: int) -> list[bytes]:
    """Fields of 6 bytes, values of 12."""
    pairs = (word for i in range(10) for word in (b"field%d" % i, b"%012d" % (number * 10 + i)))
    return [b"HSET", b"key:%012d" % number, *pairs]


def set_of_100(number: int) -> list[bytes]:
    return [b"SADD", b"key:%012d" % number, *(b"m:%08d" % (number + i * 7919) for i in range(100))]


def sorted_set_of_100(number: int) -> list[bytes]:
    pairs = (word for i in range(100) for word in (b"%d" % (i * 3), b"m:%08d" % (number + i * 7919)))
    return [b"ZADD", b"key:%012d" % number, *pairs]


WORKS: tuple[tuple[str, Filler, int], ...] = (
    ("hash of 10 fields", hash_of_10, 200_000),
    ("set of 100 members", set_of_100, 30_000),
    ("sorted set of 100 members", sorted_set_of_100, 30_000),
)


def encoded(commands: Iterator[list[bytes]], chunk: int) -> Iterator[tuple[bytes, int]]:
    batch = []
    for args in commands:
        batch.append(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args))
        if len(batch) == chunk:
            yield b"".join(batch), chunk
            batch = []
    if batch:
        yield b"".join(batch), len(batch)


def bytes_per_key(server: Server, make: Filler, count: int) -> float:
    """Growth of the resident set while `count` keys go in."""
    with server.wire(timeout=120) as wire:
        wire.command(*make(0))  # buffers of the first connection are not the keys' cost
        before = server.rss()
        for request, replies in encoded((make(number) for number in range(1, count + 1)), 100):
            wire.send_raw(request)
            for _ in range(replies):
                assert isinstance(wire.read_reply(), Int)
        after = server.rss()
        assert wire.command("DBSIZE") == Int(count + 1)
    return (after - before) / count


def measure(options: Options) -> Result:
    """Fresh servers each time, since a freed page may stay resident."""
    rows, data = [], {}
    for name, make, count in WORKS:
        pairs: list[tuple[float, float]] = []
        for _ in range(min(options.runs, 3)):
            with contestants(options) as (ours, theirs):
                pairs.append((bytes_per_key(ours, make, count), bytes_per_key(theirs, make, count)))
        a, b = (median(pair[side] for pair in pairs) for side in (0, 1))
        rows.append((name, f"{a:.0f}", f"{b:.0f}", f"{a / b:.2f}"))
        data[name] = pairs
    return Result("typememory", ("bytes a key", options.ours, options.theirs, "ratio"), rows, data)
