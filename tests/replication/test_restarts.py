"""Master and replica end and are killed in any order, under load; afterwards they hold the same.

Both keep a log under everysec. Ours resume where they were; a real server takes all data anew. More of it:
`pytest tests/replication --cuts 1000`.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.load import Load
from support.proxy import Proxy
from support.replication import (
    DIRECTIVES,
    PAIRS,
    STARTS,
    ask,
    do,
    fields,
    follow,
    in_sync,
    is_rlite,
    offset,
    promote,
    same_data,
    stat,
    wait_logged,
    wait_up,
)
from support.servers import Server, wait_for
from support.wire import Int, Wire

LOGGED = {**DIRECTIVES, "appendonly": "yes", "appendfsync": "everysec", "repl-timeout": "10"}


class Site:
    """A server on one directory that ends and is started again, behind a proxy whose address stays."""

    def __init__(self, kind: str, directory: Path, directives: Mapping[str, str]) -> None:
        directory.mkdir()
        self.kind, self.directory = kind, directory
        self.directives = {**LOGGED, **directives}
        self.server: Server = self.start()
        self.proxy = Proxy(self.server.address)

    def start(self, master: "Site | None" = None) -> Server:
        """Starts it, as a replica of a master if there is one."""
        more = {} if master is None else {"replicaof": "{} {}".format(*master.proxy.address)}
        self.server = STARTS[self.kind](self.directory, {**self.directives, **more})
        if hasattr(self, "proxy"):
            self.proxy.target = self.server.address
        return self.server

    def end(self, sig: signal.Signals) -> None:
        """SIGKILL at once, or a wait for the end that SIGTERM asks for."""
        if sig == signal.SIGKILL:
            self.server.kill_group()
        else:
            if not is_rlite(self.server):  # which refuses to end while it writes its first log
                wait_for(self._log_is_there, "its log is there")
            self.server.stop(sig)
        self.proxy.cut()

    def _log_is_there(self) -> bool:
        found = fields(self.server, "persistence")
        return found["aof_rewrite_in_progress"] == found["aof_rewrite_scheduled"] == "0"

    def close(self) -> None:
        self.server.kill_group()
        self.proxy.close()


@contextmanager
def sites(directory: Path, *kinds: str, attach: bool = True, **directives: str) -> Iterator[tuple[Site, ...]]:
    """Servers of these kinds, each a replica of the one before it."""
    more = {name.replace("_", "-"): value for name, value in directives.items()}
    with ExitStack() as stack:
        made = []
        for number, kind in enumerate(kinds):
            made.append(Site(kind, directory / str(number), more))
            stack.callback(made[-1].close)
        for replica, master in zip(made[1:], made, strict=False):
            if attach:
                follow(replica.server, master.proxy.address)
                in_sync(master.server, replica.server)
                wait_logged(replica.server)
        yield tuple(made)


def write(server: Server, count: int, seed: int = 0, *, size: int = 50) -> None:
    """Some changes of several types that have no other order than the one they come in."""
    draw = random.Random(seed)
    with server.wire(timeout=60) as wire:
        for n in range(count):
            key = draw.randrange(20)
            wire.send("APPEND", f"string:{key}", f"{n}," + "x" * draw.randrange(size))
            wire.send("RPUSH", f"list:{key}", n)
            wire.send("SPOP" if n % 5 == 0 else "SADD", f"set:{key}", draw.randrange(1, 50))
            for _ in range(3):
                wire.read_reply()


# --- one restart, and how it resumes ------------------------------------------------------------------------

ENDS = [signal.SIGTERM, signal.SIGKILL]
named = pytest.mark.parametrize("sig", ENDS, ids=lambda sig: sig.name)


@named
@pytest.mark.parametrize("servers", PAIRS)
def test_a_replica_that_is_started_again_resumes(
    tmp_path: Path, servers: tuple[str, str], sig: signal.Signals
) -> None:
    with sites(tmp_path, *servers) as (master, replica):
        write(master.server, 500, 1)
        in_sync(master.server, replica.server)
        replica.end(sig)
        write(master.server, 500, 2)
        partial = stat(master.server, "sync_partial_ok")
        replica.start(master)
        same_data(master.server, replica.server)
        if is_rlite(replica.server):
            assert stat(master.server, "sync_full") == 1
            assert stat(master.server, "sync_partial_ok") == partial + 1


@named
@pytest.mark.parametrize("servers", PAIRS)
def test_a_master_that_is_started_again_is_resumed(
    tmp_path: Path, servers: tuple[str, str], sig: signal.Signals
) -> None:
    """It has another history then; what it says of the former one is enough."""
    with sites(tmp_path, *servers) as (master, replica):
        write(master.server, 500, 1)
        in_sync(master.server, replica.server)
        history, at = fields(master.server)["master_replid"], offset(master.server)
        master.end(sig)
        master.start()
        write(master.server, 500, 2)
        same_data(master.server, replica.server)
        if is_rlite(master.server):
            assert stat(master.server, "sync_full") == 0
            assert stat(master.server, "sync_partial_ok") >= 1
            assert fields(master.server)["master_replid"] != history
            assert fields(master.server)["master_replid2"] == history
            assert int(fields(master.server)["second_repl_offset"]) >= at + 1
        assert fields(replica.server)["master_replid"] == fields(master.server)["master_replid"]


@named
def test_both_started_again_resume(tmp_path: Path, sig: signal.Signals) -> None:
    with sites(tmp_path, "rlite", "rlite") as (master, replica):
        write(master.server, 500, 1)
        for first, second in ((master, replica), (replica, master)):
            for site in (first, second):
                site.end(sig)
            master.start()
            write(master.server, 100, 3)
            replica.start(master)
            same_data(master.server, replica.server)
            if is_rlite(master.server):
                assert stat(master.server, "sync_full") == 0


def test_a_replica_without_its_master_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    with sites(tmp_path, "rlite", "rlite") as (master, replica):
        write(master.server, 300, 1)
        digest = same_data(master.server, replica.server)
        master.end(signal.SIGTERM)
        replica.end(signal.SIGKILL)
        replica.start(master)
        assert ask(replica.server, "SET", "key", "x") != Int(0)
        assert fields(replica.server)["role"] == "slave"
        master.start()
        assert same_data(master.server, replica.server) == digest


def test_a_replica_that_was_killed_can_be_promoted_and_its_own_replica_goes_on(tmp_path: Path) -> None:
    with sites(tmp_path, "rlite", "rlite", "rlite") as (first, second, third):
        write(first.server, 300, 1)
        digest = same_data(first.server, second.server, third.server)
        first.end(signal.SIGKILL)
        second.end(signal.SIGKILL)
        second.start()  # as a master
        assert same_data(second.server, third.server) == digest
        write(second.server, 300, 2)
        same_data(second.server, third.server)
        if is_rlite(second.server):
            assert stat(second.server, "sync_full") == 0
        first.start(second)
        same_data(second.server, first.server, third.server)


def test_the_master_can_be_named_at_the_start(tmp_path: Path) -> None:
    with sites(tmp_path, "rlite", "rlite", attach=False) as (master, replica):
        write(master.server, 100, 1)
        replica.end(signal.SIGTERM)
        replica.start(master)
        same_data(master.server, replica.server)
        promote(replica.server)
        do(replica.server, "SET", "key", "its own")


# --- a replica ahead of what its master has on disk ---------------------------------------------------------


def lose_tail(directory: Path, count: int) -> None:
    """As a power cut does that takes what was not yet synced: the newest segment ends earlier."""
    newest = max(directory.glob("appendonlydir/*.aof"), key=lambda path: path.stat().st_mtime_ns)
    size = newest.stat().st_size
    assert size > count + 200, "the segment holds less than is to be lost"
    os.truncate(newest, size - count)


@pytest.mark.parametrize("count", [1, 37, 5000])
@pytest.mark.parametrize("servers", PAIRS)
def test_a_master_that_lost_what_its_replica_has_makes_it_start_over(
    tmp_path: Path, servers: tuple[str, str], count: int
) -> None:
    with sites(tmp_path, *servers) as (master, replica):
        write(master.server, 500, 1)
        ahead = same_data(master.server, replica.server)
        master.end(signal.SIGKILL)
        lose_tail(master.directory, count)
        master.start()
        assert same_data(master.server, replica.server) != ahead
        assert stat(master.server, "sync_full") == 1
        write(master.server, 100, 2)
        same_data(master.server, replica.server)


@pytest.mark.parametrize("restarted", [False, True], ids=["replica up", "replica restarted"])
@pytest.mark.parametrize("servers", PAIRS)
def test_a_master_that_has_written_other_things_since_makes_it_start_over(
    tmp_path: Path, servers: tuple[str, str], restarted: bool
) -> None:
    """Its offset has passed the replica's again: only the history tells that they are not the same."""
    with sites(tmp_path, *servers) as (master, replica):
        write(master.server, 500, 1)
        in_sync(master.server, replica.server)
        at = offset(replica.server)
        master.proxy.refuse()
        master.end(signal.SIGKILL)
        lose_tail(master.directory, 2000)
        master.start()
        write(master.server, 1000, 99)
        assert offset(master.server) > at or not is_rlite(master.server)
        if restarted:
            replica.end(signal.SIGKILL)
            replica.start(master)
        master.proxy.admit()
        same_data(master.server, replica.server)
        assert stat(master.server, "sync_full") == 1
        assert stat(master.server, "sync_partial_ok") == 0


