"""A replica bears with masters that send what it cannot take: it keeps what it has, and tries again.

The master is the test itself (support/raw_replication.py). A real replica forgets its data before it loads
others, and ends when what it loads is damaged; ours does neither.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.raw_replication import EMPTY_RDB, HISTORY, MasterLink, RawMaster
from support.replication import (
    ask,
    do,
    fields,
    follow,
    in_sync,
    is_rlite,
    is_up,
    node,
    offset,
    promote,
    same_data,
    wait_up,
)
from support.servers import Server, free_port, wait_for
from support.wire import Bulk, Err, Int, encode

MB = 1 << 20
FULL = b"+FULLRESYNC " + HISTORY.encode() + b" 0\r\n"


class Lasting:
    """A server for all tests of the module; another one when it has ended."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._server: Server | None = None

    def server(self) -> Server:
        if self._server is None or not self._server.is_running():
            self._server = self._stack.enter_context(node("rlite", {"repl-timeout": "5"}))
        return self._server


@pytest.fixture(scope="module")
def lasting() -> Iterator[Lasting]:
    with ExitStack() as stack:
        yield Lasting(stack)


@pytest.fixture
def replica(lasting: Lasting) -> Iterator[Server]:
    """A server with a key; after the test it follows nobody."""
    server = lasting.server()
    do(server, "FLUSHALL")
    do(server, "SET", "old", "value")
    yield server
    if server.is_running() or is_rlite(server):
        promote(server)


def rdb(data: bytes, length: int | None = None) -> bytes:
    return FULL + b"$%d\r\n" % (len(data) if length is None else length) + data


MARK = b"m" * 40
# What follows PSYNC; then the master closes, or (after a `.`) it waits for the replica to close.
REFUSED = {
    "a snapshot of a newer version": rdb(b"REDIS9999\xff" + bytes(8)),
    "a snapshot that is none": rdb(b"this is no snapshot of anything, but it has a length"),
    "a snapshot with a wrong checksum": rdb(b"REDIS0009\xff" + b"12345678"),
    "a snapshot of an unknown type": rdb(b"REDIS0009\xc8\x01a\x01b\xff" + bytes(8)),
    "a snapshot that ends too early": rdb(b"REDIS0009\x00\x01a\x05ab"),
    "a snapshot of less than its length": rdb(EMPTY_RDB, 1000),
    "a snapshot without its mark": FULL + b"$EOF:" + MARK + b"\r\n" + EMPTY_RDB + b"n" * 40,
    "a mark that is cut short": FULL + b"$EOF:" + MARK + b"\r\n" + EMPTY_RDB + MARK[:39],
    "a snapshot of a length that is no number": FULL + b"$many\r\n" + EMPTY_RDB,
    "a snapshot of a negative length": FULL + b"$-3\r\n" + EMPTY_RDB,
    "a snapshot that cannot be": FULL + b"$99999999999999999999\r\n" + EMPTY_RDB,
    "something else in its place": FULL + b"+OK\r\n",
    "an error in its place": FULL + b"-ERR no snapshot today\r\n",
    "a full resync without an id": b"+FULLRESYNC\r\n" + b"$18\r\n" + EMPTY_RDB,
    "a full resync with a short id": b"+FULLRESYNC abc 0\r\n$18\r\n" + EMPTY_RDB,
    "a refusal": b"-ERR not today\r\n",
    "nonsense": bytes(range(256)) * 10,
    "nothing": b"",
}


def refusing(answer: bytes) -> Callable[[MasterLink], None]:
    def script(link: MasterLink) -> None:
        link.handshake()
        link.send(answer)

    return script


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_data_set_is_refused_and_asked_for_again(replica: Server, answer: bytes) -> None:
    with RawMaster(refusing(answer)) as master:
        follow(replica, master.address)
        wait_for(lambda: master.connections >= 2 or not replica.is_running(), "it tries again", seconds=20)
        if not replica.is_running() and not is_rlite(replica):
            pytest.skip("the real one has ended")
        assert not is_up(replica)
        assert fields(replica)["role"] == "slave"
        assert ask(replica, "PING") is not None
        if is_rlite(replica):
            assert ask(replica, "GET", "old") == Bulk(b"value")
    with node("rlite") as good:
        do(good, "SET", "new", "value")
        follow(replica, good)
        same_data(good, replica)


def test_a_master_that_cannot_be_used_is_not_asked_without_pause(replica: Server) -> None:
    with RawMaster(refusing(b"-ERR not today\r\n")) as master:
        follow(replica, master.address)
        wait_for(lambda: master.connections >= 3, "it tries again", seconds=20)
        before = replica.cpu_seconds()
        wait_for(lambda: master.connections >= 5, "and again", seconds=20)
        assert replica.cpu_seconds() - before < 1.0


# --- the stream ---------------------------------------------------------------------------------------------

