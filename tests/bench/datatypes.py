"""Throughput of the types' hot commands, by redis-benchmark: each end of a list, sets, hashes, sorted sets,
streams, ranges, and a script of three calls. What pops finds as many elements as it asks for.
"""

from collections.abc import Callable

from support.servers import Server
from support.wire import Err, Wire

from bench.common import Options, Result, contestants
from bench.throughput import Work, compared, headers

CHUNK = 1000
FILLERS = {
    "RPUSH": "local t = {} for i = 1, ARGV[2] do t[i] = 'VXK' end",
    "SADD": "local t = {} for i = 1, ARGV[2] do t[i] = 'element:' .. (ARGV[1] + i) end",
    "ZADD": "local t = {} for i = 1, ARGV[2] * 2, 2 do t[i] = ARGV[1] + i t[i + 1] = 'e:' .. t[i] end",
}
THREE_CALLS = (
    "local v = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], 100) "
    "return redis.call('GET', KEYS[1])"
)


def script(wire: Wire, *args: object) -> None:
    reply = wire.command("EVAL", *args)
    assert not isinstance(reply, Err), reply


def emptied(key: str) -> Callable[[Server, int], None]:
    def prepare(server: Server, _requests: int) -> None:
        with server.wire() as wire:
            wire.command("UNLINK", key)

    return prepare


def holding(key: str, command: str) -> Callable[[Server, int], None]:
    """A key with at least as many elements as there are requests."""

    def prepare(server: Server, requests: int) -> None:
        lua = f"{FILLERS[command]} redis.call('{command}', KEYS[1], unpack(t))"
        with server.wire(timeout=60) as wire:
            wire.command("UNLINK", key)
            for first in range(0, requests, CHUNK):
                script(wire, lua, 1, key, first, CHUNK)

    return prepare


def small_hash(server: Server, _requests: int) -> None:
    with server.wire() as wire:
        wire.command("DEL", "small")
        wire.command("HSET", "small", *(word for i in range(10) for word in (f"field{i}", "x" * 12)))


def members(count: int) -> Callable[[Server, int], None]:
    def prepare(server: Server, _requests: int) -> None:
        with server.wire() as wire:
            wire.command("DEL", "ranked")
            wire.command("ZADD", "ranked", *(word for i in range(count) for word in (i, f"member:{i}")))

    return prepare


def elements(count: int) -> Callable[[Server, int], None]:
    def prepare(server: Server, _requests: int) -> None:
        with server.wire() as wire:
            wire.command("DEL", "items")
            wire.command("RPUSH", "items", *["VXK"] * count)

    return prepare


def fields(server: Server, _requests: int) -> None:
    """The fields that HGET asks for, named as redis-benchmark numbers them."""
    lua = (
        "local t = {} for i = 0, ARGV[2] - 1 do t[2 * i + 1] = string.format('f:%012d', ARGV[1] + i) "
        "t[2 * i + 2] = 'VXK' end redis.call('HSET', KEYS[1], unpack(t))"
    )
    with server.wire(timeout=60) as wire:
        for first in range(0, 100_000, CHUNK):
            script(wire, lua, 1, "wide", first, CHUNK)


WORKS = (
    Work("LPUSH", ("-t", "lpush"), emptied("mylist")),
    Work("RPUSH", ("-t", "rpush"), emptied("mylist")),
    Work("LPOP", ("-t", "lpop"), holding("mylist", "RPUSH")),
    Work("RPOP", ("-t", "rpop"), holding("mylist", "RPUSH")),
    Work("SADD", ("-t", "sadd"), emptied("myset")),
    Work("SPOP", ("-t", "spop"), holding("myset", "SADD")),
    Work("HSET", ("-t", "hset"), emptied("myhash")),
    Work("HGET", ("HGET", "wide", "f:__rand_int__"), fields),
    Work("ZADD", ("-t", "zadd"), emptied("myzset")),
    Work("ZPOPMIN", ("-t", "zpopmin"), holding("myzset", "ZADD")),
    Work("XADD", ("XADD", "mystream", "*", "field", "value"), emptied("mystream")),
)
RANGES = (
    Work("LRANGE 100", ("LRANGE", "items", "0", "99"), elements(100)),
    Work("LRANGE 600", ("LRANGE", "items", "0", "599"), elements(600)),
    Work("HGETALL 10", ("HGETALL", "small"), small_hash),
    Work("ZRANGE 100", ("ZRANGE", "ranked", "0", "99"), members(100)),
)
SCRIPTS = (Work("EVAL of three calls", ("EVAL", THREE_CALLS, "1", "counter:__rand_int__")),)


def measure(options: Options) -> Result:
    """Medians of each work, at the depths for which there is a promise. options.tests may choose some."""
    chosen = {name.upper() for name in options.tests}
    plan = [(work, pipeline) for pipeline in (16, 64) for work in WORKS]
    plan += [(work, 16) for work in (*RANGES, *SCRIPTS)]
    some = [each for each in plan if each[0].name.split()[0] in chosen] or plan
    measured = []
    with contestants(options) as (ours, theirs):
        for work, pipeline in some:
            measured.append(compared(ours, theirs, work, pipeline, options))
    rows, data = zip(*measured, strict=True)
    return Result("datatypes", headers(options), list(rows), list(data))
