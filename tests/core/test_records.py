"""Records of the log: what is sealed reads back, what is not as it was does not."""

import random
import zlib

from hypothesis import given
from hypothesis import strategies as st

from rlite.engine.core.records import checksum, find_record, read_record, sealed
from rlite.engine.persistence.segment import Header, read_header

RESP = st.binary(min_size=1, max_size=200)
SEED = Header("a" * 40, 0, 0, 12345).seed


@given(st.integers(1, 700), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_the_checksum_is_zlibs_at_every_length(size: int, before: int, dice: random.Random) -> None:
    data = dice.randbytes(size)
    assert checksum(data, before) == zlib.crc32(data, before)


@given(RESP, st.integers(0, 2**60), st.integers(0, 2**60), st.integers(0, 2**31 - 1))
def test_a_sealed_record_reads_back_and_has_zlibs_checksum(
    resp: bytes, offset: int, ms: int, database: int
) -> None:
    record = sealed(resp, offset, ms, database, SEED)
    assert int.from_bytes(record[-4:], "little") == zlib.crc32(record[:-4], SEED)
    assert read_record(record, 0, SEED) == ("good", (offset, ms, database, resp, len(record)))


@given(RESP, st.data())
def test_a_record_with_one_byte_changed_is_never_good(resp: bytes, data: st.DataObject) -> None:
    record = bytearray(sealed(resp, 7, 8, 9, SEED))
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    assert read_record(bytes(record), 0, SEED)[0] != "good"


@given(st.lists(RESP, min_size=1, max_size=5), st.data())
def test_a_cut_record_is_short_and_the_ones_before_it_are_good(
    parts: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(sealed(part, n, 0, 0, SEED) for n, part in enumerate(parts))
    cut = data.draw(st.integers(0, len(whole)))
    at, found = 0, []
    while True:
        state, record = read_record(whole[:cut], at, SEED)
        if record is None:
            break
        found.append(record[3])
        at = record[4]
    assert found == parts[: len(found)]
    assert state == ("end" if at == cut else "short")


def test_a_record_is_found_again_behind_damage_and_one_of_another_file_is_not() -> None:
    stale = sealed(b"stale", 50, 0, 0, SEED + 1)
    good = sealed(b"good", 60, 0, 0, SEED)
    assert find_record(b"\x07rubbish" + stale + good, 0, SEED, 10) == 8 + len(stale)
    assert find_record(b"\x07rubbish" + stale + good, 0, SEED, 61) is None
    assert find_record(b"", 0, SEED, 0) is None


def test_a_header_reads_back() -> None:
    header = Header.new("0123456789" * 4, 99)
    assert read_header(header.packed() + b"more") == header
