"""Two keyspaces exchange all they hold at one moment, and each keeps what belongs to its place."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effect_programs import GROUPS, program_of
from support.effects import DATABASES, Logged
from support.programs import Step
from support.servers import wait_for

from rlite.engine import Engine
from rlite.engine.commands import digest
from rlite.engine.core.audit import audit
from rlite.engine.core.database import Database
from rlite.engine.core.eviction import make_room
from rlite.engine.core.keyspace import Keyspace

LRU = 1  # allkeys-lru, as `configure` takes it


@pytest.fixture(scope="module")
def server() -> Iterator[Logged]:
    made = Logged()
    yield made
    made.server.stop()


def fingerprint(keyspace: Keyspace) -> bytes:
    db = Database(keyspace, 0)
    db.lock_all()
    try:
        return digest.of_everything(db, keyspace.databases)
    finally:
        db.unlock()


def emptied(keyspace: Keyspace) -> None:
    Database(keyspace, 0).flush(True).bury()


def filled(keyspace: Keyspace, *keys: bytes) -> Database:
    db = Database(keyspace, 0)
    for key in keys:
        db.set(key, b"value of " + key)
    return db


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "short-lives"])
def test_what_random_programs_made_changes_places_whole(server: Logged, group: str) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(*[st.lists(program_of(group, [b"damaged"]), max_size=20)] * 2)
    def exchanged(first: list[Step], second: list[Step]) -> None:
        server.empty()
        here = server.context.keyspace
        there = Keyspace(DATABASES, here.stripes, like=here)
        for step in first:
            server.run(step.args)
        state, bytes_, mark = server.state(), here.dataset_bytes(), fingerprint(here)
        here.exchange(there)
        assert here.dataset_bytes() == 0
        assert there.dataset_bytes() == bytes_
        assert fingerprint(there) == mark
        for step in second:
            server.run(step.args)
        other = fingerprint(here)
        audit(here)
        here.exchange(there)
        audit(there)
        audit(here)
        assert server.state() == state
        assert fingerprint(there) == other
        emptied(there)
        assert there.used_memory() == 0

    exchanged()


def test_memory_and_sizes_follow_the_data() -> None:
    here = Keyspace(2, 4)
    there = Keyspace(2, 4, like=here)
    filled(here, b"a")
    filled(there, *(b"k%d" % n for n in range(1000))).set_deadline(b"k1", 2**44)
    Database(there, 1).set(b"b", b"in the second")
    here.book(77)
    before, after = here.used_memory() - 77, there.used_memory()
    here.exchange(there)
    assert (here.used_memory(), there.used_memory()) == (after + 77, before)
    assert [here.size(0), here.size(1), there.size(0), there.size(1)] == [1000, 1, 1, 0]
    assert [here.volatile_size(0), there.volatile_size(0)] == [1, 0]
    assert Database(here, 1).get(b"b") == b"in the second"
    assert len(set(Database(here, 0).keys())) == 1000


def test_what_came_expires_here_and_is_counted_here() -> None:
    here = Keyspace(1, 4)
    there = Keyspace(1, 4, like=here)
    there.loading = True
    filled(there, b"due", b"stays").set_deadline(b"due", 1)
    here.note_departures(True)
    here.exchange(there)
    here.keep(10**9)
    assert here.size(0) == 1
    assert here.departures() == [(0, 0, b"due")]
    assert here.counters()["expired_keys"] == 1
    assert there.counters()["expired_keys"] == 0


def test_fields_that_came_expire_here() -> None:
    with Engine() as engine:
        here = engine._server.context.keyspace
        there = Keyspace(here.databases, here.stripes, like=here)
        engine.execute("HSET", "hash", "a", 1, "b", 2)
        engine.execute("HPEXPIRE", "hash", 50, "FIELDS", 1, "a")
        here.exchange(there)
        here.exchange(there)
        wait_for(lambda: here.counters()["expired_fields"] == 1, "the field's end")
        assert engine.execute("HGETALL", "hash") == {b"b": b"2"}


def test_a_stripe_that_is_observed_stays_so() -> None:
    with Engine() as engine:
        here = engine._server.context.keyspace
        there = Keyspace(here.databases, here.stripes, like=here)
        filled(there, b"k")
        engine.execute("WATCH", "k")
        here.exchange(there)
        engine.execute("MULTI")
        engine.execute("SET", "k", "1")
        done = threading.Thread(target=engine.execute, args=("SET", "k", "2"))
        done.start()
        done.join()
        assert engine.execute("EXEC") is None


@pytest.mark.parametrize("late", [False, True])
def test_the_least_recently_used_of_what_came_is_evicted_first(late: bool) -> None:
    here = Keyspace(1, 4)
    if not late:
        here.configure(policy=LRU)
    there = Keyspace(1, 4, like=here)
    if late:  # the policy began while the other one was filled
        here.configure(policy=LRU)
    names = [b"k%d" % n for n in range(100)]
    for name in names:
        filled(there, name)  # each at a time of its own
    Database(there, 0).get(names[0])
    here.exchange(there)
    audit(here)
    here.configure(maxmemory=here.used_memory() - 1, tenacity=100)
    assert make_room(here)
    kept = set(Database(here, 0).keys())
    assert names[0] in kept
    assert names[1] not in kept


def test_a_cursor_of_scan_goes_on_in_what_came() -> None:
    here = Keyspace(1, 4)
    there = Keyspace(1, 4, like=here)
    names = {b"k%d" % n for n in range(500)}
    filled(here, *names)
    filled(there, *names)
    db = Database(here, 0)
    cursor, found = db.scan(0, 10)
    seen = set(found)
    here.exchange(there)
    while cursor:
        cursor, found = db.scan(cursor, 10)
        seen |= set(found)
    assert seen == names


def test_readers_see_the_one_or_the_other_whole() -> None:
    here = Keyspace(1, 16)
    there = Keyspace(1, 16, like=here)
    names = [b"k%d" % n for n in range(40)]
    for keyspace, value in ((here, b"old"), (there, b"new")):
        for name in names:
            Database(keyspace, 0).set(name, value)
    mixed, stop = list[set[bytes | None]](), threading.Event()

    def look() -> None:
        while not stop.is_set():
            db = Database(here, 0)
            db.lock_all()
            found = {db.get(name) for name in names}
            db.unlock()
            if len(found) != 1:
                mixed.append(found)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        here.exchange(there)
    stop.set()
    for reader in readers:
        reader.join()
    assert mixed == []
    audit(here)
    audit(there)


def test_it_goes_under_locks_that_are_held() -> None:
    here = Keyspace(1, 4)
    there = Keyspace(1, 4, like=here)
    filled(there, b"k")
    db = Database(here, 0)
    db.lock_all()
    db.exchange(there)
    db.unlock()
    assert Database(here, 0).exists(b"k")
    db.lock([b"k"])
    with pytest.raises(AssertionError, match="everything or nothing"):
        db.exchange(there)
    db.unlock()


@pytest.mark.parametrize("other", [Keyspace(1, 4), Keyspace(1, 8), Keyspace(2, 4)])
def test_only_one_that_was_made_alike_can_be_exchanged(other: Keyspace) -> None:
    with pytest.raises(ValueError, match="made like this one"):
        Keyspace(1, 4).exchange(other)
    with pytest.raises(ValueError, match="itself"):
        other.exchange(other)


def test_limits_of_the_first_hold_for_one_that_is_made_like_it() -> None:
    with Engine(hash_max_listpack_entries=3) as engine:
        here = engine._server.context.keyspace
        there = Keyspace(here.databases, here.stripes, like=here)
        db = Database(there, 0)
        db.lock([b"h"])
        for n in range(4):
            db.hash_(b"h", create=True).set(b"field %d" % n, b"")
        facts = db.inspect(b"h")
        db.unlock()
        assert facts is not None
        assert facts["encoding"] == "hashtable"
