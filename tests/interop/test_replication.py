"""What a master holds and does is on its replica: rlite of rlite, of redis-server, and the other way round.

The last word is always DEBUG DIGEST, which both servers compute alike.
"""

import random
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.effect_programs import GROUPS, program_of
from support.raw_replication import RawReplica
from support.replication import (
    PAIRS,
    Pair,
    ask,
    do,
    fields,
    follow,
    in_sync,
    is_rlite,
    kinds,
    node,
    promote,
    replicated,
    run,
    same_data,
    stat,
    wait_up,
)
from support.servers import Server, wait_for
from support.wire import Array, Bulk, Err, Int, Null, Simple, encode

# Programs of random commands: what else is between two of them is emptied away.
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # each try waits for a replica: no shrinking
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
TIMED_FIELDS = re.compile(rb"H(P?EXPIRE|PERSIST)")
PAYLOADS = [
    b"\x00\x01v\n\x00\x91\x08\xce\xb2\x198\x8a\xce",  # DUMP of the string v, version 10
    b"\x00\xc0\x0c\n\x00\x1bQ\xb9\xd9\x0f\xf7\x92\xb0"[:-1],  # and what is none
]
# What a real master's replicas cannot know: in which order it stores what weighs the same, and that a string
# has grown under a BITFIELD that stored nothing.
UNTOLD = ({b"SORT", b"BY", b"ALPHA", b"STORE"}, {b"BITFIELD", b"OVERFLOW", b"FAIL"})
CHAINS = (
    kinds("rlite", "rlite", "rlite"),
    kinds("rlite", "redis", "rlite"),
    kinds("redis", "rlite", "redis"),
)


