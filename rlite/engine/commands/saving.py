"""Values of a database as RDB holds them, and back: for DUMP, RESTORE, MIGRATE. Locks are the caller's."""

from typing import TYPE_CHECKING

from rlite.engine.types.groups import Groups
from rlite.engine.types.rdb_stream import Image, get_stream, put_stream
from rlite.engine.types.rdb_values import (
    STREAMS,
    STRING,
    Fields,
    get_value,
    put_hash,
    put_list,
    put_set,
    put_zset,
    putter,
)

if TYPE_CHECKING:
    from rlite.engine.config import Config
    from rlite.engine.core.database import Database

LAST_ID = (2**64 - 1, 2**64 - 1)


def saved(db: "Database", key: bytes, config: "Config") -> tuple[int, bytes] | None:
    """(RDB type, RDB bytes) of a key's value; None where there is no such key."""
    kind = db.type(key)
    facts = db.inspect(key)
    if kind is None or facts is None:
        return None
    put = putter(config.flag("rdbcompression"))
    packed = facts["encoding"] == "listpack"
    if kind == "string":
        return STRING, put(db.get(key) or b"")
    if kind == "list":
        items = db.list(key, create=True)
        return put_list(items.range(0, len(items)), put)
    if kind == "set":
        intset = facts["encoding"] == "intset"
        return put_set(db.set_(key, create=True).members(), put, intset=intset)
    if kind == "zset":
        return put_zset(db.sorted_set(key, create=True).items(), put, packed=packed)
    if kind == "hash":
        view = db.hash_(key, create=True)
        pairs = view.items()
        times = {name: at for name, _ in pairs if (at := view.deadline(name)) is not None}
        return put_hash(
            Fields(pairs, times), put, packed=packed or len(pairs) <= config.int("hash-max-listpack-entries")
        )
    stream = db.stream(key, create=True)
    groups = stream.groups
    image = Image(
        stream.range((0, 0), LAST_ID), stream.last_id, stream.max_deleted, stream.added,
        groups if isinstance(groups, Groups) else Groups(),
    )  # fmt: skip
    return put_stream(
        image, put, node_entries=config.int("stream-node-max-entries"),
        node_bytes=config.int("stream-node-max-bytes"),
    )  # fmt: skip


def read(kind: int, data: bytes, at: int, limit: int) -> tuple[object, int]:
    """(value of any type, offset behind it). Raises RdbError."""
    if kind in STREAMS:
        return get_stream(kind, data, at, limit)
    return get_value(kind, data, at, limit)


def put_value(db: "Database", key: bytes, value: object) -> None:
    """Makes a key, which must not exist, from what `read` returned."""
    match value:
        case bytes():
            db.set(key, value)
        case list():
            db.list(key, create=True).push(value, left=False)
        case set():
            db.set_(key, create=True).add(value)
        case dict():
            scores = db.sorted_set(key, create=True)
            for member, score in value.items():
                scores.add(member, score)
        case Fields(pairs, times):
            fields = db.hash_(key, create=True)
            for name, item in pairs:
                fields.set(name, item)
            for name, at in times.items():
                fields.set_deadline(name, at)
        case Image():
            put_image(db, key, value)
        case _:
            raise AssertionError(f"no value: {value!r}")


def put_image(db: "Database", key: bytes, image: Image) -> None:
    stream = db.stream(key, create=True)
    stream.make()
    for id_, strings in image.entries:
        stream.add(id_, strings)
    stream.adjust(last_id=image.last_id, added=image.added, max_deleted=image.max_deleted)
    if image.groups:
        stream.give_groups(image.groups)
