"""A gap that memory does not hold is served from the log's files; what they do not hold, by a full resync."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from support.proxy import Proxy
from support.replication import (
    Pair,
    Writing,
    ask,
    do,
    fields,
    follow,
    in_sync,
    is_rlite,
    kinds,
    node,
    offset,
    promote,
    replicated,
    run,
    same_data,
    stat,
    wait_logged,
)
from support.servers import Server, wait_for
from support.wire import Bulk

MB = 1 << 20
LOGGED = {"appendonly": "yes", "auto-aof-rewrite-percentage": "0"}
# The files are ours: the master is.
OURS = (kinds("rlite", "rlite"), kinds("rlite", "redis"))


@contextmanager
def parted(*servers: str, backlog: str = "16kb") -> Iterator[tuple[Pair, Proxy]]:
    """A pair that was in sync and is cut off; the proxy refuses until it is told to admit."""
    of_master = {**LOGGED, "repl-backlog-size": backlog}
    with replicated(*servers, of_master=of_master, attach=False) as pair, Proxy(pair.master.address) as proxy:
        do(pair.master, "SET", "before", "x")
        follow(pair.replica, proxy.address)
        same_data(*pair)
        proxy.refuse()
        yield pair, proxy


def write(server: Server, megabytes: float, seed: int = 0) -> None:
    """Changes of several types, with what is counted in no file between them."""
    draw = random.Random(seed)
    with server.wire(timeout=60) as wire:
        for n in range(int(megabytes * 100)):
            wire.send("APPEND", f"string:{draw.randrange(10)}", draw.randbytes(10_000))
            wire.send("RPUSH", "list", n)
            wire.send("PUBLISH", "channel", "x" * draw.randrange(200))
            for command in (("MULTI",), ("INCR", "a"), ("SPOP", "set"), ("SADD", "set", n), ("EXEC",)):
                wire.send(*command)
            for _ in range(8):
                wire.read_reply()


def assert_resumed(pair: Pair, full: int) -> None:
    same_data(*pair)
    if is_rlite(pair.master):
        assert stat(pair.master, "sync_full") == full
        assert stat(pair.master, "sync_partial_ok") >= 1


@pytest.mark.parametrize("backlog", ["16kb", "256kb", "1mb"])
@pytest.mark.parametrize("servers", OURS)
def test_a_gap_larger_than_the_backlog_is_served_from_the_files(
    servers: tuple[str, str], backlog: str
) -> None:
    with parted(*servers, backlog=backlog) as (pair, proxy):
        write(pair.master, 5)
        assert offset(pair.master) > 5 * MB * 0.9
        if is_rlite(pair.master):
            assert int(fields(pair.master)["repl_backlog_histlen"]) < 3 * MB, (
                "memory holds only the last of it"
            )
        proxy.admit()
        assert_resumed(pair, 1)
        do(pair.master, "SET", "after", "x")
        assert_resumed(pair, 1)


@pytest.mark.parametrize("servers", OURS)
def test_such_a_gap_is_caught_up_with_while_more_is_written(servers: tuple[str, str]) -> None:
    with parted(*servers) as (pair, proxy):
        write(pair.master, 3)
        with Writing(pair.master) as writing:
            proxy.admit()
            writing.wait_written(500)
        assert_resumed(pair, 1)


@pytest.mark.parametrize("servers", OURS)
def test_a_catch_up_that_is_cut_again_and_again_arrives(servers: tuple[str, str]) -> None:
    draw = random.Random(11)
    with parted(*servers) as (pair, proxy):
        write(pair.master, 6)
        for _ in range(8):
            cut = proxy.cut_after("server", draw.randrange(1000, 700_000))
            proxy.admit()
            cut.wait("a part of the gap")
        assert_resumed(pair, 1)
        assert proxy.accepted >= 9


@pytest.mark.parametrize("servers", OURS)
def test_a_gap_across_several_segments_is_served(servers: tuple[str, str]) -> None:
    """A rewrite begins a segment; one that does not end leaves the old ones in place."""
    with parted(*servers) as (pair, proxy):
        write(pair.master, 1, 1)
        proxy.admit()
        same_data(*pair)
        rewrite(pair.master)
        proxy.refuse()
        write(pair.master, 2, 2)
        proxy.admit()
        assert_resumed(pair, 1)


def rewrite(server: Server) -> None:
    do(server, "BGREWRITEAOF")
    wait_for(
        lambda: fields(server, "persistence")["aof_rewrite_in_progress"] == "0", "the rewrite", seconds=30
    )
    assert fields(server, "persistence")["aof_last_bgrewrite_status"] == "ok"


@pytest.mark.parametrize("servers", OURS)
def test_what_a_rewrite_has_dropped_is_a_full_resync(servers: tuple[str, str]) -> None:
    with parted(*servers) as (pair, proxy):
        write(pair.master, 3, 1)
        rewrite(pair.master)
        write(pair.master, 1, 2)
        proxy.admit()
        same_data(*pair)
        assert stat(pair.master, "sync_full") == 2


def test_a_rewrite_in_the_midst_of_a_catch_up_takes_nothing_from_it() -> None:
    with parted("rlite", "rlite") as (pair, proxy):
        write(pair.master, 6)
        proxy.rate = 3_000_000
        proxy.admit()
        wait_for(lambda: proxy.passed > 100_000, "it has begun")
        rewrite(pair.master)
        write(pair.master, 0.5, 5)
        proxy.rate = None
        assert_resumed(pair, 1)


@pytest.mark.parametrize("servers", OURS)
def test_without_files_such_a_gap_is_a_full_resync(servers: tuple[str, str]) -> None:
    with parted(*servers) as (pair, proxy):
        do(pair.master, "CONFIG", "SET", "appendonly", "no")
        write(pair.master, 5)
        proxy.admit()
        same_data(*pair)
        assert stat(pair.master, "sync_full") == 2


def test_a_master_restarted_in_the_gap_serves_it_across_the_histories() -> None:
    """Through the files of both: three histories later the replica goes on."""
    with node("rlite", {**LOGGED, "repl-backlog-size": "16kb"}) as master, node("rlite") as replica:
        if not is_rlite(master):
            pytest.skip("the stand-in keeps no history on disk")
        with Proxy(master.address) as proxy:
            write(master, 0.5, 1)
            follow(replica, proxy.address)
            same_data(master, replica)
            proxy.refuse()
            write(master, 2, 2)
            history = fields(master)["master_replid"]
            promoted = history
            with node("rlite", LOGGED) as other:
                follow(other, master)
                same_data(master, other)
                promote(other)
                promoted = fields(other)["master_replid"]
                write(other, 1, 3)
                follow(master, other)
                same_data(other, master)
                promote(master)
            assert fields(master)["master_replid2"] == promoted != history
            proxy.admit()
            same_data(master, replica)
            follow(replica, master)
            same_data(master, replica)


def test_a_replica_serves_its_own_replicas_from_its_files() -> None:
    with ExitStack() as stack:
        first = stack.enter_context(node("rlite"))
        second = stack.enter_context(node("rlite", {**LOGGED, "repl-backlog-size": "16kb"}))
        third = stack.enter_context(node("rlite"))
        proxy = stack.enter_context(Proxy(second.address))
        follow(second, first)
        in_sync(first, second)
        wait_logged(second)
        follow(third, proxy.address)
        same_data(first, second, third)
        proxy.refuse()
        write(first, 5)
        in_sync(first, second)
        proxy.admit()
        same_data(first, second, third)
        if is_rlite(second):
            assert stat(second, "sync_full") == 1
            assert stat(second, "sync_partial_ok") >= 1


def test_after_a_promotion_a_gap_beyond_memory_is_served_from_the_files() -> None:
    """The third was cut off before the second became the master, and returns when much more is written."""
    with ExitStack() as stack:
        first = stack.enter_context(node("rlite", LOGGED))
        second, third = (
            stack.enter_context(node("rlite", {**LOGGED, "repl-backlog-size": "16kb"})) for _ in range(2)
        )
        proxy = stack.enter_context(Proxy(second.address))
        follow(second, first)
        in_sync(first, second)
        wait_logged(second)
        follow(third, proxy.address)
        write(first, 0.2, 1)
        same_data(first, second, third)
        proxy.refuse()
        write(first, 2, 2)
        same_data(first, second)
        promote(second)
        write(second, 2, 3)
        proxy.admit()
        same_data(second, third)
        if is_rlite(second):
            assert stat(second, "sync_full") == 1
        do(second, "SET", "after", "x")
        same_data(second, third)
        assert ask(third, "GET", "after") == Bulk(b"x")


def test_databases_are_right_where_a_catch_up_begins_and_where_memory_takes_over() -> None:
    with parted("rlite", "rlite") as (pair, proxy):
        run(pair.master, [("SELECT", 3), *(("SET", f"key:{n}", "x" * 10_000) for n in range(300))])
        run(pair.master, [("SELECT", 5), ("SET", "last", "x")])
        proxy.admit()
        assert_resumed(pair, 1)
        run(pair.master, [("SELECT", 5), ("SET", "later", "x")])
        assert_resumed(pair, 1)
        found = run(pair.replica, [("SELECT", 5), ("KEYS", "*"), ("SELECT", 3), ("DBSIZE",)])
        assert {item.data for item in found[1].items} == {b"last", b"later"}
        assert found[3].value == 300
