"""Several I/O threads, poll instead of epoll, slow readers: what the reactor promises besides being fast."""

import resource
import socket
import threading

import pytest
from support.in_process import InProcess, started
from support.servers import running, start_rlite, wait_for
from support.wire import Bulk, Int, Simple, Wire, encode

from rlite.engine.core.audit import audit

VARIANTS = [
    {"io_threads": 1},
    {"io_threads": 2},
    {"io_threads": 3, "event_poller": "poll"},
    {"lock_stripes": 1},
]


def in_threads(count: int, work) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as fault:
            failures.append(fault)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


@pytest.fixture(params=VARIANTS, ids=str)
def server(request: pytest.FixtureRequest):
    running = started(**{"io_threads": 2, **request.param})
    yield running
    running.close()


def wire_to(server: InProcess) -> Wire:
    return Wire(("127.0.0.1", server.server.port), timeout=20)


def test_no_increment_is_lost(server: InProcess) -> None:
    """Plain and ordinary path, pipelined, on the same keys."""
    rounds, depth = 40, 100

    def work(number: int) -> None:
        with wire_to(server) as wire:
            for _ in range(rounds):
                wire.send_raw(
                    encode("INCR", "shared") * depth + encode("SETRANGE", "other", "0", str(number))
                )
                for _ in range(depth + 1):
                    assert isinstance(wire.read_reply(), Int)
                assert wire.command("MULTI") == Simple(b"OK")
                wire.command("INCR", "shared")
                wire.command("EXEC")

    in_threads(4, work)
    with wire_to(server) as wire:
        assert wire.command("GET", "shared") == Bulk(b"%d" % (4 * rounds * (depth + 1)))
    audit(server.server.keyspace)


def test_commands_of_many_keys_are_seen_whole(server: InProcess) -> None:
    """MSET in one thread, MGET in another: never a mixture. Transactions likewise."""
    keys = [f"k{n}" for n in range(10)]

    def work(number: int) -> None:
        with wire_to(server) as wire:
            for n in range(300):
                if number < 2:
                    value = f"{number}-{n}"
                    wire.command("MSET", *(part for key in keys for part in (key, value)))
                elif number == 2:
                    reply = wire.command("MGET", *keys)
                    assert len(set(reply.items)) == 1
                else:
                    wire.send_raw(
                        encode("MULTI") + b"".join(encode("GET", key) for key in keys) + encode("EXEC")
                    )
                    replies = [wire.read_reply() for _ in range(len(keys) + 2)]
                    assert len(set(replies[-1].items)) == 1

    in_threads(4, work)


def test_watched_keys_under_fire_count_right(server: InProcess) -> None:
    """The classic: optimistic increments by WATCH, GET, MULTI, SET, EXEC; what commits is counted once."""
    done = [0, 0, 0]

    def work(number: int) -> None:
        with wire_to(server) as wire:
            for _ in range(100):
                wire.command("WATCH", "balance")
                reply = wire.command("GET", "balance")
                value = int(reply.data) if isinstance(reply, Bulk) else 0
                wire.command("MULTI")
                wire.command("SET", "balance", str(value + 1))
                if getattr(wire.command("EXEC"), "items", None):
                    done[number] += 1

    in_threads(3, work)
    with wire_to(server) as wire:
        assert wire.command("GET", "balance") == Bulk(b"%d" % sum(done))
    assert sum(done) > 0


def test_a_reader_that_never_reads_stops_its_own_commands_and_nobody_elses(server: InProcess) -> None:
    size, count = 1 << 20, 200
    with wire_to(server) as wire, socket.create_connection(("127.0.0.1", server.server.port)) as greedy:
        wire.command("SET", "big", b"x" * size)
        greedy.sendall(encode("GET", "big") * count)
        for n in range(200):
            assert wire.command("SET", "other", str(n)) == Simple(b"OK")
        assert server.server.keyspace.used_memory() < 40 * size  # of the 200 MiB asked for
        wanted = count * (size + len(f"${size}\r\n\r\n"))
        received = 0
        greedy.settimeout(20)
        while received < wanted:  # and when it reads, it gets all of it
            more = greedy.recv(1 << 20)
            assert more
            received += len(more)
        assert received == wanted


def test_a_reader_that_catches_up_at_once_is_served_on(server: InProcess) -> None:
    """Replies that choke a connection and then leave in one go: what comes after them must be sent too."""
    size, count = 300_000, 40
    with wire_to(server) as wire:
        wire.command("SET", "big", b"x" * size)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        for _ in range(5):
            wire.send_raw(encode("GET", "big") * count)
            for _ in range(count):
                assert wire.read_reply() == Bulk(b"x" * size)
            assert wire.command("PING") == Simple(b"PONG")


def test_a_large_value_sent_in_pieces_arrives_whole(server: InProcess) -> None:
    value = bytes(range(256)) * 40_000
    request = encode("SET", "big", value)
    with wire_to(server) as wire:
        for at in range(0, len(request), 99_991):
            wire.send_raw(request[at : at + 99_991])
        assert wire.read_reply() == Simple(b"OK")
        assert wire.command("GET", "big") == Bulk(value)


def test_a_length_announced_and_not_sent_takes_no_memory(server: InProcess) -> None:
    before = server.server.keyspace.used_memory()
    with wire_to(server) as wire, wire_to(server) as other:
        wire.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nhello")
        assert other.command("PING") == Simple(b"PONG")
        assert server.server.keyspace.used_memory() - before < 1 << 20


def test_more_clients_than_allowed_are_told_and_closed() -> None:
    small = started(maxclients=3)
    try:
        wires = [small.wire() for _ in range(3)]
        for wire in wires:
            assert wire.command("PING") == Simple(b"PONG")
        with Wire(("127.0.0.1", small.server.port), timeout=10) as extra:
            assert extra.read_to_end() == b"-ERR max number of clients reached\r\n"
        assert wires[0].command("PING") == Simple(b"PONG")
    finally:
        small.close()


def test_descriptors_that_run_out_and_come_back() -> None:
    """With none left, new clients wait, old ones are served, and the log is not flooded."""
    with running(start_rlite, {"maxclients": "500"}) as server:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (40, 40))
        with server.wire() as first:
            assert first.command("PING") == Simple(b"PONG")
            crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
            wait_for(lambda: "could not accept" in server.log(), "the log says so")
            before = server.cpu_seconds()
            for n in range(300):
                assert first.command("SET", "k", str(n)) == Simple(b"OK")
            assert server.cpu_seconds() - before < 2
            assert server.log().count("could not accept") < 100
            for each in crowd:
                each.close()
            with server.wire() as again:
                assert again.command("PING") == Simple(b"PONG")
