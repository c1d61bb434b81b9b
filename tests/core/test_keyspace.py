"""The table, the heap, the order of access and the accounts, against a plain dict and against their own
audit.
"""

import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rlite.engine.core.audit import audit
from rlite.engine.core.database import Database
from rlite.engine.core.eviction import make_room
from rlite.engine.core.keyspace import Keyspace

KEYS = st.integers(0, 40).map(lambda n: b"key:%d" % n)
VALUES = st.one_of(st.binary(max_size=40), st.integers(0, 5000).map(lambda n: b"v" * n))
FAR = 10**10  # milliseconds from now


class KeyspaceMachine(RuleBasedStateMachine):
    """Random programs of the Database's methods; the model is a dict of (value, deadline)."""

    @initialize(stripes=st.sampled_from([1, 2, 16, 64]))
    def make(self, stripes: int) -> None:
        self.keyspace = Keyspace(2, stripes)
        self.db = Database(self.keyspace, 0)
        self.model: dict[bytes, tuple[bytes, int | None]] = {}
        self.now = int(time.time() * 1000)

    @rule(key=KEYS, value=VALUES, keep=st.booleans())
    def set(self, key: bytes, value: bytes, keep: bool) -> None:
        self.db.set(key, value, keep)
        old = self.model.get(key)
        self.model[key] = value, old[1] if old and keep else None

    @rule(key=KEYS, offset=st.integers(0, 3000), data=st.binary(min_size=1, max_size=50))
    def write(self, key: bytes, offset: int, data: bytes) -> None:
        self.db.write(key, offset, data)
        old, at = self.model.get(key, (b"", None))
        padded = old.ljust(offset, b"\0")
        self.model[key] = padded[:offset] + data + padded[offset + len(data) :], at

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        assert self.db.delete(key) == (self.model.pop(key, None) is not None)

    @rule(key=KEYS, ahead=st.integers(1, 1000))
    def give_deadline(self, key: bytes, ahead: int) -> None:
        at = self.now + FAR + ahead
        assert self.db.set_deadline(key, at) == (key in self.model)
        if key in self.model:
            self.model[key] = self.model[key][0], at

    @rule(key=KEYS)
    def take_deadline(self, key: bytes) -> None:
        self.db.set_deadline(key, None)
        if key in self.model:
            self.model[key] = self.model[key][0], None

    @rule(key=KEYS)
    def lapse(self, key: bytes) -> None:
        """A deadline in the past: gone at the next look, whoever looks."""
        self.db.set_deadline(key, 1)
        self.model.pop(key, None)
        assert self.db.get(key) is None

    @rule(source=KEYS, name=KEYS, other=st.booleans())
    def copy(self, source: bytes, name: bytes, other: bool) -> None:
        if source == name:
            return
        self.db.lock([source, name])
        done = self.db.copy(source, self.db, name)
        self.db.unlock()
        assert done == (source in self.model)
        if done:
            self.model[name] = self.model[source]
        else:
            self.model.pop(name, None)

    @rule(many=st.integers(1, 400))
    def grow_and_shrink(self, many: int) -> None:
        for n in range(many):
            self.db.set(b"more:%d" % n, b"x")
        for n in range(many):
            assert self.db.delete(b"more:%d" % n)

    @rule()
    def flush(self) -> None:
        self.db.flush().bury()
        self.model.clear()

    @rule()
    def swap_twice(self) -> None:
        self.db.swap(0, 1)
        assert self.keyspace.size(0) == 0
        self.db.swap(0, 1)

    @invariant()
    def same_as_the_model(self) -> None:
        assert sorted(self.db.keys()) == sorted(self.model)
        for key, (value, at) in self.model.items():
            assert self.db.get(key) == value
            assert self.db.deadline(key) == at

    @invariant()
    def the_books_are_right(self) -> None:
        assert audit(self.keyspace) == self.keyspace.used_memory()
        assert self.keyspace.size(0) == len(self.model)
        assert self.keyspace.volatile_size(0) == sum(at is not None for _, at in self.model.values())

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.flush(everything=True).bury()
            assert self.keyspace.used_memory() == 0


TestKeyspace = KeyspaceMachine.TestCase
TestKeyspace.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def filled(policy: int, count: int = 200, stripes: int = 16) -> tuple[Keyspace, Database]:
    keyspace = Keyspace(1, stripes)
    keyspace.configure(policy=policy)
    db = Database(keyspace, 0)
    for n in range(count):
        Database(keyspace, 0).set(b"key:%03d" % n, b"v" * 100)
    return keyspace, db


def squeeze(keyspace: Keyspace, share: float) -> None:
    """Sets maxmemory so that about this share of the keys may stay, and evicts."""
    keyspace.configure(maxmemory=int(keyspace.used_memory() * share), tenacity=100)
    assert make_room(keyspace)


def test_the_victims_of_lru_are_the_keys_used_longest_ago() -> None:
    keyspace, _ = filled(policy=1)
    used = list(range(0, 200, 3))
    for n in used:  # each look has a clock of its own, as each command has
        assert Database(keyspace, 0).get(b"key:%03d" % n) is not None
    order = [n for n in range(200) if n not in used] + used
    squeeze(keyspace, 0.6)
    left = set(Database(keyspace, 0).keys())
    gone = 200 - len(left)
    assert 0 < gone < 200
    assert left == {b"key:%03d" % n for n in order[gone:]}
    audit(keyspace)


