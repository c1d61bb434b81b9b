"""Hot keys: who is found, how well their rates are known, and what is forgotten."""

import itertools
import random
import time

from rlite.engine.core.hotkeys import HotKeys
from rlite.engine.core.keyspace import Keyspace

KEYS = 100_000
SECONDS = 2.0
RATE = 40_000  # uses a second


def zipf(uses: int, chooser: random.Random) -> list[int]:
    """Numbers of keys, drawn so that key n is used in proportion to 1 / (n + 1)."""
    shares = list(itertools.accumulate(1 / (n + 1) for n in range(KEYS)))
    return chooser.choices(range(KEYS), cum_weights=shares, k=uses)


def test_the_most_used_of_many_keys_are_found_and_their_rates_are_right() -> None:
    keys = HotKeys(Keyspace())
    drawn = zipf(int(SECONDS * RATE), random.Random(1))
    began = time.monotonic()
    keys.reset()
    for n, which in enumerate(drawn):
        keys.note(which % 3, [b"GET", b"%d" % which], [1], which % 2 == 0, 1000)
        if n % 1000 == 0:
            while time.monotonic() - began < n / RATE:
                pass
    found = keys.uses()
    took = time.monotonic() - began
    rates = {
        int(key): (uses - error, error, writes, ns, size, db)
        for db, key, _, _, uses, error, writes, ns, size in found
    }
    best = sorted(rates, key=lambda which: rates[which][0], reverse=True)[:20]
    counts = {which: drawn.count(which) for which in range(20)}
    assert len(set(best) & set(range(20))) >= 19
    for which in range(10):
        uses, error, writes, ns, size, database = rates[which]
        expected = counts[which] / took
        assert 0.8 * expected < uses + error < 1.2 * expected
        assert (writes > 0) == (which % 2 == 0)
        assert 0.9 < ns / (uses + error) / 1000 < 1.1
        assert 0.9 < size / (uses + error) / len(b"GET%d" % which) < 1.1
        assert database == which % 3


def test_a_list_is_bounded_and_long_keys_are_told_apart_though_only_their_beginnings_are_kept() -> None:
    keys = HotKeys(Keyspace())
    for n in range(5000):
        keys.note(0, [b"GET", b"x" * 200 + b"%d" % (n % 2)], [1], False, 1)
        keys.note(0, [b"GET", b"once %d" % n], [1], False, 1)
    found = keys.uses()
    assert len(found) == 512
    long = [(key, cut) for _, key, cut, *_ in found if key.startswith(b"x")]
    assert long == [(b"x" * 128, True)] * 2


def test_reset_forgets() -> None:
    keys = HotKeys(Keyspace())
    keys.note(0, [b"SET", b"a", b"1"], [1], True, 1)
    assert len(keys.uses()) == 1
    keys.reset()
    assert keys.uses() == []
