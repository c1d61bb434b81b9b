"""The libraries that Redis gives to scripts beside `redis`, as functions for sandbox.lua.

Each returns (True, value…) or (False, text of the error).
"""

from collections.abc import Callable
from typing import Any

from rlite.engine.scripting import bitop, structs
from rlite.engine.scripting.cjson import Cjson
from rlite.engine.scripting.cmsgpack import Cmsgpack
from rlite.engine.scripting.tables import A_PLACE, Tables

BITS = ("tobit", "tohex", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror", "bswap")


def libraries(tables: Tables) -> dict[bytes, Callable[..., Any]]:
    """By `library_function`, the names that sandbox.lua knows them by."""
    cjson, cmsgpack = Cjson(tables), Cmsgpack(tables)
    functions = {
        b"cjson_encode": cjson.encode,
        b"cjson_decode": cjson.decode,
        b"cmsgpack_pack": cmsgpack.pack,
        b"cmsgpack_unpack": cmsgpack.unpack,
        b"struct_pack": structs.pack,
        b"struct_unpack": structs.unpack,
        b"struct_size": structs.size,
        **{b"bit_" + name.encode(): getattr(bitop, name) for name in BITS},
    }
    return {name: limited(function, tables) for name, function in functions.items()}


def limited(function: Callable[..., Any], tables: Tables) -> Callable[..., Any]:
    """The function, failing where its result might not find room."""

    def safe(*args: Any) -> Any:
        given = sum(len(arg) for arg in args if isinstance(arg, bytes))
        if not tables.room(A_PLACE * (given // 2)):
            return False, b"not enough memory"
        result = function(*args)
        made = sum(len(part) for part in result if isinstance(part, bytes))
        return result if tables.room(made) else (False, b"not enough memory")

    return safe
