from collections.abc import Callable
from typing import NamedTuple

from typing_extensions import Buffer

from rlite.engine.core.keyspace import Keyspace

class Loaded(NamedTuple):
    """What a file gave. end: offset behind it; aux: its AUX fields; dropped: functions and modules' data."""

    keys: int
    expired: int
    end: int
    version: int
    aux: dict[bytes, bytes]
    dropped: list[str]

def load(
    keyspace: Keyspace,
    data: Buffer,
    other: Callable[[int, bytes, tuple[int, int, int], tuple[int | None, int | None, int | None]], None],
    *,
    at: int = 0,
    now_ms: int | None = None,
    checked: bool = True,
    deep: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Loaded:
    """Loads the RDB file that begins at a place of a buffer, into databases where its keys do not exist yet.

    Every lock must be the caller's; `progress` is called with an offset after each megabyte or so, and may
    let go of them for a moment. other: makes the keys that the core leaves to Python, from the database, the
    key, (RDB type, offset of the value, offset behind it), and (deadline in Unix ms, idle seconds, LFU
    counter), each None where it is not told. now_ms: keys whose deadline is before it are left out; checked:
    the checksum is verified; deep: packed values are left to Python too, which looks at every element.
    Raises RdbError, with the offset of the fault; what was loaded before it is there, and must not be used.
    """
