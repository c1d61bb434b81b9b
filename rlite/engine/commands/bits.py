"""Bitmaps in strings: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. Bit 0 is the highest of byte 0.

Small operations read and write only the bytes they touch; whole-string ones go through the value in chunks.
"""

from rlite.engine import errors
from rlite.engine.commands.call import Call, parse_int
from rlite.engine.commands.declare import Keys, command
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

CHUNK = 1 << 20


def bit_offset(call: Call, raw: bytes, width: int = 0) -> int:
    """A bit's place: from 0 to the last bit of the longest string. `#` counts in fields of `width` bits, if
    it is given. Raises CommandError.
    """
    times = 1
    if width and raw[:1] == b"#":
        raw, times = raw[1:], width
    offset = parse_int(raw)
    if offset is None:
        raise CommandError(errors.BIT_OFFSET)
    offset *= times
    if offset < 0 or offset >> 3 >= call.server.config.int("proto-max-bulk-len"):
        raise CommandError(errors.BIT_OFFSET)
    return offset


@command(
    "SETBIT key offset value", arity=4, flags="write denyoom", keys=(1, 1, 1), access="RW access update",
    group="bitmap", since="2.2.0", complexity="O(1)",
    summary="Sets or clears a bit, and returns what it was.",
)  # fmt: skip
def setbit(call: Call) -> Reply:
    key = call.args[1]
    offset = bit_offset(call, call.args[2])
    if call.args[3] not in (b"0", b"1"):
        raise CommandError(errors.BIT_VALUE)
    mask = 0x80 >> (offset & 7)
    old = (call.db.read(key, offset >> 3, (offset >> 3) + 1) or b"\0")[0]
    new = old | mask if call.args[3] == b"1" else old & ~mask
    if (
        new != old or (call.db.length(key) or 0) <= offset >> 3
    ):  # nothing changed is nothing written: WATCH sees none
        call.db.write(key, offset >> 3, bytes([new]))
        call.changed()
        call.notify("$", "setbit", key)
    return int(old & mask != 0)


@command(
    "GETBIT key offset", arity=3, flags="readonly fast", keys=(1, 1, 1), access="RO access", group="bitmap",
    since="2.2.0", complexity="O(1)", summary="Returns a bit.",
)  # fmt: skip
def getbit(call: Call) -> Reply:
    offset = bit_offset(call, call.args[2])
    byte = call.db.read(call.args[1], offset >> 3, (offset >> 3) + 1)
    call.looked_up(bool(byte) or call.db.exists(call.args[1]))
    return (byte[0] >> (7 - (offset & 7))) & 1 if byte else 0


def clamped(start: int, end: int, size: int) -> tuple[int, int]:
    """A range with negative ends counted from the end, within 0..size-1; empty where start > end."""
    start = max(0, start + size) if start < 0 else start
    end = max(0, end + size) if end < 0 else end
    return start, min(end, size - 1)


def unit_is_bit(call: Call, index: int) -> bool:
    """Whether argument `index` says BIT; BYTE is what it is without. Raises CommandError for another word."""
    if len(call.args) <= index:
        return False
    word = call.word(index)
    if word not in (b"BIT", b"BYTE"):
        raise CommandError(errors.SYNTAX)
    return word == b"BIT"


def masked(data: bytes, first: int, last: int) -> int:
    """The bits of `data` as a number, all outside bits first..last (of the data) cleared."""
    number = int.from_bytes(data)
    number &= (1 << (len(data) * 8 - first)) - 1
    return number >> (len(data) * 8 - 1 - last) << (len(data) * 8 - 1 - last)


