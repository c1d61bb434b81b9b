"""Snapshots: the whole keyspace to an RDB file and back, durably.

What is in the bytes is core/rdb, core/rdbsave and core/rdbload; here are the files, and the values that the
core leaves to Python. Locks: `write` and `save` run under all of them, which the caller's Database holds;
`load` takes them, and lets go of them for a moment now and then.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlite.engine.commands import saving
from rlite.engine.core.database import Database
from rlite.engine.core.rdb import RdbError
from rlite.engine.core.rdbload import Loaded
from rlite.engine.core.rdbload import load as load_core
from rlite.engine.core.rdbsave import save as save_core
from rlite.engine.errors import RliteError
from rlite.engine.persistence import files
from rlite.engine.persistence.segment import ID_SIZE
from rlite.engine.types.rdb_values import UNSUPPORTED
from rlite.engine.version import REDIS_VERSION

if TYPE_CHECKING:
    from typing import BinaryIO

    from typing_extensions import Buffer

    from rlite.engine.config import Config
    from rlite.engine.core.keyspace import Keyspace

LONGEST_STRING = 2**32 - 1


class SnapshotError(RliteError):
    """A snapshot that cannot be loaded: says which file, what is wrong, and at which offset."""


@dataclass(frozen=True, slots=True)
class History:
    """Where a snapshot stands: the replication id, the offset up to which its data go, and the database that
    the stream has selected there.
    """

    replication_id: str
    offset: int
    selected: int = 0

    @classmethod
    def of(cls, loaded: Loaded) -> "History | None":
        """What a snapshot says of itself; None: it says nothing of the kind."""
        name, offset = loaded.aux.get(b"repl-id", b""), loaded.aux.get(b"repl-offset", b"")
        if len(name) != ID_SIZE or not offset.isdigit():
            return None
        selected = loaded.aux.get(b"repl-stream-db", b"")
        return cls(name.decode("latin-1"), int(offset), int(selected) if selected.isdigit() else 0)


def path_of(config: "Config") -> Path:
    """Where SAVE writes."""
    return Path(config.text("dir")) / config.text("dbfilename")


# --- writing -----------------------------------------------------------------------------------------------


def aux_fields(
    keyspace: "Keyspace", history: History | None, *, log_base: bool = False
) -> list[tuple[bytes, bytes]]:
    """The fields at the start of a file, as Redis orders them. log_base: a log continues it."""
    fields = [
        ("redis-ver", REDIS_VERSION),
        ("redis-bits", str(8 * struct.calcsize("P"))),
        ("ctime", str(int(time.time()))),
        ("used-mem", str(keyspace.used_memory())),
    ]
    if history is not None:
        fields += [
            ("repl-stream-db", str(history.selected)),
            ("repl-id", history.replication_id),
            ("repl-offset", str(history.offset)),
        ]
    fields.append(("aof-base", "1" if log_base else "0"))
    return [(name.encode(), value.encode()) for name, value in fields]


def write(
    descriptor: int, db: "Database", keyspace: "Keyspace", config: "Config", *,
    history: History | None = None, log_base: bool = False, progress: memoryview | None = None,
    syncs: bool = True,
) -> tuple[int, int]:  # fmt: skip
    """Writes the whole keyspace to a descriptor: (keys, bytes). `db` holds every lock; progress: one int64
    that counts the keys as they are written; syncs: it is a file that is to be on disk. Raises OSError.
    """
    databases = [db.sibling(index) for index in range(keyspace.databases)]
    for each in databases:
        each.hold_still()
    return save_core(
        keyspace, descriptor, aux_fields(keyspace, history, log_base=log_base),
        lambda index, key: saving.saved(databases[index], key, config),
        compressed=config.flag("rdbcompression"), checked=config.flag("rdbchecksum"),
        piecewise=syncs and config.flag("rdb-save-incremental-fsync"), progress=progress,
    )  # fmt: skip


def save(
    path: Path, db: "Database", keyspace: "Keyspace", config: "Config", *,
    history: History | None = None, log_base: bool = False, progress: memoryview | None = None,
) -> tuple[int, int]:  # fmt: skip
    """As `write`, to a file that takes the path's place when it is whole and on disk. Raises OSError."""
    with files.replacing(path) as file:
        return write(
            file.fileno(), db, keyspace, config, history=history, log_base=log_base, progress=progress
        )