def test_a_replica_that_is_behind_what_its_master_lost_resumes(tmp_path: Path) -> None:
    with sites(tmp_path, "rlite", "rlite") as (master, replica):
        write(master.server, 100, 1)
        in_sync(master.server, replica.server)
        master.proxy.refuse()
        write(master.server, 500, 2)
        master.end(signal.SIGKILL)
        lose_tail(master.directory, 2000)
        master.start()
        write(master.server, 100, 3)
        master.proxy.admit()
        same_data(master.server, replica.server)
        if is_rlite(master.server):
            assert stat(master.server, "sync_full") == 0


def test_the_replicas_of_a_replica_start_over_with_it(tmp_path: Path) -> None:
    with sites(tmp_path, "rlite", "rlite", "rlite") as (first, second, third):
        write(first.server, 500, 1)
        same_data(first.server, second.server, third.server)
        first.end(signal.SIGKILL)
        lose_tail(first.directory, 3000)
        first.start()
        write(first.server, 300, 99)
        same_data(first.server, second.server)
        wait_up(third.server)
        same_data(first.server, second.server, third.server)


def test_a_replica_that_lost_its_own_tail_asks_for_it_again(tmp_path: Path) -> None:
    with sites(tmp_path, "rlite", "rlite") as (master, replica):
        write(master.server, 500, 1)
        in_sync(master.server, replica.server)
        if not is_rlite(replica.server):
            pytest.skip("the stand-in's log of a replica begins anew at each full resync")
        replica.end(signal.SIGKILL)
        lose_tail(replica.directory, 4321)
        replica.start(master)
        same_data(master.server, replica.server)
        assert stat(master.server, "sync_full") == 1
        assert stat(master.server, "sync_partial_ok") == 1


