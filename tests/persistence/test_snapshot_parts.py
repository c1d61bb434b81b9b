"""The pure parts under `rlite snapshot`: shapes of values, filters, prefixes, sums, sources of bytes."""

import gzip
import io
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.snapshots import OLD_FORMS, old_file, rdb, string, text

from rlite.engine.persistence.byte_source import ByteSource, CompressionError
from rlite.engine.persistence.inspecting import Found, Statistics, range_of
from rlite.engine.persistence.prefixes import PrefixTree
from rlite.engine.persistence.rdb_shapes import elements_of, lzf_head, shape_of
from rlite.engine.persistence.selecting import TtlRange, Wanted, parse_duration, parse_ttl
from rlite.engine.persistence.snapshot_key import SnapshotKey, encoded
from rlite.engine.persistence.snapshot_reading import Checksum, DamagedError, End, Header, SnapshotReader
from rlite.engine.types.rdb_string import RdbError, get_length, put_string
from rlite.engine.types.rdb_values import Fields, putter


def read(data: bytes, size: int = 1 << 18) -> list[object]:
    pieces = iter([data[at : at + size] for at in range(0, len(data), size)])
    return list(SnapshotReader(pieces).events())


# --- shapes ---


@pytest.mark.parametrize("form", OLD_FORMS, ids=lambda form: form[4])
def test_old_forms_are_counted_and_decoded(form: tuple[bytes, int, bytes, str, str, int, object]) -> None:
    key, kind, raw, type_, encoding, elements, meant = form
    shape = shape_of(kind, raw)
    assert (shape.type, shape.encoding, shape.elements) == (type_, encoding, elements)
    value = SnapshotKey(0, key, kind, raw).value()
    assert (dict(value.pairs) if isinstance(value, Fields) else value) == meant


TEXTS = st.binary(max_size=70)


@given(
    st.one_of(
        st.lists(TEXTS, min_size=1, max_size=300),
        st.sets(TEXTS, min_size=1),
        st.sets(st.integers(-(2**63), 2**63 - 1).map(lambda n: b"%d" % n), min_size=1),
        st.dictionaries(TEXTS, st.floats(allow_nan=False), min_size=1),
        st.dictionaries(TEXTS, TEXTS, min_size=1).map(lambda pairs: Fields(list(pairs.items()))),
        st.dictionaries(TEXTS, TEXTS, min_size=1).map(
            lambda pairs: Fields(list(pairs.items()), {next(iter(pairs)): 4102444800000})
        ),
    ),
    st.booleans(),
)
def test_elements_are_counted_without_decoding(value: object, compressed: bool) -> None:
    kind, raw = encoded(value, putter(compressed))  # type: ignore[arg-type]
    assert elements_of(kind, raw) == len(value.pairs if isinstance(value, Fields) else value)  # type: ignore[arg-type]
    assert SnapshotKey(0, b"k", kind, raw).value() == value


@given(st.binary(max_size=20).map(lambda unit: unit * 50), st.integers(0, 30))
def test_the_head_of_a_compressed_string_is_that_of_the_whole(whole: bytes, want: int) -> None:
    packed = put_string(whole, compressed=True)
    if packed[:1] != b"\xc3":
        return
    size, _, at = get_length(packed, 1)
    _, _, at = get_length(packed, at)
    assert lzf_head(packed, at, at + size, want) == whole[:want]


@given(st.integers(0, 25), st.binary(max_size=60))
def test_the_shape_of_garbage_is_a_number_or_a_fault(kind: int, raw: bytes) -> None:
    try:
        shape = shape_of(kind, raw)
    except RdbError:
        return
    assert shape.elements >= 0


# --- filters ---


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("5", 5000), ("250ms", 250), ("1.5h", 5_400_000), ("2d", 172_800_000), ("1w", 604_800_000), ("0s", 0)],
)
def test_durations(written: str, milliseconds: int) -> None:
    assert parse_duration(written) == milliseconds


@pytest.mark.parametrize("written", ["", "h", "-5s", "5 parsecs", "1h30m", "<", "..", "1h..x"])
def test_what_is_no_duration_is_refused_with_what_would_be_one(written: str) -> None:
    with pytest.raises(ValueError, match="as in 90s"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "held", "not_held"),
    [
        ("none", [None], [0, 5, -5]),
        ("any", [0, 10**12, -5], [None]),
        ("<1h", [-1, 0, 3_599_999], [3_600_000, None]),
        (">1h", [3_600_000, 10**12], [3_599_999, None]),
        ("1h..1d", [3_600_000, 86_399_999], [3_599_999, 86_400_000, None]),
        ("..1s", [-5, 999], [1000, None]),
        ("1s..", [1000], [999, None]),
    ],
)
def test_ranges_of_times_to_live(written: str, held: list[int | None], not_held: list[int | None]) -> None:
    range_ = parse_ttl(written)
    assert all(range_.holds(left) for left in held)
    assert not any(range_.holds(left) for left in not_held)


