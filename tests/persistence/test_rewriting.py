"""Rewriting the log: what is there before it is there after it, whatever happens meanwhile."""

import os
import signal
import threading
from pathlib import Path

import pytest
from support.journals import digest, fill, info, named, served, there, wait_rewritten
from support.servers import Server, wait_for
from support.wire import Bulk, Err, Int, Simple

STARTED = Simple(b"Background append only file rewriting started")


def test_a_rewritten_log_holds_the_same_and_no_more_files_than_it_needs(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        fill(server)
        with server.wire() as wire:
            assert wire.command("BGREWRITEAOF") == STARTED
        wait_rewritten(server)
        before = digest(server)
    assert there(tmp_path) == {"appendonly.manifest", "appendonly.2.rdb", "appendonly.2.aof"}
    assert named(tmp_path).files == ("appendonly.2.rdb", "appendonly.2.aof")
    with served(tmp_path) as server:
        assert digest(server) == before


def test_what_is_written_while_a_child_writes_is_there_after_a_kill(tmp_path: Path) -> None:
    with served(tmp_path, io_threads="2") as server:
        fill(server, count=100)
        going, acknowledged = threading.Event(), [0]

        def write() -> None:
            with server.wire() as wire:
                while not going.is_set():
                    assert wire.command("INCR", "counter") == Int(acknowledged[0] + 1)
                    acknowledged[0] += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for times in range(1, 5):
                with server.wire() as wire:
                    assert wire.command("BGREWRITEAOF") == STARTED
                wait_rewritten(server, times)
        finally:
            going.set()
            writer.join()
        before = digest(server)
    with served(tmp_path) as server, server.wire() as wire:
        assert digest(server) == before
        assert wire.command("GET", "counter") == Bulk(str(acknowledged[0]).encode())
        assert len(named(tmp_path).segments) == 2  # that of the last rewrite, and that of this start


def test_only_one_rewrite_goes_on_at_a_time(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        with server.wire() as wire:
            wire.command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
            wire.send_raw(b"*1\r\n$12\r\nBGREWRITEAOF\r\n" * 2)
            assert wire.read_reply() == STARTED
            assert wire.read_reply() == Err(b"ERR Background append only file rewriting already in progress")
        wait_rewritten(server)


def test_a_killed_child_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        with server.wire() as wire:
            for n in range(300):
                wire.command("MSET", *(word for i in range(1000) for word in (f"{n}:{i}", n)))
            wire.command("BGREWRITEAOF")
        child = int(server.log().rpartition("process ")[2].split()[0])
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: info(server, "aof_rewrite_in_progress") == "0", "the end of the rewrite")
        assert info(server, "aof_last_bgrewrite_status") == "err"
        fill(server, count=10)
        before = digest(server)
    assert named(tmp_path).files == ("appendonly.1.aof", "appendonly.2.aof")
    assert there(tmp_path) == {"appendonly.manifest", "appendonly.1.aof", "appendonly.2.aof"}
    with served(tmp_path) as server:
        assert digest(server) == before


def test_a_log_that_has_grown_enough_is_rewritten_by_itself(tmp_path: Path) -> None:
    with served(tmp_path, auto_aof_rewrite_percentage="100", auto_aof_rewrite_min_size="100kb") as server:
        with server.wire() as wire:
            for n in range(3000):
                wire.command("SET", "key", f"{n}" * 10)
        wait_rewritten(server)
        assert int(info(server, "aof_current_size")) < 10_000
        before = digest(server)
    with served(tmp_path) as server:
        assert digest(server) == before


def test_former_files_stay_where_nobody_is_to_remove_them(tmp_path: Path) -> None:
    with served(tmp_path, aof_disable_auto_gc="yes") as server:
        fill(server, count=3)
        with server.wire() as wire:
            wire.command("BGREWRITEAOF")
        wait_rewritten(server)
        assert "appendonly.1.aof" in there(tmp_path)
        assert named(tmp_path).files == ("appendonly.2.rdb", "appendonly.2.aof")


def test_without_a_log_there_is_nothing_to_rewrite(rlite: Server) -> None:
    with rlite.wire() as wire:
        assert wire.command("BGREWRITEAOF") == Err(
            b"ERR there is no append only file to rewrite: appendonly is no"
        )


@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
def test_what_was_acknowledged_survives_the_end_of_the_process(tmp_path: Path, policy: str) -> None:
    with served(tmp_path, appendfsync=policy) as server, server.wire() as wire:
        wire.command("SET", "a", 1)
        wire.command("MULTI")
        wire.command("INCR", "a")
        wire.command("LPUSH", "l", "x")
        wire.command("EXEC")
        assert wire.command("EVAL", "redis.call('incr', 'a') return redis.call('get', 'a')", 0) == Bulk(b"3")
    with served(tmp_path, appendfsync=policy) as server, server.wire() as wire:
        assert wire.command("GET", "a") == Bulk(b"3")
        assert wire.command("LLEN", "l") == Int(1)