@pytest.fixture(scope="module", params=PAIRS)
def lasting(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with replicated(*request.param) as both:
        yield both


@pytest.fixture
def pair(lasting: Pair) -> Pair:
    """A pair in sync, without data; shared by the tests of the module."""
    do(lasting.master, "FLUSHALL")
    in_sync(*lasting)
    return lasting


def everything(server: Server) -> None:
    """Values of all types, small and large, with times to live and without, in three databases."""
    words = [f"word-{n}" for n in range(300)]
    pairs = [each for n, word in enumerate(words) for each in (str(n / 4), word)]
    named = [each for n, word in enumerate(words) for each in (word, str(n))]
    random_bytes = random.Random(1).randbytes
    small: list[tuple[bytes | str | int, ...]] = [
        ("SET", "string", "value"),
        ("SET", "number", 12345),
        ("SET", "bytes", random_bytes(3000)),
        ("SET", b"\x00\xff a key \r\n", ""),
        ("SETBIT", "bits", 1000, 1),
        ("PFADD", "hyperloglog", *words),
        ("RPUSH", "list", "a", "b", "1", "x" * 5000),
        ("SADD", "integers", 1, 2, 3),
        ("SADD", "set", "a", "b", "c"),
        ("ZADD", "zset", "1.5", "a", "-inf", "b", "1e300", "c"),
        ("GEOADD", "geo", "13.4", "52.5", "Berlin", "2.35", "48.86", "Paris"),
        ("HSET", "hash", "field", "value", "number", 1),
        ("UNLINK", "stream", "large stream"),
        ("XADD", "stream", "1-1", "field", "value"),
        ("XADD", "stream", "2-1", "field", "value", "other", "y"),
        ("XGROUP", "CREATE", "stream", "group", 0),
        ("XREADGROUP", "GROUP", "group", "consumer", "COUNT", 1, "STREAMS", "stream", ">"),
        ("XDEL", "stream", "2-1"),
    ]
    large: list[tuple[bytes | str | int, ...]] = [
        ("RPUSH", "large list", *words),
        ("SADD", "large integers", *range(0, 100_000, 7)),
        ("SADD", "large set", *words),
        ("ZADD", "large zset", *pairs),
        ("HSET", "large hash", *named),
        *(("XADD", "large stream", f"{n}-1", "n", n) for n in range(1, 300)),
    ]
    deadlines: list[tuple[bytes | str | int, ...]] = [
        ("SET", "volatile", "v", "EX", 100_000),
        ("EXPIRE", "large hash", 100_000),
        ("PEXPIREAT", "list", 4_102_444_800_123),
    ]
    elsewhere = [("SELECT", 1), *small, ("SELECT", 9), *small[:3], ("SET", "volatile", "v", "PX", 50_000_000)]
    for reply in run(server, [*small, *large, *deadlines, *elsewhere]):
        assert not isinstance(reply, Err), reply


# --- the whole data set ------------------------------------------------------------------------------------


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("servers", PAIRS)
def test_a_full_resync_brings_all_data_and_takes_away_what_was_there(
    servers: tuple[str, str], diskless: str
) -> None:
    with replicated(*servers, both={"repl-diskless-sync": diskless}, attach=False) as (master, replica):
        everything(master)
        do(replica, "SET", "of its own", "gone")
        follow(replica, master)
        same_data(master, replica)
        assert ask(replica, "EXISTS", "of its own") == Int(0)
        assert fields(replica, "keyspace").keys() == {"db0", "db1", "db9"}
        everything(master)
        do(master, "APPEND", "string", "more")
        same_data(master, replica)
        assert stat(master, "sync_full") == 1


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("servers", PAIRS)
def test_an_empty_data_set_is_replicated_too(servers: tuple[str, str], diskless: str) -> None:
    with replicated(*servers, both={"repl-diskless-sync": diskless}, attach=False) as (master, replica):
        do(replica, "SET", "of its own", "gone")
        follow(replica, master)
        in_sync(master, replica)
        assert ask(replica, "DBSIZE") == Int(0)
        do(master, "SET", "first", "1")
        same_data(master, replica)


@pytest.mark.parametrize("servers", PAIRS)
def test_two_replicas_attach_at_once_under_load(servers: tuple[str, str]) -> None:
    with replicated(*servers, attach=False) as (master, replica), node(servers[1]) as second:
        everything(master)
        with master.wire() as wire:
            for n in range(3000):
                wire.send("INCRBY", f"counter {n % 50}", n)
                if n == 1000:
                    follow(replica, master)
                if n == 1010:
                    follow(second, master)
            for _ in range(3000):
                assert isinstance(wire.read_reply(), Int)
        same_data(master, replica, second)
        assert fields(master)["connected_slaves"] == "2"


# --- the stream ---------------------------------------------------------------------------------------------


def test_all_types_arrive_by_the_stream(pair: Pair) -> None:
    everything(pair.master)
    same_data(*pair)


@pytest.mark.parametrize("group", GROUPS)
@settings(max_examples=20, deadline=None, suppress_health_check=HEALTH, phases=QUICK)
@given(data=st.data())
def test_random_programs_leave_equal_data(pair: Pair, group: str, data: st.DataObject) -> None:
    steps = data.draw(st.lists(program_of(group, PAYLOADS), min_size=10, max_size=60))
    if not is_rlite(pair.replica):  # it knows no times to live of fields
        steps = [step for step in steps if not any(TIMED_FIELDS.search(word) for word in step.args)]
    if not is_rlite(pair.master):
        steps = [step for step in steps if not any(words <= set(step.args) for words in UNTOLD)]
    do(pair.master, "FLUSHALL")
    run(pair.master, [step.args for step in steps])
    same_data(*pair)


def test_large_values_arrive(pair: Pair) -> None:
    run(
        pair.master,
        [
            ("SET", "string", b"\x00\r\n$5" * 2_000_000),
            ("RPUSH", "list", *range(100_000)),
            ("HSET", "hash", *range(20_000)),
            ("SET", "after", "it"),
        ],
    )
    same_data(*pair)
    assert ask(pair.replica, "STRLEN", "string") == Int(10_000_000)
    assert ask(pair.replica, "LLEN", "list") == Int(100_000)


def test_selected_databases_and_swaps_arrive(pair: Pair) -> None:
    run(
        pair.master,
        [
            ("SET", "a", 0),
            ("SELECT", 1),
            ("SET", "a", 1),
            ("MOVE", "a", 2),
            ("SELECT", 0),
            ("COPY", "a", "a", "DB", 5),
            ("SWAPDB", 0, 7),
            ("SET", "b", "in zero"),
            ("SELECT", 5),
            ("SET", "b", "in five"),
            ("SWAPDB", 5, 6),
            ("SET", "c", "in five"),
        ],
    )
    same_data(*pair)
    found = run(
        pair.replica, [("SELECT", 6), ("GET", "b"), ("SELECT", 7), ("GET", "a"), ("SELECT", 5), ("DBSIZE",)]
    )
    assert found[1::2] == [Bulk(b"in five"), Bulk(b"0"), Int(1)]


def test_emptying_a_database_and_all_of_them_arrives(pair: Pair) -> None:
    everything(pair.master)
    run(pair.master, [("SELECT", 1), ("FLUSHDB",)])
    same_data(*pair)
    assert fields(pair.replica, "keyspace").keys() == {"db0", "db9"}
    do(pair.master, "FLUSHALL", "ASYNC")
    same_data(*pair)
    assert not fields(pair.replica, "keyspace")


def test_transactions_and_scripts_arrive(pair: Pair) -> None:
    run(
        pair.master,
        [
            ("MULTI",), ("SET", "a", 1), ("INCR", "a"), ("SPOP", "nothing"), ("RPUSH", "l", "x"), ("EXEC",),
            ("MULTI",), ("SET", "never", 1), ("DISCARD",),
            ("SADD", "set", *range(100)), ("SPOP", "set", 40), ("SPOP", "set"),
            ("EVAL", "redis.call('SPOP', KEYS[1]) return redis.call('SET', KEYS[2], redis.call('TIME')[1])",
             2, "set", "time"),
            ("EVAL", "redis.call('SET', KEYS[1], 'x') return redis.call('INCR', KEYS[1])", 1, "halfway"),
            ("EVAL", "redis.call('SELECT', 3) return redis.call('SET', KEYS[1], 'x')", 1, "in three"),
            ("SET", "after", "in zero"),
            ("INCRBYFLOAT", "float", "0.1"), ("HINCRBYFLOAT", "floats", "f", "1e-5"),
            ("XADD", "stream", "*", "f", "v"), ("GETEX", "a", "EX", 10_000), ("GETDEL", "halfway"),
        ],
    )  # fmt: skip
    same_data(*pair)
    assert ask(pair.replica, "GET", "a") == Bulk(b"2")


def test_functions_arrive(pair: Pair) -> None:
    body = "function(keys, args) return redis.call('SET', keys[1], args[1]) end"
    library = f"#!lua name=lib\nredis.register_function('put', {body})"
    if isinstance(ask(pair.master, "FUNCTION", "LOAD", "REPLACE", library), Err):
        pytest.skip("the master has no functions")
    do(pair.master, "FCALL", "put", 1, "key", "value")
    same_data(*pair)
    listed = [ask(server, "FUNCTION", "LIST", "WITHCODE") for server in pair]
    if isinstance(listed[1], Err):
        pytest.skip("the replica has no functions; it has what they do")
    assert listed[0] == listed[1]
    do(pair.master, "FUNCTION", "FLUSH")
    wait_for(lambda: ask(pair.replica, "FUNCTION", "LIST") == Array(()), "no function on the replica")


def test_an_approximate_trim_leaves_on_the_replica_what_it_left(pair: Pair) -> None:
    """How far it goes depends on the blocks of the master's memory; the replica is told the outcome."""
    do(pair.master, "CONFIG", "SET", "stream-node-max-entries", 10)
    entries = [("XADD", "stream", f"{n}-1", "f", "v") for n in range(1, 100)]
    trims = [
        ("XADD", "stream", "MAXLEN", "~", 50, "LIMIT", 20, "100-1", "f", "v"),
        ("XADD", "stream", "MINID", "~", "45-1", "LIMIT", 10, "101-1", "f", "v"),
        ("XTRIM", "stream", "MAXLEN", "~", 30, "LIMIT", 10),
        ("XTRIM", "stream", "MINID", "~", "77-1"),
    ]
    run(pair.master, entries)
    for trim in trims:
        do(pair.master, *trim)
        same_data(*pair)


def test_a_blocked_client_that_is_served_changes_the_replica_alike(pair: Pair) -> None:
    with pair.master.wire() as waiting:
        waiting.send("BLMOVE", "from", "to", "LEFT", "RIGHT", 0)
        wait_for(lambda: fields(pair.master, "clients")["blocked_clients"] == "1", "it waits")
        do(pair.master, "RPUSH", "from", "a", "b")
        assert waiting.read_reply() == Bulk(b"a")
    same_data(*pair)
    assert ask(pair.replica, "LRANGE", "to", 0, -1) == Array((Bulk(b"a"),))


def test_messages_reach_subscribers_of_the_replica(pair: Pair) -> None:
    with pair.replica.wire() as subscriber:
        subscriber.command("SUBSCRIBE", "news")
        subscriber.command("PSUBSCRIBE", "n*")
        do(pair.master, "PUBLISH", "news", "hello")
        assert subscriber.read_reply() == Array((Bulk(b"message"), Bulk(b"news"), Bulk(b"hello")))
        assert subscriber.read_reply() == Array(
            (Bulk(b"pmessage"), Bulk(b"n*"), Bulk(b"news"), Bulk(b"hello"))
        )
        run(pair.master, [("MULTI",), ("SET", "a", 1), ("PUBLISH", "news", "in a transaction"), ("EXEC",)])
        assert subscriber.read_reply() == Array((Bulk(b"message"), Bulk(b"news"), Bulk(b"in a transaction")))
    same_data(*pair)


# --- expiry -------------------------------------------------------------------------------------------------


def test_times_to_live_arrive_as_dates(pair: Pair) -> None:
    everything(pair.master)
    in_sync(*pair)
    for key in ("volatile", "list", "large hash", "string"):
        assert ask(pair.replica, "PEXPIRETIME", key) == ask(pair.master, "PEXPIRETIME", key)
    do(pair.master, "PERSIST", "volatile")
    do(pair.master, "EXPIRE", "string", 1000)
    same_data(*pair)
    assert ask(pair.replica, "TTL", "volatile") == Int(-1)
    assert ask(pair.replica, "PEXPIRETIME", "string") == ask(pair.master, "PEXPIRETIME", "string")


def test_what_expires_on_the_master_is_deleted_on_the_replica_by_its_word(pair: Pair) -> None:
    with RawReplica(pair.master.address) as raw:
        raw.attach()
        do(pair.master, "SET", "brief", "v", "PX", 50)
        assert raw.told()[:3] == (b"SET", b"brief", b"v")
        assert raw.told() in ((b"DEL", b"brief"), (b"UNLINK", b"brief"))
    in_sync(*pair)
    assert ask(pair.replica, "DBSIZE") == Int(0)
    same_data(*pair)


def test_a_replica_keeps_what_has_expired_from_readers_until_the_master_says_so(pair: Pair) -> None:
    do(pair.master, "DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        do(pair.master, "SET", "brief", "v", "PX", 30)
        in_sync(*pair)
        wait_for(lambda: isinstance(ask(pair.replica, "GET", "brief"), Null), "expired for readers")
        assert ask(pair.replica, "EXISTS", "brief") == Int(0)
        assert ask(pair.replica, "TTL", "brief") == Int(-2)
        assert ask(pair.replica, "DBSIZE") == Int(1)
        # The real one lets a key live a millisecond longer. The read deletes it.
        wait_for(lambda: isinstance(ask(pair.master, "GET", "brief"), Null), "expired on the master")
        in_sync(*pair)
        assert ask(pair.replica, "DBSIZE") == Int(0)
    finally:
        do(pair.master, "DEBUG", "SET-ACTIVE-EXPIRE", 1)


def test_fields_with_a_time_to_live_arrive_and_go(pair: Pair) -> None:
    if not all(map(is_rlite, pair)):
        pytest.skip("the other server does not know them")
    run(
        pair.master,
        [
            ("HSET", "hash", "a", 1, "b", 2, "c", 3),
            ("HEXPIRE", "hash", 100_000, "FIELDS", 1, "a"),
            ("HPEXPIRE", "hash", 60, "FIELDS", 1, "b"),
        ],
    )
    in_sync(*pair)
    times = [ask(server, "HPEXPIRETIME", "hash", "FIELDS", 1, "a") for server in pair]
    assert times[0] == times[1] != Array((Int(-1),))
    wait_for(lambda: ask(pair.replica, "HLEN", "hash") == Int(2), "the field has gone")
    same_data(*pair)


def test_fields_with_a_time_to_live_are_in_a_full_resync() -> None:
    with replicated("rlite", "rlite", attach=False) as (master, replica):
        if not is_rlite(master):
            pytest.skip("the stand-in does not know them")
        do(master, "HSET", "hash", "a", 1, "b", 2)
        do(master, "HEXPIRE", "hash", 100_000, "FIELDS", 1, "a")
        follow(replica, master)
        same_data(master, replica)
        times = [ask(server, "HPEXPIRETIME", "hash", "FIELDS", 2, "a", "b") for server in (master, replica)]
        assert times[0] == times[1] != Array((Int(-1), Int(-1)))


# --- more than two ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("servers", CHAINS)
def test_a_chain_of_three_holds_the_same(servers: tuple[str, str, str]) -> None:
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(node(kind)) for kind in servers)
        everything(first)
        follow(third, second)
        follow(second, first)
        same_data(first, second)
        same_data(first, third)
        run(first, [("SET", "later", 1), ("SELECT", 4), ("SET", "in four", 1)])
        do(first, "SET", "brief", "v", "PX", 20)
        same_data(first, second, third)
        assert len({fields(server)["master_replid"] for server in (first, second, third)}) == 1
        with third.wire() as subscriber:
            subscriber.command("SUBSCRIBE", "news")
            do(first, "PUBLISH", "news", "hello")
            assert subscriber.read_reply() == Array((Bulk(b"message"), Bulk(b"news"), Bulk(b"hello")))


@pytest.mark.parametrize("servers", CHAINS)
def test_after_a_promotion_all_go_on_without_a_full_resync(servers: tuple[str, str, str]) -> None:
    """The second becomes the master: the third goes on with it, and then so does the old master."""
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(node(kind)) for kind in servers)
        everything(first)
        follow(second, first)
        in_sync(first, second)
        follow(third, second)
        same_data(first, second, third)
        history, full = fields(first)["master_replid"], stat(second, "sync_full")
        promote(second)
        assert fields(second)["role"] == "master"
        assert fields(second)["master_replid"] != history
        assert fields(second)["master_replid2"] == history
        do(second, "SET", "new", "master")
        same_data(second, third)
        follow(first, second)
        same_data(second, first, third)
        assert stat(second, "sync_full") == full
        assert stat(second, "sync_partial_ok") >= 2
        assert ask(first, "GET", "new") == Bulk(b"master")


