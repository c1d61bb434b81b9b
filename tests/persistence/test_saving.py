"""SAVE, BGSAVE and when they happen by themselves; children that write, die, or cannot."""

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from persistence.snapshots import PROGRAM, digest, engine, loaded
from support.in_process import InProcess, started
from support.servers import Server, wait_for
from support.wire import Bulk, Err, Int, Simple, Wire

from rlite.engine.core.database import Database
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.persistence import snapshot
from rlite.engine.persistence.forking import ChildBusyError, Forks, Outcome

Start = Callable[..., Server]
OK = Simple(b"OK")


def info(wire: Wire, section: str = "persistence") -> dict[str, str]:
    reply = wire.command("INFO", section)
    assert isinstance(reply, Bulk)
    assert reply.data is not None
    lines = [line.partition(":") for line in reply.data.decode().splitlines()]
    return {name: value for name, _, value in lines if value}


def is_error(reply: object, start: bytes) -> bool:
    return isinstance(reply, Err) and reply.text.startswith(start)


def saved_and(wire: Wire, times: int) -> None:
    """Waits until so many snapshots have come off."""
    wait_for(
        lambda: (told := info(wire))["rdb_saves"] == str(times) and told["rdb_bgsave_in_progress"] == "0",
        f"{times} snapshots",
    )


def keys_of(path: Path, tmp_path: Path) -> object:
    with engine() as one:
        loaded(one, path.read_bytes(), tmp_path / "copy.rdb")
        return sorted(one.execute("KEYS", "*"))  # type: ignore[arg-type, type-var]


# --- by command --------------------------------------------------------------------------------------------


def test_save_writes_all_data_and_says_when(rlite_proc: Start, tmp_path: Path) -> None:
    server = rlite_proc({"enable-debug-command": "yes"})
    wire = server.wire()
    for command in PROGRAM:
        wire.command(*command)  # type: ignore[arg-type]
    assert int(info(wire)["rdb_changes_since_last_save"]) > 1000
    before = int(time.time())
    assert wire.command("SAVE") == OK
    last = wire.command("LASTSAVE")
    assert isinstance(last, Int)
    assert before <= last.value <= time.time()
    told = info(wire)
    assert (told["rdb_changes_since_last_save"], told["rdb_saves"]) == ("0", "1")
    assert sorted(path.name for path in server.directory.iterdir()) == ["dump.rdb", "port", "server.log"]
    with engine() as one:
        loaded(one, (server.directory / "dump.rdb").read_bytes(), tmp_path / "copy.rdb")
        assert wire.command("DEBUG", "DIGEST") == Simple(str(digest(one)).encode())


def test_a_snapshot_in_the_background_is_one_moment_while_clients_write(
    rlite_proc: Start, tmp_path: Path
) -> None:
    server = rlite_proc({"io-threads": "2"})
    wire = server.wire()
    for n in range(200):
        wire.command("MSET", *(part for k in range(100) for part in (f"filler:{n}:{k}", "x" * 50)))
    done = threading.Event()
    rounds = [0, 0]

    def write(which: int) -> None:
        mine = server.wire()
        while not done.is_set():
            rounds[which] += 1
            mine.command("MSET", f"a{which}", rounds[which], f"b{which}", rounds[which])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        for times in range(1, 6):
            before = list(rounds)
            assert wire.command("BGSAVE") == Simple(b"Background saving started")
            saved_and(wire, times)
            with engine() as one:
                loaded(one, (server.directory / "dump.rdb").read_bytes(), tmp_path / "copy.rdb")
                assert int(str(one.execute("DBSIZE"))) >= 20000
                for which in range(2):
                    a, b = one.execute("MGET", f"a{which}", f"b{which}")  # type: ignore[misc]
                    assert a == b
                    assert before[which] - 1 <= int(a or 0) <= rounds[which]  # type: ignore[call-overload]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    told = info(wire)
    assert (told["rdb_last_bgsave_status"], told["rdb_current_bgsave_time_sec"]) == ("ok", "-1")
    assert int(told["rdb_last_cow_size"]) > 0
    assert info(wire, "stats")["total_forks"] == "5"
    assert int(info(wire, "stats")["latest_fork_usec"]) > 0