@pytest.mark.parametrize("written", ["1h", "", "<", "> x", "none..1h"])
def test_what_is_no_range_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        parse_ttl(written)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(1000), {"a:1", "a:2", "b"}),
        (Wanted(1000, match=(b"a:*",)), {"a:1", "a:2"}),
        (Wanted(1000, match=(b"b", b"a:1")), {"a:1", "b"}),
        (Wanted(1000, types=frozenset({"hash"})), {"b"}),
        (Wanted(1000, databases=frozenset({1})), {"a:2"}),
        (Wanted(1000, min_size=50), {"a:2", "b"}),
        (Wanted(1000, min_size=50, max_size=50), {"a:2"}),
        (Wanted(1000, expired=True), {"a:1"}),
        (Wanted(1000, expired=False), {"a:2", "b"}),
        (Wanted(1000, ttl=(TtlRange(none=True),)), {"b"}),
        (Wanted(1000, ttl=(TtlRange(none=True), TtlRange(high=0))), {"b", "a:1"}),
        (Wanted(1000, match=(b"a:*",), expired=False), {"a:2"}),
    ],
)
def test_a_key_is_wanted_when_all_of_it_holds(wanted: Wanted, names: set[str]) -> None:
    keys = [(0, b"a:1", "string", 10, 900), (1, b"a:2", "string", 50, 1001), (0, b"b", "hash", 99, None)]
    test = wanted.test()
    assert {key[1].decode() for key in keys if test(*key)} == names


# --- sums ---


def found(key: bytes, size: int, deadline: int | None = None, type_: str = "list") -> Found:
    return Found(size, 0, key, type_, "raw", 2, deadline, None, None, 0)


def test_statistics_add_up() -> None:
    statistics = Statistics(1000, top=2)
    for one in (found(b"a", 5), found(b"b", 7, 900), found(b"c", 9, 61_000), found(b"d", 1, None, "string")):
        statistics.add(one)
    total = statistics.total
    assert (total.keys, total.size, total.elements, total.volatile, total.expired) == (4, 22, 6, 2, 1)
    assert [one.key for one in statistics.largest] == [b"c", b"b"]
    assert [(type_, sum_.keys) for (type_,), sum_ in statistics.by(1)] == [("list", 3), ("string", 1)]
    assert {name: sum_.keys for name, sum_ in statistics.ttl_ranges() if sum_.keys} == {
        "expired": 1, "1m to 1h": 1, "no ttl": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("left", "name"),
    [(-1, "expired"), (0, "expired"), (1, "under 1m"), (59_999, "under 1m"), (60_000, "1m to 1h"),
     (86_400_000, "1d to 7d"), (10**13, "over 30d")],
)  # fmt: skip
def test_each_time_left_has_one_range(left: int, name: str) -> None:
    assert range_of(left) == name


def test_prefixes_form_a_tree_whose_parents_hold_their_children() -> None:
    tree = PrefixTree(b":", 2)
    for key, size in ((b"a:b:c:d", 10), (b"a:b:x", 5), (b"a:z", 2), (b"q:1", 40), (b"plain", 3)):
        tree.add(key, size)
    assert [(row.prefix, row.depth, row.keys, row.size) for row in tree.rows(0)] == [
        (b"q:", 1, 1, 40), (b"a:", 1, 3, 17), (b"a:b:", 2, 2, 15),
    ]  # fmt: skip
    assert [row.prefix for row in tree.rows(1)] == [b"q:"]
    for number in range(500):
        tree.add(b"a:%d:x" % number, 1)
    assert [row.prefix for row in tree.rows(9)] == [b"a:", b"a:b:", b"q:"]


def test_the_tree_of_prefixes_stays_small_and_keeps_what_is_large() -> None:
    tree = PrefixTree(b":", 2, most=100)
    order = [(b"user:%d:name" % i, 1) for i in range(5000)] + [
        (b"big:%d:x" % (i % 5), 50) for i in range(500)
    ]
    random.Random(1).shuffle(order)
    for key, size in order:
        tree.add(key, size)
    rows = {row.prefix: row for row in tree.rows(0)}
    assert len(rows) <= 101
    assert rows[b"user:"].keys == 5000
    assert rows[b"big:"].size == 25_000
    assert all(rows[b"big:%d:" % i].size >= 5000 - 50 * 30 for i in range(5))
    assert tree.folded