@pytest.mark.parametrize("servers", PAIRS)
def test_an_old_master_that_went_on_by_itself_is_overwritten(servers: tuple[str, str]) -> None:
    with replicated(*servers) as (master, replica):
        everything(master)
        in_sync(master, replica)
        promote(replica)
        do(master, "SET", "written", "after the parting")
        do(replica, "SET", "other", "x")
        follow(master, replica)
        wait_up(master)
        same_data(replica, master)
        assert ask(master, "EXISTS", "written") == Int(0)
        assert stat(replica, "sync_full") == 1


def test_a_replica_released_goes_its_own_way_and_comes_back(pair: Pair) -> None:
    everything(pair.master)
    in_sync(*pair)
    promote(pair.replica)
    do(pair.replica, "SET", "of its own", 1)
    do(pair.replica, "DEL", "string")
    do(pair.master, "SET", "of the master", 1)
    assert ask(pair.replica, "EXISTS", "of the master") == Int(0)
    assert ask(pair.master, "EXISTS", "of its own") == Int(0)
    follow(pair.replica, pair.master)
    same_data(*pair)
    assert ask(pair.replica, "EXISTS", "of its own") == Int(0)


def test_a_replica_that_is_told_its_master_again_goes_on(pair: Pair) -> None:
    full = stat(pair.master, "sync_full")
    host, port = pair.master.address
    assert ask(pair.replica, "REPLICAOF", host, port) == Simple(b"OK Already connected to specified master")
    do(pair.master, "SET", "a", 1)
    same_data(*pair)
    assert stat(pair.master, "sync_full") == full


def test_the_stream_is_one_transaction_where_the_master_ran_one(pair: Pair) -> None:
    """A reader of the replica never sees half of it."""
    with pair.master.wire() as writer, pair.replica.wire() as reader:
        for n in range(300):
            writer.send_raw(
                encode("MULTI") + encode("SET", "one", n) + encode("SET", "two", n) + encode("EXEC")
            )
            found = reader.command("MGET", "one", "two")
            assert isinstance(found, Array)
            assert found.items[0] == found.items[1]
        for _ in range(300 * 4):
            writer.read_reply()
    same_data(*pair)