def test_words_that_bgsave_does_not_know_are_refused(rlite: Server) -> None:
    with rlite.wire() as wire:
        assert wire.command("BGSAVE", "NOW") == Err(b"ERR syntax error")
        assert wire.command("BGSAVE", "SCHEDULE", "x") == Err(b"ERR syntax error")


def test_bgsave_in_a_transaction_comes_after_it(rlite_proc: Start) -> None:
    wire = rlite_proc().wire()
    wire.command("MULTI")
    wire.command("SET", "k", "v")
    wire.command("BGSAVE")
    assert wire.command("EXEC").items[1] == Simple(b"Background saving scheduled")  # type: ignore[union-attr]
    saved_and(wire, 1)
    wire.command("MULTI")
    assert wire.command("SAVE") == Err(b"ERR Command not allowed inside a transaction")


def test_reload_takes_all_data_to_disk_and_back(rlite_proc: Start) -> None:
    wire = rlite_proc({"enable-debug-command": "yes"}).wire()
    for command in PROGRAM:
        wire.command(*command)  # type: ignore[arg-type]
    before = wire.command("DEBUG", "DIGEST")
    assert wire.command("DEBUG", "RELOAD") == OK
    assert wire.command("DEBUG", "DIGEST") == before
    wire.command("SET", "new", "v")
    assert wire.command("DEBUG", "RELOAD", "NOSAVE") == OK
    assert wire.command("DEBUG", "DIGEST") == before
    assert int(info(wire)["rdb_last_load_keys_loaded"]) > 30
    assert wire.command("DEBUG", "RELOAD", "MERGE") == Err(
        b"ERR DEBUG RELOAD only supports the NOFLUSH and NOSAVE options."
    )
    assert is_error(
        wire.command("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH"), b"ERR Error trying to load the RDB dump"
    )


def test_reload_of_a_damaged_file_names_the_offset(rlite_proc: Start) -> None:
    server = rlite_proc({"enable-debug-command": "yes"})
    wire = server.wire()
    (server.directory / "dump.rdb").write_bytes(b"REDIS0010\xfe\x00\x00\x01k")
    reply = wire.command("DEBUG", "RELOAD", "NOSAVE")
    assert is_error(reply, b"ERR Error trying to load the RDB dump, check server logs")
    assert b"offset" in reply.text  # type: ignore[union-attr]
    assert wire.command("PING") == Simple(b"PONG")


def test_the_directory_and_the_name_can_be_changed(rlite_proc: Start, tmp_path: Path) -> None:
    wire = rlite_proc({"enable-protected-configs": "yes"}).wire()
    assert wire.command("CONFIG", "SET", "dir", str(tmp_path), "dbfilename", "other.rdb") == OK
    wire.command("SET", "k", "v")
    assert wire.command("SAVE") == OK
    assert keys_of(tmp_path / "other.rdb", tmp_path) == [b"k"]


# --- by themselves -----------------------------------------------------------------------------------------


def test_a_rule_saves_when_both_its_numbers_are_met(rlite_proc: Start, tmp_path: Path) -> None:
    server = rlite_proc({"save": "1 3 3600 1"})
    wire = server.wire()
    wire.command("MSET", "a", 1, "b", 2)
    wait_for(lambda: time.time() > int(wire.command("LASTSAVE").value) + 2, "two seconds")  # type: ignore[union-attr]
    assert info(wire)["rdb_saves"] == "0"
    wire.command("SET", "c", 3)
    saved_and(wire, 1)
    assert info(wire)["rdb_changes_since_last_save"] == "0"
    assert keys_of(server.directory / "dump.rdb", tmp_path) == [b"a", b"b", b"c"]


