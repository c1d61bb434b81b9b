"""The link between a master and its replica is cut, frozen, slowed: they find together again by themselves.

`pytest tests/replication --cuts 1000` for more of them. With RLITE_TEST_STAND_IN=redis the same is asked of
two real servers.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.proxy import Cut, Proxy
from support.replication import (
    PAIRS,
    Pair,
    Writing,
    ask,
    do,
    fields,
    follow,
    in_sync,
    is_rlite,
    is_up,
    replicated,
    same_data,
    stat,
    wait_online,
    wait_up,
)
from support.servers import Server, wait_for
from support.wire import Array, Bulk, Int

MB = 1 << 20
# All partial resyncs come from memory here; those from files are in test_histories.py.
ROOMY = {"repl-backlog-size": "64mb", "repl-timeout": "10"}
GROWTH = 200 * MB  # of a process during a test: a backlog, a second data set, and what Python takes


@contextmanager
def linked(*servers: str, attach: bool = True, **more: str) -> Iterator[tuple[Pair, Proxy]]:
    """A pair whose link goes through a proxy."""
    both = {**ROOMY, **{name.replace("_", "-"): value for name, value in more.items()}}
    with replicated(*servers, both=both, attach=False) as pair, Proxy(pair.master.address) as proxy:
        if attach:
            follow(pair.replica, proxy.address)
            in_sync(*pair)
        yield pair, proxy


def cuts_asked(request: pytest.FixtureRequest) -> int:
    """For each pair, which share them."""
    asked: int | None = request.config.getoption("--cuts")
    return -(-(asked or (200 if os.environ.get("CI") == "true" else 30)) // len(PAIRS))


def fill(server: Server, megabytes: int, seed: int = 1) -> None:
    """Values that do not compress, in pieces of 16 KB."""
    draw = random.Random(seed)
    with server.wire(timeout=60) as wire:
        for n in range(megabytes * 64):
            wire.send("SET", f"fill:{seed}:{n}", draw.randbytes(16_384))
            if n % 64 == 63:
                for _ in range(64):
                    wire.read_reply()


def disturb(proxy: Proxy, draw: random.Random) -> None:
    """One cut of some kind, at a moment by chance."""
    match draw.randrange(6):
        case 0:
            proxy.cut()
        case 1:  # inside of a command, most likely
            cut = proxy.cut_after("server", draw.randrange(1, 20_000))
            cut.wait("some bytes of the stream")
        case 2:  # what the master had answered, and some of what follows
            cut = proxy.cut_on("server", b"+CONTINUE", after=draw.choice([0, 5, 41, 43, 44, 100, 5000]))
            proxy.cut()
            if not cut.done.wait(5):  # the real replica sometimes asks for everything instead
                proxy.disarm(cut)
        case 3:  # a half-open link for a moment
            proxy.freeze()
            time.sleep(draw.random() * 0.1)
            proxy.cut()
            proxy.thaw()
        case 4:  # in the middle of what the replica says
            cut = proxy.cut_after("client", draw.randrange(1, 200))
            proxy.cut()
            cut.wait("some bytes of the handshake")
        case _:
            proxy.refuse()
            time.sleep(draw.random() * 0.1)
            proxy.admit()


@pytest.mark.timeout(0)  # as many cuts as asked for
@pytest.mark.parametrize("servers", PAIRS)
def test_a_link_cut_again_and_again_under_load_loses_nothing(
    servers: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    seed = random.randrange(1 << 30)
    draw = random.Random(seed)
    print(f"seed {seed}")
    with linked(*servers) as (pair, proxy), pair.replica.wire() as reader:
        full, before = stat(pair.master, "sync_full"), [server.rss() for server in pair]
        with Writing(pair.master, seed=seed) as writing:
            for number in range(cuts_asked(request)):
                if number % 5 == 4:  # or the load outruns the backlog while there is hardly any link
                    in_sync(*pair)
                writing.wait_written(draw.randrange(200))
                disturb(proxy, draw)
                # A reader of the replica sees each transaction whole, and the newest steps in order.
                found = reader.command("MGET", "0:one", "0:two", "1:one", "1:two", "2:one", "2:two")
                assert isinstance(found, Array)
                assert found.items[::2] == found.items[1::2]
        same_data(*pair)
        # Each gap was in the backlog. The real replica drops its place when it hears half an answer.
        assert stat(pair.master, "sync_full") == full or not is_rlite(pair.replica)
        assert stat(pair.master, "sync_partial_ok") > 0
        for server, then in zip(pair, before, strict=True):
            assert server.rss() < then + GROWTH, server.name


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("servers", PAIRS)
def test_a_link_cut_in_the_midst_of_a_snapshot_starts_over(servers: tuple[str, str], diskless: str) -> None:
    draw = random.Random(7)
    with linked(*servers, attach=False, repl_diskless_sync=diskless) as (pair, proxy):
        fill(pair.master, 8)
        do(pair.replica, "SET", "old", "value")
        cut = proxy.cut_on("server", b"+FULLRESYNC")
        follow(pair.replica, proxy.address)
        for _ in range(6):
            cut.wait("a part of the snapshot")
            if is_rlite(pair.replica):
                assert ask(pair.replica, "GET", "old") == Bulk(b"value")
            cut = proxy.cut_on("server", b"REDIS0", after=draw.randrange(7 * MB))
        with Writing(pair.master, lanes=1, depth=2):
            cut.wait("the last")
            wait_up(pair.replica)
        same_data(*pair)
        assert stat(pair.master, "sync_full") >= 8
        assert ask(pair.replica, "EXISTS", "old") == Int(0)
        assert not leftovers(pair.replica), "files of transfers that did not end"


def leftovers(server: Server) -> list[str]:
    """What a transfer of a snapshot leaves in a directory when it is not cleared away."""
    return [path.name for path in server.directory.glob("temp-*")]


@pytest.mark.parametrize("servers", PAIRS)
def test_a_link_cut_at_any_byte_after_continue_goes_on(servers: tuple[str, str]) -> None:
    """+CONTINUE, the id, the line's end, and the first bytes of the stream."""
    with linked(*servers) as (pair, proxy):
        full = stat(pair.master, "sync_full")
        for after in (0, 1, 2, 20, 40, 41, 42, 43, 44, 45, 50, 80):
            cut = proxy.cut_on("server", b"+CONTINUE", after=after)
            proxy.cut()

            def is_cut(cut: Cut = cut) -> bool:
                do(pair.master, "INCR", "counter")
                return cut.done.wait(0.01)

            wait_for(is_cut, f"{after} bytes")
        same_data(*pair)
        assert stat(pair.master, "sync_full") == full or not is_rlite(pair.replica)


