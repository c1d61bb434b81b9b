"""What a replica does with keys and fields past their deadlines: the DEL is its master's to send."""

import time
from collections.abc import Iterator

import pytest

from rlite.engine import Engine
from rlite.engine.core.audit import audit
from rlite.engine.core.eviction import make_room
from rlite.engine.core.keyspace import Keyspace, mark_link
from rlite.engine.engine import Arg, Value


class Replica:
    """An engine that follows, as its clients and as the link to its master see it."""

    def __init__(self, how: int) -> None:
        self.engine = Engine()
        self.keyspace: Keyspace = self.engine._server.context.keyspace
        self.keyspace.following = how

    def link(self, *args: Arg) -> Value:
        assert mark_link(True) is False
        try:
            return self.engine.execute(*args)
        finally:
            assert mark_link(False) is True

    def client(self, *args: Arg) -> Value:
        return self.engine.execute(*args)


def followers(*hows: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("how", hows)


@pytest.fixture
def replica(how: int) -> Iterator[Replica]:
    made = Replica(how)
    yield made
    audit(made.keyspace)
    made.engine.close()


def past(replica: Replica, *keys: str) -> None:
    for key in keys:
        assert replica.link("PEXPIREAT", key, 1) == 1


@followers(1)
def test_a_client_of_a_replica_misses_a_key_past_its_deadline_and_the_link_has_it(replica: Replica) -> None:
    replica.link("MSET", "gone", "1", "here", "2")
    replica.link("RPUSH", "list", "a", "b")
    past(replica, "gone", "list")
    assert replica.client("GET", "gone") is None
    assert replica.client("MGET", "gone", "here") == [None, b"2"]
    assert replica.client("EXISTS", "gone", "list", "here") == 1
    assert replica.client("TYPE", "list") == "none"
    assert replica.client("LRANGE", "list", 0, -1) == []
    assert replica.client("TTL", "gone") == -2
    assert replica.client("PEXPIRETIME", "gone") == -2
    assert replica.client("KEYS", "*") == [b"here"]
    assert replica.client("SCAN", 0, "COUNT", 1000) == [b"0", [b"here"]]
    assert {replica.client("RANDOMKEY") for _ in range(20)} == {b"here"}
    assert replica.client("DBSIZE") == 3
    assert replica.client("OBJECT", "ENCODING", "list") is None
    assert replica.link("GET", "gone") == b"1"
    assert replica.link("APPEND", "gone", "1") == 2
    assert replica.link("PERSIST", "gone") == 1
    assert replica.client("GET", "gone") == b"11"
    assert replica.link("DEL", "list") == 1


@followers(1, 2)
def test_a_replica_expires_nothing_by_itself(replica: Replica) -> None:
    replica.link("SET", "key", "1", "PX", 1)
    replica.link("HSET", "hash", "field", "1", "other", "2")
    replica.link("HPEXPIREAT", "hash", 1, "FIELDS", 1, "field")
    deadline = time.monotonic() + 1
    while replica.link("PTTL", "key") != 0 and time.monotonic() < deadline:
        pass
    assert replica.keyspace.keep(10**9) == 25_000_000
    assert replica.keyspace.size(0) == 2
    assert replica.link("HLEN", "hash") == 2
    assert replica.keyspace.counters()["expired_keys"] == 0


@followers(1, 2)
def test_a_date_in_the_past_is_a_deadline_for_a_replica(replica: Replica) -> None:
    replica.link("SET", "a", "1", "PXAT", 1)
    replica.link("SET", "b", "1")
    assert replica.link("EXPIRE", "b", -1) == 1
    replica.link("SET", "c", "1")
    assert replica.link("GETEX", "c", "PXAT", 1) == b"1"
    replica.link("HSET", "d", "f", "1")
    assert replica.link("HPEXPIREAT", "d", 1, "FIELDS", 1, "f") == [1]
    dumped = replica.link("DUMP", "a")
    assert isinstance(dumped, bytes)
    assert replica.link("RESTORE", "e", 1, dumped, "ABSTTL") == "OK"
    assert replica.keyspace.size(0) == 5
    assert replica.link("EXISTS", "a", "b", "c", "d", "e") == 5


@followers(1)
def test_a_client_of_a_replica_misses_fields_past_their_deadline_and_the_link_has_them(
    replica: Replica,
) -> None:
    replica.link("HSET", "hash", *(word for n in range(20) for word in (f"f{n}", n)))
    for n in range(0, 20, 2):
        assert replica.link("HPEXPIREAT", "hash", 1, "FIELDS", 1, f"f{n}") == [1]
    replica.link("HPEXPIREAT", "hash", 2**45, "FIELDS", 1, "f1")
    kept = {f"f{n}".encode(): b"%d" % n for n in range(1, 20, 2)}
    assert replica.client("HLEN", "hash") == 10
    assert replica.client("HGETALL", "hash") == kept
    assert set(replica.client("HKEYS", "hash")) == set(kept)  # type: ignore[arg-type]
    assert sorted(replica.client("HVALS", "hash")) == sorted(kept.values())  # type: ignore[arg-type, type-var]
    assert replica.client("HMGET", "hash", "f0", "f1") == [None, b"1"]
    assert replica.client("HGET", "hash", "f0") is None
    assert replica.client("HEXISTS", "hash", "f0") == 0
    assert replica.client("HSTRLEN", "hash", "f0") == 0
    assert replica.client("HTTL", "hash", "FIELDS", 1, "f0") == [-2]
    assert replica.client("HPEXPIRETIME", "hash", "FIELDS", 2, "f0", "f1") == [-2, 2**45]
    scanned = replica.client("HSCAN", "hash", 0, "COUNT", 1000)
    assert isinstance(scanned, list)
    assert isinstance(scanned[1], list)
    assert len(scanned[1]) == 20
    assert {replica.client("HRANDFIELD", "hash") for _ in range(100)} <= set(kept)
    everything = replica.link("HGETALL", "hash")
    assert isinstance(everything, dict)
    assert len(everything) == 20
    assert replica.link("HLEN", "hash") == 20
    assert replica.link("HINCRBY", "hash", "f2", 5) == 7
    assert replica.link("HDEL", "hash", "f0") == 1
    assert replica.client("HLEN", "hash") == 10
    assert replica.link("HLEN", "hash") == 19


@followers(1)
def test_a_hash_whose_fields_are_all_past_their_deadlines_is_missing_for_clients(replica: Replica) -> None:
    replica.link("HSET", "hash", "a", "1", "b", "2")
    replica.link("HPEXPIREAT", "hash", 1, "FIELDS", 2, "a", "b")
    assert replica.client("EXISTS", "hash") == 0
    assert replica.client("HGETALL", "hash") == {}
    assert replica.link("HGETALL", "hash") == {b"a": b"1", b"b": b"2"}


@followers(2)
def test_a_client_of_a_writable_replica_removes_what_is_past_its_deadline(replica: Replica) -> None:
    replica.link("MSET", "gone", "1", "here", "2")
    past(replica, "gone")
    replica.link("HSET", "hash", "a", "1", "b", "2")
    replica.link("HPEXPIREAT", "hash", 1, "FIELDS", 1, "a")
    assert replica.link("GET", "gone") == b"1"
    assert replica.client("APPEND", "gone", "new") == 3
    assert replica.client("HGETALL", "hash") == {b"b": b"2"}
    assert replica.link("GET", "gone") == b"new"
    assert replica.link("HGETALL", "hash") == {b"b": b"2"}
    assert replica.keyspace.counters()["expired_keys"] == 1


@followers(1)
def test_a_write_of_somebody_else_than_the_link_replaces_what_is_hidden_from_it(replica: Replica) -> None:
    replica.link("SET", "key", "old")
    past(replica, "key")
    assert replica.client("APPEND", "key", "new") == 3
    assert replica.client("GET", "key") == b"new"
    assert replica.keyspace.size(0) == 1


@followers(1)
def test_what_was_kept_goes_when_the_replica_is_promoted(replica: Replica) -> None:
    replica.link("SET", "key", "1")
    past(replica, "key")
    replica.link("HSET", "hash", "a", "1", "b", "2")
    replica.link("HPEXPIREAT", "hash", 1, "FIELDS", 1, "a")
    assert replica.client("HLEN", "hash") == 1
    replica.keyspace.following = 0
    replica.keyspace.keep(10**9)
    assert replica.keyspace.size(0) == 1
    assert replica.client("HGETALL", "hash") == {b"b": b"2"}


def test_a_keyspace_that_is_not_to_evict_goes_over_its_limit() -> None:
    with Engine(maxmemory="1mb", maxmemory_policy="allkeys-lru") as engine:
        keyspace: Keyspace = engine._server.context.keyspace
        keyspace.configure(evicting=False)
        for n in range(300):
            engine.set(f"key:{n}", "x" * 10_000)
        assert keyspace.size(0) == 300
        keyspace.configure(evicting=True)
        while keyspace.used_memory() > 1 << 20:
            assert make_room(keyspace)
        assert 0 < keyspace.size(0) < 120


def test_following_is_told_in_three_words() -> None:
    keyspace = Keyspace()
    with pytest.raises(ValueError, match="0, 1 or 2, not 3"):
        keyspace.following = 3