def test_without_rules_nothing_is_written(rlite_proc: Start) -> None:
    server = rlite_proc()
    server.wire().command("SET", "k", "v")
    assert server.stop() == 0
    assert not (server.directory / "dump.rdb").exists()


@pytest.mark.parametrize(
    ("rules", "how", "written"),
    [
        ("3600 1000", "SIGTERM", True),
        ("3600 1000", "SIGINT", True),
        ("3600 1000", "SHUTDOWN", True),
        ("3600 1000", "SHUTDOWN NOSAVE", False),
        ("", "SHUTDOWN SAVE", True),
        ("", "SHUTDOWN", False),
    ],
)
def test_a_shutdown_saves_what_it_should(
    rlite_proc: Start, tmp_path: Path, rules: str, how: str, written: bool
) -> None:
    server = rlite_proc({"save": rules})
    wire = server.wire()
    wire.command("SET", "k", "v")
    if how.startswith("SIG"):
        server.process.send_signal(signal.Signals[how])
    else:
        wire.send(*how.split())
    assert server.wait_ended() == 0
    path = server.directory / "dump.rdb"
    assert path.exists() == written
    if written:
        assert keys_of(path, tmp_path) == [b"k"]


def test_flushall_with_rules_empties_the_file_too(rlite_proc: Start, tmp_path: Path) -> None:
    server = rlite_proc({"save": "3600 1000"})
    wire = server.wire()
    wire.command("SET", "k", "v")
    wire.command("SAVE")
    assert keys_of(server.directory / "dump.rdb", tmp_path) == [b"k"]
    wire.command("FLUSHALL")
    assert keys_of(server.directory / "dump.rdb", tmp_path) == []


# --- what goes wrong ---------------------------------------------------------------------------------------