# --- reading ---


def test_a_file_in_pieces_of_any_size_reads_the_same() -> None:
    data = rdb([string(b"key:%d" % i, b"v" * i) for i in range(200)])
    whole = read(data)
    assert [read(data, size) for size in (1, 2, 7, 100, 4096)] == [whole] * 5
    assert isinstance(whole[0], Header)
    end = whole[-1]
    assert isinstance(end, End)
    assert (end.checksum, end.offset) == (Checksum.GOOD, len(data))
    sizes = [key.size for key in whole if isinstance(key, SnapshotKey)]
    assert len(sizes) == 200
    assert sum(sizes) < len(data)


@pytest.mark.parametrize("version", [3, 4, 5, 9])
def test_old_versions_are_read_and_their_checksum_is_not_invented(version: int) -> None:
    events = read(old_file(version))
    end = events[-1]
    assert isinstance(end, End)
    assert end.checksum is (Checksum.NONE if version < 5 else Checksum.OFF)
    assert sum(isinstance(event, SnapshotKey) for event in events) == len(OLD_FORMS)


def test_a_file_cut_anywhere_tells_where_and_yields_what_was_whole() -> None:
    data = rdb(
        [string(b"a", b"1234567890"), string(b"b", deadline=5), SnapshotKey(1, b"c", 2, b"\x01" + text(b"m"))]
    )
    whole = [event for event in read(data) if isinstance(event, SnapshotKey)]
    for cut in range(len(data)):
        reader = SnapshotReader(iter([data[:cut]]))
        events: list[object] = []
        with pytest.raises(DamagedError) as fault:
            events.extend(reader.events())
        keys = [event for event in events if isinstance(event, SnapshotKey)]
        assert 0 <= fault.value.offset <= cut
        assert keys == [key for key in whole if key.offset + key.size <= cut]


def test_a_flipped_bit_never_passes_for_good() -> None:
    data = rdb(
        [string(b"a", b"1234567890"), string(b"b", deadline=5), SnapshotKey(1, b"c", 2, b"\x01" + text(b"m"))]
    )
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        try:
            end = read(bytes(changed))[-1]
        except DamagedError:
            continue
        assert isinstance(end, End)
        assert end.checksum is not Checksum.GOOD or at >= len(data) - 8


def test_what_follows_the_end_is_left_alone() -> None:
    data = rdb([string(b"a")])
    for size in (3, 1000):
        both = data + b"*1\r\n$4\r\nPING\r\n" * 3
        reader = SnapshotReader(iter([both[at : at + size] for at in range(0, len(both), size)]))
        assert isinstance(list(reader.events())[-1], End)
        assert b"".join(reader.rest()) == both[len(data) :]


@pytest.mark.parametrize(
    ("kind", "version"), [(0, 10), (18, 10), (19, 10), (20, 11), (21, 11), (24, 12), (25, 12)]
)
def test_the_oldest_version_that_knows_a_type_is_claimed(kind: int, version: int) -> None:
    key = SnapshotKey(0, b"k", kind, b"\x00" * 100)
    assert int.from_bytes(key.payload()[-10:-8], "little") == version
    assert rdb([string(b"a"), key]).startswith(b"REDIS%04d" % version)


# --- sources of bytes ---


def pieces(path: Path) -> bytes:
    with ByteSource(path) as source:
        return b"".join(source.pieces())


@pytest.mark.parametrize("content", [b"", b"x", b"REDIS", os.urandom(1_000_000), b"\x1f"])
def test_a_plain_file_comes_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert pieces(tmp_path / "f") == content


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(700_000), b"z" * 3_000_000])
def test_gzip_is_known_by_its_first_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]))
    assert pieces(tmp_path / "f") == content


def test_gzip_that_is_cut_gives_what_is_there_and_then_the_fault(tmp_path: Path) -> None:
    content = os.urandom(500_000)
    packed = gzip.compress(content)
    for cut in (2, 5, 11, 1000, len(packed) // 2, len(packed) - 9, len(packed) - 1):
        (tmp_path / "f").write_bytes(packed[:cut])
        got = io.BytesIO()
        with ByteSource(tmp_path / "f") as source, pytest.raises(CompressionError, match="is cut"):
            got.writelines(source.pieces())
        assert content.startswith(got.getvalue())
        assert len(got.getvalue()) >= min(cut, len(content)) - 1100


def test_gzip_with_a_changed_byte_is_a_fault(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"hello" * 1000))
    packed[-6] ^= 1
    (tmp_path / "f").write_bytes(packed)
    with pytest.raises(CompressionError, match="damaged"):
        pieces(tmp_path / "f")
