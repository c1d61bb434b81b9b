"""How values cross the border between Redis and Lua, by the rules Redis documents for scripts.

Redis to Lua: integer: number; bulk: string; array: table; status: {ok=}; error: {err=}; null: false (RESP3:
nil). Lua to Redis: number: integer, cut off; string: bulk; true: 1 (RESP3: true); false, nil: null; table: an
array up to its first nil, or what its field `ok`, `err`, `double`, `map`, `set`, `big_number` or
`verbatim_string` says.
"""

import math
from collections.abc import Callable
from typing import Any

from lupa import lua51

from rlite.engine.core.resp import decode_reply
from rlite.engine.reply import (
    BigNumber,
    ErrorReply,
    Pairs,
    Push,
    Raw,
    Reply,
    RespSet,
    Several,
    Simple,
    Special,
    Verbatim,
)

Table = Callable[..., Any]
DEEPEST = 1000  # nested tables of a script's reply


class Border:
    """Converts for one Lua runtime. resp: the protocol the script has chosen with redis.setresp."""

    def __init__(self, runtime: "lua51.LuaRuntime") -> None:
        self._table: Table = runtime.table_from
        self.resp = 2

    def to_lua(self, reply: Reply) -> Any:
        """A reply as a value of Lua (None: nil)."""
        if type(reply) is bytes or type(reply) is int:
            return reply
        match reply:
            case Raw(data):
                if data[:1] == b"$" and data[1:2] != b"-":  # the commonest, without a second copy
                    return data[data.index(b"\n") + 1 : -2]
                return self.to_lua(decode_reply(data, 0)[0])
            case bool():
                return reply if self.resp == 3 else int(reply)
            case None | Special():
                return None if self.resp == 3 else False
            case Simple(text):
                return self._table({b"ok": text.encode()})
            case ErrorReply(text):
                return self._table({b"err": text.encode("utf-8", "surrogateescape")})
            case list():
                return self._table([self._item(each) for each in reply])
            case float():
                return self._table({b"double": reply}) if self.resp == 3 else b"%.17g" % reply
            case dict():
                if self.resp == 3:
                    pairs = {self.to_lua(key): self._item(value) for key, value in reply.items()}
                    return self._table({b"map": self._table(pairs)})
                return self._table([self._item(each) for pair in reply.items() for each in pair])
            case RespSet(items):
                if self.resp == 3:
                    members = self._table({self.to_lua(each): True for each in items})
                    return self._table({b"set": members})
                return self._table([self._item(each) for each in items])
            case Pairs(pairs):
                return self._table([self._item(each) for pair in pairs for each in pair])
            case Push(items) | Several(items):
                return self._table([self._item(each) for each in items])
            case Verbatim(kind, data):
                if self.resp == 3:
                    inner = self._table({b"format": kind.encode(), b"string": data})
                    return self._table({b"verbatim_string": inner})
                return data
            case BigNumber(text):
                return self._table({b"big_number": text.encode()}) if self.resp == 3 else text.encode()

    def _item(self, reply: Reply) -> Any:
        """As `to_lua`, for a place in a table: a nil would end the table there."""
        value = self.to_lua(reply)
        return False if value is None else value

    def to_reply(self, value: Any, depth: int = 0) -> Reply:
        """A script's value as a reply."""
        if value is None or value is False:
            return None if value is None or self.resp == 2 else False
        if value is True:
            return True if self.resp == 3 else 1
        if isinstance(value, bytes):
            return value
        if isinstance(value, int | float):
            return whole(value)
        if lua51.lua_type(value) != "table":
            return None
        if depth == DEEPEST:
            return ErrorReply("ERR reached lua stack limit")
        return self._from_table(value, depth + 1)

    def _from_table(self, table: Any, depth: int) -> Reply:
        if isinstance(text := table[b"err"], bytes):
            return ErrorReply(line(text))
        if isinstance(text := table[b"ok"], bytes):
            return Simple(line(text))
        if isinstance(number := table[b"double"], int | float):
            return float(number)
        if lua51.lua_type(entries := table[b"map"]) == "table":
            return {self.to_reply(key, depth): self.to_reply(item, depth) for key, item in entries.items()}
        if lua51.lua_type(entries := table[b"set"]) == "table":
            return RespSet([self.to_reply(key, depth) for key in entries])
        if isinstance(digits := table[b"big_number"], bytes):
            return BigNumber(line(digits))
        if lua51.lua_type(inner := table[b"verbatim_string"]) == "table":
            kind, text = inner[b"format"], inner[b"string"]
            if isinstance(kind, bytes) and isinstance(text, bytes):
                return Verbatim(kind[:3].decode("latin-1"), text)
        items: list[Reply] = []
        while (item := table[len(items) + 1]) is not None:
            items.append(self.to_reply(item, depth))
        return items


def whole(number: float) -> int:
    """A number of Lua as an integer reply: cut off, within 64 bits."""
    if math.isnan(number):
        return -(2**63)
    return int(max(-(2**63), min(2**63 - 1, number)))


def line(text: bytes) -> str:
    """Text for a line of the protocol, which holds no line ends."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ").decode("utf-8", "surrogateescape")
