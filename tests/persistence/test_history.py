"""The replication stream read back from the log's files."""

import os
import random
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.logs import HISTORY, Log, chunks, directory, resp

from rlite.engine.config import Config
from rlite.engine.core.database import Database
from rlite.engine.persistence import manifest, segment
from rlite.engine.persistence.history import CHUNK, HistoryError, HistoryFiles, opened
from rlite.engine.persistence.journal import Journal, Past
from rlite.engine.persistence.rewriting import Rewriter
from rlite.engine.server import Server

RECORDS = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 7, 300]), st.integers(1, 400)), max_size=12)


def segments(parts: Sequence[Sequence[tuple[int, int]]], first: int) -> tuple[list[Log], bytes]:
    """Segments of records, each (bytes that no record holds before it, size), and the stream they hold."""
    dice = random.Random(5)
    logs, stream = [], bytearray()
    for part in parts:
        log = Log(first=first + len(stream), salt=dice.getrandbits(64))
        for gap, size in part:
            stream += b"\n" * gap
            content = dice.randbytes(size)
            log.add(content, offset=first + len(stream))
            stream += content
        logs.append(log)
    return logs, bytes(stream)


@contextmanager
def journal_of(root: Path, logs: Sequence[Log], offset: int) -> Iterator[Journal]:
    """The log of a server that has loaded these segments, and goes on behind them."""
    server = Server(Config(dir=root, appendonly=True)).context
    place = directory(root, logs)
    journal = Journal(server, place)
    said = manifest.read(place / "appendonly.manifest")
    journal.open(Past(said, offset, next_number=len(logs) + 1))
    try:
        yield journal
    finally:
        journal.close()


@settings(deadline=None, max_examples=40)  # each syncs files
@given(st.lists(RECORDS, min_size=1, max_size=4), st.integers(0, 10_000), st.data())
def test_from_every_offset_the_files_give_what_the_stream_held(
    parts: list[list[tuple[int, int]]], first: int, data: st.DataObject
) -> None:
    logs, stream = segments(parts, first)
    with (
        tempfile.TemporaryDirectory() as root,
        journal_of(Path(root), logs, first + len(stream)) as journal,
        HistoryFiles(journal) as files,
    ):
        assert (files.start, files.covers(HISTORY, first)) == (first, True)
        at = data.draw(st.integers(0, len(stream)))
        assert files.covers(HISTORY, first + at)
        assert b"".join(chunks(files, first + at)) == stream[at:]
        most = data.draw(st.integers(1, 500))
        files.seek(first + at)
        got = b""
        while piece := files.read(most):
            assert len(piece) <= most
            got += piece
            assert files.offset == first + at + len(got)
        assert got == stream[at:]


def test_every_single_offset_is_a_place_to_begin_at(tmp_path: Path) -> None:
    logs, stream = segments([[(0, 5), (3, 1), (0, 9)], [], [(2, 4), (1, 1)]], 100)
    with journal_of(tmp_path, logs, 100 + len(stream)) as journal, HistoryFiles(journal) as files:
        for at in range(len(stream) + 1):
            assert b"".join(chunks(files, 100 + at)) == stream[at:]


def test_a_record_larger_than_the_window_comes_in_pieces(tmp_path: Path) -> None:
    logs, stream = segments([[(0, 10), (5, 3 * CHUNK + 17), (0, 10)], [(0, 2 * CHUNK)]], 0)
    with journal_of(tmp_path, logs, len(stream)) as journal, HistoryFiles(journal) as files:
        for at in (0, 12, CHUNK, 3 * CHUNK + 20):
            pieces = list(chunks(files, at))
            assert b"".join(pieces) == stream[at:]
            assert max(map(len, pieces)) <= CHUNK


def test_a_segment_made_ahead_of_the_end_of_the_one_before_it_is_no_place_to_begin_at(tmp_path: Path) -> None:
    before, after = Log(first=0, salt=1), Log(first=10, salt=2)
    before.add(b"a" * 30)
    after.add(b"b" * 20, offset=30)
    with journal_of(tmp_path, [before, after], 50) as journal, HistoryFiles(journal) as files:
        for at in range(51):
            assert b"".join(chunks(files, at)) == (b"a" * 30 + b"b" * 20)[at:]


def test_histories_are_covered_as_far_as_they_go(tmp_path: Path) -> None:
    older, old = Log(history="a" * 40, first=50, salt=1), Log(history="b" * 40, first=80, salt=2)
    older.add(b"x" * 30)
    old.add(b"y" * 30)
    with journal_of(tmp_path, [older, old], 110) as journal, HistoryFiles(journal) as files:
        now = journal.manifest.history
        assert now not in ("a" * 40, "b" * 40)
        covered = {
            name: [at for at in range(40, 120) if files.covers(name, at)]
            for name in ("a" * 40, "b" * 40, now, "c" * 40)
        }
        assert covered == {
            "a" * 40: list(range(50, 81)),
            "b" * 40: list(range(50, 111)),
            now: list(range(50, 111)),
            "c" * 40: [],
        }


def test_what_is_written_meanwhile_comes_next_and_what_is_not_yet_does_not(tmp_path: Path) -> None:
    logs, stream = segments([[(0, 50)]], 0)
    with journal_of(tmp_path, logs, len(stream)) as journal, HistoryFiles(journal) as files:
        assert b"".join(chunks(files, 0)) == stream
        assert files.read() == b""
        journal.log.append(0, [b"SET", b"a", b"1"])
        assert files.read() == b""
        assert journal.log.settle()
        record = resp("SELECT", 0) + resp("SET", "a", 1)
        assert files.read(10) == record[:10]
        assert files.read() == record[10:]
        assert files.covers(journal.manifest.history, journal.log.offset)
        assert not files.covers(journal.manifest.history, journal.log.offset + 1)


