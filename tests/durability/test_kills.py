"""SIGKILL under load, again and again on the same directory: what was promised is there afterwards.

`pytest tests/durability/test_kills.py --kills 5000` for more of them. A failure names its seed and its
directory is kept by pytest. With RLITE_TEST_STAND_IN=redis the same is asked of the real redis-server.
"""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.load import SECOND, Lane, Load, LostError
from support.servers import Server, start_rlite, wait_for
from support.wire import Wire

STAND_IN = os.environ.get("RLITE_TEST_STAND_IN") == "redis"
FILLING = 5000  # keys that make a rewrite or a snapshot take some time
BACKGROUND = ((b"BGREWRITEAOF",), (b"BGSAVE",), (b"BGSAVE", b"SCHEDULE"))


@dataclass(frozen=True, slots=True)
class Case:
    """policy: appendfsync; background: rewrites and snapshots are asked for meanwhile; rewrites: the server
    begins some by itself.
    """

    name: str
    policy: str
    io_threads: int = 1
    background: bool = False
    rewrites: bool = False

    def directives(self) -> dict[str, str]:
        chosen = {
            "appendonly": "yes",
            "appendfsync": self.policy,
            "io-threads": str(self.io_threads),
            "save": "",
        }
        if self.rewrites:
            chosen |= {"auto-aof-rewrite-min-size": "64kb", "auto-aof-rewrite-percentage": "20"}
        return chosen


CASES = (
    Case("always", "always"),
    Case("always, two threads, rewrites and snapshots", "always", io_threads=2, background=True),
    Case("everysec, two threads", "everysec", io_threads=2),
    Case("everysec, rewrites and snapshots", "everysec", background=True, rewrites=True),
)


@dataclass(slots=True)
class Tally:
    """What the rounds of one directory have seen."""

    kills: int = 0
    kills_at_start: int = 0
    acknowledged: int = 0
    read: int = 0
    lost: int = 0  # acknowledged, and not there: none under always, of the last second under everysec


def floor_of(lane: Lane, policy: str, killed_at: float) -> int:
    """How many steps of a lane are promised after a kill."""
    if policy == "always":
        return max(lane.acknowledged, lane.seen)
    # Mostly a write has reached the kernel before its reply leaves, and then only a power cut can take it.
    # But while a sync runs it may wait; Redis lets it wait for two seconds.
    return lane.acknowledged_by(killed_at - (2 if STAND_IN else 1) * SECOND)


class Victim:
    """A server on one directory that is killed and started again."""

    def __init__(self, directory: Path, case: Case, seed: int) -> None:
        self.directory = directory
        self.case = case
        self.random = random.Random(seed)
        self.load = Load(seed=seed, lanes=4, readers=1, depth=8)
        self.tally = Tally()
        self.server: Server | None = None
        self.orphaned: list[Server] = []

    def start(self, *, wait: bool = True) -> Server:
        self.server = start_rlite(self.directory, self.case.directives(), wait=wait)
        return self.server

    def fill(self) -> None:
        """What makes a rewrite take longer than the moment until the next kill."""
        server = self.start()
        with Wire(server.address) as wire:
            for first in range(0, FILLING, 500):
                pairs = [word for n in range(first, first + 500) for word in (f"fill:{n}", "x" * 100)]
                wire.command("MSET", *pairs)
        self.kill()

    def kill(self) -> float:
        """SIGKILL, of the server alone or of its children too. Returns the moment before."""
        assert self.server is not None
        moment = time.monotonic()
        if self.random.random() < 0.5:
            self.server.kill_group()
        else:
            self.server.kill9()
            self.orphaned.append(self.server)
        self.tally.kills += 1
        return moment

    def round(self) -> None:
        """One kill under load, perhaps another in the middle of the start that follows, and what is there
        then.
        """
        server = self.server if self.server and self.server.is_running() else self.start()
        self.load.connect(server.address)
        begin = time.monotonic()
        end, least = begin + min(self.random.expovariate(1 / 0.04), 0.5), self.random.randrange(60)
        if self.case.policy == "everysec" and self.random.random() < 0.1:
            end += 1.5 * SECOND  # so that there is something that must be there
        goal = self.load.acknowledged + least
        orders = sorted(end - self.random.random() * 0.05 for _ in range(2)) if self.case.background else []
        with Wire(server.address) as control:

            def is_time() -> bool:
                now = time.monotonic()
                if orders and now >= orders[0]:
                    del orders[0]
                    control.send(*self.random.choice(BACKGROUND))
                # A slow disk gets more time, within reason.
                return now >= end and (self.load.acknowledged >= goal or now > begin + 3)

            self.load.run(is_time)
            assert server.is_running(), f"it ended by itself:\n{server.log()}"
            killed_at = self.kill()
        self.load.drain()
        for lane in self.load.lanes:
            assert lane.refused is None, f"lane {lane.number} was refused: {lane.refused}"
        while self.random.random() < 0.1:
            self.start(wait=False)
            time.sleep(self.random.random() * 0.3)  # a kill at a moment by chance, while it reads its log
            self.kill()
            self.tally.kills_at_start += 1
        server = self.start()
        with Wire(server.address) as wire:
            acknowledged = [lane.acknowledged for lane in self.load.lanes]
            self.load.verify(wire, lambda lane: floor_of(lane, self.case.policy, killed_at))
            found = [lane.acknowledged for lane in self.load.lanes]
            self.tally.lost += sum(max(0, was - now) for was, now in zip(acknowledged, found, strict=True))
            count = wire.command("EXISTS", *(f"fill:{n}" for n in range(FILLING)))
        if count.value != FILLING:
            raise LostError(f"{FILLING - count.value} of the keys that were there from the start are missing")


