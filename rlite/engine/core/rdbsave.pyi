from collections.abc import Callable, Iterable

from rlite.engine.core.keyspace import Keyspace

def save(
    keyspace: Keyspace,
    descriptor: int,
    aux: Iterable[tuple[bytes, bytes]],
    stream: Callable[[int, bytes], tuple[int, bytes] | None],
    *,
    compressed: bool = True,
    checked: bool = True,
    piecewise: bool = False,
    progress: memoryview | None = None,
) -> tuple[int, int]:
    """Writes every database as an RDB file to a descriptor: (keys, bytes).

    Every lock must be the caller's. aux: fields at the start of the file; stream: called with a database and
    the key of a stream, returns (RDB type, RDB bytes); compressed: strings of more than 20 bytes go through
    LZF; checked: a CRC-64 ends the file; piecewise: it goes to disk every 4 MB, not all at the last sync;
    progress: one int64 that counts keys as they are written.
    Raises OSError.
    """
