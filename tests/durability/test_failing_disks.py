"""Disks that fail: calls that end with EIO or ENOSPC, take only a part, or a file system that is full for a
while.

Whatever fails, the server says so in words, answers reads, loses nothing that it acknowledged, writes
nothing that it refused, and serves writes again without a restart where that is safe. Faults come from the
recorder's layer under the server, and once from a real file system without room.
"""

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.load import Load
from support.power_cut import Disk
from support.recorder import Call, NoCompilerError, Recorder, library
from support.recovering import asking
from support.servers import Server, StartError, start_rlite, wait_for
from support.wire import Bulk, ClosedError, Err, Int, Simple, Wire

POLICIES = ("always", "everysec")
MISCONF = b"MISCONF Errors writing to the AOF file: "


@pytest.fixture(autouse=True)
def _compiler() -> None:
    try:
        library()
    except NoCompilerError as fault:
        pytest.skip(str(fault))


@dataclass(slots=True)
class Writer:
    """A client that writes keys of its own, one at a time, and remembers what came of it."""

    server: Server
    value: bytes = b"x" * 100
    acknowledged: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)  # the connection was closed instead of an answer
    texts: set[bytes] = field(default_factory=set)
    _wire: Wire | None = None
    _next: int = 0

    def write(self) -> bool:
        """Whether one more write was acknowledged."""
        self._next += 1
        if self._wire is None:
            self._wire = Wire(self.server.address)
        try:
            reply = self._wire.command("SET", f"key:{self._next}", self.value)
        except ClosedError:
            self._wire.close()
            self._wire = None
            self.doubtful.append(self._next)
            return False
        if isinstance(reply, Err):
            self.texts.add(reply.text)
            self.refused.append(self._next)
            return False
        assert reply == Simple(b"OK")
        self.acknowledged.append(self._next)
        return True

    def write_many(self, count: int) -> None:
        for _ in range(count):
            assert self.write(), (self.texts, self.server.log())

    def until_refused(self, most: int = 100_000) -> None:
        before = len(self.refused)
        for _ in range(most):
            self.write()
            if len(self.refused) > before:
                return
        raise AssertionError(f"{most} writes were taken")

    def until_taken(self, seconds: float = 15.0) -> None:
        """Waits for service to come back by itself."""
        wait_for(self.write, "a write is taken again", seconds=seconds)

    def check(self, directory: Path) -> None:
        """Compares with what recovery finds in a directory."""
        asked = [(b"GET", b"key:%d" % n) for n in range(1, self._next + 1)]
        found = dict(enumerate(asking(directory)(asked), start=1))
        missing = [n for n in self.acknowledged if found[n] != Bulk(self.value)]
        assert not missing, f"acknowledged, and not there: {missing[:10]} of {len(missing)}"
        there = [n for n in self.refused if isinstance(found[n], Bulk)]
        assert not there, f"refused, and there all the same: {there[:10]} of {len(there)}"

    def checked_copy(self, directory: Path) -> None:
        """The same for what a kill at this moment would leave."""
        copy = directory.with_name("copy")
        shutil.copytree(directory, copy)
        try:
            self.check(copy)
        finally:
            shutil.rmtree(copy)


@dataclass(slots=True)
class Bench:
    """A server under the recorder, and a writer on it."""

    recorder: Recorder
    server: Server
    writer: Writer
    directory: Path

    def info(self, name: str) -> str:
        with Wire(self.server.address) as wire:
            reply = wire.command("INFO", "persistence")
        assert isinstance(reply, Bulk)
        lines = (line.split(":", 1) for line in reply.data.decode().split("\r\n") if ":" in line)
        return dict(lines)[name]

    def reads_are_served(self) -> None:
        with Wire(self.server.address) as wire:
            assert wire.command("GET", f"key:{self.writer.acknowledged[0]}") == Bulk(self.writer.value)

    def rewrite(self) -> str:
        """A rewrite from its order to its end; its status."""
        with Wire(self.server.address) as wire:
            reply = wire.command("BGREWRITEAOF")
        if isinstance(reply, Err):
            return reply.text.decode()
        wait_for(lambda: self.info("aof_rewrite_in_progress") == "0", "the rewrite ends")
        return self.info("aof_last_bgrewrite_status")

    def end(self) -> None:
        """Kills the server, and compares what it has left."""
        self.server.kill_group()
        self.writer.check(self.directory)


