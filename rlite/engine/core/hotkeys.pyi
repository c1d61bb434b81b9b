from collections.abc import Iterable

from rlite.engine.core.keyspace import Keyspace

class HotKeys:
    """The most used keys of one thread, from a sample."""

    def __init__(self, keyspace: Keyspace) -> None: ...
    def reset(self) -> None: ...
    def note(
        self, database: int, args: list[bytes], positions: Iterable[int], write: bool, ns: int
    ) -> None: ...
    def uses(self) -> list[tuple[int, bytes, bool, int, float, float, float, float, float]]:
        """(database, key, whether that is only its beginning, hash, uses, error, writes, CPU ns, bytes): each
        figure but the hash a rate a second, over about the last ten seconds. `uses` holds `error`, which may
        be another key's.
        """
    @property
    def interval(self) -> int: ...