def write_until(journal: Journal, ended: threading.Event) -> None:
    number = 0
    while not ended.is_set():
        db = Database(journal.server.keyspace, 0)
        db.lock_all()
        try:
            journal.log.append(number % 3, [b"SET", b"key:%d" % number, b"v" * (number % 1000)])
        finally:
            db.unlock()
        if number % 5 == 0:
            assert journal.log.settle()
        number += 1


def test_rewrites_under_way_take_nothing_from_who_reads(tmp_path: Path) -> None:
    from rlite.engine.persistence.forking import Forks

    logs, stream = segments([[(0, 50), (4, 100_000)]], 0)
    with journal_of(tmp_path, logs, len(stream)) as journal, HistoryFiles(journal) as files:
        files.seek(20)
        first = files.read(7)
        rewriter = Rewriter(journal, Forks(journal.server.keyspace))
        ended = threading.Event()
        writer = threading.Thread(target=write_until, args=(journal, ended))
        writer.start()
        try:
            for _ in range(3):
                rewriter.start()
                child = rewriter._forks.current
                if child is not None:
                    assert child.ended.wait(30)
        finally:
            ended.set()
            writer.join()
        assert journal.log.settle()
        assert len(journal.manifest.segments) == 1
        assert not (journal.directory / "appendonly.1.aof").exists()
        got = first
        while piece := files.read(1 << 16):
            got += piece
        assert files.offset == journal.log.offset == 20 + len(got)
        assert got.startswith(stream[20:])
        # It is one stream of whole commands, none of them missing, none twice.
        keys = [words[1] for words in commands(got[len(stream) - 20 :]) if words[0] == b"SET"]
        assert keys == [b"key:%d" % number for number in range(len(keys))]
        with HistoryFiles(journal) as now:
            assert now.start == journal.manifest.base_offset
            assert not now.covers(HISTORY, 20)
            assert now.covers(journal.manifest.history, now.start)
            assert got.endswith(b"".join(chunks(now, now.start)))


def commands(stream: bytes) -> list[list[bytes]]:
    """The commands of a stream, which ends behind one."""
    found, at = [], 0
    while at < len(stream):
        line = stream.index(b"\r\n", at)
        words, at = int(stream[at + 1 : line]), line + 2
        command = []
        for _ in range(words):
            line = stream.index(b"\r\n", at)
            size, at = int(stream[at + 1 : line]), line + 2
            command.append(stream[at : at + size])
            at += size + 2
        found.append(command)
    return found


def test_damage_is_an_error_that_names_its_place_behind_what_is_good(tmp_path: Path) -> None:
    logs, stream = segments([[(0, 50), (0, 60), (0, 70)]], 0)
    with journal_of(tmp_path, logs, len(stream)) as journal, HistoryFiles(journal) as files:
        path = journal.path("appendonly.1.aof")
        with path.open("r+b") as file:
            file.seek(logs[0].bounds[1] + 40)
            file.write(b"\xff\x00\xff")
        files.seek(0)
        assert files.read() == stream[:50]
        with pytest.raises(HistoryError, match=rf"appendonly\.1\.aof: byte {logs[0].bounds[1]}"):
            files.read()


def test_a_record_missing_between_two_segments_is_an_error(tmp_path: Path) -> None:
    before, after = Log(first=0, salt=1), Log(first=30, salt=2)
    before.add(b"a" * 20)
    after.add(b"b" * 20, offset=30)
    with journal_of(tmp_path, [before, after], 50) as journal, HistoryFiles(journal) as files:
        files.seek(0)
        assert files.read() == b"a" * 20
        with pytest.raises(HistoryError, match="10 bytes are missing"):
            files.read()


def test_a_segment_cut_in_a_record_though_another_follows_is_an_error(tmp_path: Path) -> None:
    logs, stream = segments([[(0, 50), (0, 60)], [(0, 70)]], 0)
    with journal_of(tmp_path, logs, len(stream)) as journal, HistoryFiles(journal) as files:
        os.truncate(journal.path("appendonly.1.aof"), logs[0].bounds[2] - 3)
        files.seek(0)
        assert files.read() == stream[:50]
        with pytest.raises(HistoryError, match=r"appendonly\.1\.aof: byte"):
            files.read()


def test_where_the_log_has_ended_there_is_nothing_to_read(tmp_path: Path) -> None:
    logs, stream = segments([[(0, 50)]], 0)
    with journal_of(tmp_path, logs, len(stream)) as journal, HistoryFiles(journal) as files:
        files.seek(0)
        journal.end()
        assert not files.covers(HISTORY, 0)
        with pytest.raises(HistoryError, match="ended"):
            files.read()
        again = opened(journal)
        assert again is not None
        assert not again.covers(HISTORY, 0)


def test_a_base_is_where_the_files_begin(tmp_path: Path) -> None:
    log = Log(first=90, salt=1)
    log.add(b"x" * 30, offset=107)
    place = directory(tmp_path, [log])
    server = Server(Config(dir=tmp_path, appendonly=True)).context
    journal = Journal(server, place)
    said = manifest.Manifest(HISTORY, "appendonly.1.rdb", 100, ("appendonly.1.aof",))
    (place / "appendonly.1.rdb").write_bytes(b"not looked at")
    journal.open(Past(said, 137, next_number=2))
    try:
        with HistoryFiles(journal) as files:
            assert [at for at in range(80, 140) if files.covers(HISTORY, at)] == list(range(100, 138))
            assert b"".join(chunks(files, 100)) == b"\n" * 7 + b"x" * 30
    finally:
        journal.close()
    assert segment.number_of(place / "appendonly.1.rdb") == 1
