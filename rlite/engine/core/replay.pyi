from collections.abc import Callable

from typing_extensions import Buffer

from rlite.engine.core.execute import CommandTable
from rlite.engine.core.keyspace import Keyspace

STOPS: dict[int, str]

class Replay:
    """The commands of a log, run into a keyspace."""

    offset: int
    selected: int
    longest: int
    def __init__(
        self,
        keyspace: Keyspace,
        table: CommandTable,
        otherwise: Callable[[int, list[bytes]], tuple[str | None, bool]],
        strict: bool = True,
    ) -> None: ...
    @property
    def running(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def last_ms(self) -> int: ...
    @property
    def broken_at(self) -> int: ...
    @property
    def failure(self) -> tuple[list[bytes], str] | None: ...
    def records(self, data: Buffer, size: int, at: int, seed: int, until: int) -> tuple[str, int]:
        """(why, where): a word of STOPS, and where the next record, or the bad one, begins."""

    def commands(self, data: Buffer, size: int, at: int, until: int) -> tuple[str, int]:
        """The same for a log of plain RESP, as Redis writes it."""
