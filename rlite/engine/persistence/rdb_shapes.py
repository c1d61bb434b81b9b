"""What an RDB type stands for, and how much is in a value, without decoding it.

Counts come from the heads of packed values: of an LZF string only its first bytes are unpacked. Pure: bytes
in, numbers out. Raises RdbError where a value's own announcements do not fit it.
"""

from dataclasses import dataclass

from rlite.engine.types.listpack import get_listpack
from rlite.engine.types.old_packed import get_ziplist, get_zipmap
from rlite.engine.types.rdb_string import RdbError, get_length, get_string
from rlite.engine.types.rdb_values import (
    HASH,
    HASH_LISTPACK,
    HASH_LISTPACK_EX,
    HASH_METADATA,
    HASH_ZIPLIST,
    HASH_ZIPMAP,
    LIST,
    LIST_QUICKLIST,
    LIST_QUICKLIST_2,
    LIST_ZIPLIST,
    PACKED,
    PLAIN,
    SET,
    SET_INTSET,
    SET_LISTPACK,
    STREAM_1,
    STREAM_2,
    STREAM_3,
    STREAMS,
    STRING,
    ZSET,
    ZSET_2,
    ZSET_LISTPACK,
    ZSET_ZIPLIST,
)

NO_LIMIT = 2**62
MANY = 0xFFFF  # the count of a packed value that says: count them
INTS, LZF = {0xC0: 1, 0xC1: 2, 0xC2: 4}, 0xC3  # codes of encoded strings; bytes of an integer

# RDB type -> (type, encoding): OBJECT ENCODING's words where it has them.
SHAPES: dict[int, tuple[str, str]] = {
    STRING: ("string", "raw"),
    LIST: ("list", "linkedlist"),
    LIST_ZIPLIST: ("list", "ziplist"),
    LIST_QUICKLIST: ("list", "quicklist-ziplists"),
    LIST_QUICKLIST_2: ("list", "quicklist"),
    SET: ("set", "hashtable"),
    SET_INTSET: ("set", "intset"),
    SET_LISTPACK: ("set", "listpack"),
    ZSET: ("zset", "skiplist-text"),
    ZSET_2: ("zset", "skiplist"),
    ZSET_ZIPLIST: ("zset", "ziplist"),
    ZSET_LISTPACK: ("zset", "listpack"),
    HASH: ("hash", "hashtable"),
    HASH_ZIPMAP: ("hash", "zipmap"),
    HASH_ZIPLIST: ("hash", "ziplist"),
    HASH_LISTPACK: ("hash", "listpack"),
    HASH_METADATA: ("hash", "hashtable-ttl"),
    HASH_LISTPACK_EX: ("hash", "listpackex"),
    STREAM_1: ("stream", "stream-1"),
    STREAM_2: ("stream", "stream-2"),
    STREAM_3: ("stream", "stream-3"),
}
TYPES = ("string", "list", "set", "zset", "hash", "stream", "module")
_PER_ELEMENT = {ZSET_LISTPACK: 2, ZSET_ZIPLIST: 2, HASH_LISTPACK: 2, HASH_ZIPLIST: 2, HASH_LISTPACK_EX: 3}
_COUNTED = frozenset({LIST, SET, ZSET, ZSET_2, HASH})
_LISTPACKS = frozenset({SET_LISTPACK, ZSET_LISTPACK, HASH_LISTPACK, HASH_LISTPACK_EX})
_ZIPLISTS = frozenset({LIST_ZIPLIST, ZSET_ZIPLIST, HASH_ZIPLIST})


@dataclass(frozen=True, slots=True)
class Shape:
    """elements: members, fields, items or entries; of a string its length in bytes, unpacked."""

    type: str
    encoding: str
    elements: int


def type_of(kind: int) -> str:
    """The name TYPE would give; "module" for a module's value."""
    return SHAPES.get(kind, ("module", ""))[0]


def shape_of(kind: int, raw: bytes) -> Shape:
    """What a value is. raw: its bytes as the file has them, behind the key."""
    if kind == STRING:
        return string_shape(raw)
    named = SHAPES.get(kind)
    if named is None:
        return Shape("module", "module", 1)
    try:
        return Shape(*named, elements_of(kind, raw))
    except IndexError:
        raise RdbError("a packed value is cut short") from None


