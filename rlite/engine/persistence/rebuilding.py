"""A key as the commands that make it: what `redis-cli --pipe` and the log take. Pure.

Values come in several commands of at most `BATCH` elements each; deadlines are dates. A stream with
deliveries of entries that are deleted by now has no commands that say it, and is always a RESTORE.
"""

from collections.abc import Iterator, Sequence

from rlite.engine.persistence.snapshot_key import SnapshotKey
from rlite.engine.types.groups import Group, Id
from rlite.engine.types.rdb_stream import Image
from rlite.engine.types.rdb_values import Fields

BATCH = 128

Command = list[bytes]


def commands_of(item: SnapshotKey, *, restore: bool = False, replace: bool = False) -> Iterator[Command]:
    """The commands, in their order, without SELECT. restore: one RESTORE; replace: what is there goes first.
    Raises RdbError for a value that cannot be decoded.
    """
    if restore:
        yield restoring(item, replace=replace)
        return
    value = item.value()
    if isinstance(value, Image) and not expressible(value):
        yield restoring(item, replace=replace)
        return
    if replace and not isinstance(value, bytes):
        yield [b"DEL", item.key]
    if isinstance(value, bytes):
        yield [b"SET", item.key, value]
    elif isinstance(value, list):
        yield from batches(b"RPUSH", item.key, value)
    elif isinstance(value, set):
        yield from batches(b"SADD", item.key, sorted(value))
    elif isinstance(value, dict):
        yield from batches(b"ZADD", item.key, [part for m, s in value.items() for part in (score(s), m)], 2)
    elif isinstance(value, Fields):
        yield from batches(b"HSET", item.key, [part for pair in value.pairs for part in pair], 2)
        for name, at in value.deadlines.items():
            yield [b"HPEXPIREAT", item.key, b"%d" % at, b"FIELDS", b"1", name]
    else:
        yield from stream_commands(item.key, value)
    if item.deadline is not None:
        yield [b"PEXPIREAT", item.key, b"%d" % item.deadline]


def restoring(item: SnapshotKey, *, replace: bool) -> Command:
    made = [b"RESTORE", item.key, b"%d" % (item.deadline or 0), item.payload()]
    if item.deadline is not None:
        made.append(b"ABSTTL")
    if replace:
        made.append(b"REPLACE")
    if item.idle is not None:
        made += (b"IDLETIME", b"%d" % item.idle)
    elif item.frequency is not None:
        made += (b"FREQ", b"%d" % item.frequency)
    return made


def batches(name: bytes, key: bytes, parts: Sequence[bytes], per_element: int = 1) -> Iterator[Command]:
    step = BATCH * per_element
    for at in range(0, len(parts), step):
        yield [name, key, *parts[at : at + step]]


def score(number: float) -> bytes:
    """A score that reads back as the same number."""
    return repr(number).encode()


def text_of(id_: Id) -> bytes:
    return b"%d-%d" % id_


def expressible(image: Image) -> bool:
    """Whether commands can make a stream: XCLAIM makes no delivery of an entry that is not there, or before
    1970, and no command takes a number of more than 63 bits.
    """
    there = {id_ for id_, _ in image.entries}
    return image.added < 2**63 and all(
        (group.read or 0) < 2**63
        and all(
            id_ in there and pending.delivered_at >= 0 and pending.count < 2**63
            for id_, pending in group.pending.items()
        )
        for group in image.groups.values()
    )


def stream_commands(key: bytes, image: Image) -> Iterator[Command]:
    for id_, strings in image.entries:
        yield [b"XADD", key, text_of(id_), *strings]
    if not image.entries:  # the one way to an empty stream
        yield [b"XADD", key, b"MAXLEN", b"0", text_of(max(image.last_id, (0, 1))), b"x", b"y"]
    yield [
        b"XSETID", key, text_of(image.last_id), b"ENTRIESADDED", b"%d" % image.added, b"MAXDELETEDID",
        text_of(image.max_deleted),
    ]  # fmt: skip
    for name, group in image.groups.named():
        yield from group_commands(key, name, group)


def group_commands(key: bytes, name: bytes, group: Group) -> Iterator[Command]:
    made = [b"XGROUP", b"CREATE", key, name, text_of(group.last_id)]
    if group.read is not None:
        made += (b"ENTRIESREAD", b"%d" % group.read)
    yield made
    for consumer in group.named():
        yield [b"XGROUP", b"CREATECONSUMER", key, name, consumer.name]
    for id_, pending in group.pending.items():
        yield [
            b"XCLAIM", key, name, pending.consumer.name, b"0", text_of(id_), b"TIME",
            b"%d" % pending.delivered_at, b"RETRYCOUNT", b"%d" % pending.count, b"JUSTID", b"FORCE",
        ]  # fmt: skip
