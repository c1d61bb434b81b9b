"""What the tests of snapshots share: data of every type and encoding, and whole keyspaces as RDB bytes."""

import os
import tempfile
from pathlib import Path

from rlite.engine import Engine
from rlite.engine.core.database import Database
from rlite.engine.core.rdbload import Loaded
from rlite.engine.persistence import snapshot

FAR_MS = 4102444800000  # the year 2100


def engine(**directives: object) -> Engine:
    return Engine(**{"save": "", "enable_debug_command": "yes", **directives})


def digest(of: Engine) -> object:
    return of.execute("DEBUG", "DIGEST")


def saved(of: Engine) -> bytes:
    """The data of an engine as an RDB file."""
    server = of._server
    db = Database(server.keyspace, 0)
    db.lock_all()
    try:
        with tempfile.TemporaryFile() as file:
            snapshot.write(file.fileno(), db, server.keyspace, server.config)
            size = os.fstat(file.fileno()).st_size
            return os.pread(file.fileno(), size, 0)
    finally:
        db.unlock()


def loaded(to: Engine, data: bytes, path: Path, **options: object) -> Loaded:
    path.write_bytes(data)
    return snapshot.load(path, to._server.keyspace, **options)  # type: ignore[arg-type]


NUMBERS = (0, -1, 127, 128, -129, 32767, 32768, 2**31 - 1, 2**31, -(2**31), 2**63 - 1)

# Commands that make a key of every type and every encoding, in two databases. None is of Redis above 7.0.
PROGRAM: tuple[tuple[object, ...], ...] = (
    ("SET", "empty", ""),
    *(("SET", f"number:{n}", n) for n in NUMBERS),
    ("SET", "12", "a key that is a number"),
    ("SET", "zeros", "00012"),
    ("SET", "repeats", "ab" * 5000),
    ("SET", "random", os.urandom(3000)),
    ("SET", "k" * 3000, "a long key"),
    ("SET", "volatile", "v", "PXAT", FAR_MS),
    ("RPUSH", "list:packed", *range(-5, 60), "text", 2**40, "x" * 100),
    ("RPUSH", "list:full", *(f"element {n}" * (n % 7) for n in range(3000))),
    ("RPUSH", "list:long", "a" * 20000, "b", "c" * 9000),
    ("SADD", "set:16", 1, 2, 30000),
    ("SADD", "set:32", -70000, 5),
    ("SADD", "set:64", 2**50, 5),
    ("SADD", "set:packed", "a", "b", 3),
    ("SADD", "set:full", *(f"member {n}" for n in range(700))),
    ("SADD", "set:numbers", *range(700)),
    ("ZADD", "zset:packed", 1.5, "a", -3, "b", "inf", "c", "-inf", "d", 1e300, "e", 0.1, "7"),
    ("ZADD", "zset:full", *(part for n in range(300) for part in (n / 7, f"member {n}"))),
    ("ZADD", "zset:edge", "inf", "z" * 100, "-inf", "y", 0, "x"),
    ("HSET", "hash:packed", "f", "v", "n", 12, "", "empty"),
    ("HSET", "hash:full", *(part for n in range(300) for part in (f"field {n}", f"value {n}" * (n % 9)))),
    ("HSET", "hash:wide", "f", "v" * 500),
    *(("XADD", "stream", f"{n}-{n % 3 + 1}", "f", n, "g", "x" * (n % 50)) for n in range(1, 250)),
    ("XADD", "stream", "300-1", "other", "fields", "than", "before"),
    ("XDEL", "stream", "17-3"),
    ("XGROUP", "CREATE", "stream", "group", 0),
    ("XREADGROUP", "GROUP", "group", "ann", "COUNT", 20, "STREAMS", "stream", ">"),
    ("XREADGROUP", "GROUP", "group", "bob", "COUNT", 20, "STREAMS", "stream", ">"),
    ("XACK", "stream", "group", "3-1"),
    ("XGROUP", "CREATE", "stream:none", "group", "$", "MKSTREAM"),
    ("PFADD", "log", *range(1000)),
    ("PEXPIREAT", "hash:full", FAR_MS),
    ("PEXPIREAT", "stream:none", FAR_MS),
    ("SELECT", 9),
    ("SET", "elsewhere", "in database 9"),
    ("HSET", "hash", "f", "v"),
    ("SELECT", 0),
)  # fmt: skip


def fill(to: Engine) -> None:
    for command in PROGRAM:
        to.execute(*command)  # type: ignore[arg-type]