@pytest.mark.parametrize("policy", [1, 4])
def test_a_policy_that_begins_to_look_at_the_order_finds_it(policy: int) -> None:
    keyspace, _ = filled(policy=0)
    later = int(time.time() * 1000) + FAR
    for n in range(200):
        Database(keyspace, 0).set_deadline(b"key:%03d" % n, later)
    order = sorted(range(200), key=lambda n: (n * 7919) % 200)
    for n in order:
        assert Database(keyspace, 0).get(b"key:%03d" % n) is not None
    keyspace.configure(policy=policy)
    audit(keyspace)
    squeeze(keyspace, 0.5)
    left = {int(key[4:]) for key in Database(keyspace, 0).keys()}
    assert left == set(order[200 - len(left) :])


def test_no_touch_leaves_the_order_alone() -> None:
    keyspace, _ = filled(policy=1, count=50)
    quiet = Database(keyspace, 0)
    quiet.no_touch = True
    assert quiet.get(b"key:000") is not None
    squeeze(keyspace, 0.9)
    assert not Database(keyspace, 0).exists(b"key:000")


def test_volatile_lru_takes_only_keys_with_a_deadline_and_the_oldest_first() -> None:
    keyspace, _ = filled(policy=4)
    later = int(time.time() * 1000) + FAR
    for n in range(0, 200, 2):
        Database(keyspace, 0).set_deadline(b"key:%03d" % n, later)
    squeeze(keyspace, 0.8)
    left = set(Database(keyspace, 0).keys())
    assert all(b"key:%03d" % n in left for n in range(1, 200, 2))
    evens = [n for n in range(0, 200, 2) if b"key:%03d" % n in left]
    assert evens == list(range(200 - 2 * len(evens), 200, 2))


def test_volatile_ttl_takes_the_nearest_deadline() -> None:
    keyspace, db = filled(policy=7)
    base = int(time.time() * 1000) + FAR
    for n in range(200):
        db.set_deadline(b"key:%03d" % n, base + (n * 7919) % 200)
    squeeze(keyspace, 0.5)
    left = {int(key[4:]) for key in db.keys()}
    order = sorted(range(200), key=lambda n: (n * 7919) % 200)
    assert left == set(order[200 - len(left) :])


def test_lfu_keeps_what_is_used_often() -> None:
    keyspace = Keyspace(1, 16)
    keyspace.configure(policy=2, lfu_log_factor=0, samples=10)
    db = Database(keyspace, 0)
    for n in range(200):
        db.set(b"key:%03d" % n, b"v" * 100)
    for _ in range(20):
        for n in range(0, 200, 10):
            db.get(b"key:%03d" % n)
    squeeze(keyspace, 0.5)
    left = set(db.keys())
    assert sum(b"key:%03d" % n in left for n in range(0, 200, 10)) >= 19


@pytest.mark.parametrize("policy", [3, 6])
def test_random_policies_evict_until_there_is_room(policy: int) -> None:
    keyspace, db = filled(policy=policy)
    for n in range(200):
        db.set_deadline(b"key:%03d" % n, int(time.time() * 1000) + FAR)
    squeeze(keyspace, 0.5)
    assert 0 < keyspace.size(0) < 200
    assert keyspace.counters()["evicted_keys"] == 200 - keyspace.size(0)
    audit(keyspace)


@pytest.mark.parametrize("policy", [4, 5, 6, 7])
def test_a_volatile_policy_without_volatile_keys_makes_no_room(policy: int) -> None:
    keyspace, _ = filled(policy=policy)
    keyspace.configure(maxmemory=1000)
    assert not make_room(keyspace)
    assert keyspace.size(0) == 200


def test_the_keeper_removes_what_is_due_and_nothing_else() -> None:
    keyspace = Keyspace(4, 16)
    now = int(time.time() * 1000)
    for d in range(4):
        db = Database(keyspace, d)
        for n in range(300):
            db.set(b"due:%d" % n, b"x")
            db.set_deadline(b"due:%d" % n, now - 1)
            db.set(b"later:%d" % n, b"x")
            db.set_deadline(b"later:%d" % n, now + FAR)
    keyspace.keep(10**9)
    assert [keyspace.size(d) for d in range(4)] == [300] * 4
    assert keyspace.counters()["expired_keys"] == 1200
    audit(keyspace)


def test_threads_straight_on_the_keyspace_leave_sound_books() -> None:
    keyspace = Keyspace(2, 16)

    def work(seed: int) -> None:
        for n in range(3000):
            db = Database(keyspace, n % 2)
            key = b"key:%d" % ((n * seed) % 500)
            db.set(key, b"v" * (n % 300))
            if n % 3 == 0:
                db.set_deadline(key, int(time.time() * 1000) + 50)
            if n % 5 == 0:
                db.delete(key)
            if n % 500 == 0:
                keyspace.keep(10**6)
                db.swap(0, 1)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audit(keyspace) == keyspace.used_memory()


@pytest.mark.parametrize("stripes", [0, 3, 128, -1])
def test_the_number_of_stripes_must_be_a_power_of_two_up_to_64(stripes: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Keyspace(16, stripes)
