from typing import TypeAlias

from rlite.engine.core.database import Database
from rlite.engine.core.keyspace import Keyspace

Shape: TypeAlias = tuple[int, int, list[int], int, bool]

def audit(keyspace: Keyspace) -> int: ...
def table_shapes(db: Database) -> list[Shape]: ...
def shape_of_value(db: Database, key: bytes) -> Shape | None: ...
