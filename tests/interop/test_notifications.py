"""Keyspace events: the same, in the same order, as the real redis-server publishes, for random programs over
every type. Of classes n and m, which are not part of A, the plain cases: where 7.0 calls a key new that was
replaced, and which look-ups it calls a miss, follows its inner workings.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interop.test_random_types import GENERIC, GROUPS, KEPT, NARROW, STREAM_WORDS, WORDS
from support.differential import Pair
from support.grammar import commands
from support.programs import Step, program
from support.servers import Server
from support.wire import Array, Bulk, Push, Simple, Wire

END = b"__key_end__:"
MORE = """
SETBIT key small (0|1)
BITOP (AND|OR|XOR) key key key
BITFIELD key SET 'u4' small small
PFADD key value+
PFMERGE key key key
GEOADD key 1 2 member
GEOSEARCHSTORE key key FROMLONLAT 1 2 BYRADIUS 10 'km'
SORT key ALPHA STORE key
APPEND key value
INCR key
SETRANGE key small value
GETDEL key
GETEX key (PERSIST|EX 100)
MSET key value key value
GET key
SETNX key value
SADD key member
LPUSH key value
"""
# What 7.0 tells otherwise than 7.4: XREADGROUP makes its consumer though there is nothing to read.
LATER = {b"xgroup-createconsumer"}


def events(server: Server, steps: list[Step], classes: str = "KEA") -> list[tuple[bytes, bytes]]:
    """(channel, message) of each event that a program makes."""
    with server.wire(protocol=3) as wire, server.wire() as other:
        assert other.command("FLUSHALL") == Simple(b"OK")
        assert isinstance(wire.command("PSUBSCRIBE", "__key*__:*"), Push)
        other.command("CONFIG", "SET", "notify-keyspace-events", classes)
        for step in steps:
            other.command(*step.args)
        other.command("CONFIG", "SET", "notify-keyspace-events", "")
        other.command("DISCARD")
        other.command("PUBLISH", END, "")
        found = list(iter(lambda: next_event(wire), (END, b"")))
        return [each for each in found if each[1] not in LATER and each[0].partition(b":")[2] not in LATER]


def next_event(wire: Wire) -> tuple[bytes, bytes]:
    """(channel, message) of the next one."""
    message = wire.read_reply()
    assert isinstance(message, Push)
    channel, data = message.items[2:]
    assert isinstance(channel, Bulk)
    assert isinstance(data, Bulk)
    return channel.data, data.data


def check(pair: Pair, text: str, words: dict[str, st.SearchStrategy[bytes]], examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=KEPT, print_blob=True)
    @given(st.lists(commands(text, words), min_size=2, max_size=20))
    def same(steps: list[Step]) -> None:
        ours, theirs = events(pair.ours, steps), events(pair.theirs, steps)
        assert ours == theirs, "\n".join(map(str, steps))

    same()


@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
@pytest.mark.parametrize("group", GROUPS)
def test_random_programs_publish_the_same_events(pair: Pair, group: str, narrow: bool) -> None:
    words = WORDS | STREAM_WORDS if group == "streams" else WORDS
    with pair.configured(NARROW if narrow else {}):
        check(pair, GROUPS[group] * 3 + GENERIC, words, 60)


def test_the_other_groups_do_too(pair: Pair) -> None:
    check(pair, MORE + GENERIC, WORDS, 200)


@pytest.mark.parametrize("classes", ["Kn", "Km", "KEAnm"])
def test_new_and_missing_keys_are_told_alike(pair: Pair, classes: str) -> None:
    steps = program("""
        SET a 1
        SET a 2
        GET a
        GET nosuch
        MGET a nosuch b
        EXISTS a nosuch
        TTL nosuch
        TYPE nosuch
        STRLEN nosuch
        LPUSH l a
        LPUSH l b
        LPOP nosuch
        LRANGE nosuch 0 -1
        LLEN nosuch
        SADD s a
        SMEMBERS nosuch
        SISMEMBER nosuch a
        HSET h f v
        HGET nosuch f
        HGETALL nosuch
        ZADD z 1 a
        ZSCORE nosuch a
        ZRANGE nosuch 0 -1
        ZRANGEBYSCORE nosuch 0 1
        XADD x 1-1 f v
        XLEN nosuch
        INCR n
        APPEND ap x
        SETBIT bits 1 1
        GETBIT nosuch 1
        BITCOUNT nosuch
        PFADD p a
        MSET m1 a
        RENAME a renamed
        COPY renamed copied
        RPOPLPUSH l l2
        DEL l2
    """)
    assert events(pair.ours, list(steps), classes) == events(pair.theirs, list(steps), classes)


@pytest.mark.parametrize(
    ("classes", "channels"),
    [
        ("K$", [b"__keyspace@0__:k"]),
        ("E$", [b"__keyevent@0__:set"]),
        ("Kl", []),
        ("Kn", [b"__keyspace@0__:k"]),
        ("KEA", [b"__keyspace@0__:k", b"__keyevent@0__:set"]),
        ("$", []),
        ("", []),
    ],
)
def test_classes_choose(rlite: Server, classes: str, channels: list[bytes]) -> None:
    with rlite.wire(protocol=3) as wire, rlite.wire() as other:
        other.command("FLUSHALL")
        other.command("CONFIG", "SET", "notify-keyspace-events", classes)
        wire.command("PSUBSCRIBE", "*")
        other.command("SET", "k", "v")
        other.command("CONFIG", "SET", "notify-keyspace-events", "")
        other.command("PUBLISH", "end", "")
        heard = [channel for channel, _ in iter(lambda: next_event(wire), (b"end", b""))]
        assert heard == channels


def test_what_goes_by_itself_is_told(rlite: Server) -> None:
    with rlite.wire(protocol=3) as wire, rlite.wire() as other:
        other.command("FLUSHALL")
        other.command("CONFIG", "SET", "notify-keyspace-events", "Exeh")
        wire.command("PSUBSCRIBE", "__keyevent*")
        other.command("SET", "soon", "v", "PX", 20)
        assert next_event(wire) == (b"__keyevent@0__:expired", b"soon")
        other.command("HSET", "h", "f", "v", "g", "w")
        other.command("HPEXPIRE", "h", 20, "FIELDS", 1, "f")
        heard = [next_event(wire)[0].partition(b":")[2] for _ in range(3)]
        assert heard == [b"hset", b"hexpire", b"hexpired"]
        assert other.command("HGETALL", "h") == Array((Bulk(b"g"), Bulk(b"w")))
        other.command("DEL", "h")
        other.command("SET", "old", "x" * 100_000)
        other.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        other.command("CONFIG", "SET", "maxmemory", 1)
        try:
            other.command("SET", "new", "y")
            assert next_event(wire) == (b"__keyevent@0__:evicted", b"old")
        finally:
            other.command("CONFIG", "SET", "maxmemory", 0)
            other.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
            other.command("CONFIG", "SET", "notify-keyspace-events", "")
