from collections.abc import Callable

from typing_extensions import Buffer

from rlite.engine.core.counters import Counters
from rlite.engine.core.database import Database
from rlite.engine.core.execute import CommandTable
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.core.reactor import Gate

class Follower:
    """A master's stream, applied to a keyspace while clients read."""

    asked: bool
    selected: int
    def __init__(
        self,
        keyspace: Keyspace,
        table: CommandTable,
        gate: Gate,
        otherwise: Callable[[Database, list[bytes]], str | None],
        counters: Counters,
        offset: int = 0,
        database: int = 0,
    ) -> None: ...
    def feed(self, data: Buffer) -> bool: ...
    def end(self) -> None: ...
    @property
    def offset(self) -> int: ...
    @property
    def read(self) -> int: ...
    @property
    def commands(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def failure(self) -> tuple[list[bytes], str] | None: ...
