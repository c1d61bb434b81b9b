"""What is random by itself, held against what it must be: SPOP and its kind take or show what is there; walks
with HSCAN, SSCAN or ZSCAN show whatever was there all the time.
"""

import random
from collections import Counter

import pytest
from support.servers import Server
from support.wire import Array, Bulk, Int, Null, Reply, Wire

SIZES = [1, 5, 100, 3000]


def names(reply: Reply) -> list[bytes]:
    assert isinstance(reply, Array)
    return [item.data for item in reply.items if isinstance(item, Bulk)]


def filled(wire: Wire, size: int, kind: str) -> set[bytes]:
    """A key `k` with so many members."""
    members = [str(n) if kind == "intset" else f"member:{n}" for n in range(size)]
    wire.command("DEL", "k")
    if kind in ("set", "intset"):
        wire.command("SADD", "k", *members)
    elif kind == "hash":
        wire.command("HSET", "k", *(word for name in members for word in (name, "v" + name)))
    else:
        wire.command("ZADD", "k", *(word for n, name in enumerate(members) for word in (n, name)))
    return {name.encode() for name in members}


@pytest.mark.parametrize("kind", ["set", "intset"])
@pytest.mark.parametrize("size", SIZES)
def test_spop_takes_what_is_there_once(rlite: Server, size: int, kind: str) -> None:
    with rlite.wire() as wire:
        left = filled(wire, size, kind)
        while left:
            count = random.Random(len(left)).randint(1, max(1, len(left) // 3))
            if len(left) % 2:
                one = wire.command("SPOP", "k")
                assert isinstance(one, Bulk)
                taken = [one.data]
            else:
                taken = names(wire.command("SPOP", "k", count))
                assert len(taken) == count
            assert len(set(taken)) == len(taken)
            assert set(taken) <= left
            left -= set(taken)
            assert wire.command("SCARD", "k") == Int(len(left))
        assert wire.command("EXISTS", "k") == Int(0)
        assert wire.command("SPOP", "k") == Null(b"$")
        assert wire.command("SPOP", "k", 3) == Array(())


RANDOM = {"set": "SRANDMEMBER", "intset": "SRANDMEMBER", "hash": "HRANDFIELD", "zset": "ZRANDMEMBER"}


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("size", SIZES)
def test_random_members_are_members(rlite: Server, size: int, kind: str) -> None:
    command = RANDOM[kind]
    with rlite.wire() as wire:
        there = filled(wire, size, kind)
        one = wire.command(command, "k")
        assert isinstance(one, Bulk)
        assert one.data in there
        for count in (1, size // 2, size - 1, size, size + 10):
            found = names(wire.command(command, "k", count))
            assert len(found) == len(set(found)) == min(count, size)
            assert set(found) <= there
        for count in (1, 7, size * 2):
            found = names(wire.command(command, "k", -count))
            assert len(found) == count
            assert set(found) <= there
        assert wire.command(command, "nosuch") == Null(b"$")
        assert wire.command(command, "nosuch", 5) == Array(())
        if kind == "hash":
            pairs = names(wire.command(command, "k", 3, "WITHVALUES"))
            assert all(value == b"v" + name for name, value in zip(pairs[::2], pairs[1::2], strict=True))


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("size", [10, 600])
def test_every_member_has_its_chance(rlite: Server, size: int, kind: str) -> None:
    draws = 200 * size
    with rlite.wire() as wire:
        filled(wire, size, kind)
        found = Counter(names(wire.command(RANDOM[kind], "k", -draws)))
    # 200 each are expected, with a deviation of 14; seven of those come by chance once in 100,000 runs.
    assert len(found) == size
    assert min(found.values()) > 100
    assert max(found.values()) < 300


# How to add and to remove a member, and the words behind the key.
CHANGES = {
    "set": ("SADD", "SREM", "name"),
    "hash": ("HSET", "HDEL", "name", "v"),
    "zset": ("ZADD", "ZREM", "1", "name"),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("seed", range(5))
def test_a_walk_shows_what_was_there_all_the_time(rlite: Server, kind: str, seed: int) -> None:
    dice = random.Random(seed)
    size = dice.choice([10, 200, 2000])
    scan = {"set": "SSCAN", "hash": "HSCAN", "zset": "ZSCAN"}[kind]
    with rlite.wire() as wire:
        there = filled(wire, size, kind)
        kept = set(dice.sample(sorted(there), len(there) // 2))
        others = sorted(there - kept)
        seen: set[bytes] = set()
        cursor, turns = b"0", 0
        while turns == 0 or cursor != b"0":
            reply = wire.command(scan, "k", cursor, "COUNT", dice.randint(1, 50))
            assert isinstance(reply, Array)
            assert isinstance(reply.items[0], Bulk)
            cursor, found = reply.items[0].data, names(reply.items[1])
            seen |= set(found if kind == "set" else found[::2])
            turns += 1
            assert turns < 10 * size
            # Meanwhile others come and go, enough of them for the table to grow or shrink.
            for _ in range(dice.randint(0, 30)):
                name = dice.choice(others) if dice.random() < 0.5 else b"new:%d" % dice.randrange(5000)
                add, remove, *more = CHANGES[kind]
                if dice.random() < 0.5:
                    wire.command(remove, "k", name)
                else:
                    wire.command(add, "k", *(name if word == "name" else word for word in more))
        assert kept <= seen
