"""Streams as RDB files hold them: nodes of entries, what the stream remembers of ids, its consumer groups.

A node is a listpack: how many entries, how many of them deleted, the fields of the first (its master), 0;
then for each entry: flags, its id less the node's, its fields and values (or only values, where the fields
are the master's), and the number of elements before. Forms 1 to 3 differ in what is known of groups and of
deleted entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rlite.engine.types.groups import Consumer, Group, Groups, Id, Pending
from rlite.engine.types.listpack import get_listpack, put_listpack, texts
from rlite.engine.types.rdb_string import RdbError, put_length
from rlite.engine.types.rdb_values import STREAM_2, STREAMS, Put, Reader

DELETED, SAME_FIELDS = 1, 2
UNKNOWN = 2**64 - 1  # entries_read that nobody knows

Entry = tuple[Id, list[bytes]]


@dataclass(slots=True)
class Image:
    """All that makes a stream."""

    entries: list[Entry]
    last_id: Id = (0, 0)
    max_deleted: Id = (0, 0)
    added: int = 0
    groups: Groups = field(default_factory=Groups)


def raw_id(id_: Id) -> bytes:
    return id_[0].to_bytes(8, "big") + id_[1].to_bytes(8, "big")


def read_raw_id(raw: bytes) -> Id:
    return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")


def signed(number: int) -> int:
    """A difference of 64-bit numbers as a listpack holds it."""
    number &= 2**64 - 1
    return number - 2**64 if number >> 63 else number


# --- writing -----------------------------------------------------------------------------------------------


def put_stream(image: Image, put: Put, *, node_entries: int, node_bytes: int) -> tuple[int, bytes]:
    """(type, bytes). Nodes hold as much as the two limits (0: none) let them."""
    nodes = list(split(image.entries, node_entries, node_bytes))
    parts = [put_length(len(nodes))]
    for node in nodes:
        parts += (put(raw_id(node[0][0])), put(put_node(node)))
    first = image.entries[0][0] if image.entries else (0, 0)
    for number in (len(image.entries), *image.last_id, *first, *image.max_deleted, image.added):
        parts.append(put_length(number))
    parts.append(put_length(len(image.groups)))
    for name, group in image.groups.named():
        parts.append(put(name))
        read = UNKNOWN if group.read is None else group.read
        parts += map(put_length, (*group.last_id, read))
        parts += put_group(group, put)
    return STREAM_2, b"".join(parts)


def put_group(group: Group, put: Put) -> list[bytes]:
    parts = [put_length(len(group.pending))]
    for id_, pending in group.pending.items():
        parts += (raw_id(id_), milliseconds(pending.delivered_at), put_length(pending.count))
    parts.append(put_length(len(group.consumers)))
    for consumer in group.named():
        parts += (put(consumer.name), milliseconds(consumer.seen_at))
        parts.append(put_length(len(consumer.pending)))
        parts += map(raw_id, consumer.pending)
    return parts


def milliseconds(at: int) -> bytes:
    """A time; one from elsewhere may lie before 1970."""
    return at.to_bytes(8, "little", signed=True)


def split(entries: Sequence[Entry], most: int, most_bytes: int) -> list[list[Entry]]:
    nodes: list[list[Entry]] = []
    size = 0
    for entry in entries:
        taken = sum(map(len, entry[1]))
        if not nodes or (most and len(nodes[-1]) >= most) or (most_bytes and size + taken > most_bytes):
            nodes.append([])
            size = 0
        nodes[-1].append(entry)
        size += taken
    return nodes


def put_node(entries: Sequence[Entry]) -> bytes:
    (first_ms, first_seq), strings = entries[0]
    master = strings[::2]
    items: list[bytes | int] = [len(entries), 0, len(master), *master, 0]
    for (ms, seq), strings in entries:
        head = [signed(ms - first_ms), signed(seq - first_seq)]
        if strings[::2] == master:
            items += (SAME_FIELDS, *head, *strings[1::2], len(master) + 3)
        else:
            items += (0, *head, len(strings) // 2, *strings, len(strings) + 4)
    return put_listpack(items)


# --- reading -----------------------------------------------------------------------------------------------


def get_stream(kind: int, data: bytes, at: int, limit: int) -> tuple[Image, int]:
    """(stream, offset behind it). Raises RdbError for damage."""
    form = STREAMS[kind]
    reader = Reader(data, at, limit)
    image = Image([])
    for _ in range(reader.count()):
        raw = reader.string()
        if len(raw) != 16:
            raise RdbError(f"no id of a node before offset {reader.at}")
        image.entries += get_node(read_raw_id(raw), get_listpack(reader.string()))
    ids = [id_ for id_, _ in image.entries]
    if any(one >= other for one, other in pairwise(ids)):
        raise RdbError("the entries of a stream are not in order")
    length = reader.length()
    image.last_id = reader.length(), reader.length()
    image.added = length
    if form > 1:
        reader.length(), reader.length()  # the first id, which the entries tell
        image.max_deleted = reader.length(), reader.length()
        image.added = reader.length()
    if length != len(image.entries) or (ids and ids[-1] > image.last_id):
        raise RdbError("a stream has other entries than it says")
    for _ in range(reader.count()):
        name = reader.string()
        if name in image.groups:
            raise RdbError("a consumer group comes twice")
        image.groups[name] = get_group(reader, form)
    return image, reader.at


def get_node(base: Id, items: list[bytes | int]) -> list[Entry]:
    """The entries of a node that are not deleted."""
    found: list[Entry] = []
    at = 0

    def number() -> int:
        nonlocal at
        item = items[at] if at < len(items) else None
        at += 1
        if not isinstance(item, int):
            raise RdbError("a node of a stream has no number where one belongs")
        return item

    def strings(count: int) -> list[bytes]:
        nonlocal at
        part = items[at : at + count]
        at += count
        if count < 0 or len(part) != count:
            raise RdbError("a node of a stream ends too early")
        return texts(part)

    total, deleted, size = number(), number(), number()
    master = strings(size)
    number()
    for _ in range(total + deleted):
        flags = number()
        id_ = (base[0] + number()) % 2**64, (base[1] + number()) % 2**64
        if flags & SAME_FIELDS:
            values = strings(len(master))
            pairs = [part for pair in zip(master, values, strict=True) for part in pair]
        else:
            pairs = strings(2 * number())
        number()
        if not flags & DELETED:
            found.append((id_, pairs))
    if at != len(items):
        raise RdbError("a node of a stream has more than it says")
    return found


def get_group(reader: Reader, form: int) -> Group:
    last_id = reader.length(), reader.length()
    read = reader.length() if form > 1 else UNKNOWN
    group = Group(last_id, None if read == UNKNOWN else read)
    nobody = Consumer(b"", 0)
    for _ in range(reader.count()):
        id_ = read_raw_id(reader.take(16))
        group.pending[id_] = Pending(nobody, reader.milliseconds(), reader.length())
    for _ in range(reader.count()):
        name = reader.string()
        if name in group.consumers:
            raise RdbError("a consumer comes twice")
        consumer = group.consumers[name] = Consumer(name, reader.milliseconds())
        if form > 2:
            active = reader.milliseconds()
            consumer.active_at = None if active < 0 else active
        else:
            consumer.active_at = consumer.seen_at  # the best guess, as Redis makes it
        for _ in range(reader.count()):
            id_ = read_raw_id(reader.take(16))
            pending = group.pending.get(id_)
            if pending is None or pending.consumer is not nobody:
                raise RdbError("a consumer has an entry pending that its group has not, or twice")
            pending.consumer = consumer
            consumer.pending[id_] = pending
    if any(pending.consumer is nobody for pending in group.pending.values()):
        raise RdbError("an entry is pending with no consumer")
    return group