def string_shape(raw: bytes) -> Shape:
    size, is_code, at = get_length(raw, 0)
    if not is_code:
        return Shape("string", "raw", size)
    if size in INTS:
        return Shape("string", "int", len(get_string(raw, 0, NO_LIMIT)[0]))
    if size != LZF:
        raise RdbError(f"no such encoding of a string: {size:#x}")
    _, _, at = get_length(raw, at)
    return Shape("string", "lzf", get_length(raw, at)[0])


def elements_of(kind: int, raw: bytes) -> int:
    if kind in _COUNTED:
        return get_length(raw, 0)[0]
    if kind in _LISTPACKS:
        at = 8 if kind == HASH_LISTPACK_EX else 0  # the first deadline stands before it
        return listpack_count(raw, at) // _PER_ELEMENT.get(kind, 1)
    if kind in _ZIPLISTS:
        return ziplist_count(raw, 0) // _PER_ELEMENT.get(kind, 1)
    if kind == SET_INTSET:
        return int.from_bytes(head_of_string(raw, 0, 8)[4:8], "little")
    if kind == HASH_ZIPMAP:
        told = head_of_string(raw, 0, 1)[0]
        return told if told < 254 else len(get_zipmap(get_string(raw, 0, NO_LIMIT)[0])) // 2
    if kind == HASH_METADATA:
        return get_length(raw, 8)[0]
    nodes, _, at = get_length(raw, 0)
    if kind in STREAMS:
        for _ in range(2 * nodes):
            at = end_of_string(raw, at)
        return get_length(raw, at)[0]
    total = 0
    for _ in range(nodes):
        form = PACKED
        if kind == LIST_QUICKLIST_2:
            form, _, at = get_length(raw, at)
        if form == PLAIN:
            total += 1
        else:
            total += listpack_count(raw, at) if kind == LIST_QUICKLIST_2 else ziplist_count(raw, at)
        at = end_of_string(raw, at)
    return total


def listpack_count(raw: bytes, at: int) -> int:
    """Elements of the listpack in the string at an offset."""
    told = int.from_bytes(head_of_packed(raw, at, 6)[4:6], "little")
    return told if told != MANY else len(get_listpack(get_string(raw, at, NO_LIMIT)[0]))


def ziplist_count(raw: bytes, at: int) -> int:
    """Elements of the ziplist in the string at an offset."""
    told = int.from_bytes(head_of_packed(raw, at, 10)[8:10], "little")
    return told if told != MANY else len(get_ziplist(get_string(raw, at, NO_LIMIT)[0]))


def end_of_string(raw: bytes, at: int) -> int:
    """The offset behind a string."""
    size, is_code, at = get_length(raw, at)
    if is_code:
        if size in INTS:
            return at + INTS[size]
        size, _, at = get_length(raw, at)
        _, _, at = get_length(raw, at)
    return at + size


def head_of_packed(raw: bytes, at: int, want: int) -> bytes:
    """The first bytes of a listpack or ziplist, which tell its size. Raises RdbError where that is
    another.
    """
    head = head_of_string(raw, at, want)
    told = int.from_bytes(head[:4], "little")
    size = size_of_string(raw, at)
    if told != size:
        raise RdbError(f"a packed value tells a size of {told} bytes and has {size}")
    return head


def size_of_string(raw: bytes, at: int) -> int:
    """The length of a string that is not a number, unpacked."""
    size, is_code, at = get_length(raw, at)
    if not is_code:
        return size
    _, _, at = get_length(raw, at)
    return get_length(raw, at)[0]


def head_of_string(raw: bytes, at: int, want: int) -> bytes:
    """The first bytes of a string. Raises RdbError where there are fewer."""
    size, is_code, at = get_length(raw, at)
    if not is_code:
        found = raw[at : at + min(want, size)]
    elif size == LZF:
        packed, _, at = get_length(raw, at)
        _, _, at = get_length(raw, at)
        found = lzf_head(raw, at, at + packed, want)
    else:
        raise RdbError("a number where a packed value belongs")
    if len(found) < want:
        raise RdbError("a packed value is cut short")
    return found


def lzf_head(data: bytes, at: int, end: int, want: int) -> bytes:
    """The first bytes of what was compressed; see types/lzf.py for the format."""
    out = bytearray()
    while at < end and len(out) < want:
        control = data[at]
        at += 1
        if control < 32:
            out += data[at : min(at + control + 1, end)]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += data[at]
            at += 1
        start = len(out) - ((control & 0x1F) << 8) - data[at] - 1
        at += 1
        if start < 0:
            raise RdbError("LZF: a distance reaches before the start")
        for _ in range(min(length + 2, want)):
            out.append(out[start])
            start += 1
    return bytes(out[:want])
