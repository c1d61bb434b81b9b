"""RDB files for tests: made by hand (old forms, damage), and by servers that hold a value of every kind."""

import io
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from rlite.engine.persistence.rdb_writing import RdbWriter
from rlite.engine.persistence.snapshot_key import SnapshotKey, encoded
from rlite.engine.types.groups import Consumer, Group, Groups, Pending
from rlite.engine.types.rdb_stream import Image
from rlite.engine.types.rdb_string import put_length, put_string
from rlite.engine.types.rdb_values import Fields, putter
from support.servers import rlite_program
from support.wire import Wire


def rlite(*args: str | Path, given: bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
    """The real program, in pipes."""
    return subprocess.run(
        [*rlite_program(), *map(str, args)], capture_output=True, input=given, timeout=timeout, check=False
    )


CHILD_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_kib(*args: str | Path) -> int:
    """The most memory that the program had at once."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD_PEAK, *rlite_program(), *map(str, args)],
        capture_output=True, timeout=100, check=True,
    )  # fmt: skip
    return int(done.stdout)


def rdb(keys: Iterable[SnapshotKey]) -> bytes:
    """A file of these keys."""
    file = io.BytesIO()
    writer = RdbWriter(file)
    writer.begin()
    for key in keys:
        writer.key(key)
    writer.finish()
    return file.getvalue()


def text(value: bytes) -> bytes:
    """A string as an RDB holds it, never compressed."""
    return put_string(value, compressed=False)


def string(key: bytes, value: bytes = b"v", *, db: int = 0, deadline: int | None = None) -> SnapshotKey:
    return SnapshotKey(db, key, 0, text(value), deadline)


def ziplist(items: Iterable[bytes]) -> bytes:
    body, before = b"", 0
    count = 0
    for item in items:
        element = bytes([before, len(item)]) + item
        if item.isdigit() and len(item) < 3:
            element = bytes([before, 0xFE, int(item)])
        body += element
        before = len(element)
        count += 1
    size = 10 + len(body) + 1
    return (
        size.to_bytes(4, "little") + (10 + len(body) - before).to_bytes(4, "little")
        + count.to_bytes(2, "little") + body + b"\xff"
    )  # fmt: skip


def zipmap(pairs: dict[bytes, bytes]) -> bytes:
    body = b"".join(bytes([len(f)]) + f + bytes([len(v), 0]) + v for f, v in pairs.items())
    return bytes([len(pairs)]) + body + b"\xff"


# Forms that servers read and no longer write: (key, RDB type, bytes, type, encoding, elements, value).
OLD_FORMS: list[tuple[bytes, int, bytes, str, str, int, object]] = [
    (b"linked", 1, put_length(2) + text(b"a") + text(b"b"), "list", "linkedlist", 2, [b"a", b"b"]),
    (b"listzip", 10, text(ziplist([b"a", b"7", b"bb"])), "list", "ziplist", 3, [b"a", b"7", b"bb"]),
    (
        b"quickzip", 14, put_length(2) + text(ziplist([b"a", b"b"])) + text(ziplist([b"c"])),
        "list", "quicklist-ziplists", 3, [b"a", b"b", b"c"],
    ),
    (b"zsettext", 3, put_length(2) + text(b"m") + b"\x031.5" + text(b"n") + b"\xfe", "zset",
     "skiplist-text", 2, {b"m": 1.5, b"n": float("inf")}),
    (b"zsetzip", 12, text(ziplist([b"m", b"1", b"n", b"2.5"])), "zset", "ziplist", 2, {b"m": 1.0, b"n": 2.5}),
    (b"hashzip", 13, text(ziplist([b"f", b"v", b"g", b"w"])), "hash", "ziplist", 2, {b"f": b"v", b"g": b"w"}),
    (b"hashmap", 9, text(zipmap({b"f": b"v", b"g": b"w"})), "hash", "zipmap", 2, {b"f": b"v", b"g": b"w"}),
]  # fmt: skip


def old_file(version: int = 10) -> bytes:
    """All old forms in one file."""
    made = rdb(SnapshotKey(0, key, kind, raw) for key, kind, raw, *_ in OLD_FORMS)
    if version == 10:
        return made
    body = made[:5] + b"%04d" % version + made[9:-8]
    return body + (bytes(8) if version >= 5 else b"")


LATER = 4102444800123  # a deadline that no test lives to see


def image(*, deleted: bool = False) -> Image:
    made = Image([((1, 1), [b"f", b"v"]), ((5, 0), [b"\xff", b"w", b"x", b""])], (7, 2), (6, 0), 9, Groups())
    group = Group((5, 0), 1)
    busy, lazy = Consumer(b"busy", 1_700_000_000_000), Consumer(b"\xfelazy", 1_600_000_000_000)
    group.consumers = {busy.name: busy, lazy.name: lazy}
    for id_ in ((1, 1), (6, 0)) if deleted else ((1, 1),):
        group.pending[id_] = busy.pending[id_] = Pending(busy, 1_700_000_000_123, 4)
    made.groups[b"g"] = group
    made.groups[b"unread"] = Group((0, 0), None)
    return made


def every_kind() -> list[SnapshotKey]:
    """A key of each kind, and what is rare in each."""
    values: list[object] = [
        b"", b"12", b"text" * 1000, b"\x00\xff\r\n$5", [b"a", b"", b"1", b"\xff" * 300],
        [b"%d" % i for i in range(500)],
        {b"1", b"-9223372036854775808"}, {b"a", b"\xff", b"7" * 30}, {b"%d" % i for i in range(700)},
        {b"m": 1.0, b"n": -0.5, b"o": float("inf"), b"p": float("-inf"), b"q": 1e-300, b"r": 0.1 + 0.2},
        {b"%d" % i: i / 7 for i in range(300)}, Fields([(b"f", b"v"), (b"\xff", b""), (b"n", b"12")]),
        Fields([(b"%d" % i, b"v") for i in range(600)]), Fields([(b"f", b"v"), (b"g", b"w")], {b"g": LATER}),
        Fields([(b"%d" % i, b"v") for i in range(600)], {b"5": LATER, b"6": LATER + 1}),
        image(), image(deleted=True), Image([], (9, 9), (9, 9), 3), Image([]),
    ]  # fmt: skip
    keys = []
    for number, value in enumerate(values):
        kind, raw = encoded(value, putter(True))  # type: ignore[arg-type]
        deadline = LATER + number if number % 3 == 0 else None
        keys.append(SnapshotKey(number % 4, b"key:%d\xff" % number, kind, raw, deadline))
    return keys


def fill(wire: Wire, *, field_ttl: bool = False) -> None:
    """A value of every kind and encoding. field_ttl: the server knows deadlines of fields."""
    many = [str(i) for i in range(700)]
    for command in (
        ("SET", "string", "text"),
        ("SET", "number", "-1234567"),
        ("SET", "big", "z" * 5000),
        ("SET", b"\x00\xff\x1b[31m", b"\xfe\x00bin"),
        ("SET", "for a day", "v", "EX", "86400"),
        ("SET", "until 2100", "v", "PXAT", "4102444800123"),
        ("RPUSH", "list", "a", "1", "", b"\xff", "x" * 100),
        ("RPUSH", "long list", *many),
        ("RPUSH", "wide list", "y" * 20_000, "z" * 70_000, "1"),
        ("SADD", "intset", "3", "1", "2"),
        ("SADD", "set", "a", b"\xff", "1"),
        ("SADD", "big set", *[f"m{i}" for i in many]),
        ("ZADD", "zset", "1", "a", "-inf", "b", "inf", "c", "0.1", "d", "1e300", b"\xff"),
        ("ZADD", "big zset", *[part for i in many for part in (f"{int(i) / 7:.17g}", f"m{i}")]),
        ("HSET", "hash", "f", "v", b"\xff", b"\xfe", "n", "12"),
        ("HSET", "big hash", *[part for i in many for part in (f"f{i}", f"v{i}")]),
        ("EXPIRE", "big hash", "4000"),
        ("PFADD", "hll", "a", "b", "c"),
        ("SETRANGE", "bits", "300", "\x01"),
        ("XADD", "stream", "1-1", "a", "1", "b", "2"),
        ("XADD", "stream", "1-2", "a", "1", "b", b"\xff"),
        ("XADD", "stream", "2-0", "other", "field"),
        ("XADD", "stream", "3-0", "other", "field"),
        ("XDEL", "stream", "3-0"),
        ("XGROUP", "CREATE", "stream", "group", "0", "ENTRIESREAD", "0"),
        ("XGROUP", "CREATECONSUMER", "stream", "group", "idle one"),
        ("XREADGROUP", "GROUP", "group", "worker", "COUNT", "2", "STREAMS", "stream", ">"),
        (
            "XCLAIM",
            "stream",
            "group",
            "worker",
            "0",
            "1-1",
            "1-2",
            "TIME",
            "1700000000123",
            "RETRYCOUNT",
            "3",
            "JUSTID",
        ),
        ("XGROUP", "CREATE", "stream", "later", "$"),
        ("XADD", "emptied", "5-5", "a", "b"),
        ("XDEL", "emptied", "5-5"),
        ("XGROUP", "CREATE", "never filled", "g", "$", "MKSTREAM"),
        ("SELECT", "9"),
        ("SET", "string", "elsewhere"),
        ("HSET", "user:1:profile", "name", "Zoë"),
        ("HSET", "user:2:profile", "name", "Bob"),
    ):
        wire.command(*command)
    if field_ttl:
        wire.command("HSET", "fields", "a", "1", "b", "2")
        wire.command("HPEXPIREAT", "fields", "4102444800123", "FIELDS", "1", "a")
        wire.command("HSET", "many fields", *[part for i in many for part in (f"f{i}", f"v{i}")])
        wire.command("HPEXPIREAT", "many fields", "4102444800123", "FIELDS", "2", "f1", "f2")
    wire.command("SELECT", "0")
