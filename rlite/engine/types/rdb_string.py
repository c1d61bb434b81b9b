"""Strings and lengths as RDB files hold them (Redis's rdb.h): the part that DUMP and snapshots share.

The first byte's top two bits: 00 a length of 6 bits, 01 of 14 bits, 10 of 32 (0x80) or 64 bits (0x81),
big-endian; 11 an encoded string: 0, 1, 2 an integer of 8, 16, 32 bits, little-endian, 3 LZF (its compressed
length, its length, the data).
"""

import struct

from rlite.engine.types import lzf

SHORTEST_COMPRESSED = 20
INT8, INT16, INT32, LZF = 0xC0, 0xC1, 0xC2, 0xC3


class RdbError(ValueError):
    """Bytes that are no RDB; the message says what is wrong, and at which offset."""


def put_length(size: int) -> bytes:
    if size < 1 << 6:
        return bytes([size])
    if size < 1 << 14:
        return struct.pack(">H", 0x4000 | size)
    if size < 1 << 32:
        return struct.pack(">BI", 0x80, size)
    return struct.pack(">BQ", 0x81, size)


def put_string(value: bytes, *, compressed: bool) -> bytes:
    """A string in its shortest form: an integer where it is one, LZF where that saves more than four
    bytes.
    """
    if 0 < len(value) <= 11:
        digits = value.removeprefix(b"-")
        if digits.isdigit() and b"%d" % int(value) == value:
            number = int(value)
            for code, form, bits in ((INT8, "<Bb", 7), (INT16, "<Bh", 15), (INT32, "<Bi", 31)):
                if -(1 << bits) <= number < 1 << bits:
                    return struct.pack(form, code, number)
    if compressed and len(value) > SHORTEST_COMPRESSED:
        packed = lzf.compress(value)
        if len(packed) < len(value) - 4:
            return bytes([LZF]) + put_length(len(packed)) + put_length(len(value)) + packed
    return put_length(len(value)) + value


def take(data: bytes, at: int, size: int) -> bytes:
    """So many bytes from an offset. Raises RdbError where there are fewer."""
    part = data[at : at + size]
    if len(part) != size:
        raise RdbError(f"{size} bytes wanted at offset {at}, {len(part)} there")
    return part


def get_length(data: bytes, at: int) -> tuple[int, bool, int]:
    """(length or code of an encoding, whether it is a code, offset behind it)."""
    first = take(data, at, 1)[0]
    kind = first >> 6
    if kind == 0:
        return first & 0x3F, False, at + 1
    if kind == 1:
        return (first & 0x3F) << 8 | take(data, at + 1, 1)[0], False, at + 2
    if kind == 3:
        return first, True, at + 1
    if first == 0x80:
        return int.from_bytes(take(data, at + 1, 4)), False, at + 5
    if first == 0x81:
        return int.from_bytes(take(data, at + 1, 8)), False, at + 9
    raise RdbError(f"a length cannot begin with {first:#x} at offset {at}")


def get_string(data: bytes, at: int, limit: int) -> tuple[bytes, int]:
    """(string, offset behind it). Raises RdbError for damage, and for a string longer than `limit`."""
    size, is_code, at = get_length(data, at)
    if is_code:
        if size in (INT8, INT16, INT32):
            width = 1 << (size - INT8)
            return b"%d" % int.from_bytes(take(data, at, width), "little", signed=True), at + width
        if size != LZF:
            raise RdbError(f"no such encoding of a string: {size:#x}")
        packed, first, at = get_length(data, at)
        full, second, at = get_length(data, at)
        if first or second or full > limit:
            raise RdbError(f"no length of a compressed string before offset {at}")
        try:
            return lzf.decompress(take(data, at, packed), full), at + packed
        except ValueError as fault:
            raise RdbError(f"{fault} (at offset {at})") from None
    if size > limit:
        raise RdbError(f"a string of {size} bytes before offset {at} is longer than allowed")
    return take(data, at, size), at + size
