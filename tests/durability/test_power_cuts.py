"""Power cuts: whatever the disk may hold then, the server starts from it and holds what was promised.

A server runs under a recorder while clients load it. Then, for cuts at many places of the record,
directories are made as such a cut may leave them, recovered in this process, and compared with what the
server had told its clients by then.
"""

import bisect
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.load import SECOND, Lane, Load, commands, plain
from support.power_cut import Disk
from support.recorder import Call, Event, NoCompilerError, Recorder, library
from support.recovering import asking
from support.servers import Server, start_redis, start_rlite, wait_for
from support.wire import Int, Reader, Wire

CUTS = 80 if os.environ.get("CI") == "true" else 30  # a record; beside those at each change of names
SAVED = b"rdb_bgsave_in_progress:0"
STATES = 6  # by chance, a cut


@pytest.fixture(autouse=True)
def _compiler() -> None:
    try:
        library()
    except NoCompilerError as fault:
        pytest.skip(str(fault))


@dataclass(slots=True)
class Told:
    """What one lane's clients have been told: numbers of steps, with the events and the times of the
    replies.
    """

    events: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def add(self, event: int, seconds: float, steps: int) -> None:
        self.events.append(event)
        self.seconds.append(seconds)
        self.steps.append(max(steps, self.steps[-1] if self.steps else 0))

    def until(self, event: int) -> int:
        """By replies sent in the first so many events."""
        at = bisect.bisect_left(self.events, event)
        return self.steps[at - 1] if at else 0

    def age_of_lost(self, steps: int, cut_at: float) -> float:
        """How long before a cut the oldest of what was lost had been told; 0: nothing was lost."""
        at = bisect.bisect_right(self.steps, steps)
        return max(0.0, cut_at - self.seconds[at]) if at < len(self.seconds) else 0.0

    def by(self, seconds: float) -> int:
        at = bisect.bisect_right(self.seconds, seconds)
        return self.steps[at - 1] if at else 0


def told(load: Load, events: Sequence[Event]) -> dict[int, Told]:
    """By lane: what the replies in a record acknowledge, and what they show to readers."""
    found = {lane.number: Told() for lane in load.lanes}
    readers: dict[int, Reader] = {}
    walks: dict[int, Iterator[int | None]] = {}

    def steps(lane: Lane) -> Iterator[int | None]:
        """For each reply on a lane's connection: the step that it completes."""
        n = lane.begun
        while True:
            n += 1
            for _ in range(len(commands(lane.number, n, load.shared)) - 1):
                yield None
            yield n

    def nothing_more() -> bytes:
        raise BlockingIOError

    for number, event in enumerate(events):
        lane = load.lane_of_port.get(event.port) if event.call is Call.SEND else None
        if event.call is not Call.SEND or (lane is None and event.port not in load.reader_ports):
            continue
        reader = readers.setdefault(event.port, Reader(nothing_more))
        reader.buffer += event.data
        while True:
            try:
                reply, _ = reader.next()
            except BlockingIOError:
                break
            if lane is None:
                for shown, n in load.shown_by(reply):
                    found[shown.number].add(number, event.seconds, n)
            else:
                step = next(walks.setdefault(event.port, steps(lane)))
                if step is not None:
                    found[lane.number].add(number, event.seconds, step)
    return found


@dataclass(frozen=True, slots=True)
class Session:
    """One life of the server: the load as it was at its end, what clients were told, and the event it began
    with. saved: events by which a snapshot was said to be saved, and the steps of the lanes it has at least.
    """

    load: Load
    told: dict[int, Told]
    begun: int
    saved: Sequence[tuple[int, list[int]]] = ()

    def floor(self, lane: Lane, event: int, cut_at: float, policy: str) -> int:
        """How many steps of a lane a cut before an event, at a time, must leave."""
        told = self.told[lane.number]
        if policy == "snapshot":
            return max((steps[lane.number] for at, steps in self.saved if at <= event), default=0)
        if policy == "always":
            return max(lane.begun, told.until(event))
        return told.by(cut_at - SECOND)


