"""BITFIELD, BITFIELD_RO: a string as an array of integers of any width, at any bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from rlite.engine import errors
from rlite.engine.commands.bits import bit_offset
from rlite.engine.commands.call import Call, parse_int
from rlite.engine.commands.declare import Keys, command
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply


class Overflow(Enum):
    """What becomes of a number that its field cannot hold."""

    WRAP = b"WRAP"
    SAT = b"SAT"
    FAIL = b"FAIL"


@dataclass(frozen=True, slots=True)
class Operation:
    """One GET, SET or INCRBY. offset: in bits; value: what to store, or to add."""

    verb: bytes
    signed: bool
    width: int
    offset: int
    value: int
    overflow: Overflow

    def fitted(self, number: int) -> int | None:
        """The number as the field can hold it; None where it must not be stored."""
        low, high = (
            (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1)
            if self.signed
            else (0, (1 << self.width) - 1)
        )
        if low <= number <= high:
            return number
        if self.overflow is Overflow.FAIL:
            return None
        if self.overflow is Overflow.SAT:
            return low if number < low else high
        return as_field(number & ((1 << self.width) - 1), self.width, self.signed)


def as_field(raw: int, width: int, signed: bool) -> int:
    """Raw bits as the number they stand for."""
    return raw - (1 << width) if signed and raw >> (width - 1) else raw


def field_type(raw: bytes) -> tuple[bool, int]:
    """`i8`, `u16` …: (signed, width). Raises CommandError."""
    width = parse_int(raw[1:])
    signed = raw[:1] == b"i"
    if raw[:1] not in (b"i", b"u") or width is None or not 1 <= width <= (64 if signed else 63):
        raise CommandError(errors.BITFIELD_TYPE)
    return signed, width


def parsed(call: Call) -> list[Operation]:
    """All operations of a call, checked before any of them runs. Raises CommandError."""
    args = call.args
    found: list[Operation] = []
    overflow = Overflow.WRAP
    i = 2
    while i < len(args):
        verb = call.word(i)
        left = len(args) - i - 1
        if verb == b"OVERFLOW" and left >= 1:
            try:
                overflow = Overflow(call.word(i + 1))
            except ValueError:
                raise CommandError(errors.BITFIELD_OVERFLOW) from None
            i += 2
            continue
        if not ((verb == b"GET" and left >= 2) or (verb in (b"SET", b"INCRBY") and left >= 3)):
            raise CommandError(errors.SYNTAX)
        signed, width = field_type(args[i + 1])
        offset = bit_offset(call, args[i + 2], width)
        value = 0
        if verb != b"GET":
            value = call.int(i + 3)
        found.append(Operation(verb, signed, width, offset, value, overflow))
        i += 3 if verb == b"GET" else 4
    return found


def run(call: Call, operations: list[Operation]) -> Reply:
    """Runs the operations in order on the bytes each of them touches."""
    key = call.args[1]
    length = call.db.length(key)  # for a value of another type, the error comes before any change
    call.looked_up(length is not None)
    writers = [each for each in operations if each.verb != b"GET"]
    grown = False
    if writers:
        reach = max(each.offset + each.width + 7 for each in writers) >> 3
        if (
            length is None or length < reach
        ):  # grown once, and also where an overflow then forbids the writing
            grown = True
            call.db.write(key, reach - 1, b"\0")
    replies: list[Reply] = []
    for each in operations:
        first, end = each.offset >> 3, (each.offset + each.width + 7) >> 3
        block = int.from_bytes(call.db.read(key, first, end).ljust(end - first, b"\0"))
        shift = (end - first) * 8 - (each.offset & 7) - each.width
        mask = (1 << each.width) - 1
        old = as_field((block >> shift) & mask, each.width, each.signed)
        if each.verb == b"GET":
            replies.append(old)
            continue
        new = each.fitted(old + each.value if each.verb == b"INCRBY" else each.value)
        if new is None:
            replies.append(None)
            continue
        block = (block & ~(mask << shift)) | ((new & mask) << shift)
        if grown or new != old:
            call.db.write(key, first, block.to_bytes(end - first))
            call.changed()
        replies.append(new if each.verb == b"INCRBY" else old)
    if grown and not call.dirty:  # longer by zeros, though nothing was stored
        call.log_as(*call.args)
    if call.dirty:
        call.notify("$", "setbit", key)
    return replies


def bitfield_access(args: Sequence[bytes]) -> tuple[str, ...]:
    """What BITFIELD does with its key: with nothing but GET in it, it only reads."""
    if any(arg.upper() in (b"SET", b"INCRBY") for arg in args[2:]):
        return "RW", "access", "update"
    return "RO", "access"


@command(
    "BITFIELD key [GET encoding offset | [OVERFLOW (WRAP | SAT | FAIL)] (SET encoding offset value | "
    "INCRBY encoding offset increment) ...]",
    arity=-2, flags="write denyoom", group="bitmap", since="3.2.0",
    keys=Keys(1, 1, 1, access=("RW", "access", "update", "variable_flags"), depends=bitfield_access),
    complexity="O(1) for each operation", summary="Reads, sets and adds to integers in a string.",
)  # fmt: skip
def bitfield(call: Call) -> Reply:
    return run(call, parsed(call))


@command(
    "BITFIELD_RO key [GET encoding offset [GET encoding offset ...]]", arity=-2, flags="readonly fast",
    keys=(1, 1, 1), access="RO access", group="bitmap", since="6.0.0", complexity="O(1) for each operation",
    summary="Reads integers in a string.",
)  # fmt: skip
def bitfield_ro(call: Call) -> Reply:
    operations = parsed(call)
    if any(each.verb != b"GET" for each in operations):
        raise CommandError(errors.BITFIELD_READ_ONLY)
    return run(call, operations)
