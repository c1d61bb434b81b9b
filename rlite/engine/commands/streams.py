"""Streams: ranges, trimming, reading (with waiting). XADD is the core's (core/streams.pyx); consumer groups
have their own module (stream_groups.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.blocking import waits
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, command, core_command
from rlite.engine.commands.stream_ids import (
    LAST,
    ZERO,
    after,
    entries_reply,
    id_text,
    range_end,
    range_start,
    strict_id,
)
from rlite.engine.errors import CommandError
from rlite.engine.reply import BLOCK, NULL_ARRAY, OK, Pairs, Reply

if TYPE_CHECKING:
    from rlite.engine.core.streamview import Id, StreamView

UNLIMITED_TRIM = 10_000  # entries an approximate trim removes at most where nodes have no limit of entries

core_command(
    "XADD key [NOMKSTREAM] [(MAXLEN | MINID) [= | ~] threshold [LIMIT count]] (* | id) "
    "field value [field value ...]",
    arity=-5, flags="write denyoom fast", keys=(1, 1, 1), access="RW update", group="stream", since="5.0.0",
    tips=("nondeterministic_output",), complexity="O(1), and O(n) for n entries trimmed",
    summary="Appends an entry to a stream.",
)  # fmt: skip
core_command(
    "XLEN key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO", group="stream", since="5.0.0",
    complexity="O(1)", summary="Counts the entries of a stream.",
)  # fmt: skip


def ranged(call: Call, start: bytes, end: bytes, *, reverse: bool) -> Reply:
    low, high = range_start(start), range_end(end)
    count = -1
    i = 4
    while i < len(call.args):
        if call.word(i) != b"COUNT" or i + 1 == len(call.args):
            raise CommandError(errors.SYNTAX)
        count = max(0, call.int(i + 1))
        i += 2
    view = call.db.stream(call.args[1])
    call.looked_up(view is not None)
    if view is None:
        return []
    if count == 0:
        return NULL_ARRAY
    return entries_reply(view.range(low, high, count, reverse))


@command(
    "XRANGE key start end [COUNT count]", arity=-4, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="stream", since="5.0.0", complexity="O(log n + m) where m is the number of entries returned",
    summary="Returns the entries between two ids.",
)  # fmt: skip
def xrange(call: Call) -> Reply:
    return ranged(call, call.args[2], call.args[3], reverse=False)


@command(
    "XREVRANGE key end start [COUNT count]", arity=-4, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="stream", since="5.0.0", complexity="O(log n + m) where m is the number of entries returned",
    summary="Returns the entries between two ids, the last first.",
)  # fmt: skip
def xrevrange(call: Call) -> Reply:
    return ranged(call, call.args[3], call.args[2], reverse=True)


@command(
    "XDEL key id [id ...]", arity=-3, flags="write fast", keys=(1, 1, 1), access="RW delete", group="stream",
    since="5.0.0", complexity="O(log n) for each id", summary="Deletes entries.",
)  # fmt: skip
def xdel(call: Call) -> Reply:
    view = call.db.stream(call.args[1])
    if view is None:
        return 0
    ids = [strict_id(raw) for raw in call.args[2:]]
    deleted = sum(1 for id_ in ids if view.delete(id_))
    if deleted:
        call.changed(deleted)
        call.notify("t", "xdel", call.args[1])
    return deleted


def exact_trim(view: "StreamView", by_length: bool) -> tuple[bytes, ...]:
    """The options that trim a stream to what there is of it now."""
    first = view.first()
    if by_length or first is None:
        return b"MAXLEN", b"=", b"%d" % len(view)
    return b"MINID", b"=", id_text(first[0])


@command(
    "XTRIM key (MAXLEN | MINID) [= | ~] threshold [LIMIT count]", arity=-4, flags="write", keys=(1, 1, 1),
    access="RW delete", group="stream", since="5.0.0", tips=("nondeterministic_output",),
    complexity="O(n) where n is the number of entries removed", summary="Removes the oldest entries.",
)  # fmt: skip
def xtrim(call: Call) -> Reply:
    maxlen: int | None = None
    minid: Id | None = None
    approx = False
    limit: int | None = None
    i = 2
    while i < len(call.args):
        word, more = call.word(i), len(call.args) - 1 - i
        if word in (b"MAXLEN", b"MINID") and more:
            if maxlen is not None or minid is not None:
                raise CommandError(errors.TRIM_TWICE)
            approx = False
            if more >= 2 and call.args[i + 1] in (b"~", b"="):
                approx = call.args[i + 1] == b"~"
                i += 1
            i += 1
            if word == b"MINID":
                minid = strict_id(call.args[i])
            else:
                maxlen = call.int(i)
                if maxlen < 0:
                    raise CommandError(errors.MAXLEN_NEGATIVE)
        elif word == b"LIMIT" and more:
            i += 1
            limit = call.int(i)
            if limit < 0:
                raise CommandError(errors.LIMIT_NEGATIVE)
        else:
            raise CommandError(errors.SYNTAX)
        i += 1
    if maxlen is None and minid is None:
        raise CommandError(errors.LIMIT_WITHOUT_STRATEGY if limit else errors.XTRIM_WITHOUT_STRATEGY)
    if limit is not None and not approx:
        # Redis's logs and masters say so for what was `~` to the client: the limit means nothing then.
        if not (call.server.keyspace.loading or call.client.peer == "master"):
            raise CommandError(errors.LIMIT_WITHOUT_APPROX)
        limit = None
    if approx and limit is None:
        limit = 100 * call.server.config.int("stream-node-max-entries") or UNLIMITED_TRIM
    view = call.db.stream(call.args[1])
    if view is None:
        return 0
    removed = view.trim(maxlen=maxlen, minid=minid, approx=approx, limit=limit or 0)
    if removed:
        call.changed(removed)
        if approx:  # how far it came depends on the borders of our blocks, and of a replica's
            call.log_as(b"XTRIM", call.args[1], *exact_trim(view, maxlen is not None))
        call.notify("t", "xtrim", call.args[1])
    return removed


@command(
    "XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]", arity=-3,
    flags="write denyoom fast", keys=(1, 1, 1), access="RW update", group="stream", since="5.0.0",
    complexity="O(1)", summary="Sets what a stream remembers of ids.",
)  # fmt: skip
def xsetid(call: Call) -> Reply:
    last_id = strict_id(call.args[2])
    added: int | None = None
    max_deleted: Id | None = None
    i = 3
    while i < len(call.args):
        word = call.word(i)
        if i + 1 == len(call.args):
            raise CommandError(errors.SYNTAX)
        if word == b"ENTRIESADDED":
            added = call.int(i + 1)
            if added < 0:
                raise CommandError(errors.XSETID_ADDED)
        elif word == b"MAXDELETEDID":
            max_deleted = strict_id(call.args[i + 1])
            if last_id < max_deleted:
                raise CommandError(errors.XSETID_DELETED)
        else:
            raise CommandError(errors.SYNTAX)
        i += 2
    view = call.db.stream(call.args[1])
    if view is None:
        raise CommandError(errors.NO_SUCH_KEY)
    if last_id < view.max_deleted:
        raise CommandError(errors.XSETID_DELETED_TOP)
    last = view.last()
    if last is not None:
        if last_id < last[0]:
            raise CommandError(errors.XSETID_SMALLER)
        if added is not None and len(view) > added:
            raise CommandError(errors.XSETID_ADDED_SMALLER)
    view.adjust(last_id=last_id, added=added, max_deleted=max_deleted if max_deleted != ZERO else None)
    call.changed()
    call.notify("t", "xsetid", call.args[1])
    return OK


# --- reading -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reading:
    """What XREAD and XREADGROUP were asked. ids: as sent; block: seconds, None not to wait; count -1: all."""

    keys: Sequence[bytes]
    ids: Sequence[bytes]
    count: int = -1
    block: float | None = None
    group: bytes = b""
    consumer: bytes = b""
    noack: bool = False


def parse_reading(call: Call, *, grouped: bool) -> Reading:
    """The arguments of XREAD or XREADGROUP. Raises CommandError."""
    count, block, group, consumer, noack = -1, None, None, b"", False
    i, streams = 1, 0
    while i < len(call.args):
        word, more = call.word(i), len(call.args) - 1 - i
        if word == b"BLOCK" and more:
            i += 1
            block = milliseconds(call, i) / 1000
        elif word == b"COUNT" and more:
            i += 1
            count = max(0, call.int(i)) or -1
        elif word == b"STREAMS" and more:
            streams = i + 1
            break
        elif word == b"GROUP" and more >= 2:
            if not grouped:
                raise CommandError(errors.XREAD_WITH_GROUP)
            group, consumer = call.args[i + 1 : i + 3]
            i += 2
        elif word == b"NOACK":
            if not grouped:
                raise CommandError(errors.XREAD_NOACK)
            noack = True
        else:
            raise CommandError(errors.SYNTAX)
        i += 1
    if not streams:
        raise CommandError(errors.SYNTAX)
    if block is not None and call.client.in_script:
        raise CommandError(errors.BLOCK_IN_SCRIPT % call.command.counted_as)
    named = call.args[streams:]
    if len(named) % 2:
        symbols = " or '>'" if grouped else ", '+', or '$'"
        raise CommandError(errors.XREAD_UNBALANCED % (call.command.counted_as, symbols))
    if grouped and group is None:
        raise CommandError(errors.XREADGROUP_WITHOUT_GROUP)
    half = len(named) // 2
    return Reading(named[:half], named[half:], count, block, group or b"", consumer, noack)


def milliseconds(call: Call, index: int) -> int:
    """Argument `index` as a timeout in milliseconds."""
    value = call.int(index, errors.TIMEOUT_NOT_AN_INTEGER)
    if value < 0:
        raise CommandError(errors.TIMEOUT_NEGATIVE)
    return value


def read_reply(call: Call, found: Sequence[tuple[bytes, Reply]]) -> Reply:
    """Entries by key: a map in RESP3. BLOCK: nothing was found."""
    if not found:
        return BLOCK
    if call.client.resp == 3:
        return Pairs(found)
    return [[key, entries] for key, entries in found]


@command(
    "XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]", arity=-4,
    flags="readonly blocking movablekeys",
    keys=Keys(keyword="STREAMS", after=1, last=-1, step=1, limit=2, access=("RO", "access")), group="stream",
    since="5.0.0", complexity="O(log n + m) for each stream, m the entries returned",
    summary="Returns the entries of streams from some ids on; waits where there are none.",
)  # fmt: skip
def xread(call: Call) -> Reply:
    asked = parse_reading(call, grouped=False)
    starts: list[Id | None] = []
    for key, raw in zip(asked.keys, asked.ids, strict=True):
        view = call.db.stream(key)
        if raw == b"$":
            starts.append(after(view.last_id) if view is not None else after(ZERO))
        elif raw == b"+":
            last = view.last() if view is not None else None
            starts.append(last[0] if last else after(view.last_id) if view is not None else after(ZERO))
        elif raw == b">":
            raise CommandError(errors.XREAD_GROUP_ID)
        else:
            starts.append(after(strict_id(raw)))

    def attempt(call: Call) -> Reply:
        found: list[tuple[bytes, Reply]] = []
        for key, start in zip(asked.keys, starts, strict=True):
            view = call.db.stream(key)
            if view is not None and start is not None and start <= view.last_id:
                entries = view.range(start, LAST, asked.count)
                if entries:
                    found.append((key, entries_reply(entries)))
        call.looked_up(bool(found))
        return read_reply(call, found)

    if asked.block is None:
        reply = attempt(call)
        return NULL_ARRAY if reply is BLOCK else reply
    return waits(call, asked.keys, asked.block, attempt)