@pytest.mark.parametrize("servers", PAIRS)
def test_a_link_cut_inside_of_a_command_applies_it_once(servers: tuple[str, str]) -> None:
    with linked(*servers) as (pair, proxy):
        for n, after in enumerate((0, 1, 100, 5_000, 99_990)):
            cut = proxy.cut_on("server", b"mark-%d" % n, after=after)
            do(pair.master, "APPEND", "key", b"mark-%d" % n + b"x" * 100_000)
            cut.wait(f"{after} bytes of the value")
            do(pair.master, "RPUSH", "list", n)
            same_data(*pair)
        assert ask(pair.replica, "LLEN", "list") == Int(5)
        assert ask(pair.replica, "STRLEN", "key") == Int(5 * 100_006)


@pytest.mark.parametrize("servers", PAIRS)
def test_a_link_cut_inside_of_a_transaction_applies_all_of_it_once(servers: tuple[str, str]) -> None:
    with linked(*servers) as (pair, proxy):
        for mark in (b"MULTI", b"first", b"second", b"EXEC"):
            cut = proxy.cut_on("server", mark)
            with pair.master.wire() as wire:
                for command in (("MULTI",), ("INCR", "first"), ("INCR", "second"), ("EXEC",)):
                    wire.command(*command)
            cut.wait("a part of the transaction")
            same_data(*pair)
            replies = [ask(pair.replica, "GET", key) for key in ("first", "second")]
            assert replies[0] == replies[1]
        assert ask(pair.replica, "GET", "first") == Bulk(b"4")


@pytest.mark.parametrize("servers", PAIRS)
def test_a_half_open_link_is_given_up_by_both_and_comes_back(servers: tuple[str, str]) -> None:
    with linked(*servers, repl_timeout="2", repl_ping_replica_period="1") as (pair, proxy):
        full = stat(pair.master, "sync_full")
        proxy.freeze()
        do(pair.master, "SET", "key", "value")
        wait_for(lambda: not is_up(pair.replica), "the replica gives up", seconds=15)
        wait_for(lambda: fields(pair.master)["connected_slaves"] == "0", "the master gives up", seconds=15)
        proxy.cut()  # the network forgets the old connections
        proxy.thaw()
        same_data(*pair)
        assert stat(pair.master, "sync_full") == full


@pytest.mark.parametrize("servers", PAIRS)
def test_a_healthy_link_is_not_given_up_when_it_is_only_quiet(servers: tuple[str, str]) -> None:
    with linked(*servers, repl_timeout="2", repl_ping_replica_period="1") as (pair, proxy):
        time.sleep(3.5)  # longer than the timeout: only pings and acknowledgements pass
        assert is_up(pair.replica)
        assert proxy.accepted == 1


@pytest.mark.parametrize("servers", PAIRS)
def test_a_slow_and_a_distant_link_only_delay(servers: tuple[str, str]) -> None:
    with linked(*servers) as (pair, proxy):
        proxy.delay = 0.03
        with pair.master.wire() as wire:
            wire.command("SET", "key", "far")
            begin = time.monotonic()
            assert wire.command("WAIT", 1, 10_000) == Int(1)
            assert time.monotonic() - begin > 0.05  # there and back
        proxy.delay, proxy.rate = 0.0, 2_000_000
        with Writing(pair.master, lanes=1) as writing:
            writing.wait_written(500)
        do(pair.master, "SET", "large", "x" * 1_000_000)
        same_data(*pair)
        assert proxy.accepted == 1


@pytest.mark.parametrize("servers", PAIRS)
def test_a_replica_slower_than_the_stream_is_dropped_and_comes_back(servers: tuple[str, str]) -> None:
    """Its output limit is hit; the master's memory does not follow what it writes."""
    with linked(*servers, repl_backlog_size="1mb") as (pair, proxy):
        do(pair.master, "CONFIG", "SET", "client-output-buffer-limit", "replica 4mb 2mb 1")
        wait_online(pair.master)
        before = pair.master.rss()
        proxy.rate = 200_000
        draw = random.Random(3)
        with pair.master.wire(timeout=60) as wire:
            for n in range(60 * 64):
                wire.command("SET", f"key:{n % 64}", draw.randbytes(16_384))
        wait_for(lambda: proxy.links == 0 or proxy.accepted > 1, "it is dropped", seconds=20)
        assert pair.master.rss() < before + 100 * MB
        proxy.rate = None
        same_data(*pair)
        assert proxy.accepted > 1
