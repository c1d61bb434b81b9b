"""Keys move between rlite and the real redis-server, both ways, with their types and deadlines."""

import pytest
from support.differential import Pair, keyspace
from support.servers import Server, free_port
from support.wire import Array, Bulk, Err, Int, Simple

FILL = (
    "SET string value", "SET number 12345", "RPUSH list a b c 1 2 3", "SADD set x y z", "SADD intset 1 2 3",
    "HSET hash f v g w", "ZADD zset 1 a 2.5 b -inf c", "XADD stream 1-1 f v", "XGROUP CREATE stream g 0",
    "PFADD hll a b c", "SET volatile v PX 100000",
)  # fmt: skip


@pytest.mark.parametrize("outward", [True, False], ids=["to-redis", "to-rlite"])
def test_all_types_move(pair: Pair, outward: bool) -> None:
    source, target = (pair.ours, pair.theirs) if outward else (pair.theirs, pair.ours)
    with source.wire() as here, target.wire() as there:
        for wire in (here, there):
            wire.command("FLUSHALL")
        for line in FILL:
            assert not isinstance(here.command(*line.split()), Err), line
        before = keyspace(source)
        names = [line.split()[1] for line in FILL if not line.startswith("XGROUP")]
        moved = here.command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
        assert moved == Simple(b"OK")
        assert keyspace(source) == {}
        assert keyspace(target) == before
        ttl = there.command("PTTL", "volatile")
        assert isinstance(ttl, Int)
        assert 90_000 < ttl.value <= 100_000


def test_options_and_refusals(pair: Pair) -> None:
    def migrate(server: Server, port: int, *rest: object) -> object:
        with server.wire() as wire:
            return wire.command("MIGRATE", "127.0.0.1", port, *rest)

    ours, theirs = pair.ours, pair.theirs
    with ours.wire() as here, theirs.wire() as there:
        for wire in (here, there):
            wire.command("FLUSHALL")
        assert migrate(ours, theirs.port, "nosuch", 0, 1000) == Simple(b"NOKEY")
        here.command("MSET", "a", "1", "b", "2")
        assert migrate(ours, theirs.port, "a", 0, 1000, "COPY") == Simple(b"OK")
        assert here.command("GET", "a") == Bulk(b"1")
        busy = migrate(ours, theirs.port, "", 0, 1000, "KEYS", "a", "b")
        assert busy == Err(b"ERR Target instance replied with error: BUSYKEY Target key name already exists.")
        assert here.command("MGET", "a", "b") == here.command("MGET", "a", "nosuch")  # b went, a stayed
        assert migrate(ours, theirs.port, "a", 0, 1000, "REPLACE") == Simple(b"OK")
        assert there.command("MGET", "a", "b") == Array((Bulk(b"1"), Bulk(b"2")))
        here.command("SET", "a", "3")
        assert migrate(ours, theirs.port, "a", 3, 1000) == Simple(b"OK")
        there.command("SELECT", 3)
        assert there.command("GET", "a") == Bulk(b"3")
        here.command("SET", "a", "4")
        refused = migrate(ours, theirs.port, "a", 9999, 1000)
        assert refused == Err(b"ERR Target instance replied with error: ERR DB index is out of range")
        wrong = migrate(ours, theirs.port, "a", 0, 1000, "AUTH", "secret")
        assert isinstance(wrong, Err)
        assert wrong.text.startswith(b"ERR Target instance replied with error: ERR AUTH <password> called")
        assert isinstance(migrate(ours, free_port(), "a", 0, 1000), Err)
        assert here.command("GET", "a") == Bulk(b"4")


def test_bad_arguments_are_refused_alike(pair: Pair) -> None:
    for line in (
        "MIGRATE 127.0.0.1 1 a x 10", "MIGRATE 127.0.0.1 1 a 0 x", "MIGRATE 127.0.0.1 1 a 0 10 nosuch",
        "MIGRATE 127.0.0.1 1 a 0 10 AUTH", "MIGRATE 127.0.0.1 1 a 0 10 KEYS b", "MIGRATE 127.0.0.1 1 a 0",
        "COMMAND GETKEYS MIGRATE 127.0.0.1 1 a 0 10",
    ):  # fmt: skip
        with pair.ours.wire() as here, pair.theirs.wire() as there:
            assert here.command(*line.split()) == there.command(*line.split()), line
