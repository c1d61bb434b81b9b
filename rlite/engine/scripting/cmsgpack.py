"""cmsgpack for scripts: MessagePack, its choices those of Redis's library."""

import struct
from typing import Any

from rlite.engine.scripting.tables import (
    DEEPEST,
    BadError,
    Tables,
    guarded,
    is_table,
    items_of,
    length_as_array,
)

DEEPEST_PACKED = 16  # as deep as Redis's library goes; below it stands nil
INTEGERS = ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8))  # (head, bytes) of those above zero
NEGATIVES = ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8))


def packed_head(size: int, short: int, most: int, longer: tuple[int | None, int, int]) -> bytes:
    """The head of a MessagePack string, array or map."""
    if size <= most:
        return bytes([short | size])
    if size <= 0xFF and longer[0] is not None:
        return bytes([longer[0], size])
    if size <= 0xFFFF:
        return bytes([longer[1]]) + size.to_bytes(2, "big")
    return bytes([longer[2]]) + size.to_bytes(4, "big")


def packed_int(value: int) -> bytes:
    if -32 <= value <= 127:
        return struct.pack("b", value)
    kinds = (
        [(0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)]
        if value > 0
        else [(0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)]
    )
    for kind, width in kinds:
        low, high = (0, 1 << 8 * width) if value > 0 else (-(1 << 8 * width - 1), 0)
        if low <= value < high:
            return bytes([kind]) + value.to_bytes(width, "big", signed=value < 0)
    raise BadError("number out of range")


def unpacked(data: bytes, at: int, depth: int = 0) -> tuple[Any, int]:
    """(the MessagePack value at `at`, what follows it). Raises BadError."""

    def taken(count: int) -> bytes:
        if start + count > len(data):
            raise BadError("Missing bytes in input.")
        return data[start : start + count]

    if depth > DEEPEST or at >= len(data):
        raise BadError("Missing bytes in input.")
    head, start = data[at], at + 1
    if head < 0x80 or head >= 0xE0:
        return head - 256 if head >= 0xE0 else head, start
    if head < 0xC0:
        size = head & (0x1F if head >= 0xA0 else 0x0F)
        kind = "text" if head >= 0xA0 else "list" if head >= 0x90 else "map"
        return collected(data, start, kind, size, depth)
    if head in FIXED:
        return FIXED[head], start
    if head in (0xCA, 0xCB):
        width = 4 if head == 0xCA else 8
        return struct.unpack(">f" if width == 4 else ">d", taken(width))[0], start + width
    if 0xCC <= head <= 0xD3:
        width = 1 << (head & 3)
        return int.from_bytes(taken(width), "big", signed=head >= 0xD0), start + width
    if head in SIZED:
        kind, width = SIZED[head]
        return collected(data, start + width, kind, int.from_bytes(taken(width), "big"), depth)
    raise BadError("Bad data format in input.")


FIXED = {0xC0: None, 0xC2: False, 0xC3: True}
SIZED = {
    0xC4: ("text", 1), 0xC5: ("text", 2), 0xC6: ("text", 4), 0xD9: ("text", 1), 0xDA: ("text", 2),
    0xDB: ("text", 4), 0xDC: ("list", 2), 0xDD: ("list", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip


def collected(data: bytes, at: int, kind: str, size: int, depth: int) -> tuple[Any, int]:
    if kind == "text":
        if at + size > len(data):
            raise BadError("Missing bytes in input.")
        return data[at : at + size].decode("utf-8", "surrogateescape"), at + size
    found: list[Any] = []
    for _ in range(size if kind == "list" else 2 * size):
        value, at = unpacked(data, at, depth + 1)
        found.append(value)
    if kind == "list":
        return found, at
    return dict(zip(found[::2], found[1::2], strict=True)), at


class Cmsgpack:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @guarded
    def pack(self, *values: Any) -> bytes:
        if not values:
            raise BadError("bad argument #0 to 'pack' (MessagePack pack needs input.)")
        parts: list[bytes] = []
        for value in values:
            self._pack(value, parts, 0)
        return b"".join(parts)

    def _pack(self, value: Any, parts: list[bytes], depth: int) -> None:
        if depth == DEEPEST_PACKED or self._tables.is_null(value):
            parts.append(b"\xc0")
        elif isinstance(value, bool):
            parts.append(b"\xc3" if value else b"\xc2")
        elif isinstance(value, bytes):
            parts.append(packed_head(len(value), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + value)
        elif isinstance(value, int) or (
            isinstance(value, float) and value.is_integer() and abs(value) < 2**63
        ):
            parts.append(packed_int(int(value)))
        elif isinstance(value, float):
            single = struct.pack(">f", value) if abs(value) < 3e38 else b""
            exact = single and struct.unpack(">f", single)[0] == value
            parts.append(b"\xca" + single if exact else b"\xcb" + struct.pack(">d", value))
        elif is_table(value):
            pairs = items_of(value)
            length = length_as_array(pairs)
            if length == len(pairs):
                places = dict(pairs)
                parts.append(packed_head(len(pairs), 0x90, 15, (None, 0xDC, 0xDD)))
                for i in range(1, len(pairs) + 1):
                    self._pack(places[i], parts, depth + 1)
            else:
                parts.append(packed_head(len(pairs), 0x80, 15, (None, 0xDE, 0xDF)))
                for key, each in pairs:
                    self._pack(key, parts, depth + 1)
                    self._pack(each, parts, depth + 1)
        else:
            parts.append(b"\xc0")

    @guarded
    def unpack(self, data: Any) -> tuple[Any, ...]:
        if not isinstance(data, bytes):
            raise BadError("bad argument #1 to 'unpack' (string expected)")
        values: list[Any] = []
        at = 0
        while at < len(data):
            value, at = unpacked(data, at)
            values.append(self._tables.from_plain(value, None))
        return tuple(values)
