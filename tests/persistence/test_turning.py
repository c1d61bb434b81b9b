"""The log under another replication id: whose history the files are says where what was logged belongs."""

import errno
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.journals import named
from support.logs import chunks, kept, resp
from support.recovering import load
from support.servers import wait_for

from rlite.engine import Engine
from rlite.engine.core.database import Database, KeyspaceBusyError
from rlite.engine.errors import CommandError
from rlite.engine.persistence import check, layout, manifest
from rlite.engine.persistence.history import HistoryFiles
from rlite.engine.persistence.outcome import DamageError
from rlite.engine.persistence.reading import Verdict

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.persistence.disk import Disk
    from rlite.engine.persistence.journal import Journal

NEW, NEWER = "b" * 40, "c" * 40


class Kept:
    """A server in this process that keeps a log."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.engine = Engine(dir=directory, appendonly=True, auto_aof_rewrite_percentage=0)
        self.server: Context = self.engine._server.context
        self.disk: Disk = self.engine._server.disk
        assert self.disk._journal is not None
        self.journal: Journal = self.disk._journal
        self.log = self.server.log
        self.execute = self.engine.execute

    def as_after_a_kill(self, name: str) -> Path:
        """What a kill at this moment would leave."""
        place = self.directory.parent / name
        shutil.copytree(self.directory, place)
        (place / "rlite.lock").unlink()
        return place

    def held(self) -> Database:
        db = Database(self.server.keyspace, 0)
        db.lock_all()
        return db


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Kept]:
    directory = tmp_path / "data"
    directory.mkdir()
    kept = Kept(directory)
    yield kept
    kept.engine.close()


def verdict(place: Path) -> Verdict:
    path = place / "appendonlydir"
    return check.check(path, layout.find(path)[0]).verdict


def test_what_is_logged_from_a_turn_on_is_of_the_other_history(here: Kept) -> None:
    old = here.server.replication_id
    here.execute("SET", "a", 1)
    end = here.log.offset
    here.disk.turn_history(NEW)
    assert (here.server.replication_id, here.server.former_id, here.server.former_end) == (NEW, old, end)
    here.execute("SET", "b", 2)
    said = named(here.directory)
    assert (said.history, said.previous, said.previous_end) == (NEW, old, end)
    assert [kept(here.journal.path(name)) for name in said.segments] == [
        [resp("SELECT", 0) + resp("SET", "a", 1)],
        [resp("SELECT", 0) + resp("SET", "b", 2)],
    ]
    with HistoryFiles(here.journal) as files:
        assert [at for at in range(here.log.offset + 2) if files.covers(old, at)] == list(range(end + 1))
        assert files.covers(NEW, here.log.offset)
        assert b"".join(chunks(files, 0)) == b"".join(
            resp("SELECT", 0) + resp("SET", key, value) for key, value in (("a", 1), ("b", 2))
        )
    place = here.as_after_a_kill("killed")
    assert verdict(place) is Verdict.FINE
    loaded = load(place)
    assert (loaded.get("a"), loaded.get("b")) == (b"1", b"2")
    assert (loaded.result.previous, loaded.result.offset) == (NEW, here.log.offset)


def test_a_turn_under_locks_waits_for_nothing_and_nothing_behind_it_is_written_too_soon(here: Kept) -> None:
    here.execute("SET", "a", 1)
    answered = threading.Event()
    with here.journal.changing:  # as by somebody who begins a rewrite: the segment cannot come
        db = here.held()
        here.disk.turn_history(NEW, locked=True)
        db.unlock()
        assert here.server.replication_id == NEW
        writer = threading.Thread(target=lambda: (here.execute("SET", "b", 2), answered.set()))
        writer.start()
        wait_for(lambda: here.log.pending > 0, "the write")
        here.log.tick()
        assert here.log.pending > 0
        assert not answered.is_set()
        killed = here.as_after_a_kill("before")
    wait_for(answered.is_set, "the answer")
    writer.join()
    assert load(killed).get("b") is None
    assert load(here.as_after_a_kill("after")).get("b") == b"2"


def test_a_second_turn_before_the_first_one_is_in_the_files(here: Kept) -> None:
    old = here.server.replication_id
    here.execute("SET", "a", 1)
    end = here.log.offset
    with here.journal.changing:
        db = here.held()
        here.disk.turn_history(NEW, locked=True)
        here.log.append(0, [b"SET", b"b", b"2"])
        second = here.log.offset
        here.disk.turn_history(NEWER, locked=True)
        here.log.append(0, [b"SET", b"c", b"3"])
        db.unlock()
        assert (here.server.former_id, here.server.former_end) == (NEW, second)
    here.execute("SET", "d", 4)
    said = named(here.directory)
    assert (said.history, said.previous, said.previous_end) == (NEWER, old, end)
    place = here.as_after_a_kill("killed")
    assert verdict(place) is Verdict.FINE
    assert load(place).get("d") == b"4"


def test_a_rewrite_that_a_turn_overtakes_begins_again_later(here: Kept) -> None:
    here.execute("SET", "a", 1)
    rewriter = here.disk._rewriter
    assert rewriter is not None
    db = here.held()
    failed: list[Exception] = []

    def rewrite() -> None:
        try:
            rewriter.start()
        except KeyspaceBusyError as fault:
            failed.append(fault)

    worker = threading.Thread(target=rewrite)
    worker.start()
    wait_for(lambda: len(named(here.directory).segments) == 2, "the rewrite, which waits for the locks")
    here.disk.turn_history(NEW, locked=True)
    db.unlock()
    worker.join()
    assert failed
    here.execute("SET", "b", 2)
    assert named(here.directory).history == NEW
    rewriter.start()
    wait_for(lambda: here.disk.forks.current is None, "the rewrite")
    assert named(here.directory).base is not None
    assert named(here.directory).history == NEW
    loaded = load(here.as_after_a_kill("killed"))
    assert (loaded.get("a"), loaded.get("b")) == (b"1", b"2")


def test_where_the_files_cannot_say_it_writes_are_refused_until_the_log_is_written_anew(
    here: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = here.server.replication_id
    here.execute("SET", "a", 1)
    end = here.log.offset

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write", refuse)
        here.disk.turn_history(NEW)
        assert here.log.lost == errno.EIO
        with pytest.raises(CommandError, match="MISCONF"):
            here.execute("SET", "b", 2)
        killed = here.as_after_a_kill("killed")
    assert load(killed).result.previous == old
    assert load(killed).result.offset == end
    wait_for(lambda: not here.log.refusing, "the log, written anew", seconds=15)
    here.execute("SET", "c", 3)
    said = named(here.directory)
    assert (said.history, said.previous, said.previous_end) == (NEW, old, end)
    loaded = load(here.as_after_a_kill("later"))
    assert (loaded.get("a"), loaded.get("c")) == (b"1", b"3")


def test_a_gap_at_a_border_is_no_hole_and_a_record_that_is_missing_there_is_one(here: Kept) -> None:
    here.log.stream(1 << 20, 0)
    here.execute("SET", "a", 1)
    here.execute("SET", "b", 2)
    here.log.say([b"PUBLISH", b"channel", b"for replicas only"])
    said_bytes = here.log.offset - here.log.record_end
    assert said_bytes > 0
    here.disk.turn_history(NEW)
    here.execute("SET", "c", 3)
    place = here.as_after_a_kill("killed")
    assert verdict(place) is Verdict.FINE
    loaded = load(place)
    assert (loaded.get("b"), loaded.get("c"), loaded.result.offset) == (b"2", b"3", here.log.offset)
    with HistoryFiles(here.journal) as files:
        stream = b"".join(chunks(files, 0))
    assert len(stream) == here.log.offset
    assert b"SET\r\n$1\r\nb\r\n$1\r\n2\r\n" + b"\n" * said_bytes + resp("SELECT", 0) in stream
    first = place / "appendonlydir" / "appendonly.1.aof"
    whole = first.read_bytes()
    first.write_bytes(whole[: -len(resp("SET", "b", 2)) - 32])
    assert kept(first) == [resp("SELECT", 0) + resp("SET", "a", 1)]
    assert verdict(place) is Verdict.MIDDLE
    with pytest.raises(DamageError, match="missing between"):
        load(place)


def test_without_a_log_a_turn_is_one_of_names(tmp_path: Path) -> None:
    with Engine() as engine:
        server, disk = engine._server.context, engine._server.disk
        old = server.replication_id
        disk.turn_history(NEW)
        assert (server.replication_id, server.former_id, server.former_end) == (NEW, old, server.log.offset)
        disk.turn_history()
        assert server.former_id == NEW
        assert len(server.replication_id) == 40
