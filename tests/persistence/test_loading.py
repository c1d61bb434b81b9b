"""A server's start with data on disk: what clients hear, what the log says, who may have the directory."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.logs import HISTORY, Log, directory, resp
from support.servers import (
    Server,
    StartError,
    free_port,
    launch,
    rlite_program,
    running,
    start_rlite,
    wait_for,
)
from support.wire import Bulk, Err, Simple, Wire

from rlite.engine.engine import Engine
from rlite.engine.persistence import manifest
from rlite.engine.persistence.lock import DirectoryLock, LockedError, holder

KEPT = {"appendonly": "yes", "save": "", "enable-debug-command": "yes"}


def slow_log(root: Path, seconds: float = 2.0) -> None:
    """A log that takes its time: what makes it slow are commands of its own, without work for the machine."""
    made = Log()
    made.add(resp("SET", "first", 1))
    for _ in range(int(seconds / 0.02)):
        made.add(resp("DEBUG", "SLEEP", 0.02))
    made.fill(20_000)
    made.add(resp("SET", "last", 1))
    directory(root, [made])


@contextmanager
def loading(root: Path, directives: Mapping[str, str] = KEPT) -> Iterator[tuple[Server, Wire]]:
    """A server that is loading still, and a connection to it."""
    port = free_port()
    arguments = [word for name, value in directives.items() for word in (f"--{name}", value)]
    server = launch(
        "rlite", [*rlite_program(), "serve", "--port", str(port), "--dir", str(root), *arguments], root
    )
    server.port = port

    def connected() -> bool:
        with ExitStack() as stack:
            try:
                stack.enter_context(Wire(("127.0.0.1", port), timeout=10))
            except OSError:
                return False
            return True

    try:
        wait_for(connected, "the port", seconds=20)
        yield server, server.wire()
    finally:
        server.kill9()


def persistence_of(wire: Wire) -> dict[str, str]:
    reply = wire.command("INFO", "persistence")
    assert isinstance(reply, Bulk)
    lines = [line.partition(":") for line in reply.data.decode().splitlines() if ":" in line]
    return {name: value for name, _, value in lines}


def test_clients_hear_loading_until_all_is_there(tmp_path: Path) -> None:
    slow_log(tmp_path, 3.0)
    with loading(tmp_path) as (server, wire):
        assert wire.command("GET", "first") == Err(b"LOADING Redis is loading the dataset in memory")
        assert wire.command("SET", "new", "1") == Err(b"LOADING Redis is loading the dataset in memory")
        assert wire.command("PING") == Err(b"LOADING Redis is loading the dataset in memory")
        assert wire.command("MULTI") == Simple(b"OK")
        assert wire.command("GET", "first") == Err(b"LOADING Redis is loading the dataset in memory")
        reply = wire.command("EXEC")
        assert isinstance(reply, Err)
        assert reply.text.startswith(b"EXECABORT")
        wait_for(lambda: persistence_of(wire)["loading_total_bytes"] != "0", "the plan")
        told = persistence_of(wire)
        assert told["loading"] == "1"
        assert told["async_loading"] == "0"
        assert int(told["loading_start_time"]) > 1_700_000_000
        assert int(told["loading_total_bytes"]) > int(told["loading_loaded_bytes"]) >= 0
        assert float(told["loading_loaded_perc"]) < 100
        assert int(told["loading_eta_seconds"]) >= 0
        assert told["loading_rdb_used_mem"] == "0"
        assert "Ready to accept connections" not in server.log()
        wait_for(lambda: "Ready to accept connections" in server.log(), "the data", seconds=60)
        assert "DB loaded from append only file: " in server.log()
        assert re.search(r"loading: \d+ % of \d+ [kM]B, \d+ commands, about \d+ s left", server.log())
        assert wire.command("GET", "last") == Bulk(b"1")
        told = persistence_of(wire)
        assert told["loading"] == "0"
        assert "loading_total_bytes" not in told


def test_a_watch_begun_while_loading_is_broken_by_it(tmp_path: Path) -> None:
    slow_log(tmp_path)
    with loading(tmp_path) as (server, wire):
        assert wire.command("WATCH", "last") == Simple(b"OK")
        wait_for(lambda: "Ready to accept connections" in server.log(), "the data", seconds=60)
        assert wire.command("MULTI") == Simple(b"OK")
        wire.command("SET", "last", "mine")
        wire.command("EXEC")
        assert wire.command("GET", "last") == Bulk(b"1")


@pytest.mark.parametrize("how", ["SIGTERM", "SHUTDOWN"])
def test_a_server_that_is_loading_ends_when_told_to(tmp_path: Path, how: str) -> None:
    slow_log(tmp_path, 60)
    with loading(tmp_path) as (server, wire):
        assert persistence_of(wire)["loading"] == "1"
        if how == "SIGTERM":
            server.process.send_signal(signal.SIGTERM)
        else:
            wire.send("SHUTDOWN", "NOSAVE")
        assert server.wait_ended() == 0
        assert "Traceback" not in server.log()
        assert "Ready to accept" not in server.log()


def test_what_was_written_is_there_after_a_restart_and_after_another(tmp_path: Path) -> None:
    for turn in range(3):
        server = start_rlite(tmp_path, KEPT)
        with server.wire() as wire:
            assert wire.command("APPEND", "k", str(turn)).value == turn + 1  # type: ignore[union-attr]
        server.stop()
    server = start_rlite(tmp_path, KEPT)
    with server.wire() as wire:
        assert wire.command("GET", "k") == Bulk(b"012")
    server.stop()


def test_expired_keys_go_after_the_log_is_loaded(tmp_path: Path) -> None:
    made = Log()
    made.add(resp("SET", "gone", 1, "PXAT", 1000))
    made.add(resp("APPEND", "gone", 2))
    made.add(resp("SET", "stays", 1))
    directory(tmp_path, [made])
    with (
        running(lambda place, directives, unix: start_rlite(tmp_path, KEPT)) as server,
        server.wire() as wire,
    ):
        wait_for(lambda: wire.command("DBSIZE").value == 1, "only one key")  # type: ignore[union-attr]
        assert wire.command("GET", "gone") == wire.command("GET", "nothing")


def test_a_log_that_is_not_read_is_told_of(tmp_path: Path) -> None:
    place = directory(tmp_path, [Log().fill(3)])
    server = start_rlite(tmp_path, {"appendonly": "no", "save": "900 1"})
    server.stop()
    assert f"appendonly is no: the log in {place} is not read" in server.log()


def failed(root: Path, **directives: str) -> StartError:
    with pytest.raises(StartError) as caught:
        start_rlite(root, {**KEPT, **directives})
    assert "Traceback" not in caught.value.log
    return caught.value


def test_damage_stops_the_server_with_its_code_and_the_command_to_run(tmp_path: Path) -> None:
    made = Log().fill(50)
    made.data[made.bounds[20] + 9] ^= 1
    place = directory(tmp_path, [made])
    fault = failed(tmp_path)
    assert fault.exit_code == 6
    assert f"rlite aof-repair {place}" in fault.log
    assert f"byte {made.bounds[20]}" in fault.log


def test_a_torn_end_is_told_in_one_line_and_the_server_starts(tmp_path: Path) -> None:
    made = Log().fill(50)
    place = directory(tmp_path, [made])
    path = place / "appendonly.1.aof"
    path.write_bytes(made.data[:-1])
    server = start_rlite(tmp_path, KEPT)
    try:
        with server.wire() as wire:
            assert wire.command("DBSIZE").value == 49  # type: ignore[union-attr]
        assert len([line for line in server.log().splitlines() if ".lost-" in line]) == 1
    finally:
        server.stop()


def test_a_log_of_another_history_is_refused(tmp_path: Path) -> None:
    first = Log(history="0" * 40).fill(3)
    path = directory(tmp_path, [first, Log(first=first.offset, salt=9).fill(3)]) / "appendonly.manifest"
    manifest.write(path, replace(manifest.read(path), previous=""))
    fault = failed(tmp_path)
    assert fault.exit_code == 3
    assert HISTORY in fault.log


def test_a_second_server_on_a_directory_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    with running(start_rlite, KEPT) as server:
        fault = failed(server.directory, port="0")
        assert fault.exit_code == 5
        assert f"process {server.pid}" in fault.log
        with server.wire() as wire:
            assert wire.command("PING") == Simple(b"PONG")


def test_a_killed_server_leaves_no_lock(tmp_path: Path) -> None:
    server = start_rlite(tmp_path, KEPT)
    server.kill9()
    again = start_rlite(tmp_path, KEPT)
    assert again.stop() == 0


def test_a_lock_is_held_until_released_and_not_by_a_child(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    lock = DirectoryLock(tmp_path)
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        DirectoryLock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    told, tell = os.pipe()
    wait, go = os.pipe()
    child = os.fork()
    if child == 0:  # it lives on when its parent has died
        os.write(tell, b"x")
        os.close(go)
        os.read(wait, 1)
        os._exit(0)
    os.read(told, 1)
    lock.forget()  # as when this process ends
    DirectoryLock(tmp_path).release()
    for descriptor in (told, tell, wait, go):
        os.close(descriptor)
    os.waitpid(child, 0)


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    place = tmp_path / "new"
    server = start_rlite(tmp_path, {**KEPT, "dir": str(place)})
    try:
        assert place.stat().st_mode & 0o777 == 0o700
        assert f"data directory: {place}" in server.log()
    finally:
        server.stop()


def test_without_a_directory_the_data_goes_to_the_users_state(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    argv = [
        *rlite_program(),
        "serve",
        "--port",
        "0",
        "--port-file",
        str(tmp_path / "p"),
        "--appendonly",
        "yes",
    ]
    server = launch("rlite", argv, tmp_path, environment)
    try:
        wait_for(lambda: "Ready to accept" in server.log() or not server.is_running(), "the server")
        assert (tmp_path / "state" / "rlite" / "appendonlydir" / "appendonly.manifest").exists()
        assert str(tmp_path / "state" / "rlite") in server.log()
    finally:
        server.stop()


def test_an_ephemeral_server_keeps_nothing(tmp_path: Path) -> None:
    server = start_rlite(tmp_path, {"appendonly": "yes"}, arguments=("--ephemeral",))
    before = {path.name for path in tmp_path.iterdir()}
    server.stop()
    assert not before & {"appendonlydir", "rlite.lock", "dump.rdb"}


def test_an_engine_keeps_what_it_is_told_to_keep(tmp_path: Path) -> None:
    with Engine(appendonly=True, dir=tmp_path, save="") as engine:
        engine.set("k", "v")
        with pytest.raises(LockedError):
            Engine(appendonly=True, dir=tmp_path, save="")
    with Engine(appendonly=True, dir=tmp_path, save="") as engine:
        assert engine.get("k") == b"v"


def test_a_file_that_cannot_be_read_ends_the_start_with_its_name(tmp_path: Path) -> None:
    place = directory(tmp_path, [Log().fill(3)])
    path = place / "appendonly.1.aof"
    path.unlink()
    path.mkdir()
    fault = failed(tmp_path)
    assert fault.exit_code == 3
    assert "appendonly.1.aof" in fault.log


def test_the_program_answers_without_a_traceback_where_the_directory_is_a_file(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    done = subprocess.run(
        [*rlite_program(), "serve", "--port", "0", "--dir", str(place)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is not a directory" in done.stderr


def test_a_log_may_have_a_name_with_spaces(tmp_path: Path) -> None:
    for _ in range(2):
        with Engine(appendonly=True, dir=tmp_path, save="", appendfilename="my log.aof") as engine:
            engine.incr("n")
    with Engine(appendonly=True, dir=tmp_path, save="", appendfilename="my log.aof") as engine:
        assert engine.get("n") == b"2"