@command(
    "BITCOUNT key [start end [BYTE | BIT]]", arity=-2, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="bitmap", since="2.6.0", complexity="O(n) where n is the number of bytes looked at",
    summary="Counts the bits that are set, in a string or a part of it.",
)  # fmt: skip
def bitcount(call: Call) -> Reply:
    key = call.args[1]
    if len(call.args) not in (2, 4, 5):
        raise CommandError(errors.SYNTAX)
    bits = unit_is_bit(call, 4)
    start, end = (call.int(2), call.int(3)) if len(call.args) > 2 else (0, -1)
    size = call.db.length(key)
    call.looked_up(size is not None)
    if not size or (start < 0 and end < 0 and start > end):
        return 0
    start, end = clamped(start, end, size * 8 if bits else size)
    if start > end:
        return 0
    if not bits:
        start, end = start * 8, end * 8 + 7
    total = 0
    for at in range(start >> 3, (end >> 3) + 1, CHUNK):
        data = call.db.read(key, at, min(at + CHUNK, (end >> 3) + 1))
        total += masked(data, max(start - at * 8, 0), min(end - at * 8, len(data) * 8 - 1)).bit_count()
    return total


@command(
    "BITPOS key bit [start [end [BYTE | BIT]]]", arity=-3, flags="readonly",
    keys=(1, 1, 1), access="RO access",
    group="bitmap", since="2.8.7", complexity="O(n) where n is the number of bytes looked at",
    summary="Finds the first bit that is set, or clear, in a string or a part of it.",
)  # fmt: skip
def bitpos(call: Call) -> Reply:
    key = call.args[1]
    if len(call.args) > 6:
        raise CommandError(errors.SYNTAX)
    bit = call.int(2)
    if bit not in (0, 1):
        raise CommandError(errors.BIT_ARGUMENT)
    bits = unit_is_bit(call, 5)
    start = call.int(3) if len(call.args) > 3 else 0
    end = call.int(4) if len(call.args) > 4 else -1
    size = call.db.length(key)
    call.looked_up(size is not None)
    if size is None:
        return -1 if bit else 0
    start, end = clamped(start, end, size * 8 if bits else size)
    if start > end:
        return -1
    if not bits:
        start, end = start * 8, end * 8 + 7
    for at in range(start >> 3, (end >> 3) + 1, CHUNK):
        data = call.db.read(key, at, min(at + CHUNK, (end >> 3) + 1))
        width = len(data) * 8
        if not bit:
            data = (int.from_bytes(data) ^ ((1 << width) - 1)).to_bytes(len(data))
        found = masked(data, max(start - at * 8, 0), min(end - at * 8, width - 1))
        if found:
            return at * 8 + width - found.bit_length()
    # A string of ones is followed by zeros without end, unless the caller said where to stop looking.
    return size * 8 if not bit and len(call.args) <= 4 else -1


@command(
    "BITOP (AND | OR | XOR | NOT) destkey key [key ...]", arity=-4, flags="write denyoom", group="bitmap",
    since="2.6.0", keys=Keys(2, 2, 1, access=("OW", "update"), more=(Keys(3, -1, 1, access=("RO",
    "access")),)),
    complexity="O(n) where n is the length of the longest string",
    summary="Combines strings bit by bit, and stores the result.",
)  # fmt: skip
def bitop(call: Call) -> Reply:
    operation, target, sources = call.word(1), call.args[2], call.args[3:]
    if operation not in (b"AND", b"OR", b"XOR", b"NOT"):
        raise CommandError(errors.SYNTAX)
    if operation == b"NOT" and len(sources) != 1:
        raise CommandError(errors.BITOP_NOT)
    values = [call.db.get(key) or b"" for key in sources]
    size = max(len(value) for value in values)
    if size == 0:
        if call.db.delete(target):
            call.changed()
            call.notify("g", "del", target)
        return 0
    numbers = [int.from_bytes(value.ljust(size, b"\0")) for value in values]
    result = numbers[0]
    if operation == b"NOT":
        result ^= (1 << (size * 8)) - 1
    for number in numbers[1:]:
        result = (
            result & number
            if operation == b"AND"
            else result | number
            if operation == b"OR"
            else result ^ number
        )
    call.db.set(target, result.to_bytes(size))
    call.changed()
    call.notify("$", "set", target)
    return size