def directives(policy: str) -> dict[str, str]:
    return {"appendonly": "yes", "appendfsync": policy, "save": ""}


@contextmanager
def bench(tmp_path: Path, policy: str, **more: str) -> Iterator[Bench]:
    directory = tmp_path / "data"
    directory.mkdir()
    with Recorder(directory) as recorder:
        server = start_rlite(directory, {**directives(policy), **more}, environment=recorder.environment)
        try:
            yield Bench(recorder, server, Writer(server), directory)
        finally:
            server.kill_group()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_writes_are_refused_while_the_log_cannot_be_written_and_taken_again_when_it_can(
    tmp_path: Path, policy: str, error: int
) -> None:
    with bench(tmp_path, policy) as here:
        here.writer.write_many(50)
        with here.recorder.fault(Call.WRITE, error, path=".aof") as fault:
            here.writer.until_refused()
            for _ in range(20):
                assert not here.writer.write()
            assert here.writer.texts == {
                b"MISCONF Errors writing to the AOF file: " + os.strerror(error).encode()
            }
            here.reads_are_served()
            assert here.info("aof_last_write_status") == "err"
            assert fault.hits
            here.writer.checked_copy(here.directory)
        here.writer.until_taken()
        assert here.info("aof_last_write_status") == "ok"
        here.writer.write_many(50)
        here.end()


@pytest.mark.parametrize("policy", POLICIES)
def test_after_a_failed_sync_writes_are_refused_until_the_log_has_been_written_anew(
    tmp_path: Path, policy: str
) -> None:
    with bench(tmp_path, policy) as here:
        here.writer.write_many(50)
        with here.recorder.fault(Call.FSYNC, errno.EIO):
            here.writer.until_refused()
            here.reads_are_served()
            for _ in range(20):
                assert not here.writer.write()
            assert here.rewrite() != "ok"  # it cannot sync either
            assert not here.writer.write()
        # No later sync makes up for the one that failed, so none is enough: a new base is.
        rewrites = here.info("aof_rewrites")
        assert here.rewrite() == "ok"
        assert here.info("aof_rewrites") != rewrites
        here.writer.until_taken()
        here.writer.write_many(50)
        here.end()


def test_after_a_failed_sync_the_log_is_written_anew_without_being_asked(tmp_path: Path) -> None:
    with bench(tmp_path, "always") as here:
        here.writer.write_many(50)
        with here.recorder.fault(Call.FSYNC, errno.EIO, times=1, path=".aof"):
            assert not here.writer.write()
        here.writer.until_taken()
        assert int(here.info("aof_rewrites")) == 1
        here.writer.write_many(50)
        here.end()


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    with bench(tmp_path, "always") as here, here.recorder.fault(Call.WRITE, taken=7, path=".aof") as fault:
        here.writer.write_many(30)
        assert fault.hits > 30 * 100 / 7
        here.end()


def test_a_short_write_before_a_full_disk_is_gone_on_with_where_it_ended(tmp_path: Path) -> None:
    with bench(tmp_path, "always") as here:
        here.writer.write_many(10)
        # Rules are tried in their order: one write takes 60 bytes, those after it nothing.
        short = here.recorder.inject(Call.WRITE, taken=60, times=1, path=".aof")
        with here.recorder.fault(Call.WRITE, errno.ENOSPC, path=".aof"):
            here.writer.until_refused()
            assert short.hits == 1
            here.writer.checked_copy(here.directory)
        here.writer.until_taken()
        here.writer.write_many(10)
        here.end()


