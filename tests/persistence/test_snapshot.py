"""Snapshots: what is written comes back, here and in Redis; what is damaged is refused with its offset."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from persistence.snapshots import FAR_MS, PROGRAM, digest, engine, fill, loaded, saved

from rlite.engine import Engine
from rlite.engine.core.audit import audit
from rlite.engine.core.crc64 import crc64
from rlite.engine.core.database import Database
from rlite.engine.persistence.snapshot import SnapshotError


@pytest.fixture
def made() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def make(**directives: object) -> Engine:
        engines.append(engine(**directives))
        return engines[-1]

    yield make
    for each in engines:
        each.close()


Make = Callable[..., Engine]


def facts(of: Engine) -> dict[object, tuple[object, ...]]:
    """What DIGEST does not tell of each key: its encoding and its deadline."""
    keys = of.execute("KEYS", "*")
    assert isinstance(keys, list)
    return {
        key: (of.execute("OBJECT", "ENCODING", key), of.execute("PEXPIRETIME", key))
        for key in keys  # type: ignore[arg-type]
    }


def groups(of: Engine) -> list[object]:
    """What DIGEST does not tell of the stream's groups."""
    found = []
    for consumer in ("ann", "bob"):
        pending = of.execute("XPENDING", "stream", "group", "-", "+", 100, consumer)
        assert isinstance(pending, list)
        found.append([(entry[0], entry[1], entry[3]) for entry in pending])  # type: ignore[index]
    return [of.execute("XPENDING", "stream", "group"), of.execute("XINFO", "GROUPS", "stream"), *found]


def is_sound(of: Engine) -> bool:
    audit(of._server.keyspace)
    return True


@pytest.mark.parametrize("compressed", ["yes", "no"])
@pytest.mark.parametrize("checked", ["yes", "no"])
def test_every_type_and_encoding_comes_back(
    made: Make, tmp_path: Path, compressed: str, checked: str
) -> None:
    one, other = made(rdbcompression=compressed, rdbchecksum=checked), made()
    fill(one)
    data = saved(one)
    assert data[:9] == b"REDIS0010"
    assert (data[-8:] == bytes(8)) == (checked == "no")
    result = loaded(other, data, tmp_path / "x.rdb")
    assert (result.version, result.end, result.dropped) == (10, len(data), [])
    assert result.aux[b"redis-bits"] == b"64"
    assert digest(one) == digest(other)
    assert facts(one) == facts(other)
    assert groups(one) == groups(other)
    assert is_sound(other)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.binary(max_size=30),
        st.one_of(
            st.binary(max_size=200),
            st.integers(-(2**63), 2**63 - 1).map(lambda n: b"%d" % n),
            st.lists(st.binary(max_size=90), min_size=1, max_size=40),
            st.sets(st.binary(max_size=20), min_size=1, max_size=40),
            st.sets(st.integers(-(2**63), 2**63 - 1).map(lambda n: b"%d" % n), min_size=1, max_size=40),
            st.dictionaries(st.binary(max_size=90), st.floats(allow_nan=False), min_size=1, max_size=20),
            st.lists(st.tuples(st.binary(max_size=90), st.binary(max_size=90)), min_size=1, max_size=20).map(
                tuple
            ),
        ),
        max_size=12,
    ),
    st.integers(0, 15),
)
def test_random_keyspaces_come_back(tmp_path: Path, values: dict[bytes, object], database: int) -> None:
    with engine() as one, engine() as other:
        one.execute("SELECT", database)
        for key, value in values.items():
            match value:
                case bytes():
                    one.execute("SET", key, value)
                case list():
                    one.execute("RPUSH", key, *value)
                case set():
                    one.execute("SADD", key, *value)
                case dict():
                    one.execute(
                        "ZADD", key, *(part for name, score in value.items() for part in (score, name))
                    )
                case tuple():
                    one.execute("HSET", key, *(part for pair in value for part in pair))
        loaded(other, saved(one), tmp_path / "x.rdb")
        other.execute("SELECT", database)
        assert digest(one) == digest(other)
        assert facts(one) == facts(other)
        assert is_sound(other)


def test_fields_with_deadlines_come_back_in_a_newer_version(made: Make, tmp_path: Path) -> None:
    one, other = made(), made()
    one.execute("HSET", "h", "a", 1, "b", 2, "c", 3)
    one.execute("HPEXPIREAT", "h", FAR_MS, "FIELDS", 2, "a", "b")
    one.execute("HPEXPIREAT", "h", FAR_MS + 5000, "FIELDS", 1, "b")
    data = saved(one)
    assert data[:9] == b"REDIS0012"
    loaded(other, data, tmp_path / "x.rdb")
    assert digest(one) == digest(other)
    assert other.execute("HPEXPIRETIME", "h", "FIELDS", 3, "a", "b", "c") == [FAR_MS, FAR_MS + 5000, -1]


@pytest.mark.parametrize(("policy", "option"), [("allkeys-lru", "IDLETIME"), ("allkeys-lfu", "FREQ")])
def test_use_is_kept_where_a_policy_looks_at_it(made: Make, tmp_path: Path, policy: str, option: str) -> None:
    one, other = made(maxmemory_policy=policy), made(maxmemory_policy=policy)
    one.execute("SET", "k", "v")
    one.execute("XADD", "s", "*", "f", "v")
    for key in ("k", "s"):
        payload = one.execute("DUMP", key)
        one.execute("RESTORE", key, 0, payload, "REPLACE", option, 200)  # type: ignore[arg-type]
    loaded(other, saved(one), tmp_path / "x.rdb")
    for key in ("k", "s"):
        told = other.execute("OBJECT", option, key)
        assert isinstance(told, int)
        assert 198 <= told <= 202