# --- loading -----------------------------------------------------------------------------------------------


def load(
    path: Path, keyspace: "Keyspace", *, now_ms: int | None = None, under: "Database | None" = None,
    checked: bool = True, progress: Callable[[int, int], None] | None = None,
) -> Loaded:  # fmt: skip
    """Loads a file into databases that are empty. Raises SnapshotError, OSError; what was loaded by then must
    not be used.

    now_ms: keys that went before that time (Unix milliseconds) are left out; under: a Database that holds
    every lock, None: they are taken here; progress: called with bytes done and bytes in all, without locks.
    """
    with path.open("rb") as file:
        return load_open(
            file, str(path), keyspace, now_ms=now_ms, under=under, checked=checked, progress=progress
        )


def load_open(
    file: "BinaryIO", name: str, keyspace: "Keyspace", *, now_ms: int | None = None,
    under: "Database | None" = None, checked: bool = True, progress: Callable[[int, int], None] | None = None,
) -> Loaded:  # fmt: skip
    """As `load`, from a file that is open, whatever its name is."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise SnapshotError(f"{name}: the file is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if hasattr(data, "madvise"):
            data.madvise(mmap.MADV_SEQUENTIAL)
        # Without a checksum nothing vouches for packed values but a look at each of their elements.
        deep = checked and size > 8 and data[-8:] == bytes(8)
        try:
            return load_bytes(
                data, keyspace, now_ms=now_ms, under=under, checked=checked, deep=deep, progress=progress
            )
        except RdbError as fault:
            raise SnapshotError(f"{name}: {fault}") from None


def load_bytes(
    data: "Buffer", keyspace: "Keyspace", *, at: int = 0, now_ms: int | None = None,
    under: "Database | None" = None, checked: bool = True, deep: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Loaded:  # fmt: skip
    """As `load`, of the RDB file that begins at a place of a buffer; the result says where it ends. deep:
    every element of packed values is looked at. Raises RdbError, with the offset of the fault.
    """
    view = memoryview(data)
    holder = under if under is not None else Database(keyspace, 0)
    databases: list[Database] = []

    def lock() -> None:
        if under is None:
            holder.lock_all()
        databases[:] = [holder.sibling(index) for index in range(keyspace.databases)]

    def breathe(done: int) -> None:
        """Lets others in for a moment: INFO, and whoever is to hear that this server is loading."""
        if under is None:
            holder.unlock()
        try:
            if progress is not None:
                progress(done, len(view))
        finally:
            lock()

    def other(
        database: int,
        key: bytes,
        where: tuple[int, int, int],
        use: tuple[int | None, int | None, int | None],
    ) -> None:
        db = databases[database].sibling(database)
        kind, start, end = where
        expire_ms, idle_s, freq = use
        try:
            make_value(db, key, kind, bytes(view[start:end]))
        except RdbError as fault:
            raise RdbError(f"the value of {key[:60]!r}: {fault}", start) from None
        if idle_s is not None or freq is not None:
            db.hold_still()  # fields whose deadlines have passed stay, until loading is over
            db.set_use(key, None if idle_s is None else idle_s * 1000, freq)
        if expire_ms is not None:
            db.set_deadline(key, expire_ms)

    lock()
    try:
        return load_core(
            keyspace, view, other, at=at, now_ms=now_ms, checked=checked, deep=deep, progress=breathe
        )
    finally:
        if under is None:
            holder.unlock()
        databases.clear()
        view.release()


def make_value(db: "Database", key: bytes, kind: int, raw: bytes) -> None:
    """Makes a key of a type that the core does not read by itself. Raises RdbError."""
    if kind in UNSUPPORTED:
        raise RdbError(f"{UNSUPPORTED[kind]} cannot be read")
    if db.exists(key):
        raise RdbError("the key comes twice")
    value, end = saving.read(kind, raw, 0, LONGEST_STRING)
    if end != len(raw):
        raise RdbError("it has other bytes than its type says")
    saving.put_value(db, key, value)