REWRITING = Call.OPEN | Call.WRITE | Call.FSYNC | Call.RENAME | Call.UNLINK


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_rewrite_in_which_any_one_call_fails_loses_nothing(tmp_path: Path, error: int) -> None:
    """The n-th call fails, for each n, until a rewrite makes fewer calls."""
    with bench(tmp_path, "everysec", **{"auto-aof-rewrite-percentage": "0"}) as here:
        calls = 0
        for skip in range(60):
            here.writer.write_many(3)
            with here.recorder.fault(REWRITING, error, skip=skip, times=1) as fault:
                here.rewrite()
                here.reads_are_served()
                for _ in range(3):
                    here.writer.write()
            here.writer.checked_copy(here.directory)
            here.writer.until_taken()
            if not fault.hits:
                break
            calls += 1
        assert here.rewrite() == "ok"
        print(f"{calls} calls")
        assert calls > 8
        here.end()


@pytest.mark.parametrize("order", ["SAVE", "BGSAVE"])
def test_a_snapshot_in_which_any_one_call_fails_leaves_the_one_before(tmp_path: Path, order: str) -> None:
    """The n-th call fails, for each n, until a snapshot makes fewer calls."""
    more = {"appendonly": "no", "stop-writes-on-bgsave-error": "no"}
    with bench(tmp_path, "no", **more) as here, Wire(here.server.address, timeout=30) as wire:
        here.writer.write_many(5)
        assert wire.command("SAVE") == Simple(b"OK")
        kept, calls = 5, 0
        for skip in range(40):
            here.writer.write_many(5)
            with here.recorder.fault(REWRITING, errno.EIO, skip=skip, times=1) as fault:
                fine = not isinstance(wire.command(order), Err)
                if order == "BGSAVE":
                    wait_for(lambda: here.info("rdb_bgsave_in_progress") == "0", "the snapshot")
                    fine = here.info("rdb_last_bgsave_status") == "ok"
            here.reads_are_served()
            if fine:
                kept = len(here.writer.acknowledged)
            copy = tmp_path / f"copy-{skip}"
            shutil.copytree(here.directory, copy)
            (size,) = asking(copy, appendonly=False)([(b"DBSIZE",)])
            assert isinstance(size, Int)
            assert kept <= size.value <= len(here.writer.acknowledged)
            shutil.rmtree(copy)
            if not fault.hits:
                break
            calls += 1
            assert not list(here.directory.glob("*.part-*")), "what was begun is left behind"
        assert fine
        assert calls > 3
        print(f"{calls} calls")


def test_a_start_in_which_any_one_call_fails_says_so_and_harms_nothing(tmp_path: Path) -> None:
    with bench(tmp_path, "always") as here:
        here.writer.write_many(20)
        here.server.kill_group()
        log = next(here.directory.glob("appendonlydir/*.aof"))
        log.write_bytes(log.read_bytes()[:-5])  # so that there is something to cut off
        here.writer.doubtful.append(here.writer.acknowledged.pop())
        refused = 0
        for skip in range(60):
            with here.recorder.fault(REWRITING, errno.EIO, skip=skip, times=1) as fault:
                try:
                    server = start_rlite(
                        here.directory, directives("always"), environment=here.recorder.environment
                    )
                    server.kill_group()
                except StartError as told:
                    refused += 1
                    code, text = told.exit_code, told.log
                    assert (code, "Traceback" in text, "Input/output error" in text) == (3, False, True), text
                if not fault.hits:
                    break
            here.writer.checked_copy(here.directory)
        assert refused > 3
        here.writer.check(here.directory)


