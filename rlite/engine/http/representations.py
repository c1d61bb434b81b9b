"""How a value of each type is read and written as JSON: which commands, and what becomes of their replies.

Strings here are bytes still; whether a document has them as text or as base64 is documents.py's business.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlite.engine.http.problems import unprocessable

Words = Sequence[bytes]
MAX_STRING = 8 << 20  # bytes of a string that one document holds


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a value. next: the cursor of the next part, "" after the last one."""

    value: Any
    next: str


@dataclass(frozen=True, slots=True)
class Shape:
    """One type.

    size: the command that measures a value; read: key, cursor, count -> a command, and what makes a page of
    its reply; write: key, value -> a command that makes it, None where none does; unordered: parts of a value
    come in no order of their own.
    """

    size: bytes
    read: Callable[[bytes, str, int], tuple[Words, Callable[[Any], Page]]]
    write: Callable[[bytes, Any], Words] | None
    unordered: bool = False


def offset_of(cursor: str, digits: int = 15) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= digits):
        raise unprocessable("cursor must be one that an earlier part of this value gave")
    return int(cursor)


def read_string(key: bytes, _cursor: str, _count: int) -> tuple[Words, Callable[[Any], Page]]:
    return (b"GET", key), lambda reply: Page(reply, "")


def read_list(key: bytes, cursor: str, count: int) -> tuple[Words, Callable[[Any], Page]]:
    start = offset_of(cursor)
    words = (b"LRANGE", key, b"%d" % start, b"%d" % (start + count))  # one more, to see whether there is more
    return words, lambda reply: Page(reply[:count], str(start + count) if len(reply) > count else "")


def read_sorted_set(key: bytes, cursor: str, count: int) -> tuple[Words, Callable[[Any], Page]]:
    start = offset_of(cursor)
    words = (b"ZRANGE", key, b"%d" % start, b"%d" % (start + count), b"WITHSCORES")

    def page(reply: list[bytes]) -> Page:
        scored = list(zip(reply[::2], reply[1::2], strict=True))
        shown = [{"member": member, "score": score_value(score)} for member, score in scored[:count]]
        return Page(shown, str(start + count) if len(scored) > count else "")

    return words, page


def score_value(text: bytes) -> float | str:
    """A score as JSON, which knows no infinity: those stay text."""
    return text.decode() if text.endswith(b"inf") else float(text)


def scanned(command: bytes) -> Callable[[bytes, str, int], tuple[Words, Callable[[Any], Page]]]:
    def read(key: bytes, cursor: str, count: int) -> tuple[Words, Callable[[Any], Page]]:
        words = (command, key, b"%d" % offset_of(cursor, 20), b"COUNT", b"%d" % count)

        def page(reply: Any) -> Page:
            there, items = reply
            value = items if command == b"SSCAN" else dict(zip(items[::2], items[1::2], strict=True))
            return Page(value, "" if there == b"0" else there.decode())

        return words, page

    return read


def read_stream(key: bytes, cursor: str, count: int) -> tuple[Words, Callable[[Any], Page]]:
    start = b"-" if cursor == "0" else b"(" + cursor.encode("utf-8", "surrogateescape")
    words = (b"XRANGE", key, start, b"+", b"COUNT", b"%d" % (count + 1))

    def page(reply: Any) -> Page:
        entries = [
            {"id": id_.decode(), "fields": [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]}
            for id_, flat in reply[:count]
        ]
        return Page(entries, entries[-1]["id"] if len(reply) > count else "")

    return words, page


def strings(value: Any, what: str) -> list[bytes]:
    if not isinstance(value, list) or not value or not all(isinstance(each, bytes) for each in value):
        raise unprocessable(f"the value of a {what} must be an array of strings that is not empty")
    return value


def write_string(key: bytes, value: Any) -> Words:
    if not isinstance(value, bytes):
        raise unprocessable("the value of a string must be a string")
    return (b"SET", key, value)


def write_hash(key: bytes, value: Any) -> Words:
    if not isinstance(value, dict) or not value or not all(isinstance(v, bytes) for v in value.values()):
        raise unprocessable("the value of a hash must be an object of strings that is not empty")
    return (b"HSET", key, *(part for pair in value.items() for part in pair))


def write_sorted_set(key: bytes, value: Any) -> Words:
    words = [b"ZADD", key]
    if not isinstance(value, list) or not value:
        raise unprocessable("the value of a zset must be an array that is not empty")
    for each in value:
        # Members of an object are bytes by now, its names too.
        if not isinstance(each, Mapping) or set(each) != {b"member", b"score"}:
            raise unprocessable("each part of a zset must be an object with a member and a score")
        member, score = each[b"member"], each[b"score"]
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if not isinstance(member, bytes) or not (number or score in (b"inf", b"-inf")):
            raise unprocessable("a member must be a string, a score a number, inf or -inf")
        words += [score if isinstance(score, bytes) else repr(score).encode(), member]
    return words


SHAPES: Mapping[str, Shape] = {
    "string": Shape(b"STRLEN", read_string, write_string),
    "list": Shape(b"LLEN", read_list, lambda key, value: (b"RPUSH", key, *strings(value, "list"))),
    "set": Shape(
        b"SCARD", scanned(b"SSCAN"), lambda key, value: (b"SADD", key, *strings(value, "set")), unordered=True
    ),
    "hash": Shape(b"HLEN", scanned(b"HSCAN"), write_hash, unordered=True),
    "zset": Shape(b"ZCARD", read_sorted_set, write_sorted_set),
    "stream": Shape(b"XLEN", read_stream, None),
}