def test_the_least_recently_used_go_first_after_loading(made: Make, tmp_path: Path) -> None:
    one = made(maxmemory_policy="allkeys-lru")
    for n in range(100):
        one.execute("SET", f"k{n}", "v")
        payload = one.execute("DUMP", f"k{n}")
        one.execute("RESTORE", f"k{n}", 0, payload, "REPLACE", "IDLETIME", 10 + 10 * n)  # type: ignore[arg-type]
    other = made(maxmemory_policy="allkeys-lru")
    loaded(other, saved(one), tmp_path / "x.rdb")
    other.execute("CONFIG", "SET", "maxmemory", other._server.keyspace.used_memory() - 1000)
    other.execute("PING")
    left = other.execute("KEYS", "*")
    assert isinstance(left, list)
    assert 0 < len(left) < 100
    assert sorted(left) == sorted(b"k%d" % n for n in range(len(left)))  # type: ignore[type-var]


def test_what_has_expired_is_left_out_when_a_time_is_given(made: Make, tmp_path: Path) -> None:
    one, all_, some = made(), made(), made()
    one._server.keyspace.configure(active_expire=False)
    one.execute("SET", "gone", "v")
    one.execute("SET", "stays", "v", "PXAT", FAR_MS)
    one.execute("XADD", "stream", "*", "f", "v")
    Database(one._server.keyspace, 0).set_deadline(b"gone", 1000)
    Database(one._server.keyspace, 0).set_deadline(b"stream", 1000)
    data = saved(one)
    all_._server.keyspace.configure(active_expire=False)
    result = loaded(all_, data, tmp_path / "x.rdb")
    assert (result.keys, result.expired, all_.execute("DBSIZE")) == (3, 0, 3)
    result = loaded(some, data, tmp_path / "x.rdb", now_ms=time.time_ns() // 1_000_000)
    assert (result.keys, result.expired, some.execute("DBSIZE")) == (1, 2, 1)


# --- damage ------------------------------------------------------------------------------------------------


def small() -> bytes:
    """A file with a key of each form, short enough to be damaged everywhere."""
    with engine() as one:
        for command in PROGRAM:
            if sum(len(str(part)) for part in command) < 60:
                one.execute(*command)  # type: ignore[arg-type]
        for n in range(4):
            one.execute("DEL", f"number:{n}")
        one.execute("XTRIM", "stream", "MAXLEN", 3)
        return saved(one)


SMALL = small()


def test_a_file_cut_at_any_byte_is_refused_with_the_offset_of_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.rdb"
    with engine() as other:
        for size in range(len(SMALL)):
            with pytest.raises(SnapshotError, match=r"x\.rdb: .*(empty|offset \d+)"):
                loaded(other, SMALL[:size], path)
            other.execute("FLUSHALL")
        assert loaded(other, SMALL, path).end == len(SMALL)
        assert is_sound(other)


def test_a_byte_that_changed_is_found_by_the_checksum_or_before(tmp_path: Path) -> None:
    numbers = random.Random(4)
    with engine() as other:
        for at in range(9, len(SMALL)):
            damaged = bytearray(SMALL)
            damaged[at] ^= 1 << numbers.randrange(8)
            with pytest.raises(SnapshotError, match=r"x\.rdb: .*offset \d+"):
                loaded(other, bytes(damaged), tmp_path / "x.rdb")
            other.execute("FLUSHALL")
        assert is_sound(other)


def test_damage_that_no_checksum_guards_never_harms_the_keyspace(tmp_path: Path) -> None:
    numbers = random.Random(5)
    body = SMALL[:-8]
    with engine() as other:
        for _ in range(500):
            damaged = bytearray(body)
            for _ in range(numbers.randrange(1, 4)):
                damaged[numbers.randrange(9, len(body))] = numbers.randrange(256)
            checksum = bytes(8) if numbers.random() < 0.5 else crc64(damaged).to_bytes(8, "little")
            try:
                loaded(other, bytes(damaged) + checksum, tmp_path / "x.rdb")
            except SnapshotError:
                pass
            else:
                digest(other)
                saved(other)
            assert is_sound(other)
            other.execute("FLUSHALL")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\xfe\x10\x00\x01a\x01b", "databases"),
        (b"\xfe\x00\x00\x01a\x01b\x00\x01a\x01c", "a key comes twice"),
        (b"\xfe\x00\x02\x01a\x00", "a set without members"),
        (b"\xfe\x00\x02\x01a\x02\x01x\x01x", "comes twice"),
        (b"\xfe\x00\x04\x01a\x02\x01x\x01y\x01x\x01y", "comes twice"),
        (b"\xfe\x00\x05\x01a\x01\x01x" + b"\xff" * 8, "no score"),
        (b"\xfe\x00\x10\x01a\x07\x07\x00\x00\x00\x01\x00\xff", "another count of elements"),
        (b"\xfe\x00\x06\x01a\x07", "module"),
        (b"\xfe\x00\x07\x01a\x01\x00", "module"),
        (b"\xfe\x00\x1a\x01a\x01x", "no item"),
        (b"\xfe\x00\x08\x01a\x01x", "no such type"),
        (b"\xfc" + bytes(8) + b"\xfe\x00", "belongs to no key"),
        (b"\xfe\x00\x00\xc3\x05\x06\x01a\x01b", "LZF"),
        (b"\xfe\x00\x0c\x01a\x03abc", "ziplist"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, body: bytes, text: str) -> None:
    with engine() as other, pytest.raises(SnapshotError, match=text) as caught:
        loaded(other, b"REDIS0011" + body + b"\xff" + bytes(8), tmp_path / "x.rdb")
    assert "offset" in str(caught.value)
