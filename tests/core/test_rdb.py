"""The walker over RDB files: what it tells, and that it stays inside any bytes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlite.engine.core.crc64 import crc64
from rlite.engine.core.rdb import Item, RdbError, Walker, get_string, put_string

SMALL = (
    b"REDIS0010"
    b"\xfa\x09redis-ver\x067.0.15"
    b"\xfe\x03\xfb\x02\x01"
    b"\xfc\x01\x00\x00\x00\x00\x00\x00\x00\xf9\x07\x00\x01k\xc0\x05"  # deadline, frequency, k = 5
    b"\xf8\x0a\x01\x01l\x02\x01a\x01b"  # idle 10 s, an old list
    b"\x10\x01h\x0f\x0f\x00\x00\x00\x02\x00\x81a\x02\x81b\x02\x01\x01\xff"
    b"\xff"
)
WHOLE = SMALL + crc64(SMALL).to_bytes(8, "little")


def walk(data: bytes) -> list[Item]:
    walker, at, found = Walker(), 0, []
    while not found or found[-1].kind != "end":
        item = walker.next(data, at, last=True)
        assert item is not None
        assert item.start == at < item.end <= len(data)
        found.append(item)
        at = item.end
    return found


def fault_of(data: bytes) -> int | None:
    """Where it is damaged; None: it is whole."""
    try:
        walk(data)
    except RdbError as fault:
        return -1 if fault.offset is None else fault.offset
    return None


def test_a_file_is_read_item_by_item() -> None:
    items = walk(WHOLE)
    assert [item.kind for item in items] == ["header", "aux", "select", "resize", "key", "key", "key", "end"]
    assert items[0].version == 10
    assert (items[1].name, items[1].text) == (b"redis-ver", b"7.0.15")
    assert (items[3].keys, items[3].volatiles) == (2, 1)
    string, list_, hash_ = items[4:7]
    assert (string.database, string.name, string.type) == (3, b"k", 0)
    assert (string.expire_ms, string.freq, string.idle_s) == (1, 7, None)
    assert (list_.name, list_.type, list_.idle_s, list_.expire_ms) == (b"l", 1, 10, None)
    assert hash_.value is not None
    assert WHOLE[hash_.value : hash_.end][0] == 15
    assert items[-1].checksum == crc64(SMALL)


def test_a_file_may_come_in_pieces() -> None:
    walker, buffer, base, kinds = Walker(), b"", 0, []
    for at in range(len(WHOLE)):
        buffer += WHOLE[at : at + 1]
        while (item := walker.next(buffer, 0, base=base)) is not None:
            kinds.append(item.kind)
            buffer, base = buffer[item.end :], base + item.end
            if item.kind == "end":
                break
    assert (len(kinds), buffer, base) == (8, b"", len(WHOLE))


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_file_that_is_cut_anywhere_is_an_error_that_says_where(size: int) -> None:
    with pytest.raises(RdbError, match="offset") as caught:
        walk(WHOLE[:size])
    assert caught.value.offset == size


def test_no_byte_that_changes_leads_outside_the_buffer() -> None:
    for at in range(len(WHOLE)):
        for value in range(256):
            damaged = bytearray(WHOLE)
            damaged[at] = value
            at_ = fault_of(bytes(damaged))
            assert at_ is None or 0 <= at_ <= len(WHOLE)


def test_garbage_behind_a_header_ends() -> None:
    numbers = random.Random(7)
    for _ in range(2000):
        at = fault_of(b"REDIS0012" + numbers.randbytes(60))
        assert at is None or at >= 9


@pytest.mark.parametrize(
    ("head", "text"),
    [(b"RODIS0010", "begins with REDIS"), (b"REDIS00x0", "no version"), (b"REDIS0013", "does not know")],
)
def test_a_header_that_is_none_is_named(head: bytes, text: str) -> None:
    with pytest.raises(RdbError, match=text):
        Walker().next(head, 0)


def test_the_offset_of_a_fault_counts_from_the_start_of_the_file() -> None:
    walker = Walker()
    walker.next(b"REDIS0010", 0)
    with pytest.raises(RdbError, match="at offset 1009"):
        walker.next(b"\xf0", 0, base=1009)


@given(st.binary(max_size=200) | st.integers(-(2**40), 2**40).map(lambda n: b"%d" % n), st.booleans())
def test_a_string_comes_back_from_its_form(value: bytes, compressed: bool) -> None:
    form = put_string(value, compressed=compressed)
    assert get_string(form, 0, 1000) == (value, len(form))
    assert len(form) <= len(value) + 5


def test_a_string_longer_than_allowed_is_refused_before_it_is_unpacked() -> None:
    form = put_string(b"a" * 1000, compressed=True)
    assert len(form) < 100
    with pytest.raises(RdbError, match="longer than allowed"):
        get_string(form, 0, 999)


def test_the_crc_is_the_one_of_redis_and_may_be_continued() -> None:
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA
    assert crc64(b"6789", crc64(b"12345")) == crc64(b"123456789")
    assert crc64(b"") == 0
