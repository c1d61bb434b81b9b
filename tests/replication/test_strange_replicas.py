"""A master bears with replicas that acknowledge twice, late, by halves or too much, stop reading, or leave.

The replica is the test itself (support/raw_replication.py).
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.raw_replication import RawReplica
from support.replication import ask, do, fields, follow, node, offset, replicated, same_data
from support.servers import Server, wait_for
from support.wire import Bulk, Int, Simple, encode

MB = 1 << 20


@pytest.fixture(scope="module")
def lasting() -> Iterator[Server]:
    with node("rlite", {"repl-timeout": "5", "repl-backlog-size": "1mb"}) as server:
        yield server


@pytest.fixture
def master(lasting: Server) -> Server:
    """A master without replicas."""
    wait_for(lambda: fields(lasting)["connected_slaves"] == "0", "the replicas of the test before are gone")
    do(lasting, "FLUSHALL")
    return lasting


def acknowledged(master: Server) -> int:
    """What the master believes of its only replica."""
    line = fields(master)["slave0"]
    return int(dict(part.split("=") for part in line.split(","))["offset"])


def resources(server: Server) -> tuple[int, int, int]:
    """Open files, threads, children."""
    process = Path(f"/proc/{server.pid}")
    threads = list((process / "task").iterdir())
    children = 0
    for thread in threads:
        with suppress(FileNotFoundError):  # it has ended meanwhile
            children += len((thread / "children").read_text().split())
    return len(list((process / "fd").iterdir())), len(threads), children


def test_replicas_that_leave_before_they_get_anything_leave_nothing_behind() -> None:
    with node("rlite", {"repl-diskless-sync-delay": "100"}) as server:
        before = resources(server)[0]
        for _ in range(50):
            with RawReplica(server.address) as raw:
                raw.send(encode("PSYNC", "?", "-1"))
                wait_for(lambda: fields(server)["connected_slaves"] == "1", "it waits")
            wait_for(lambda: fields(server)["connected_slaves"] == "0", "it has gone")
        wait_for(lambda: resources(server)[0] <= before + 1, "its descriptors")


def test_the_stream_is_let_go_though_a_slow_script_had_every_lock_when_it_was_due() -> None:
    slow = "local t = redis.call('TIME')[1] + 0; while redis.call('TIME')[1] - t < 3 do end"
    with node("rlite", {"repl-backlog-ttl": "1", "busy-reply-threshold": "50"}) as server:
        with RawReplica(server.address) as raw:
            raw.attach()
        with server.wire() as wire:
            wire.command("EVAL", slow, 0)
        wait_for(lambda: fields(server)["repl_backlog_active"] == "0", "the backlog has gone")
        assert "internal error" not in server.log()
        assert "Traceback" not in server.log()


def test_an_acknowledgement_said_twice_counts_once(master: Server) -> None:
    with RawReplica(master.address) as raw, master.wire() as wire:
        raw.attach()
        wire.command("SET", "key", "value")
        raw.told()
        for _ in range(100):
            raw.ack()
        wait_for(lambda: acknowledged(master) == raw.offset, "it is acknowledged")
        assert wire.command("WAIT", 2, 50) == Int(1)


def test_a_late_acknowledgement_takes_nothing_back(master: Server) -> None:
    with RawReplica(master.address) as raw, master.wire() as wire:
        raw.attach()
        before = raw.offset
        wire.command("SET", "key", "value")
        raw.told()
        raw.ack()
        wait_for(lambda: acknowledged(master) == raw.offset, "it is acknowledged")
        raw.ack(before)
        raw.ack(0)
        raw.send(encode("REPLCONF", "ACK", "-5") + encode("REPLCONF", "ACK", "x") + encode("REPLCONF", "ACK"))
        assert wire.command("WAIT", 1, 1000) == Int(1)
        assert acknowledged(master) == raw.offset


def test_an_acknowledgement_in_pieces_counts_when_it_is_whole(master: Server) -> None:
    with RawReplica(master.address) as raw, master.wire() as wire:
        raw.attach()
        before = raw.offset
        wire.command("SET", "key", "value")
        raw.told()
        words = encode("REPLCONF", "ACK", raw.offset)
        for at in range(len(words) - 1):
            raw.send(words[at : at + 1])
        assert wire.command("WAIT", 1, 50) == Int(0)
        assert acknowledged(master) <= before
        whole = raw.offset
        raw.send(words[-1:])
        wait_for(lambda: acknowledged(master) == whole, "it is acknowledged")


def test_half_an_acknowledgement_before_the_end_counts_nothing(master: Server) -> None:
    with RawReplica(master.address) as raw, master.wire() as wire:
        raw.attach()
        wire.command("SET", "key", "value")
        raw.told()
        raw.send(encode("REPLCONF", "ACK", raw.offset)[:-4])
        raw.close()
        assert wire.command("WAIT", 1, 50) == Int(0)
    wait_for(lambda: fields(master)["connected_slaves"] == "0", "it is gone")


def test_wait_asks_the_replica_and_does_not_hear_of_writes_it_does_not_have(master: Server) -> None:
    with RawReplica(master.address) as raw, master.wire() as wire:
        raw.attach()
        wire.command("SET", "key", "value")
        raw.told()
        wire.send("WAIT", 1, 10_000)
        while (words := raw.command())[0] != b"REPLCONF":
            pass
        assert words == (b"REPLCONF", b"GETACK", b"*")
        raw.ack(1)
        raw.ack()
        assert wire.read_reply() == Int(1)


def test_more_is_acknowledged_than_was_ever_sent(master: Server) -> None:
    with RawReplica(master.address) as raw, master.wire() as wire:
        raw.attach()
        raw.ack(10**15)
        raw.ack(2**63 - 1)
        raw.send(encode("REPLCONF", "ACK", 2**64 + 5))
        assert wire.command("SET", "key", "value") == Simple(b"OK")
        assert raw.told() == (b"SET", b"key", b"value")
        assert offset(master) == raw.offset


def test_a_replica_that_sends_commands_and_nonsense_harms_nobody(master: Server) -> None:
    with RawReplica(master.address) as raw:
        raw.attach()
        raw.send(encode("SET", "key", "from a replica") + encode("GET", "key"))
        raw.send(b"*1\r\n$-5\r\n" + bytes(100))
        do(master, "SET", "other", "value")
        assert raw.is_closed()
    assert ask(master, "GET", "other") == Bulk(b"value")
    assert ask(master, "EXISTS", "key") == Int(0)
    wait_for(lambda: fields(master)["connected_slaves"] == "0", "it is gone")


def test_a_second_psync_on_the_link_is_not_a_second_replica(master: Server) -> None:
    with RawReplica(master.address) as raw:
        raw.attach()
        raw.send(encode("PSYNC", "?", "-1"))
        do(master, "SET", "key", "value")
        assert raw.told() == (b"SET", b"key", b"value")
        assert fields(master)["connected_slaves"] == "1"


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_replicas_that_leave_at_any_moment_leave_nothing_behind(master: Server, diskless: str) -> None:
    draw = random.Random(5)
    do(master, "CONFIG", "SET", "repl-diskless-sync", diskless)
    for first in range(0, 20_000, 1000):
        pairs = [word for n in range(first, first + 1000) for word in (f"key:{n}", draw.randbytes(100))]
        do(master, "MSET", *pairs)
    with RawReplica(master.address) as raw:
        raw.attach()
    wait_for(lambda: resources(master)[2] == 0, "no child is left")
    wait_for(lambda: fields(master)["connected_slaves"] == "0", "it is gone")
    files, threads, _ = resources(master)
    for turn in range(12):
        raw = RawReplica(master.address)
        if turn % 4:
            raw.psync()
        if turn % 4 > 1:
            raw.line(20)
            raw.exactly(draw.randrange(1, 500_000))
        raw.close()
    wait_for(lambda: fields(master)["connected_slaves"] == "0", "all are gone", seconds=20)
    wait_for(lambda: resources(master)[2] == 0, "no child is left", seconds=20)
    wait_for(lambda: resources(master)[0] <= files + 1, "no file is left open")
    wait_for(lambda: resources(master)[1] <= threads + 1, "no thread is left")
    assert not list(master.directory.glob("temp-*"))


def test_a_replica_that_stops_reading_is_dropped_and_costs_no_memory(master: Server) -> None:
    do(master, "CONFIG", "SET", "client-output-buffer-limit", "replica 8mb 4mb 2")
    with RawReplica(master.address) as raw, master.wire(timeout=60) as wire:
        raw.attach()
        do(master, "SET", "key", "value")
        raw.told()  # it is online
        before, value = master.rss(), random.Random(1).randbytes(MB // 2)
        for n in range(160):
            assert wire.command("SET", f"key:{n % 8}", value) == Simple(b"OK")
        wait_for(lambda: fields(master)["connected_slaves"] == "0", "it is dropped", seconds=20)
        assert master.rss() < before + 100 * MB


def test_a_replica_that_says_nothing_is_dropped_after_the_timeout(master: Server) -> None:
    do(master, "CONFIG", "SET", "repl-timeout", "2")
    try:
        with RawReplica(master.address) as raw:
            raw.attach()
            wait_for(lambda: fields(master)["connected_slaves"] == "1", "it is there")
            wait_for(lambda: fields(master)["connected_slaves"] == "0", "it is dropped", seconds=10)
            assert raw.is_closed()
    finally:
        do(master, "CONFIG", "SET", "repl-timeout", "5")


def test_a_strange_replica_does_not_disturb_a_good_one() -> None:
    with replicated("rlite", "rlite") as (master, replica), RawReplica(master.address) as raw:
        raw.attach()
        for n in range(50):
            do(master, "SET", f"key:{n}", n)
            raw.ack(n * 7919 % 1000)
        raw.send(encode("REPLCONF", "ACK", "1")[:-3])
        raw.close()
        same_data(master, replica)
        follow(replica, master)
        same_data(master, replica)
