from collections.abc import Callable
from typing import Any, TypeAlias

from rlite.engine.core.counters import Counters
from rlite.engine.core.database import Database
from rlite.engine.core.execute import CommandTable
from rlite.engine.reply import Reply

Told: TypeAlias = tuple[bool, Any, bool]

def argument(value: object) -> bytes | None: ...

class Direct:
    resp: int
    wrote: bool
    def __init__(
        self,
        otherwise: Callable[[tuple[object, ...]], Told],
        convert: Callable[[Reply, bool], Told],
        memory_used: Callable[[], int],
        most: int,
    ) -> None: ...
    def begin(
        self,
        db: Database,
        table: CommandTable,
        counters: Counters,
        may_write: bool,
        may_grow: bool,
        slow_ns: int,
        noteworthy: Callable[[list[bytes], int, int], None],
    ) -> None: ...
    def end(self) -> None: ...
    def __call__(self, *args: object) -> Told: ...
