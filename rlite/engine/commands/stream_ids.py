"""Ids of stream entries as clients write them, and entries as replies."""

from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlite.engine.core.streamview import Entry, Id

ZERO: "Id" = (0, 0)
LAST: "Id" = (2**64 - 1, 2**64 - 1)


def _part(text: bytes) -> int | None:
    """An unsigned 64-bit number."""
    if not text.isdigit() or len(text) > 20 or int(text) >= 2**64:
        return None
    return int(text)


def read_id(raw: bytes, sequence: int = 0) -> "Id | None":
    """`ms` (then with this sequence) or `ms-seq`; None for anything else."""
    head, dash, tail = raw.partition(b"-")
    ms, seq = _part(head), _part(tail) if dash else sequence
    return None if ms is None or seq is None else (ms, seq)


def strict_id(raw: bytes, sequence: int = 0) -> "Id":
    """As `read_id`. Raises CommandError."""
    found = read_id(raw, sequence)
    if found is None:
        raise CommandError(errors.STREAM_ID)
    return found


def loose_id(raw: bytes, sequence: int = 0) -> "Id":
    """As `strict_id`; `-` and `+` are the lowest and the highest of all."""
    return ZERO if raw == b"-" else LAST if raw == b"+" else strict_id(raw, sequence)


def after(id_: "Id") -> "Id | None":
    """The next id; None after the last."""
    ms, seq = id_
    return (ms, seq + 1) if seq < 2**64 - 1 else (ms + 1, 0) if ms < 2**64 - 1 else None


def before(id_: "Id") -> "Id | None":
    ms, seq = id_
    return (ms, seq - 1) if seq else (ms - 1, 2**64 - 1) if ms else None


def range_start(raw: bytes) -> "Id":
    """The lower end of a range; `(id` leaves the id out. Raises CommandError."""
    if raw[:1] != b"(" or len(raw) == 1:
        return loose_id(raw)
    following = after(strict_id(raw[1:]))
    if following is None:
        raise CommandError(errors.INVALID_START)
    return following


def range_end(raw: bytes) -> "Id":
    """The upper end of a range; an id without a sequence is the last of its ms. Raises CommandError."""
    if raw[:1] != b"(" or len(raw) == 1:
        return loose_id(raw, 2**64 - 1)
    preceding = before(strict_id(raw[1:], 2**64 - 1))
    if preceding is None:
        raise CommandError(errors.INVALID_END)
    return preceding


def id_text(id_: "Id") -> bytes:
    return b"%d-%d" % id_


def entry_reply(entry: "Entry") -> Reply:
    """[id, [field, value, …]]."""
    id_, strings = entry
    return [id_text(id_), list[Reply](strings)]


def entries_reply(entries: "Sequence[Entry]") -> Reply:
    return [entry_reply(entry) for entry in entries]
