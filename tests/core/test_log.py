"""The log's memory side: what is appended, in which records, and what happens when a file takes no more."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlite.engine.core.log import Log
from rlite.engine.core.records import read_record

SEED = 77
SELECT = b"*2\r\n$6\r\nSELECT\r\n$%d\r\n%d\r\n"
MULTI, EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"


def resp(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def select(database: int) -> bytes:
    return SELECT % (len(str(database)), database)


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "segment"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    log = Log()
    log.open(opened(path), 0, SEED, 1000)
    yield log
    log.close()


def records(path: Path, seed: int = SEED) -> list[tuple[int, int, bytes]]:
    """(offset, database, RESP) of every record; all of them are good."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        state, record = read_record(data, at, seed)
        assert record is not None, (state, at)
        found.append((record[0], record[2], record[3]))
        at = record[4]
    return found


def test_records_carry_the_offset_and_select_their_database(log: Log, path: Path) -> None:
    for database, word in ((0, b"a"), (0, b"b"), (12, b"c"), (0, b"d")):
        log.append(database, [b"SET", word, word])
    assert log.settle()
    expected = [
        select(0) + resp(b"SET", b"a", b"a"),
        resp(b"SET", b"b", b"b"),
        select(12) + resp(b"SET", b"c", b"c"),
        select(0) + resp(b"SET", b"d", b"d"),
    ]
    offsets = [1000 + sum(map(len, expected[:n])) for n in range(5)]
    assert records(path) == list(zip(offsets, [0, 0, 12, 0], expected, strict=False))
    assert log.offset == offsets[4]


def test_what_a_thread_appends_between_begin_and_commit_is_one_record(log: Log, path: Path) -> None:
    log.begin()
    log.append(1, [b"SET", b"a", b"1"])
    log.begin()
    log.append(2, [b"SET", b"b", b"2"])
    other = threading.Thread(target=log.append, args=(5, [b"DEL", b"x"]))  # not in this thread: on its own
    other.start()
    other.join()
    log.commit()
    log.append(2, [b"SET", b"c", b"3"])
    log.commit()
    log.begin()
    log.append(2, [b"DEL", b"a"])
    log.commit()
    log.begin()
    log.commit()
    log.settle()
    many = (
        select(1)
        + MULTI
        + resp(b"SET", b"a", b"1")
        + select(2)
        + resp(b"SET", b"b", b"2")
        + resp(b"SET", b"c", b"3")
        + EXEC
    )
    assert [record[1:] for record in records(path)] == [
        (5, select(5) + resp(b"DEL", b"x")),
        (1, many),
        (2, resp(b"DEL", b"a")),
    ]


def test_always_brings_to_disk_and_the_others_to_the_system_before_an_answer(log: Log, path: Path) -> None:
    log.append(0, [b"SET", b"a", b"1"])
    log.settle()
    appended, written, durable = log.positions
    assert appended == written == path.stat().st_size > durable == 0
    log.configure("always")
    log.append(0, [b"SET", b"b", b"2"])
    log.settle()
    assert len(set(log.positions)) == 1
    log.configure("everysec")
    log.append(0, [b"SET", b"c", b"3"])
    assert log.tick() == 0
    assert len(set(log.positions)) == 1
    assert log.syncs == 2


def test_a_switch_divides_the_records_between_the_files(log: Log, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "next"
    log.append(3, [b"SET", b"a", b"1"])
    assert log.prepare_switch() == 0
    log.append(3, [b"SET", b"b", b"2"])  # after the old file was written, before the new one is there
    log.switch(opened(other), 0, SEED + 1)
    log.append(3, [b"SET", b"c", b"3"])
    assert log.finish_switch() == 0
    assert not other.read_bytes()
    log.settle()
    assert [record[2] for record in records(path)] == [
        select(3) + resp(b"SET", b"a", b"1"),
        resp(b"SET", b"b", b"2"),
    ]
    assert [record[2] for record in records(other, SEED + 1)] == [select(3) + resp(b"SET", b"c", b"3")]
    assert records(other, SEED + 1)[0][0] == 1000 + sum(len(record[2]) for record in records(path))


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
def test_a_full_disk_refuses_writes_and_keeps_what_it_could_not_take(policy: str, path: Path) -> None:
    log = Log()
    log.configure(policy)
    descriptor = full()
    log.open(descriptor, 0, SEED, 0)
    log.append(0, [b"SET", b"a", b"1"])
    assert not log.settle()
    assert log.refusing == errno.ENOSPC
    assert not log.lost
    assert log.tick() == errno.ENOSPC
    room = opened(path)  # there is room again
    os.dup2(room, descriptor)
    os.close(room)
    assert log.tick() == 0
    assert not log.refusing
    assert [record[2] for record in records(path)] == [select(0) + resp(b"SET", b"a", b"1")]
    log.close()


def test_after_a_failed_sync_only_a_new_base_heals(path: Path) -> None:
    inside, outside = os.pipe()  # takes bytes, and cannot be synced
    log = Log()
    log.configure("always")
    log.open(outside, 0, SEED, 0)
    log.append(0, [b"SET", b"a", b"1"])
    assert not log.settle()
    assert log.lost == log.refusing == errno.EINVAL
    log.append(0, [b"SET", b"b", b"2"])
    assert log.tick() == errno.EINVAL
    assert log.prepare_switch() == errno.EINVAL
    log.switch(opened(path), 0, SEED + 1, forsake=True)
    log.append(0, [b"SET", b"c", b"3"])
    assert log.finish_switch() == 0
    assert not log.settle()
    assert not path.read_bytes()  # not before the base is there
    log.heal()
    assert log.settle()
    assert [record[2] for record in records(path, SEED + 1)] == [select(0) + resp(b"SET", b"c", b"3")]
    log.close()
    os.close(inside)
