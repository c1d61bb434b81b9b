"""maxmemory over the wire: who is refused, who is evicted, and that the limit holds."""

import pytest
from support.in_process import InProcess, started
from support.wire import Bulk, Err, Int, Simple, encode

from rlite.engine.core.audit import audit

OOM = b"OOM command not allowed when used memory > 'maxmemory'."


def full(**directives: object) -> InProcess:
    """A server that holds more than it may, with a policy that finds nothing to evict."""
    server = started(**directives)
    with server.wire() as wire:
        wire.command("SET", "k", b"x" * 100_000)
        assert wire.command("CONFIG", "SET", "maxmemory", "50000") == Simple(b"OK")
    return server


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
def test_what_may_grow_memory_is_refused_and_the_rest_runs(policy: str) -> None:
    server = full(maxmemory_policy=policy)
    try:
        wire = server.wire()
        for command in (
            ("SET", "a", "b"),
            ("APPEND", "k", "x"),
            ("INCR", "n"),
            ("MSET", "a", "1"),
            ("SETBIT", "b", "1", "1"),
        ):
            assert wire.command(*command) == Err(OOM), command
        assert isinstance(wire.command("GET", "k"), Bulk)
        assert wire.command("EXPIRE", "k", "100") == Int(1) if policy == "noeviction" else True
        assert wire.command("MULTI") == Simple(b"OK")
        assert wire.command("SET", "a", "b") == Err(OOM)
        assert wire.command("EXEC").text.startswith(b"EXECABORT")
        assert isinstance(wire.command("DEL", "k"), Int)
        assert wire.command("SET", "a", "b") == Simple(b"OK")
    finally:
        server.close()


def test_an_lru_cache_keeps_to_its_limit_and_keeps_what_is_used() -> None:
    server = started(maxmemory="2mb", maxmemory_policy="allkeys-lru")
    try:
        wire = server.wire()
        wire.command("SET", "hot", "1")
        for batch in range(100):
            names = [f"key:{batch}:{n}" for n in range(100)]
            wire.send_raw(b"".join(encode("SET", name, b"v" * 200) for name in names) + encode("GET", "hot"))
            for _ in names:
                assert wire.read_reply() == Simple(b"OK")
            assert wire.read_reply() == Bulk(b"1")
            assert server.server.keyspace.used_memory() < 2_300_000
        assert server.server.keyspace.counters()["evicted_keys"] > 1000
        assert wire.command("EXISTS", "key:0:0") == Int(0)
        assert isinstance(wire.command("GET", "key:99:99"), Bulk)
        audit(server.server.keyspace)
    finally:
        server.close()


def test_a_watched_key_that_is_evicted_breaks_the_watch() -> None:
    server = started(maxmemory_policy="allkeys-lru")
    try:
        wire = server.wire()
        wire.command("SET", "k", b"x" * 100_000)
        wire.command("WATCH", "k")
        wire.command("CONFIG", "SET", "maxmemory", "40000")
        wire.command("MULTI")
        wire.command("PING")
        assert not getattr(wire.command("EXEC"), "items", None)
    finally:
        server.close()
