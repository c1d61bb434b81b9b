"""bit for scripts: 32-bit operations as LuaJIT's BitOp defines them."""

from typing import Any

from rlite.engine.scripting.tables import guarded, number


def bits(value: Any) -> int:
    """A number as 32 bits, rounded and wrapped as BitOp does."""
    return round(number(value)) & 0xFFFFFFFF


def signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def rolled(value: int, by: int) -> int:
    return signed(value << by | value >> (32 - by))


@guarded
def tobit(value: Any) -> int:
    return signed(bits(value))


@guarded
def tohex(value: Any, digits: Any = 8) -> bytes:
    count = int(number(digits))
    text = f"{bits(value):08x}"
    shown = text[-min(abs(count), 8) :] if count else ""
    return (shown.upper() if count < 0 else shown).encode()


@guarded
def bnot(value: Any) -> int:
    return signed(~bits(value))


@guarded
def band(first: Any, *others: Any) -> int:
    total = bits(first)
    for other in others:
        total &= bits(other)
    return signed(total)


@guarded
def bor(first: Any, *others: Any) -> int:
    total = bits(first)
    for other in others:
        total |= bits(other)
    return signed(total)


@guarded
def bxor(first: Any, *others: Any) -> int:
    total = bits(first)
    for other in others:
        total ^= bits(other)
    return signed(total)


@guarded
def lshift(value: Any, by: Any) -> int:
    return signed(bits(value) << (bits(by) & 31))


@guarded
def rshift(value: Any, by: Any) -> int:
    return signed(bits(value) >> (bits(by) & 31))


@guarded
def arshift(value: Any, by: Any) -> int:
    return signed(signed(bits(value)) >> (bits(by) & 31))


@guarded
def rol(value: Any, by: Any) -> int:
    return rolled(bits(value), bits(by) & 31)


@guarded
def ror(value: Any, by: Any) -> int:
    return rolled(bits(value), -bits(by) & 31)


@guarded
def bswap(value: Any) -> int:
    return signed(int.from_bytes(bits(value).to_bytes(4, "little"), "big"))