# --- any order, under load ----------------------------------------------------------------------------------


class Writer:
    """The load on a master, on a thread; it ends when it is told to, or when the master does."""

    def __init__(self, load: Load, address: tuple[str, int]) -> None:
        self.load = load
        load.connect(address)
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.load.run(self._stop.is_set)
        except BaseException as failure:  # for the test's thread
            self._failures.append(failure)

    def wait_written(self, more: int) -> None:
        goal = self.load.acknowledged + more
        wait_for(lambda: self.load.acknowledged >= goal or not self._thread.is_alive(), f"{more} steps")

    def end(self, server: Server) -> None:
        """Takes the answers that are there; on a server that goes on, all of them."""
        self._stop.set()
        self._thread.join()
        if self._failures:
            raise self._failures[0]
        if server.is_running():
            self.load.settle()
            with Wire(server.address) as wire:
                wire.command("CLIENT", "KILL", "TYPE", "normal")
        self.load.drain()


Action = tuple[str, ...]
ACTIONS: tuple[Action, ...] = (
    ("replica",), ("master",), ("master", "replica"), ("replica", "master"), ("replica",), ("master",),
)  # fmt: skip


@pytest.mark.timeout(0)  # as often as asked for
@pytest.mark.parametrize("servers", PAIRS)
def test_ends_in_any_order_under_load_leave_equal_data(
    tmp_path: Path, servers: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    asked: int | None = request.config.getoption("--cuts")
    rounds = max(4, (asked or (200 if os.environ.get("CI") == "true" else 30)) // 5)
    seed = random.randrange(1 << 30)
    draw = random.Random(seed)
    print(f"seed {seed}")
    load = Load(seed=seed, lanes=3, readers=1)
    with sites(tmp_path, *servers) as (master, replica):
        named = {"master": master, "replica": replica}
        for _ in range(rounds):
            full = stat(master.server, "sync_full")
            writer = Writer(load, master.server.address)
            writer.wait_written(draw.randrange(400))
            chosen = draw.choice(ACTIONS)
            for name in chosen:
                named[name].end(draw.choice(ENDS))
            killed = time.monotonic()
            if "master" not in chosen:
                writer.wait_written(draw.randrange(400))
            writer.end(master.server)
            orders: list[Callable[[], object]] = []
            if "master" in chosen:
                orders.append(master.start)
            if "replica" in chosen:
                orders.append(lambda: replica.start(master))
            draw.shuffle(orders)
            for order in orders:
                order()
            with Wire(master.server.address) as wire:
                # Under everysec a second may be lost, by Redis's word two.
                floors = {lane.number: lane.acknowledged_by(killed - 2) for lane in load.lanes}
                load.verify(wire, lambda lane, floors=floors: floors[lane.number])
            same_data(master.server, replica.server)
            if all(map(is_rlite, (master.server, replica.server))):
                expected = 0 if "master" in chosen else full
                assert stat(master.server, "sync_full") == expected, f"after the end of {chosen}"
        assert load.acknowledged > 0
