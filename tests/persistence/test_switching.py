"""CONFIG SET appendonly: a log begins, and ends, while the server serves."""

from pathlib import Path

import pytest
from support.journals import digest, fill, info, served, wait_rewritten
from support.servers import Server, wait_for
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
