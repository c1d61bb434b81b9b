"""Values as RDB files hold them (Redis's rdb.h): the byte that names the type, and what follows it.

Written is what Redis 7.0 reads (RDB version 10), but for fields with deadlines, which only 7.4 knows (version
12). Read is everything up to 7.4, ziplists and zipmaps of old included, modules and unreleased forms not.
"""

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rlite.engine.types.listpack import get_listpack, put_listpack, texts
from rlite.engine.types.old_packed import get_intset, get_ziplist, get_zipmap, put_intset
from rlite.engine.types.rdb_string import RdbError, get_length, get_string, put_length, put_string, take

STRING, LIST, SET, ZSET, HASH, ZSET_2 = range(6)
HASH_ZIPMAP, LIST_ZIPLIST, SET_INTSET, ZSET_ZIPLIST, HASH_ZIPLIST, LIST_QUICKLIST = range(9, 15)
STREAM_1, HASH_LISTPACK, ZSET_LISTPACK, LIST_QUICKLIST_2, STREAM_2, SET_LISTPACK, STREAM_3 = range(15, 22)
HASH_METADATA, HASH_LISTPACK_EX = 24, 25
STREAMS = {STREAM_1: 1, STREAM_2: 2, STREAM_3: 3}
UNSUPPORTED = {6: "a module's value", 7: "a module's value", 22: "a hash of an unreleased version",
               23: "a hash of an unreleased version"}  # fmt: skip
NODE_BYTES = 8192  # of a list's node
PLAIN, PACKED = 1, 2

Pairs = list[tuple[bytes, bytes]]
Scores = list[tuple[bytes, float]]


@dataclass(slots=True)
class Fields:
    """A hash. deadlines: Unix milliseconds by field, of those that have one."""

    pairs: Pairs
    deadlines: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class Reader:
    """Bytes and how far one has come in them. limit: of a single string."""

    data: bytes
    at: int
    limit: int

    def string(self) -> bytes:
        found, self.at = get_string(self.data, self.at, self.limit)
        return found

    def length(self) -> int:
        found, is_code, self.at = get_length(self.data, self.at)
        if is_code:
            raise RdbError(f"no length before offset {self.at}")
        return found

    def count(self) -> int:
        """A length that so many things follow; there is no more of them than bytes."""
        found = self.length()
        if found > len(self.data) - self.at:
            raise RdbError(f"{found} elements are announced before offset {self.at}, more than bytes follow")
        return found

    def take(self, size: int) -> bytes:
        part = take(self.data, self.at, size)
        self.at += size
        return part

    def milliseconds(self) -> int:
        return int.from_bytes(self.take(8), "little", signed=True)


# --- writing: (type, bytes) --------------------------------------------------------------------------------

Put = Callable[[bytes], bytes]  # a string in its RDB form


def putter(compressed: bool) -> Put:
    return lambda value: put_string(value, compressed=compressed)


def put_list(items: Sequence[bytes], put: Put) -> tuple[int, bytes]:
    nodes: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for item in items:
        if batch and size + len(item) + 11 > NODE_BYTES:
            nodes.append(put_listpack(batch))
            batch, size = [], 0
        batch.append(item)
        size += len(item) + 11  # what an element needs beside its text, at most
    nodes.append(put_listpack(batch))
    return LIST_QUICKLIST_2, put_length(len(nodes)) + b"".join(bytes([PACKED]) + put(node) for node in nodes)


def put_set(members: Sequence[bytes], put: Put, *, intset: bool) -> tuple[int, bytes]:
    if intset:
        return SET_INTSET, put(put_intset(sorted(map(int, members))))
    return SET, put_length(len(members)) + b"".join(map(put, members))


def put_hash(value: Fields, put: Put, *, packed: bool) -> tuple[int, bytes]:
    if value.deadlines:
        return put_hash_with_deadlines(value, put, packed=packed)
    flat = [part for pair in value.pairs for part in pair]
    if packed:
        return HASH_LISTPACK, put(put_listpack(flat))
    return HASH, put_length(len(value.pairs)) + b"".join(map(put, flat))


def put_hash_with_deadlines(value: Fields, put: Put, *, packed: bool) -> tuple[int, bytes]:
    first = min(value.deadlines.values())
    head = first.to_bytes(8, "little")
    if packed:  # the first to go stands first, those that stay at the end
        pairs = sorted(value.pairs, key=lambda pair: value.deadlines.get(pair[0], math.inf))
        triples = [part for name, item in pairs for part in (name, item, value.deadlines.get(name, 0))]
        return HASH_LISTPACK_EX, head + put(put_listpack(triples))
    parts = [head, put_length(len(value.pairs))]
    for name, item in value.pairs:
        at = value.deadlines.get(name)
        parts += (put_length(0 if at is None else at - first + 1), put(name), put(item))
    return HASH_METADATA, b"".join(parts)


def put_zset(pairs: Scores, put: Put, *, packed: bool) -> tuple[int, bytes]:
    """pairs: in ascending order."""
    if packed:
        return ZSET_LISTPACK, put(
            put_listpack(part for name, score in pairs for part in (name, packed_score(score)))
        )
    body = b"".join(put(name) + struct.pack("<d", score) for name, score in reversed(pairs))
    return ZSET_2, put_length(len(pairs)) + body


