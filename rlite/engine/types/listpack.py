"""Listpacks as bytes, read and written in Python: what RDB files hold of small values.

core/packed.pxd has the format of a block; here are the encodings of its elements.
"""

from collections.abc import Iterable

from rlite.engine.types.rdb_string import RdbError, take

HEAD = 6
END = 0xFF
MANY = 0xFFFF  # a count that says: count them
WIDTHS = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}


def back_length(size: int) -> bytes:
    """The length of an element as it is read backwards: seven bits a byte, the highest first, all but that
    marked.
    """
    made = [size & 0x7F]
    while size := size >> 7:
        made[-1] |= 0x80
        made.append(size & 0x7F)
    return bytes(reversed(made))


def put_element(item: bytes | int) -> bytes:
    """One element, without the length behind it; text that is a number becomes one."""
    number = item if isinstance(item, int) else as_number(item)
    if number is None:
        assert isinstance(item, bytes)
        size = len(item)
        if size < 64:
            return bytes([0x80 | size]) + item
        if size < 4096:
            return bytes([0xE0 | size >> 8, size & 0xFF]) + item
        return b"\xf0" + size.to_bytes(4, "little") + item
    if 0 <= number <= 127:
        return bytes([number])
    if -4096 <= number <= 4095:
        bits = number & 0x1FFF
        return bytes([0xC0 | bits >> 8, bits & 0xFF])
    for code, width in WIDTHS.items():
        if -(1 << 8 * width - 1) <= number < 1 << 8 * width - 1:
            return bytes([code]) + number.to_bytes(width, "little", signed=True)
    raise OverflowError(number)


def as_number(text: bytes) -> int | None:
    """The 64-bit number that a text is the one canonical form of; None for any other."""
    if not 0 < len(text) <= 20 or not text.removeprefix(b"-").isdigit():
        return None
    number = int(text)
    return number if b"%d" % number == text and -(2**63) <= number < 2**63 else None


def put_listpack(items: Iterable[bytes | int]) -> bytes:
    parts: list[bytes] = []
    for item in items:
        element = put_element(item)
        parts += (element, back_length(len(element)))
    body = b"".join(parts)
    count = min(len(parts) // 2, MANY)
    return (HEAD + len(body) + 1).to_bytes(4, "little") + count.to_bytes(2, "little") + body + bytes([END])


def get_element(data: bytes, at: int) -> tuple[bytes | int, int]:
    """(element, its size). Raises RdbError."""
    first = take(data, at, 1)[0]
    if first < 0x80:
        return first, 1
    if first < 0xC0:
        size = first & 0x3F
        return take(data, at + 1, size), 1 + size
    if first < 0xE0:
        bits = (first & 0x1F) << 8 | take(data, at + 1, 1)[0]
        return bits - 0x2000 if bits & 0x1000 else bits, 2
    if first < 0xF0:
        size = (first & 0x0F) << 8 | take(data, at + 1, 1)[0]
        return take(data, at + 2, size), 2 + size
    if first == 0xF0:
        size = int.from_bytes(take(data, at + 1, 4), "little")
        return take(data, at + 5, size), 5 + size
    width = WIDTHS.get(first)
    if width is None:
        raise RdbError(f"no element of a listpack begins with {first:#x} (at offset {at})")
    return int.from_bytes(take(data, at + 1, width), "little", signed=True), 1 + width


def get_listpack(data: bytes) -> list[bytes | int]:
    """All elements. Raises RdbError for bytes that are no listpack."""
    if len(data) <= HEAD or int.from_bytes(data[:4], "little") != len(data) or data[-1] != END:
        raise RdbError("no listpack: its size or its end is wrong")
    found: list[bytes | int] = []
    at = HEAD
    while at < len(data) - 1:
        item, size = get_element(data, at)
        back = back_length(size)
        if take(data, at + size, len(back)) != back:
            raise RdbError(f"an element of a listpack has a wrong length behind it (at offset {at})")
        found.append(item)
        at += size + len(back)
    count = int.from_bytes(data[4:6], "little")
    if at != len(data) - 1 or (count != MANY and count != len(found)):
        raise RdbError("a listpack has another count of elements than it says")
    return found


def texts(items: Iterable[bytes | int]) -> list[bytes]:
    """Elements as the strings they stand for."""
    return [b"%d" % item if isinstance(item, int) else item for item in items]