@contextmanager
def victim(directory: Path, case: Case, seed: int) -> Iterator[Victim]:
    directory.mkdir()
    running = Victim(directory, case, seed)
    try:
        running.fill()
        yield running
        for server in running.orphaned:
            wait_for(lambda server=server: not server.has_children(), "orphans end by themselves")
    finally:
        if running.server is not None:
            running.server.kill_group()


def rounds(directory: Path, case: Case, seed: int, kills: int) -> Tally:
    """Kills on one directory, one after the other."""
    with victim(directory, case, seed) as one:
        while one.tally.kills < kills:
            try:
                one.round()
            except AssertionError as fault:
                assert one.server is not None
                where = f"{case.name}, seed {seed} in {directory}, after {one.tally.kills} kills"
                raise AssertionError(f"{where}: {fault}\n{one.server.log()[-2000:]}") from fault
        one.tally.acknowledged, one.tally.read = one.load.acknowledged, one.load.read
        return one.tally


@pytest.mark.timeout(0)  # as many kills as asked for
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kill_takes_nothing_that_was_promised(
    tmp_path: Path, case: Case, request: pytest.FixtureRequest, record_property
) -> None:
    asked: int | None = request.config.getoption("--kills")
    kills = max(1, (asked or (240 if os.environ.get("CI") == "true" else 40)) // len(CASES))
    seed = random.randrange(1 << 30)
    half = max(1, kills // 2)
    # One directory on the disk, one in memory, where there is time for more writes between two kills.
    memory = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(prefix="rl-kills-", dir=memory) as fast, ThreadPoolExecutor(2) as pool:
        places = [(tmp_path / "disk", seed), (Path(fast) / "memory", seed + 1)]
        running = [pool.submit(rounds, place, case, number, half) for place, number in places]
        try:
            tallies = [future.result() for future in running]
        except AssertionError:
            shutil.copytree(fast, tmp_path, dirs_exist_ok=True)
            raise
    total = Tally(*(sum(values) for values in zip(*map(_values, tallies), strict=True)))
    print(f"{case.name}: {total}")
    record_property("kills", total.kills)
    assert total.kills >= kills - 1
    assert total.acknowledged > kills
    assert total.read > 0


def _values(tally: Tally) -> tuple[int, ...]:
    return tally.kills, tally.kills_at_start, tally.acknowledged, tally.read, tally.lost


def test_the_check_finds_a_lost_write(tmp_path: Path) -> None:
    """The check itself: with the log's policy promised too high, it must complain."""
    directory = tmp_path / "data"
    with victim(directory, Case("no log", "no"), seed=1) as one:
        assert one.server is not None
        one.server = start_rlite(directory, {"appendonly": "no", "save": ""})
        one.load.connect(one.server.address)
        one.load.run(lambda: one.load.acknowledged > 500)
        one.kill()
        one.load.drain()
        server = one.start()
        with Wire(server.address) as wire, pytest.raises(LostError, match=": lost: it holds 0 steps"):
            one.load.verify(wire, lambda lane: lane.acknowledged)
