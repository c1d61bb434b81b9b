"""What the libraries of scripts share: reading Lua's tables, making them, and failing safely."""

import struct
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from lupa import lua51

RESERVE = 1 << 20  # bytes of the limit that results never take
A_PLACE = 64  # bytes that a small string and its place in a table take, at most
DEEPEST = 1000  # nested tables and arrays
SIMPLE = (bytes, bool, int, float)
P = ParamSpec("P")


class BadError(Exception):
    """What a script did wrong."""


def guarded(function: Callable[P, Any]) -> Callable[P, Any]:
    """(True, result) or (False, text): no exception goes through Lua."""

    @wraps(function)
    def safe(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            result = function(*args, **kwargs)
        except BadError as fault:
            return False, str(fault).encode()
        except TypeError:
            return False, b"wrong number or type of arguments"
        except (ValueError, OverflowError, struct.error, RecursionError, MemoryError) as fault:
            return False, str(fault).encode("utf-8", "replace") or b"out of memory"
        return (True, *result) if isinstance(result, tuple) else (True, result)

    return safe


def number(value: Any) -> float:
    """An argument that Lua would take for a number. Raises BadError."""
    if isinstance(value, bytes):
        try:
            return float(value)
        except ValueError:
            value = None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadError("bad argument (number expected)")
    return value


def is_table(value: Any) -> bool:
    return bool(lua51.lua_type(value) == "table")


def items_of(table: Any) -> list[tuple[Any, Any]]:
    return list(table.items())


def length_as_array(pairs: list[tuple[Any, Any]]) -> int | None:
    """The highest index where all keys are whole numbers from 1 on; None for any other table."""
    highest = 0
    for key, _ in pairs:
        if isinstance(key, bool) or not isinstance(key, int) or key < 1:
            return None
        highest = max(highest, key)
    return highest


class Tables:
    """The tables of one runtime."""

    def __init__(self, runtime: "lua51.LuaRuntime", memory: int) -> None:
        self._runtime = runtime
        self._memory = memory
        self._limited = False
        self.most = memory - RESERVE  # what all of Lua may take with a result
        self.make: Callable[[Any], Any] = runtime.table_from
        self.null: Any = None  # what cjson.null is
        self._is_null: Callable[[Any], bool] = lambda value: value is None

    def bind(self, null: Any, is_null: Callable[[Any], bool]) -> None:
        """Tells what cjson.null is, and how to know it: each wrapper of it in Python is another object."""
        self.null, self._is_null = null, is_null

    def room(self, size: int) -> bool:
        """Whether a result of this size may go back to Lua.

        Lua must not run out of memory there: its error would jump over frames of Python.
        """
        if int(self._runtime.get_memory_used() or 0) + size <= self.most:
            return True
        # A collection takes some memory itself before it gives any back.
        limited = self._limited
        self.relax()
        self._runtime.gccollect()
        if limited:
            self.limit()
        return int(self._runtime.get_memory_used() or 0) + size <= self.most

    def limit(self) -> None:
        """From here on Lua may take no more than its limit. What Python makes there must ask for room first:
        the error of Lua would have nowhere to jump to.
        """
        if not self._limited:
            self._runtime.set_max_memory(self._memory)
            self._limited = True

    def relax(self) -> None:
        """Before a table is taken over to Python, which takes some memory, whatever the script has left."""
        self._runtime.set_max_memory(0)
        self._limited = False

    def is_null(self, value: Any) -> bool:
        """Whether a value is nil or cjson.null."""
        return value is None or (not isinstance(value, SIMPLE) and self._is_null(value))

    def from_plain(self, value: Any, null: Any, depth: int = 0) -> Any:
        """What JSON or MessagePack held, as a value of Lua."""
        if depth > DEEPEST:
            raise BadError("Found too many nested data structures (1001)")
        match value:
            case None:
                return null
            case str():
                return value.encode("utf-8", "surrogateescape")
            case list():
                return self.make([self.from_plain(each, null, depth + 1) for each in value])
            case dict():
                return self.make(
                    {
                        self.from_plain(key, null, depth + 1): self.from_plain(each, null, depth + 1)
                        for key, each in value.items()
                    }
                )
            case int() if not isinstance(value, bool) and abs(value) > 2**53:
                return float(value)
            case _:
                return value
