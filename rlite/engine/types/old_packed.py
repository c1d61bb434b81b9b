"""Packed forms that only old RDB files hold, read and never written: ziplist, zipmap; and the intset."""

from itertools import pairwise

from rlite.engine.types.rdb_string import RdbError, take

ZIPLIST_HEAD = 10
INTS = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}


def get_intset(data: bytes) -> list[bytes]:
    """The members of an intset: width and count (4 bytes each), then numbers in ascending order."""
    width, count = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
    if width not in (2, 4, 8) or len(data) != 8 + width * count:
        raise RdbError("no intset: its size is wrong")
    numbers = [
        int.from_bytes(data[at : at + width], "little", signed=True) for at in range(8, len(data), width)
    ]
    if any(one >= other for one, other in pairwise(numbers)):
        raise RdbError("an intset is not in order")
    return [b"%d" % number for number in numbers]


def put_intset(numbers: list[int]) -> bytes:
    """Numbers, which must be in ascending order."""
    width = next(
        width for width in (2, 4, 8) if all(-(1 << 8 * width - 1) <= n < 1 << 8 * width - 1 for n in numbers)
    )
    body = b"".join(number.to_bytes(width, "little", signed=True) for number in numbers)
    return width.to_bytes(4, "little") + len(numbers).to_bytes(4, "little") + body


def get_ziplist(data: bytes) -> list[bytes]:
    """The elements: each the length of the one before (1 or 5 bytes), its encoding, its bytes."""
    if len(data) <= ZIPLIST_HEAD or int.from_bytes(data[:4], "little") != len(data) or data[-1] != 0xFF:
        raise RdbError("no ziplist: its size or its end is wrong")
    found: list[bytes] = []
    at, before = ZIPLIST_HEAD, 0
    while at < len(data) - 1:
        start = at
        told = data[at]
        at += 1
        if told == 0xFE:
            told = int.from_bytes(take(data, at, 4), "little")
            at += 4
        if told != before:
            raise RdbError(f"an element of a ziplist tells a wrong length before it (at offset {start})")
        first = take(data, at, 1)[0]
        if first < 0xC0:
            size, head = ziplist_text(data, at, first)
            found.append(take(data, at + head, size))
            at += head + size
        elif 0xF1 <= first <= 0xFD:
            found.append(b"%d" % (first - 0xF1))
            at += 1
        elif first in INTS:
            number = int.from_bytes(take(data, at + 1, INTS[first]), "little", signed=True)
            found.append(b"%d" % number)
            at += 1 + INTS[first]
        else:
            raise RdbError(f"no element of a ziplist begins with {first:#x} (at offset {at})")
        before = at - start
    count = int.from_bytes(data[8:10], "little")
    if at != len(data) - 1 or (count != 0xFFFF and count != len(found)):
        raise RdbError("a ziplist has another count of elements than it says")
    return found


def ziplist_text(data: bytes, at: int, first: int) -> tuple[int, int]:
    """(length of a text, bytes that tell it)."""
    if first < 0x40:
        return first, 1
    if first < 0x80:
        return (first & 0x3F) << 8 | take(data, at + 1, 1)[0], 2
    return int.from_bytes(take(data, at + 1, 4)), 5


def get_zipmap(data: bytes) -> list[bytes]:
    """Keys and values in turn: each a length (1 or 5 bytes), values with a byte that counts unused bytes."""
    found: list[bytes] = []
    at = 1
    while take(data, at, 1)[0] != 0xFF:
        size = data[at]
        at += 1
        if size == 0xFE:
            size = int.from_bytes(take(data, at, 4), "little")
            at += 4
        unused = 0
        if len(found) % 2:
            unused = take(data, at, 1)[0]
            at += 1
        found.append(take(data, at, size))
        at += size + unused
    if at != len(data) - 1 or len(found) % 2:
        raise RdbError("a zipmap does not end where it should")
    return found