def limit_files(server: Server, size: int) -> None:
    """As a full disk: no file of the server grows beyond that."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_disk_that_is_full_leaves_the_old_snapshot_and_stops_writes(
    rlite_proc: Start, tmp_path: Path
) -> None:
    server = rlite_proc({"save": "3600 100000", "logfile": ""})
    wire = server.wire()
    wire.command("SET", "old", "v")
    assert wire.command("SAVE") == OK
    wire.command("SET", "new", os.urandom(100_000))
    limit_files(server, 50_000)
    assert wire.command("SAVE") == Err(b"ERR could not save: File too large")
    assert wire.command("SET", "k", "v") == OK  # a SAVE that fails is told to who asked; as in Redis, no more
    assert wire.command("BGSAVE") == Simple(b"Background saving started")
    wait_for(lambda: info(wire)["rdb_last_bgsave_status"] == "err", "the child's end")
    for refused in (("SET", "k", "v"), ("PING",), ("EVAL", "return redis.call('set', 'k', 'v')", "0")):
        reply = wire.command(*refused)
        assert isinstance(reply, Err)
        assert b"MISCONF Redis is configured to save RDB snapshots" in reply.text
    assert wire.command("GET", "k") == Bulk(b"v")
    assert keys_of(server.directory / "dump.rdb", tmp_path) == [b"old"]
    assert not list(server.directory.glob("*.tmp*"))
    assert wire.command("SHUTDOWN") == Err(b"ERR Errors trying to SHUTDOWN. Check logs.")
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "could not save the data" in server.log(), "a word in the log")
    assert wire.command("GET", "k") == Bulk(b"v")
    limit_files(server, resource.RLIM_INFINITY)
    assert wire.command("BGSAVE") == Simple(b"Background saving started")
    wait_for(lambda: info(wire)["rdb_last_bgsave_status"] == "ok", "a good snapshot")
    assert wire.command("SET", "k", "w") == OK
    assert server.stop() == 0
    assert keys_of(server.directory / "dump.rdb", tmp_path) == [b"k", b"new", b"old"]


def test_writes_go_on_where_the_directive_says_so(rlite_proc: Start) -> None:
    server = rlite_proc({"save": "3600 100000"})
    wire = server.wire()
    (server.directory / "dump.rdb").mkdir()
    assert is_error(wire.command("SAVE"), b"ERR could not save: ")
    wire.command("BGSAVE")
    wait_for(lambda: info(wire)["rdb_last_bgsave_status"] == "err", "the child's end")
    assert is_error(wire.command("SET", "k", "v"), b"MISCONF")
    assert wire.command("CONFIG", "SET", "stop-writes-on-bgsave-error", "no") == OK
    assert wire.command("SET", "k", "v") == OK
    assert wire.command("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes") == OK
    assert is_error(wire.command("SET", "k", "v"), b"MISCONF")
    assert wire.command("CONFIG", "SET", "save", "") == OK
    assert wire.command("SET", "k", "v") == OK


def test_a_rule_tries_again_after_a_failure(rlite_proc: Start) -> None:
    server = rlite_proc({"save": "1 1"})
    wire = server.wire()
    (server.directory / "dump.rdb").mkdir()
    wire.command("SET", "k", "v")
    wait_for(lambda: info(wire)["rdb_last_bgsave_status"] == "err", "a failure")
    (server.directory / "dump.rdb").rmdir()
    saved_and(wire, 1)
    assert wire.command("SET", "k", "v") == OK


# --- children ----------------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """A server in this process whose children wait until their page says that they may go on."""
    write = snapshot.write

    def waits(
        descriptor: int, *rest: object, progress: memoryview | None = None, **options: object
    ) -> object:
        while progress is not None and progress[0] == 0:
            time.sleep(0.001)
        return write(descriptor, *rest, progress=progress, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot, "write", waits)
    server = started(dir=str(tmp_path))
    yield server
    server.close()


def test_there_is_one_child_at_a_time(held: InProcess, tmp_path: Path) -> None:
    wire, forks = held.wire(), held.server.disk.forks
    wire.command("SET", "k", "v")
    assert wire.command("BGSAVE") == Simple(b"Background saving started")
    for again in (("BGSAVE",), ("BGSAVE", "SCHEDULE"), ("SAVE",)):
        assert wire.command(*again) == Err(b"ERR Background save already in progress")
    told = info(wire)
    assert told["rdb_bgsave_in_progress"] == "1"
    assert int(told["rdb_current_bgsave_time_sec"]) >= 0
    assert (told["current_save_keys_processed"], told["current_save_keys_total"]) == ("0", "1")
    assert int(told["current_cow_size"]) > 0
    with pytest.raises(ChildBusyError, match="snapshot"):
        forks.start("other", lambda _db, _page: None)
    assert forks.current is not None
    wire.command("SET", "later", "not in the snapshot")
    forks.current.page[0] = 1
    saved_and(wire, 1)
    assert keys_of(tmp_path / "dump.rdb", tmp_path) == [b"k"]
    assert info(wire)["rdb_changes_since_last_save"] == "1"


def test_a_snapshot_may_wait_for_another_child(held: InProcess) -> None:
    wire, forks = held.wire(), held.server.disk.forks

    def waits(_db: Database, page: memoryview) -> None:
        while page[0] == 0:
            time.sleep(0.001)

    forks.start("rewrite", waits)
    assert is_error(wire.command("BGSAVE"), b"ERR Another child process is active (AOF?)")
    assert wire.command("BGSAVE", "SCHEDULE") == Simple(b"Background saving scheduled")
    assert forks.current is not None
    forks.current.page[0] = 1
    wait_for(lambda: (now := forks.current) is not None and now.purpose == "snapshot", "its turn")
    assert forks.current is not None
    forks.current.page[0] = 1
    saved_and(wire, 1)


def test_a_child_that_is_killed_leaves_nothing_behind(held: InProcess, tmp_path: Path) -> None:
    wire, forks = held.wire(), held.server.disk.forks
    wire.command("BGSAVE")
    assert forks.current is not None
    wait_for(lambda: any(tmp_path.glob("dump.rdb.part-*")), "the child's file")
    os.kill(forks.current.pid, signal.SIGKILL)
    wait_for(lambda: info(wire)["rdb_last_bgsave_status"] == "err", "its end")
    assert not list(tmp_path.iterdir())
    assert wire.command("SET", "k", "v") == OK  # there are no rules


def test_what_a_killed_servers_child_left_is_cleared_away(held: InProcess, tmp_path: Path) -> None:
    wire = held.wire()
    (tmp_path / "dump.rdb.part-1").write_bytes(b"REDIS")
    wire.command("BGSAVE")
    assert held.server.disk.forks.current is not None
    held.server.disk.forks.current.page[0] = 1
    saved_and(wire, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["dump.rdb"]


def test_a_shutdown_ends_the_child(held: InProcess, tmp_path: Path) -> None:
    wire = held.wire()
    wire.command("BGSAVE")
    assert held.server.disk.forks.current is not None
    pid = held.server.disk.forks.current.pid
    wire.send("SHUTDOWN")
    assert held.server.stopped.wait(10)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not list(tmp_path.iterdir())


def outcome_of(forks: Forks, work: Callable[[Database, memoryview], None]) -> Outcome:
    found: list[Outcome] = []
    ended = threading.Event()

    def done(outcome: Outcome) -> None:
        found.append(outcome)
        ended.set()

    forks.start("test", work, done=done)
    assert ended.wait(10)
    wait_for(lambda: forks.current is None, "the place to be free")
    return found[0]


def test_what_a_child_raises_is_told() -> None:
    forks = Forks(Keyspace())

    def fails(_db: Database, _page: memoryview) -> None:
        raise OSError(28, "No space left on device")

    assert outcome_of(forks, fails).fault == "No space left on device"
    assert outcome_of(forks, lambda _db, _page: os._exit(7)).fault == "it ended with status 7"
    assert "SIGKILL" in outcome_of(forks, lambda _db, _page: os.kill(os.getpid(), signal.SIGKILL)).fault
    good = outcome_of(forks, lambda _db, _page: None)
    assert (good.fault, good.cancelled, forks.count) == ("", False, 4)


def test_what_fails_before_the_fork_forks_nothing_and_frees_the_locks() -> None:
    keyspace = Keyspace()
    forks = Forks(keyspace)

    def fails() -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input"):
        forks.start("test", lambda _db, _page: None, fails)
    db = Database(keyspace, 0)
    db.lock_all()
    db.unlock()
    assert (forks.current, forks.count) == (None, 0)


def test_what_runs_under_the_locks_and_what_the_child_sees_are_one_moment() -> None:
    keyspace = Keyspace()
    db = Database(keyspace, 0)
    db.set(b"k", b"before")
    held: list[bool] = []

    def look() -> None:
        # Nobody else gets a lock now.
        thread = threading.Thread(target=lambda: db.set(b"k", b"after"))
        thread.start()
        thread.join(0.05)
        held.append(thread.is_alive())

    def reads(locked: Database, page: memoryview) -> None:
        page[0] = 1 if locked.get(b"k") == b"before" else 2

    found: list[Outcome] = []
    ended = threading.Event()
    forks = Forks(keyspace)
    forks.start("test", reads, look, done=lambda outcome: (found.append(outcome), ended.set())[1])
    assert ended.wait(10)
    assert (held, found[0].keys) == ([True], 1)


def test_a_child_keeps_no_socket_and_no_lock_of_its_parent(held: InProcess, tmp_path: Path) -> None:
    wire, forks = held.wire(), held.server.disk.forks
    with (tmp_path / "lock").open("w"):
        wire.command("BGSAVE")
        assert forks.current is not None
        part = tmp_path / f"dump.rdb.part-{forks.current.pid}"
        wait_for(part.exists, "the child's file")
        files = Path(f"/proc/{forks.current.pid}/fd").iterdir()
        open_ = [path.readlink() for path in files if int(path.name) > 2]
        assert sorted(str(path).partition(":")[0] for path in open_) == [
            str(part),
            "pipe",
        ]
    forks.current.page[0] = 1
    saved_and(wire, 1)