def test_a_power_cut_after_a_failed_sync_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """What a failed sync was to bring to the disk may be gone for good, whatever later syncs say."""
    directory = tmp_path / "data"
    directory.mkdir()
    disk = Disk(directory)
    seed = random.randrange(1 << 30)
    with bench_on(directory) as here:
        here.writer.write_many(30)
        with here.recorder.fault(Call.FSYNC, errno.EIO, times=1, path=".aof"):
            here.writer.write()
        here.writer.until_taken()
        here.writer.write_many(30)
        here.server.kill_group()
        events = here.recorder.events()
    for event in events:
        disk.follow(event)
    assert any(event.call is Call.FAILED for event in events)
    for number, state in enumerate(disk.states(random.Random(seed), 100)):
        place = tmp_path / str(number)
        place.mkdir()
        state.write_to(place)
        try:
            here.writer.check(place)
        except Exception as fault:
            raise AssertionError(f"{state.told}, seed {seed}, kept in {place}: {fault}") from fault


@contextmanager
def bench_on(directory: Path) -> Iterator[Bench]:
    with Recorder(directory) as recorder:
        server = start_rlite(directory, directives("always"), environment=recorder.environment)
        try:
            yield Bench(recorder, server, Writer(server), directory)
        finally:
            server.kill_group()


# --- a real file system ---


def namespaces_work() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_a_full_file_system_that_has_room_again(tmp_path: Path, policy: str) -> None:
    if not namespaces_work():
        pytest.skip("mount namespaces need root and unshare (Debian: util-linux)")
    place = tmp_path / "full"
    place.mkdir()
    mount = f'mount -t tmpfs -o size=2m tmpfs "{place}" && mkdir "{place}/data" && exec "$@"'
    server = start_rlite(
        tmp_path,
        {**directives(policy), "dir": f"{place}/data"},
        prefix=("unshare", "-m", "sh", "-c", mount, "sh"),
    )
    try:
        inside = Path(f"/proc/{server.pid}/root{place}")
        (inside / "ballast").write_bytes(bytes(1 << 20))
        writer = Writer(server, value=b"x" * 5000)
        writer.until_refused()
        assert writer.texts == {MISCONF + b"No space left on device"}
        with Wire(server.address) as wire:
            assert wire.command("GET", f"key:{writer.acknowledged[0]}") == Bulk(writer.value)
            if policy == "always":  # that there is no room is found out before anything is changed
                assert not writer.doubtful
                assert wire.command("DBSIZE") == Int(len(writer.acknowledged))
        (inside / "ballast").unlink()
        writer.until_taken()
        writer.write_many(20)
        shutil.copytree(inside / "data", tmp_path / "left")
    finally:
        server.kill_group()
    writer.check(tmp_path / "left")


# --- two servers ---


def test_a_second_server_on_a_directory_refuses_and_the_first_goes_on(tmp_path: Path) -> None:
    first = start_rlite(tmp_path, directives("always"))
    try:
        writer = Writer(first)
        writer.write_many(10)
        second = tmp_path / "second"
        second.mkdir()
        with pytest.raises(StartError) as told:
            start_rlite(second, {**directives("always"), "dir": str(tmp_path)})
        assert "Traceback" not in told.value.log
        assert str(first.pid) in told.value.log
        assert told.value.exit_code == 5
        writer.write_many(10)
    finally:
        first.kill_group()
    writer.check(tmp_path)


def test_nothing_acknowledged_is_lost_when_a_disk_fills_up_under_many_connections(
    tmp_path: Path,
) -> None:
    with bench(tmp_path, "always", **{"io-threads": "2"}) as here:
        load = Load(seed=1, lanes=4, readers=1, depth=1)
        load.connect(here.server.address)
        goal = 200
        load.run(lambda: load.acknowledged >= goal)
        fault = here.recorder.inject(Call.WRITE, errno.ENOSPC, path=".aof")
        load.run(lambda: all(lane.refused or connection.closed for lane, connection in load.writers()))
        fault.end()
        here.server.kill_group()
        load.drain()
        load.check(asking(here.directory), lambda lane: lane.acknowledged)
