"""CONFIG SET appendonly: a log begins, and ends, while the server serves."""

import errno
from pathlib import Path

import pytest
from support.journals import digest, fill, info, served, there, wait_rewritten
from support.recorder import Call, Recorder
from support.servers import Server, start_rlite, wait_for
from support.wire import Bulk, Err, Int, Simple


def turn(server: Server, on: str) -> None:
    with server.wire() as wire:
        assert wire.command("CONFIG", "SET", "appendonly", on) == Simple(b"OK")


def test_a_log_that_begins_later_holds_what_was_there_and_what_came_since(tmp_path: Path) -> None:
    with served(tmp_path, appendonly="no") as server:
        fill(server, count=50)
        assert info(server, "aof_enabled") == "0"
        turn(server, "yes")
        assert info(server, "aof_enabled") == "1"
        wait_rewritten(server)
        fill(server, first=50, count=50)
        before = digest(server)
    with served(tmp_path) as server:
        assert digest(server) == before


def test_a_log_that_was_ended_and_begun_again_is_whole(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.wire() as wire:
        wire.command("SET", "a", 1)
        turn(server, "no")
        assert info(server, "aof_enabled") == "0"
        assert wire.command("WAITAOF", 1, 0, 0) == Err(
            b"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
        )
        wire.command("SET", "b", 2)  # in no log
        turn(server, "yes")
        wait_rewritten(server)
        wire.command("SET", "c", 3)
        assert wire.command("WAITAOF", 1, 0, 0) is not None
    with served(tmp_path) as server, server.wire() as wire:
        for key, value in (("a", b"1"), ("b", b"2"), ("c", b"3")):
            assert wire.command("GET", key) == Bulk(value)


def test_a_log_that_was_ended_holds_what_was_there_by_then(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.wire() as wire:
        wire.command("SET", "a", 1)
        turn(server, "no")
        wire.command("SET", "a", 2)
    with served(tmp_path) as server, server.wire() as wire:
        assert wire.command("GET", "a") == Bulk(b"1")


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_a_directory_that_is_no_more_ends_no_connection(tmp_path: Path, policy: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with (
        served(tmp_path, appendonly="no", dir=str(data), appendfsync=policy) as server,
        server.wire() as wire,
    ):
        data.rmdir()
        wire.command("SET", "a", 1)
        reply = wire.command("CONFIG", "SET", "appendonly", "yes")
        assert wire.command("GET", "a") == Bulk(b"1"), reply
        wait_for(server.is_running, "the server")
        assert wire.command("INCR", "a") == Int(2)


def test_a_kill_before_a_log_that_begins_has_its_base_leaves_what_was_there_before(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    directives = {"appendonly": "no", "save": "", "enable-debug-command": "yes"}
    with Recorder(data) as recorder:
        server = start_rlite(data, directives, environment=recorder.environment)
        try:
            fill(server, count=50)
            with server.wire() as wire:
                assert wire.command("SAVE") == Simple(b"OK")
                before = digest(server)
                recorder.inject(Call.FSYNC, path=".rdb", delay=30)  # the child is not done before the kill
                turn(server, "yes")
                wait_for(lambda: info(server, "aof_rewrite_in_progress") == "1", "the child")
                wire.command("SET", "later", 1)
        finally:
            server.kill_group()
    with served(data) as server:
        assert digest(server) == before
        assert there(data) >= {"appendonly.manifest"}
        assert not [name for name in there(data) if "part" in name]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_log_whose_base_cannot_be_put_in_place_begins_again_later(tmp_path: Path, renames: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    directives = {"appendonly": "no", "save": "", "enable-debug-command": "yes"}
    with Recorder(data) as recorder:
        server = start_rlite(data, directives, environment=recorder.environment)
        try:
            fill(server, count=50)
            with recorder.fault(Call.RENAME, errno.EIO, path="appendonly", skip=renames, times=1):
                turn(server, "yes")
                wait_for(lambda: "the log was not rewritten" in server.log(), "the failure")
            wait_for(lambda: info(server, "aof_rewrites") == "1", "another try", seconds=30)
            fill(server, first=50, count=20)
            before = digest(server)
        finally:
            server.kill_group()
    with served(data) as server:
        assert digest(server) == before


def test_a_server_that_stops_right_after_its_log_began_has_everything_next_time(tmp_path: Path) -> None:
    with served(tmp_path, appendonly="no") as server:
        with server.wire() as wire:
            for n in range(100):
                wire.command("MSET", *(word for i in range(1000) for word in (f"{n}:{i}", n)))
        before = digest(server)
        turn(server, "yes")
        assert server.stop() == 0
    with served(tmp_path) as server:
        assert digest(server) == before