def packed_score(score: float) -> bytes | int:
    """A score as an element of a listpack."""
    if score.is_integer() and abs(score) < 2**52 and not (score == 0 and math.copysign(1, score) < 0):
        return int(score)
    return b"%.17g" % score


# --- reading -----------------------------------------------------------------------------------------------


def get_value(kind: int, data: bytes, at: int, limit: int) -> tuple[object, int]:
    """(value of a type but a stream's, offset behind it): bytes, list set, Fields, dict of scores.

    Raises RdbError for damage: what is announced and not there, empty values, members that come twice.
    """
    reader = Reader(data, at, limit)
    value: object
    if kind == STRING:
        return reader.string(), reader.at
    if kind in (LIST, LIST_ZIPLIST, LIST_QUICKLIST, LIST_QUICKLIST_2):
        value = get_list(kind, reader)
    elif kind in (SET, SET_INTSET, SET_LISTPACK):
        value = get_set(kind, reader)
    elif kind in (ZSET, ZSET_2, ZSET_ZIPLIST, ZSET_LISTPACK):
        value = get_zset(kind, reader)
    elif kind in (HASH, HASH_ZIPMAP, HASH_ZIPLIST, HASH_LISTPACK, HASH_METADATA, HASH_LISTPACK_EX):
        value = get_hash(kind, reader)
    else:
        raise RdbError(f"no such type of a value: {kind}")
    if not (value.pairs if isinstance(value, Fields) else value):
        raise RdbError("a value without elements")
    return value, reader.at


def get_list(kind: int, reader: Reader) -> list[bytes]:
    if kind == LIST:
        return [reader.string() for _ in range(reader.count())]
    if kind == LIST_ZIPLIST:
        return get_ziplist(reader.string())
    found: list[bytes] = []
    for _ in range(reader.count()):
        container = PACKED if kind == LIST_QUICKLIST else reader.length()
        node = reader.string()
        if container == PLAIN:
            found.append(node)
        elif container != PACKED:
            raise RdbError(f"no such node of a list: {container}")
        else:
            found += get_ziplist(node) if kind == LIST_QUICKLIST else texts(get_listpack(node))
    return found


def get_set(kind: int, reader: Reader) -> set[bytes]:
    if kind == SET_INTSET:
        members = get_intset(reader.string())
    elif kind == SET_LISTPACK:
        members = texts(get_listpack(reader.string()))
    else:
        members = [reader.string() for _ in range(reader.count())]
    found = set(members)
    if len(found) != len(members):
        raise RdbError("a member of a set comes twice")
    return found


def paired(items: Sequence[bytes]) -> Pairs:
    if len(items) % 2:
        raise RdbError("an odd number of elements where they come in pairs")
    return list(zip(items[::2], items[1::2], strict=True))


def get_zset(kind: int, reader: Reader) -> dict[bytes, float]:
    pairs: Iterable[tuple[bytes, float]]
    if kind == ZSET_LISTPACK:
        pairs = [(name, score_in(text)) for name, text in paired(texts(get_listpack(reader.string())))]
    elif kind == ZSET_ZIPLIST:
        pairs = [(name, score_in(text)) for name, text in paired(get_ziplist(reader.string()))]
    elif kind == ZSET_2:
        pairs = [
            (reader.string(), float(struct.unpack("<d", reader.take(8))[0])) for _ in range(reader.count())
        ]
    else:
        pairs = [(reader.string(), old_score(reader)) for _ in range(reader.count())]
    found = dict(pairs)
    if len(found) != len(pairs) or any(map(math.isnan, found.values())):
        raise RdbError("a member of a sorted set comes twice, or without a score")
    return found


def old_score(reader: Reader) -> float:
    """A score as text behind its length; lengths 253 to 255 stand for nan, inf and -inf."""
    size = reader.take(1)[0]
    return {253: math.nan, 254: math.inf, 255: -math.inf}.get(size) or score_in(reader.take(size))


def score_in(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        raise RdbError(f"no score: {text[:40]!r}") from None


def get_hash(kind: int, reader: Reader) -> Fields:
    if kind == HASH_METADATA:
        found = get_hash_with_deadlines(reader)
    elif kind == HASH_LISTPACK_EX:
        reader.milliseconds()
        flat = texts(get_listpack(reader.string()))
        if len(flat) % 3:
            raise RdbError("elements that do not come in threes")
        found = Fields(list(zip(flat[::3], flat[1::3], strict=True)))
        found.deadlines = {
            name: int(at) for name, at in zip(flat[::3], flat[2::3], strict=True) if at.isdigit() and int(at)
        }
    elif kind == HASH:
        found = Fields([(reader.string(), reader.string()) for _ in range(reader.count())])
    else:
        read = {HASH_ZIPMAP: get_zipmap, HASH_ZIPLIST: get_ziplist}.get(kind)
        flat = read(reader.string()) if read is not None else texts(get_listpack(reader.string()))
        found = Fields(paired(flat))
    if len({name for name, _ in found.pairs}) != len(found.pairs):
        raise RdbError("a field of a hash comes twice")
    return found


def get_hash_with_deadlines(reader: Reader) -> Fields:
    first = reader.milliseconds()
    found = Fields([])
    for _ in range(reader.count()):
        later = reader.length()
        name, item = reader.string(), reader.string()
        found.pairs.append((name, item))
        if later:
            found.deadlines[name] = first + later - 1
    return found
