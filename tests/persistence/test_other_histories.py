"""Another history in the place of the former: full synchronisations, starts as a replica and as a master."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from persistence.test_turning import NEW, NEWER, Kept, verdict
from support.journals import named, there
from support.recovering import load
from support.servers import wait_for

from rlite.engine.config import Config
from rlite.engine.core.database import Database
from rlite.engine.core.feed import Feed
from rlite.engine.persistence.disk import Disk
from rlite.engine.persistence.history import HistoryError, HistoryFiles
from rlite.engine.persistence.reading import Verdict
from rlite.engine.server import Server


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Kept]:
    directory = tmp_path / "data"
    directory.mkdir()
    kept = Kept(directory)
    yield kept
    kept.engine.close()


def exchange(here: Kept, history: str, offset: int) -> None:
    """As a full synchronisation does: other data, of another history, at one moment."""
    db = here.held()
    try:
        db.flush(everything=True)
        here.disk.restart_log(history, offset)
        db.set(b"theirs", b"1")
    finally:
        db.unlock()


def based(here: Kept, history: str) -> bool:
    return named(here.directory).history == history and here.disk.forks.current is None


def test_after_a_full_synchronisation_the_log_begins_anew_at_the_masters_offset(here: Kept) -> None:
    here.execute("SET", "ours", 1)
    with HistoryFiles(here.journal) as former:
        former.seek(0)
        exchange(here, NEW, 70_000)
        with pytest.raises(HistoryError, match="another history"):
            former.read()
    killed = here.as_after_a_kill("before")
    assert (here.server.replication_id, here.server.former_id, here.log.offset) == (NEW, "", 70_000)
    here.execute("SET", "since", 2)
    wait_for(lambda: based(here, NEW), "the log anew")
    here.execute("SET", "later", 3)
    said = named(here.directory)
    assert there(here.directory) == {"appendonly.manifest", *said.files}
    assert 70_000 <= said.base_offset <= here.log.offset
    place = here.as_after_a_kill("after")
    assert verdict(place) is Verdict.FINE
    found = load(place)
    assert [found.get(key) for key in ("ours", "theirs", "since", "later")] == [None, b"1", b"2", b"3"]
    assert (found.result.previous, found.result.offset) == (NEW, here.log.offset)
    # Until then, the files were what they had been.
    before = load(killed)
    assert [before.get(key) for key in ("ours", "theirs")] == [b"1", None]
    assert before.result.previous not in ("", NEW)
    with HistoryFiles(here.journal) as files:
        assert files.covers(NEW, here.log.offset)
        assert not files.covers(NEW, 69_999)


def test_one_synchronisation_after_the_other_ends_with_the_data_of_the_last(here: Kept) -> None:
    here.execute("SET", "ours", 1)
    for number in range(5):
        exchange(here, f"{number}" * 40, 1000 * number)
        here.execute("SET", "turn", number)
    wait_for(lambda: based(here, "4" * 40), "the log anew", seconds=20)
    here.execute("SET", "later", 3)
    place = here.as_after_a_kill("killed")
    assert verdict(place) is Verdict.FINE
    found = load(place)
    assert [found.get(key) for key in ("ours", "turn", "later")] == [None, b"4", b"3"]
    assert not [name for name in there(here.directory) if "part" in name]


def test_a_synchronisation_while_a_rewrite_is_under_way_leaves_nothing_of_that(here: Kept) -> None:
    here.execute("SET", "ours", 1)
    rewriter = here.disk._rewriter
    assert rewriter is not None
    rewriter.start()
    exchange(here, NEW, 500)
    wait_for(lambda: based(here, NEW), "the log anew", seconds=20)
    here.execute("SET", "later", 3)
    found = load(here.as_after_a_kill("killed"))
    assert [found.get(key) for key in ("ours", "theirs", "later")] == [None, b"1", b"3"]


def test_a_promotion_before_the_log_has_begun_anew_is_in_it(here: Kept) -> None:
    exchange(here, NEW, 500)
    here.disk.turn_history(NEWER)
    assert (here.server.former_id, here.server.former_end) == (NEW, 500)
    here.execute("SET", "later", 3)
    wait_for(lambda: based(here, NEWER), "the log anew")
    said = named(here.directory)
    assert (said.previous, said.previous_end) == (NEW, 500)
    found = load(here.as_after_a_kill("killed"))
    assert (found.get("later"), found.result.previous) == (b"3", NEWER)


def test_a_promotion_while_the_base_of_the_log_is_written_is_in_it(
    here: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then two segments have no base yet."""
    rewriter = here.disk._rewriter
    assert rewriter is not None
    going, done = threading.Event(), rewriter._done

    def wait(*args: object) -> None:
        going.wait(10)
        done(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(rewriter, "_done", wait)
    exchange(here, NEW, 500)
    wait_for(lambda: here.log.filing and rewriter.beginning, "the child")
    here.execute("SET", "of", "the former")
    here.disk.turn_history(NEWER)
    here.execute("SET", "later", 3)
    killed = here.as_after_a_kill("before")
    going.set()
    wait_for(lambda: based(here, NEWER), "the log anew")
    said = named(here.directory)
    assert (said.previous, len(said.segments)) == (NEW, 2)
    place = here.as_after_a_kill("after")
    assert verdict(place) is Verdict.FINE
    found = load(place)
    assert [found.get(key) for key in ("theirs", "of", "later")] == [b"1", b"the former", b"3"]
    assert load(killed).get("later") is None


def test_a_stop_before_the_log_has_begun_anew_waits_for_its_base(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    kept = Kept(directory)
    kept.execute("SET", "ours", 1)
    exchange(kept, NEW, 500)
    kept.engine.close()
    assert verdict(directory) is Verdict.FINE
    found = load(directory)
    assert (found.get("ours"), found.get("theirs"), found.result.previous) == (None, b"1", NEW)


def test_the_stream_in_memory_is_of_the_new_history_alone_even_at_the_same_offset(here: Kept) -> None:
    here.log.stream(1 << 20, 0)
    here.execute("SET", "ours", 1)
    offset = here.log.offset
    feed = Feed(here.log)
    assert feed.join(0)
    exchange(here, NEW, offset)
    assert feed.overrun
    feed.leave()
    assert not feed.join(0)
    assert feed.join(offset)
    feed.leave()


def test_without_a_log_a_synchronisation_is_one_of_names_and_numbers(tmp_path: Path) -> None:
    with started(tmp_path, appendonly=False) as (server, disk):
        disk.restart_log(NEW, 500)
        assert (server.context.replication_id, server.context.log.offset) == (NEW, 500)
        assert not (tmp_path / "appendonlydir").exists()


# --- starts ------------------------------------------------------------------------------------------------


@contextmanager
def started(directory: Path, **directives: object) -> Iterator[tuple[Server, Disk]]:
    """A server that has loaded what is there, and does nothing else."""
    server = Server(Config(**{"dir": directory, "save": "", "appendonly": True, **directives}))
    server.replication.following.prepare()
    server.disk.begin(lambda: False)
    server.disk.load()
    try:
        yield server, server.disk
    finally:
        server.disk.close(False)


MASTER = {"replicaof": "127.0.0.1 1"}


def write(server: Server, database: int, key: bytes) -> None:
    db = Database(server.keyspace, database)
    db.lock_all()
    try:
        server.context.log.append(database, [b"SET", key, b"1"])
        db.set(key, b"1")
    finally:
        db.unlock()
    assert server.context.log.settle()


def test_a_start_as_a_replica_keeps_the_history_and_one_as_a_master_takes_another(tmp_path: Path) -> None:
    with started(tmp_path) as (server, disk):
        first = server.context.replication_id
        assert not disk.resumable
        write(server, 3, b"a")
        offset = server.context.log.offset
    for _ in range(2):
        with started(tmp_path, **MASTER) as (server, disk):
            context = server.context
            assert disk.resumable
            assert (context.replication_id, context.log.offset, context.log.selected) == (first, offset, 3)
        said = named(tmp_path)
        assert said.history == first
    with started(tmp_path) as (server, disk):
        context = server.context
        assert not disk.resumable
        assert context.replication_id != first
        assert (context.former_id, context.former_end, context.log.offset) == (first, offset, offset)
        second = context.replication_id
    with started(tmp_path, **MASTER) as (server, disk):
        context = server.context
        assert (context.replication_id, context.former_id, context.former_end) == (second, first, offset)
    assert verdict(tmp_path) is Verdict.FINE


def test_the_database_that_is_selected_is_kept_over_a_rewrite(tmp_path: Path) -> None:
    with started(tmp_path) as (server, disk):
        write(server, 7, b"a")
        server.context.log.following = True  # as of a stream that nobody selects anything in anew
        assert disk._rewriter is not None
        disk._rewriter.start()
        wait_for(lambda: disk.forks.current is None, "the rewrite")
        assert named(tmp_path).base is not None
    with started(tmp_path, **MASTER) as (server, _disk):
        assert server.context.log.selected == 7


@pytest.mark.parametrize("as_replica", [True, False])
def test_a_snapshot_alone_tells_where_the_data_stand(tmp_path: Path, as_replica: bool) -> None:
    with started(tmp_path, appendonly=False) as (server, disk):
        context = server.context
        context.log.stream(1 << 20, 0)
        context.note_log()
        write(server, 2, b"a")
        first, offset = context.replication_id, context.log.offset
        db = Database(server.keyspace, 0)
        db.lock_all()
        disk.saves.save(db)
        db.unlock()
    with started(tmp_path, appendonly=False, **(MASTER if as_replica else {})) as (server, disk):
        context = server.context
        assert (context.log.offset, context.log.selected, disk.resumable) == (offset, 2, as_replica)
        if as_replica:
            assert (context.replication_id, context.former_id) == (first, "")
        else:
            assert (context.former_id, context.former_end) == (first, offset)


def test_a_snapshot_of_data_that_nobody_has_counted_is_of_no_history(tmp_path: Path) -> None:
    with started(tmp_path, appendonly=False) as (server, disk):
        db = Database(server.keyspace, 0)
        db.lock_all()
        db.set(b"a", b"1")
        disk.saves.save(db)
        db.unlock()
    with started(tmp_path, appendonly=False, **MASTER) as (server, disk):
        assert (server.context.log.offset, disk.resumable) == (0, False)
