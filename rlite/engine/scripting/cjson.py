"""cjson for scripts: JSON as lua-cjson 2.1 reads and writes it."""

import json
import math
from typing import Any

from lupa import lua51

from rlite.engine.scripting.tables import (
    DEEPEST,
    BadError,
    Tables,
    guarded,
    is_table,
    items_of,
    length_as_array,
)


def json_number(value: float) -> bytes:
    if not math.isfinite(value):
        raise BadError("Cannot serialise number: must not be NaN or Inf")
    return b"%.14g" % value


ESCAPES = {i: f"\\u{i:04x}" for i in (*range(32), 127)}
ESCAPES |= {ord(char): "\\" + char for char in '"\\/'}
ESCAPES |= {ord(char): "\\" + letter for char, letter in zip("\b\f\n\r\t", "bfnrt", strict=True)}


def json_text(text: bytes) -> bytes:
    """A string in quotes; bytes beyond ASCII go as they are."""
    return b'"' + text.decode("latin-1").translate(ESCAPES).encode("latin-1") + b'"'


class Cjson:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @guarded
    def encode(self, value: Any) -> bytes:
        parts: list[bytes] = []
        self._json(value, parts, 1)
        return b"".join(parts)

    def _json(self, value: Any, parts: list[bytes], depth: int) -> None:
        if depth > DEEPEST:
            raise BadError("Cannot serialise, excessive depth (1001)")
        if self._tables.is_null(value):
            parts.append(b"null")
        elif isinstance(value, bool):
            parts.append(b"true" if value else b"false")
        elif isinstance(value, int | float):
            parts.append(json_number(value))
        elif isinstance(value, bytes):
            parts.append(json_text(value))
        elif is_table(value):
            self._json_table(value, parts, depth)
        else:
            raise BadError(f"Cannot serialise {lua51.lua_type(value)}: type not supported")

    def _json_table(self, table: Any, parts: list[bytes], depth: int) -> None:
        pairs = items_of(table)
        length = length_as_array(pairs)
        if pairs and length is not None:
            if length > 10 and length > 2 * len(pairs):
                raise BadError("Cannot serialise table: excessively sparse array")
            places = dict(pairs)
            parts.append(b"[")
            for i in range(1, length + 1):
                if i > 1:
                    parts.append(b",")
                self._json(places.get(i), parts, depth + 1)
            parts.append(b"]")
            return
        parts.append(b"{")
        for i, (key, value) in enumerate(pairs):
            if i:
                parts.append(b",")
            if isinstance(key, bytes):
                parts.append(json_text(key))
            elif isinstance(key, int | float) and not isinstance(key, bool):
                parts.append(b'"' + json_number(key) + b'"')
            else:
                raise BadError("Cannot serialise table: table key must be a number or string")
            parts.append(b":")
            self._json(value, parts, depth + 1)
        parts.append(b"}")

    @guarded
    def decode(self, text: Any) -> Any:
        if isinstance(text, int | float):
            text = json_number(text)
        try:
            found = json.loads(text.decode("utf-8", "surrogateescape"))
        except json.JSONDecodeError as fault:
            raise BadError(f"{fault.msg} at character {fault.pos + 1}") from None
        except AttributeError:
            raise BadError("bad argument #1 to 'decode' (string expected)") from None
        return self._tables.from_plain(found, self._tables.null)