BROKEN = {
    "a multibulk that is none": b"*x\r\n",
    "a length that is none": b"*1\r\n$abc\r\n",
    "a length below zero": b"*1\r\n$-7\r\n",
    "an argument that is too long": b"*2\r\n$3\r\nGET\r\n$99999999999\r\n",
    "too many arguments": b"*999999999\r\n",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_stream_that_is_no_protocol_ends_the_link_before_it(replica: Server, broken: bytes) -> None:
    """What came before is kept and not asked for again. The real one asks for everything anew."""
    good = encode("SELECT", 0) + encode("SET", "new", "value") + encode("INCR", "counter")
    asked: list[tuple[bytes, ...]] = []

    def script(link: MasterLink) -> None:
        asked.append(link.handshake())
        if asked[-1][1] != HISTORY.encode():
            link.full(offset=100)
            link.send(good + broken if len(asked) == 1 else good + encode("INCR", "counter"))
        else:
            link.send(b"+CONTINUE\r\n" + encode("INCR", "counter"))
        link.is_closed(30)

    with RawMaster(script) as master:
        follow(replica, master.address)
        wait_for(lambda: ask(replica, "GET", "counter") == Bulk(b"2"), "it has gone on", seconds=20)
        if is_rlite(replica):
            assert asked[1] == (b"PSYNC", HISTORY.encode(), b"%d" % (100 + len(good) + 1))
        assert ask(replica, "GET", "new") == Bulk(b"value")
        promote(replica)


def test_a_command_that_fails_does_not_end_the_link(replica: Server) -> None:
    """As on the real one: it is logged, and counted as all others."""
    stream = b"".join(
        encode(*words)
        for words in (
            ("SELECT", 0), ("SET", "string", "x"), ("LPUSH", "string", "y"), ("NOSUCHCOMMAND", "a"),
            ("SET", "only one"), ("SET", "after", "it"),
        )
    )  # fmt: skip

    def script(link: MasterLink) -> None:
        link.handshake()
        link.full()
        link.send(stream)
        link.acknowledged(len(stream), 15)
        link.is_closed(30)

    with RawMaster(script) as master:
        follow(replica, master.address)
        wait_for(lambda: ask(replica, "GET", "after") == Bulk(b"it"), "the stream")
        wait_for(lambda: offset(replica) == len(stream), "all is counted")
        assert master.connections == 1
        promote(replica)


def test_a_stream_byte_by_byte_is_the_same_stream(replica: Server) -> None:
    stream = encode("SELECT", 3) + encode("MULTI") + encode("SET", "a", 1) + encode("INCR", "a")
    stream += encode("EXEC") + b"\n\n" + encode("PING") + encode("SET", "b", "x" * 300)

    def script(link: MasterLink) -> None:
        link.handshake()
        link.full()
        for at in range(len(stream)):
            link.send(stream[at : at + 1])
        link.acknowledged(len(stream), 15)
        link.is_closed(30)

    with RawMaster(script) as master:
        follow(replica, master.address)
        wait_for(lambda: offset(replica) == len(stream), "all is counted")
        with replica.wire() as wire:
            wire.command("SELECT", 3)
            assert wire.command("GET", "a") == Bulk(b"2")
            assert wire.command("STRLEN", "b") == Int(300)
        promote(replica)


def test_half_a_transaction_is_nothing_when_the_link_ends(replica: Server) -> None:
    whole = encode("SELECT", 0) + encode("SET", "a", 1)
    half = encode("MULTI") + encode("SET", "a", 2)
    asked: list[tuple[bytes, ...]] = []

    def script(link: MasterLink) -> None:
        asked.append(link.handshake())
        if len(asked) == 1:
            link.full()
            link.send(whole + half)
            link.acknowledged(len(whole))
        else:
            link.is_closed(30)

    with RawMaster(script) as master:
        follow(replica, master.address)
        wait_for(lambda: len(asked) >= 2, "it comes back", seconds=20)
        if is_rlite(replica):  # the real one counts what it has put aside, and so forgets it
            assert int(asked[1][2]) == len(whole) + 1
        assert ask(replica, "GET", "a") == Bulk(b"1")
        promote(replica)
        assert ask(replica, "GET", "a") == Bulk(b"1")


# --- masters that are replicas ------------------------------------------------------------------------------


def test_a_circle_of_replicas_lives_and_can_be_opened() -> None:
    """Redis lets it be. No master is there, so nothing new comes, and nothing may go round and round."""
    quick = {"repl-ping-replica-period": "1", "repl-timeout": "3"}
    with node("rlite", quick) as one, node("rlite", quick) as other:
        do(one, "SET", "key", "value")
        follow(other, one)
        same_data(one, other)
        before, at = [server.rss() for server in (one, other)], offset(one)
        follow(one, other)
        until = time.monotonic() + 4
        while time.monotonic() < until:  # the keep-alive, the timeout
            for server, then in zip((one, other), before, strict=True):
                assert fields(server)["role"] == "slave"
                assert ask(server, "GET", "key") == Bulk(b"value")
                assert isinstance(ask(server, "SET", "key", "x"), Err)
                assert server.rss() < then + 50 * MB
                assert offset(server) < at + 10_000
            time.sleep(0.2)
        promote(one)
        do(one, "SET", "key", "new")
        same_data(one, other)


def test_a_replica_of_itself_lives_and_can_be_told_otherwise() -> None:
    with node("rlite") as one, node("rlite") as other:
        do(one, "SET", "key", "value")
        follow(one, one)
        wait_for(lambda: "master_link_down_since_seconds" in fields(one), "it has no master")
        assert ask(one, "GET", "key") == Bulk(b"value")
        promote(one)
        do(one, "SET", "key", "new")
        follow(other, one)
        same_data(one, other)


def test_a_master_that_is_a_replica_without_a_link_is_waited_for() -> None:
    with node("rlite") as first, node("rlite") as second, node("rlite") as third:
        do(first, "SET", "key", "value")
        follow(second, ("127.0.0.1", free_port()))
        follow(third, second)
        wait_for(lambda: "NOMASTERLINK" in third.log(), "it is told why", seconds=20)
        follow(second, first)
        in_sync(first, second)
        wait_up(third)
        same_data(first, third)
