"""Lengths and strings as RDB files hold them: the words of core/rdb for the decoders of values."""

import struct

from rlite.engine.core.rdb import RdbError, get_string, put_string

__all__ = ["RdbError", "get_length", "get_string", "put_length", "put_string", "take"]


def put_length(size: int) -> bytes:
    if size < 1 << 6:
        return bytes([size])
    if size < 1 << 14:
        return struct.pack(">H", 0x4000 | size)
    if size < 1 << 32:
        return struct.pack(">BI", 0x80, size)
    return struct.pack(">BQ", 0x81, size)


def take(data: bytes, at: int, size: int) -> bytes:
    """So many bytes from an offset. Raises RdbError where there are fewer."""
    part = data[at : at + size]
    if len(part) != size:
        raise RdbError(f"{size} bytes wanted, {len(part)} there", at)
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
    raise RdbError(f"a length cannot begin with {first:#x}", at)
