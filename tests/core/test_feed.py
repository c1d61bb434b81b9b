"""The stream in memory, and what a replica is sent from it."""

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from core.test_log import SEED, opened, records, resp, select
from support.servers import wait_for

from rlite.engine.core.feed import Feed
from rlite.engine.core.log import Log

MIB = 1 << 20


@pytest.fixture
def log() -> Log:
    log = Log()
    log.start_at(1000)
    log.stream(4 * MIB, 0)
    return log


class Replica:
    """The other end of a feed: takes what comes."""

    def __init__(self, log: Log, at: int) -> None:
        self.feed = Feed(log)
        self.there = self.feed.join(at)
        self.ours, self.theirs = socket.socketpair()
        self.got = bytearray()
        self.why = ""
        self._threads = [threading.Thread(target=work) for work in (self._send, self._take)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        self.why = self.feed.run(self.ours.fileno()) if self.there else ""

    def _take(self) -> None:
        while chunk := self.theirs.recv(65536):
            self.got += chunk

    def close(self) -> None:
        self.feed.stop()
        self._threads[0].join()
        self.feed.leave()
        self.ours.close()
        self._threads[1].join()
        self.theirs.close()


@pytest.fixture
def replica(log: Log) -> Iterator[Replica]:
    replica = Replica(log, 1000)
    yield replica
    replica.close()


def test_a_replica_is_sent_the_stream_as_it_grows(log: Log, replica: Replica) -> None:
    log.append(3, [b"SET", b"a", b"1"])
    log.say([b"PUBLISH", b"channel", b"text"])
    log.append(3, [b"DEL", b"a"])
    log.wake()
    expected = (
        select(3) + resp(b"SET", b"a", b"1") + resp(b"PUBLISH", b"channel", b"text") + resp(b"DEL", b"a")
    )
    wait_for(lambda: len(replica.got) >= len(expected), "the stream")
    assert replica.got == expected
    assert log.offset == 1000 + len(expected)
    wait_for(lambda: replica.feed.at == log.offset, "its place")
    assert log.record_end == log.offset


def test_what_is_for_replicas_only_is_a_gap_in_the_file(log: Log, tmp_path: Path) -> None:
    log.open(opened(tmp_path / "segment"), 0, SEED, 1000)
    log.append(0, [b"SET", b"a", b"1"])
    said = resp(b"PING")
    log.say([b"PING"])
    assert (log.record_end, log.offset) == (log.offset - len(said), log.record_end + len(said))
    log.append(0, [b"SET", b"b", b"2"])
    log.settle()
    first, second = records(tmp_path / "segment")
    assert second[0] == first[0] + len(first[2]) + len(said)
    log.close()


def test_nothing_is_sent_that_the_end_of_this_process_could_take_back(tmp_path: Path) -> None:
    log = Log()
    log.open(opened(tmp_path / "segment"), 0, SEED, 0)
    log.stream(MIB, 0)
    replica = Replica(log, 0)
    log.append(0, [b"SET", b"a", b"1"])
    log.say([b"PING"])  # wakes the feed, which may not go on
    assert replica.feed.at == 0
    log.settle()
    wait_for(lambda: b"PING" in replica.got and replica.feed.at == log.offset, "the stream")
    replica.close()
    log.close()


def test_more_than_the_backlog_holds_arrives_whole_at_a_slow_reader(log: Log) -> None:
    replica = Replica(log, 1000)
    chooser = random.Random(5)
    expected = [select(0)]
    for _ in range(3000):
        words = [b"SET", b"key", chooser.randbytes(chooser.randrange(9000))]
        expected.append(resp(*words))
        log.append(0, words)
        log.wake()
    sent = b"".join(expected)
    assert len(sent) > 2 * 4 * MIB
    wait_for(lambda: len(replica.got) == len(sent), "all of it")
    assert replica.got == sent
    replica.close()
    log.append(0, [b"SET", b"key", bytes(MIB)])  # nobody reads any more: it is trimmed to its size
    first, held, least = log.backlog
    assert log.offset - first <= least + 2 * MIB
    assert held <= least + 2 * MIB


def test_a_place_that_is_gone_or_not_there_yet_is_refused(log: Log) -> None:
    feed = Feed(log)
    assert not feed.join(999)
    assert not feed.join(1001)
    assert feed.join(1000)
    feed.leave()
    for _ in range(12):
        log.append(0, [b"SET", b"key", bytes(MIB)])
    assert not feed.join(1000)
    assert feed.join(log.backlog[0])


def test_a_reader_that_is_too_far_behind_is_told_to_go(log: Log) -> None:
    log.stream(MIB, 3 * MIB)
    replica = Replica(log, 1000)
    wait_for(lambda: replica.feed.at == 1000, "the start")
    stuck = Feed(log)
    assert stuck.join(1000)
    for _ in range(8):
        log.append(0, [b"SET", b"key", bytes(MIB)])
        log.wake()
        wait_for(lambda: replica.feed.at == log.offset, "the one that reads")
    assert stuck.overrun
    assert not replica.feed.overrun
    assert stuck.run(replica.ours.fileno()) == "overrun"
    replica.close()
