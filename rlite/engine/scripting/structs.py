"""struct for scripts: bytes by format strings, those of Roberto Ierusalimschy's struct 0.2."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rlite.engine.scripting.tables import BadError, guarded, number

NATIVE = {"b": 1, "B": 1, "h": 2, "H": 2, "l": 8, "L": 8, "T": 8, "f": 4, "d": 8}
WIDEST = 32  # bytes of an integer


@dataclass(slots=True, frozen=True)
class Field:
    """One field of a format. width: bytes, 0 where the data decide; align: of its place."""

    code: str
    width: int
    order: Literal["little", "big"]
    align: int = 1

    def padding(self, at: int) -> int:
        return -at % self.align


def fields_of(layout: bytes) -> Iterator[Field]:
    """The fields of a format. Raises BadError for what is none."""
    order: Literal["little", "big"] = "little"
    most, i = 1, 0
    text = layout.decode("latin-1")
    while i < len(text):
        code = text[i]
        i += 1
        digits = ""
        while i < len(text) and text[i].isdigit() and code in "iIc!":
            digits += text[i]
            i += 1
        if code in "<>":
            order = "little" if code == "<" else "big"
        elif code == "!":
            most = int(digits or 8)
            if most & (most - 1):
                raise BadError("alignment is not a power of 2")
        elif code == "s":
            yield Field("s", 0, order)
        elif code == "x":
            yield Field("x", 1, order)
        elif code == "c":
            yield Field("c", int(digits or 1), order)
        elif code in "iI" or code in NATIVE:
            width = int(digits or 4) if code in "iI" else NATIVE[code]
            if not 0 < width <= WIDEST:
                raise BadError(f"integral size {width} is larger than limit of {WIDEST}")
            yield Field(code, width, order, min(width, most))
        elif code != " ":
            raise BadError(f"invalid format option '{code}'")


def put(field: Field, value: Any) -> bytes:
    """One value in the form of its field."""
    if field.code in "sc":
        text = value if isinstance(value, bytes) else b"%.14g" % number(value)
        if len(text) < field.width:
            raise BadError("arg too short")
        return text + b"\0" if field.code == "s" else text[: field.width or None]
    if field.code in "fd":
        return struct.pack((">" if field.order == "big" else "<") + field.code, number(value))
    return (int(number(value)) % (1 << 8 * field.width)).to_bytes(field.width, field.order)


def got(field: Field, part: bytes) -> Any:
    """The value that a field's bytes hold."""
    if field.code == "c":
        return part
    if field.code in "fd":
        return struct.unpack((">" if field.order == "big" else "<") + field.code, part)[0]
    return int.from_bytes(part, field.order, signed=field.code.islower())


@guarded
def pack(layout: bytes, *values: Any) -> bytes:
    made = bytearray()
    left = list(values)
    for field in fields_of(layout):
        made += bytes(field.padding(len(made)))
        if field.code == "x":
            made += b"\0"
        elif not left:
            raise BadError("bad argument (value expected)")
        else:
            made += put(field, left.pop(0))
    return bytes(made)


@guarded
def unpack(layout: bytes, data: bytes, position: Any = 1) -> tuple[Any, ...]:
    """The values, and the position behind the last."""
    at = int(number(position)) - 1
    if at < 0:
        raise BadError("offset must be 1 or greater")
    found: list[Any] = []
    for field in fields_of(layout):
        at += field.padding(at)
        width = field.width
        if field.code == "s":
            end = data.find(b"\0", at)
            if end < 0:
                raise BadError("unfinished string in data")
            found.append(data[at:end])
            at = end + 1
            continue
        if field.code == "c" and not width:
            if not found or not isinstance(found[-1], int | float):
                raise BadError("format 'c0' needs a previous size")
            width = int(found.pop())
        if width < 0 or at + width > len(data):
            raise BadError("data string too short")
        if field.code != "x":
            found.append(got(field, data[at : at + width]))
        at += width
    return (*found, at + 1)


@guarded
def size(layout: bytes) -> int:
    total = 0
    for field in fields_of(layout):
        if not field.width:
            raise BadError("variable-size format in 'size'")
        total += field.padding(total) + field.width
    return total