@dataclass(slots=True)
class Recording:
    """Loads on a server, and everything it did meanwhile. sessions: its lives, oldest first; oldest_lost:
    how many seconds before a cut the oldest of what it took had been told.
    """

    disk: Disk
    events: list[Event]
    sessions: list[Session]
    oldest_lost: float = 0.0

    def check_cuts(self, policy: str, seed: int, **directives: object) -> int:
        """Cuts at chosen events and checks what recovery finds, by these directives. Returns how many states
        that were.
        """
        chance = random.Random(seed)
        chosen = self._chosen(chance)
        states = 0
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        scratch = Path(tempfile.mkdtemp(prefix="rl-cuts-", dir=memory))  # kept where a check fails
        for number, event in enumerate([*self.events, None]):
            if number in chosen:
                session = [each for each in self.sessions if each.begun <= number][-1]
                # The cut comes as late as it can: just before the next event.
                moment = (event or self.events[-1]).seconds

                def floor(
                    lane: Lane, number: int = number, moment: float = moment, of: Session = session
                ) -> int:
                    return of.floor(lane, number, moment, policy)

                for state in self.disk.states(chance, STATES):
                    states += 1
                    place = scratch / f"{number}-{states}"
                    where = f"cut before event {number} ({event}), seed {seed}: {state.told}, kept in {place}"
                    place.mkdir()
                    state.write_to(place)
                    try:
                        found = session.load.check(asking(place, **directives), floor)
                        again = session.load.check(asking(place, **directives), floor)
                    except Exception as fault:
                        raise AssertionError(f"{where}: {fault}") from fault
                    assert again == found, f"{where}: a second start finds something else"
                    for lane, steps in zip(session.load.lanes, found, strict=True):
                        age = session.told[lane.number].age_of_lost(steps, moment)
                        self.oldest_lost = max(self.oldest_lost, age)
                    shutil.rmtree(place)
            if event is not None:
                self.disk.follow(event)
        scratch.rmdir()
        return states

    def _chosen(self, chance: random.Random) -> set[int]:
        """Where to cut: around each change of names, before syncs end, and elsewhere by chance."""
        names = Call.OPEN | Call.RENAME | Call.UNLINK | Call.MKDIR | Call.TRUNCATE
        everywhere = range(1, len(self.events) + 1)
        around = {n + more for n in everywhere if self.events[n - 1].call & names for more in (-1, 0)}
        syncs = [n - 1 for n in everywhere if self.events[n - 1].call is Call.SYNCED]
        writes = [n for n in everywhere if self.events[n - 1].call is Call.WRITE]
        return {
            *around,
            *chance.sample(syncs, min(CUTS // 3, len(syncs))),
            *chance.sample(writes, min(CUTS // 3, len(writes))),
            *chance.sample(list(everywhere), min(CUTS // 3, len(everywhere))),
            len(self.events),
        }

    def __str__(self) -> str:
        return f"{len(self.events)} events, {self.sessions[-1].load.acknowledged} steps acknowledged"


During = Callable[[Load, Server, Recorder], None]


def record(directory: Path, directives: dict[str, str], *lives: During, seed: int) -> Recording:
    """Runs a server on a new directory under the recorder, and a load on it as long as each of `lives` wants;
    then it is killed, and started again for the next.
    """
    directory.mkdir()
    disk = Disk(directory)
    settings = {"appendonly": "yes", "save": "", **directives}
    load = Load(seed=seed, lanes=3, readers=1, depth=8)
    sessions: list[Session] = []
    with Recorder(directory) as recorder:
        for number, during in enumerate(lives):
            server = start_rlite(directory, settings, environment=recorder.environment)
            try:
                begun = len(recorder.events()) if number else 0
                if number:
                    with Wire(server.address) as wire:
                        load.verify(wire, lambda lane: lane.acknowledged)
                load.connect(server.address)
                during(load, server, recorder)
            finally:
                server.kill_group()
            load.drain()
            refused = [lane.refused for lane in load.lanes if lane.refused]
            assert not refused, refused
            now, events = load.copy(), recorder.events()
            sessions.append(Session(now, told(now, events), begun))
        return Recording(disk, events, sessions)


def steps_of(load: Load, count: int) -> None:
    goal = load.acknowledged + count
    load.run(lambda: load.acknowledged >= goal)


def rewrite_under(load: Load, server: Server) -> None:
    """A load for as long as a rewrite takes, and some more."""
    with Wire(server.address) as wire:

        def info(name: str) -> str:
            text = plain(wire.command("INFO", "persistence")).decode()
            return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)[name]

        before = info("aof_rewrites")
        wire.command("BGREWRITEAOF")
        deadline = time.monotonic() + 20
        load.run(
            lambda: (
                (info("aof_rewrite_in_progress") == "0" and info("aof_rewrites") != before)
                or time.monotonic() > deadline
            )
        )
        assert info("aof_last_bgrewrite_status") == "ok"
        assert time.monotonic() < deadline, "no rewrite within 20 s"


@pytest.mark.parametrize("threads", [1, 2])
def test_under_always_a_power_cut_takes_nothing_that_a_reply_told_of(tmp_path: Path, threads: int) -> None:
    seed = random.randrange(1 << 30)

    def fast_then_slow(load: Load, server: Server, recorder: Recorder) -> None:
        steps_of(load, 300)
        with recorder.fault(Call.FSYNC, delay=0.003):  # time for a reply that leaves too early
            steps_of(load, 300)

    directives = {"appendfsync": "always", "io-threads": str(threads)}
    recording = record(tmp_path / "data", directives, fast_then_slow, seed=seed)
    states = recording.check_cuts("always", seed)
    print(f"{states} states: {recording}")
    assert states > CUTS


def test_under_always_a_power_cut_during_and_after_rewrites_takes_nothing(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)

    def rewrites(load: Load, server: Server, recorder: Recorder) -> None:
        for _ in range(2):
            steps_of(load, 150)
            rewrite_under(load, server)
        steps_of(load, 50)

    recording = record(tmp_path / "data", {"appendfsync": "always", "io-threads": "2"}, rewrites, seed=seed)
    states = recording.check_cuts("always", seed)
    print(f"{states} states: {recording}")
    assert states > CUTS


def test_under_always_a_power_cut_after_a_kill_takes_nothing_that_was_shown_since(tmp_path: Path) -> None:
    """What a killed server had written but not synced is read and shown by the next: it must stay."""
    seed = random.randrange(1 << 30)

    def slow(load: Load, server: Server, recorder: Recorder) -> None:
        steps_of(load, 50)
        recorder.inject(Call.FSYNC, delay=0.02, path=".aof")
        steps_of(load, 50)

    def again(load: Load, server: Server, recorder: Recorder) -> None:
        steps_of(load, 60)

    recording = record(tmp_path / "data", {"appendfsync": "always"}, slow, slow, again, seed=seed)
    states = recording.check_cuts("always", seed)
    print(f"{states} states: {recording}")
    assert states > CUTS


def test_a_power_cut_leaves_the_old_snapshot_or_the_new_one(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    saved: list[tuple[int, list[int]]] = []

    def saving(load: Load, server: Server, recorder: Recorder) -> None:
        for order in ("SAVE", "BGSAVE", "SAVE"):
            steps_of(load, 100)
            load.settle()
            steps = [lane.acknowledged for lane in load.lanes]
            with Wire(server.address, timeout=30) as wire:
                wire.command(order)
                if order == "BGSAVE":
                    wait_for(
                        lambda wire=wire: SAVED in plain(wire.command("INFO", "persistence")), "the snapshot"
                    )
            saved.append((len(recorder.events()), steps))

    recording = record(tmp_path / "data", {"appendonly": "no"}, saving, seed=seed)
    (session,) = recording.sessions
    recording.sessions = [replace(session, saved=saved)]
    states = recording.check_cuts("snapshot", seed, appendonly=False)
    print(f"{states} states: {recording}")
    assert states > 50


def test_a_power_cut_while_a_server_recovers_from_one_takes_nothing_more(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)

    def unsynced(load: Load, server: Server, recorder: Recorder) -> None:
        steps_of(load, 150)
        slow = recorder.inject(Call.FSYNC, delay=30, path=".aof")  # the last turn's records are in no sync
        load.run(lambda: slow.hits > 0)

    first = record(tmp_path / "first", {"appendfsync": "always"}, unsynced, seed=seed)
    (session,) = first.sessions
    for event in first.events:
        first.disk.follow(event)
    torn = states = 0
    for number, state in enumerate(first.disk.states(chance, 80)):
        found, again = tmp_path / f"{number}", tmp_path / f"again-{number}"
        for place in (found, again):
            place.mkdir()
            state.write_to(place)
        steps = session.load.check(asking(found), lambda lane: lane.begun)
        if not list(found.rglob("*.lost-*")) or torn == 3:
            continue
        torn += 1
        disk = Disk(again)
        with Recorder(again) as recorder:
            settings = {"appendonly": "yes", "appendfsync": "always", "save": ""}
            start_rlite(again, settings, environment=recorder.environment).kill_group()
            events = recorder.events()
        for event in events:
            for left in disk.states(chance, STATES):
                states += 1
                place = tmp_path / f"{number}-{states}"
                place.mkdir()
                left.write_to(place)
                where = f"seed {seed}: {state.told}, then cut before {event}: {left.told}, kept in {place}"
                assert session.load.check(asking(place), lambda lane: lane.begun) == steps, where
                shutil.rmtree(place)
            disk.follow(event)
    print(f"{states} states of {torn} recoveries")
    assert torn
    assert states > 50


@pytest.mark.parametrize("rewriting", [False, True])
def test_under_everysec_a_power_cut_takes_nothing_that_is_a_second_old(
    tmp_path: Path, rewriting: bool
) -> None:
    seed = random.randrange(1 << 30)

    def steadily(load: Load, server: Server, recorder: Recorder) -> None:
        end = time.monotonic() + 3.2

        def is_time() -> bool:
            time.sleep(0.004)  # a steady load, not the fastest
            return time.monotonic() > end

        if rewriting:
            rewrite_under(load, server)
        load.run(is_time)

    directives = {"appendfsync": "everysec", "io-threads": "2"}
    recording = record(tmp_path / "data", directives, steadily, seed=seed)
    states = recording.check_cuts("everysec", seed)
    print(f"{states} states: {recording}, the oldest lost was told {recording.oldest_lost:.2f} s before")
    assert 0 < recording.oldest_lost <= SECOND
    assert states > CUTS


def test_the_check_finds_writes_that_were_acknowledged_before_they_were_synced(tmp_path: Path) -> None:
    """The check itself: what everysec promises is not what always promises."""

    def fast(load: Load, server: Server, recorder: Recorder) -> None:
        steps_of(load, 200)

    recording = record(tmp_path / "data", {"appendfsync": "everysec"}, fast, seed=1)
    with pytest.raises(AssertionError, match=r": lost: it holds \d+ steps; promised \d+") as told:
        recording.check_cuts("always", seed=1)
    shutil.rmtree(str(told.value).split("kept in ")[1].split(":")[0])


def test_the_recorder_follows_what_a_program_does_to_its_files(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "old").write_bytes(b"old")
    program = """
import os
f = os.open("new", os.O_CREAT | os.O_WRONLY)
os.write(f, b"one"); os.fsync(f); os.pwrite(f, b"TWO", 3); os.writev(f, [b"-", b"x" * 5000])
os.rename("new", "old"); os.mkdir("sub"); os.truncate("old", 4100)
"""
    disk = Disk(directory)
    with Recorder(directory) as recorder:
        environment = {**os.environ, **recorder.environment}
        subprocess.run([sys.executable, "-c", program], check=True, cwd=directory, env=environment)
        events = recorder.events()
    told = [str(event) for event in events]
    assert told == [
        "OPEN new", "WRITE new 3 at 0", "FSYNC new", "SYNCED new", "WRITE new 3 at 3", "WRITE new 5001 at 3",
        "RENAME new → old", "MKDIR sub", "TRUNCATE old 4100 at 0",
    ]  # fmt: skip
    for event in events[:-1]:
        disk.follow(event)
    plain_cases = list(disk.states(random.Random(0), 0))
    nothing, everything, names, data, zeros = [state.files for state in plain_cases]
    whole = b"one-" + b"x" * 5000
    assert nothing == data == {"old": b"old"}
    assert everything == {"old": whole}
    assert names == {"old": b"one"}
    assert zeros == {"old": b"one" + bytes(5001)}
    assert [state.directories for state in plain_cases] == [(), ("sub",), ("sub",), (), ("sub",)]
    found = [state.files.get("old") for state in disk.states(random.Random(0), 300)]
    later_block_alone = b"one" + bytes(4093) + whole[4096:]
    assert {b"old", b"one", whole, later_block_alone} <= set(found)
    assert None not in found  # a rename is there or it is not


@pytest.mark.parametrize(
    "source", ["snapshot", pytest.param("redis", marks=pytest.mark.peer("redis-server"))]
)
def test_a_power_cut_while_data_from_elsewhere_is_taken_over_takes_nothing(
    tmp_path: Path, source: str
) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    directory = tmp_path / "data"
    directory.mkdir()
    start = start_rlite if source == "snapshot" else start_redis
    before = start(directory, {"appendonly": "no" if source == "snapshot" else "yes", "save": ""})
    with Wire(before.address) as wire:
        for n in range(200):
            wire.command("SET", f"key:{n}", n)
        if source == "snapshot":
            wire.command("SAVE")
    before.kill_group()
    disk = Disk(directory)
    with Recorder(directory) as recorder:
        settings = {"appendonly": "yes", "appendfsync": "always", "save": ""}
        server = start_rlite(directory, settings, environment=recorder.environment)
        with Wire(server.address) as wire:
            assert wire.command("DBSIZE") == Int(200)
        server.kill_group()
        events = recorder.events()
    states = 0
    for event in [*events, None]:
        for left in disk.states(chance, STATES):
            states += 1
            place = tmp_path / f"{states}"
            place.mkdir()
            left.write_to(place)
            where = f"seed {seed}: cut before {event}: {left.told}, kept in {place}"
            assert asking(place)([(b"DBSIZE",)]) == [Int(200)], where
            shutil.rmtree(place)
        if event is not None:
            disk.follow(event)
    print(f"{states} states")
    assert states > 50
