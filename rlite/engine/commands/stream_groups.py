"""Consumer groups: XGROUP, XREADGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM (types/groups.py holds them)."""

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.blocking import waits
from rlite.engine.commands.call import INT64_MAX, Call, parse_int
from rlite.engine.commands.declare import Keys, command, container
from rlite.engine.commands.helping import declare_help, subcommand_syntax
from rlite.engine.commands.stream_ids import (
    LAST,
    ZERO,
    after,
    entry_reply,
    id_text,
    loose_id,
    range_end,
    range_start,
    read_id,
    strict_id,
)
from rlite.engine.commands.streams import Reading, parse_reading, read_reply
from rlite.engine.core.streamview import StreamView
from rlite.engine.errors import CommandError
from rlite.engine.reply import BLOCK, NULL_ARRAY, OK, Reply
from rlite.engine.types.groups import Consumer, Group, Groups, Pending

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sortedcontainers import SortedDict

    from rlite.engine.core.streamview import Id


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def groups_of(view: StreamView | None) -> Groups:
    """The groups of a stream; none where there is no stream."""
    found = None if view is None else view.groups
    return found if isinstance(found, Groups) else Groups()


def named_group(call: Call, key: bytes, name: bytes, error: str) -> tuple[StreamView, Group]:
    """A stream and one of its groups. Raises CommandError with `error`, which names key and group."""
    view = call.db.stream(key)
    group = groups_of(view).get(name)
    if view is None or group is None:
        raise CommandError(error % (key.decode("latin-1"), name.decode("latin-1")))
    return view, group


def consumer_of(call: Call, key: bytes, group: Group, name: bytes) -> tuple[Consumer, bool]:
    """(the consumer of this name, whether it was made now because there was none); it is seen now."""
    now = now_ms()
    consumer, new = group.consumer(name, now)
    consumer.seen_at = now
    if new:
        call.changed()
        call.notify("t", "xgroup-createconsumer", key)
    return consumer, new


# --- what the log holds ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reader:
    """A consumer, with the group and the stream it reads from."""

    key: bytes
    view: StreamView
    group_name: bytes
    group: Group
    consumer: Consumer
    new: bool

    @classmethod
    def of(cls, call: Call, key: bytes, group_name: bytes, name: bytes, error: str) -> "Reader":
        """The consumer of this name, made where there is none. Raises CommandError(error): no group."""
        view, group = named_group(call, key, group_name, error)
        consumer, new = consumer_of(call, key, group, name)
        return cls(key, view, group_name, group, consumer, new)

    def log(self, call: Call, claimed: "Collection[tuple[Id, Pending]]", *, moved: bool) -> None:
        """Has the log hold what was done in its name: as XCLAIM, who was given entries, when, and how often
        by then; and where the group stands, if it has moved. Entries that are in the stream no more are not
        pending either when the XCLAIM runs again.
        """
        if not call.logged:
            return
        if self.new and not any(one.consumer is self.consumer for _, one in claimed):  # XCLAIM would make it
            call.log_as(b"XGROUP", b"CREATECONSUMER", self.key, self.group_name, self.consumer.name)
        alike: dict[tuple[bytes, int, int], list[bytes]] = {}
        for id_, one in claimed:
            alike.setdefault((one.consumer.name, one.delivered_at, one.count), []).append(id_text(id_))
        last_id = id_text(self.group.last_id)
        for (name, at, count), ids in alike.items():
            call.log_as(
                b"XCLAIM", self.key, self.group_name, name, b"0", *ids, b"TIME", b"%d" % at, b"RETRYCOUNT",
                b"%d" % min(count, INT64_MAX), b"FORCE", b"JUSTID", b"LASTID", last_id,
            )  # fmt: skip
        if moved:
            read = self.group.read
            if read is None or not 0 <= read <= INT64_MAX:
                read = -1
            call.log_as(b"XGROUP", b"SETID", self.key, self.group_name, last_id, b"ENTRIESREAD", b"%d" % read)


# --- how far a group has read ------------------------------------------------------------------------------


def first_id(view: StreamView) -> "Id":
    first = view.first()
    return ZERO if first is None else first[0]


def has_tombstones_from(view: StreamView, start: "Id") -> bool:
    """Whether an entry from `start` on may have been deleted."""
    return bool(len(view)) and view.max_deleted != ZERO and start <= view.max_deleted


def entries_up_to(view: StreamView, id_: "Id") -> int | None:
    """How many entries were ever added up to an id; None where that cannot be told."""
    if not view.added:
        return 0
    if not len(view) and id_ <= view.last_id:
        return view.added
    if id_ >= view.last_id:
        return view.added if id_ == view.last_id else None
    first = first_id(view)
    if view.max_deleted == ZERO or view.max_deleted < first:
        if id_ < first:
            return view.added - len(view)
        if id_ == first:
            return view.added - len(view) + 1
    return None


def lag(view: StreamView, group: Group) -> int | None:
    """Entries of the stream that the group has not read; None where that cannot be told."""
    if not view.added:
        return 0
    if group.read is not None and not has_tombstones_from(view, group.last_id):
        return view.added - group.read
    read = entries_up_to(view, group.last_id)
    return None if read is None else view.added - read


def advance(view: StreamView, group: Group, id_: "Id") -> None:
    """The group has read the entry with this id."""
    if id_ <= group.last_id:
        return
    if group.read is not None and not has_tombstones_from(view, id_):
        group.read += 1
    elif view.added:
        group.read = entries_up_to(view, id_)
    group.last_id = id_


# --- XGROUP ------------------------------------------------------------------------------------------------

container("XGROUP", since="5.0.0", group="stream", summary="Commands about consumer groups.")


def existing(call: Call) -> StreamView:
    view = call.db.stream(call.args[2])
    if view is None:
        raise CommandError(errors.XGROUP_NO_KEY)
    return view


def existing_group(call: Call) -> tuple[StreamView, Group]:
    view = existing(call)
    name = call.args[3]
    group = groups_of(view).get(name)
    if group is None:
        raise CommandError(errors.NO_GROUP % (name.decode("latin-1"), call.args[2].decode("latin-1")))
    return view, group


def group_options(call: Call, *, making: bool) -> tuple[bool, int | None]:
    """(MKSTREAM, ENTRIESREAD) of XGROUP CREATE and SETID."""
    mkstream, read = False, None
    i = 5
    while i < len(call.args):
        if making and call.word(i) == b"MKSTREAM":
            mkstream = True
            i += 1
        elif call.word(i) == b"ENTRIESREAD" and i + 1 < len(call.args):
            value = call.int(i + 1)
            if value < -1:
                raise CommandError(errors.ENTRIES_READ)
            read = None if value == -1 else value
            i += 2
        else:
            raise subcommand_syntax(call)
    return mkstream, read


@command(
    "XGROUP CREATE key group (id | $) [MKSTREAM] [ENTRIESREAD entries-read]", arity=-5, flags="write denyoom",
    keys=(2, 2, 1), access="RW insert", group="stream", since="5.0.0", complexity="O(1)",
    summary="Makes a consumer group.",
)  # fmt: skip
def xgroup_create(call: Call) -> Reply:
    key, name, raw = call.args[2:5]
    mkstream, read = group_options(call, making=True)
    view = call.db.stream(key)
    if view is None and not mkstream:
        raise CommandError(errors.XGROUP_NO_KEY)
    start = strict_id(raw) if raw != b"$" else ZERO if view is None else view.last_id
    if view is None:
        view = call.db.stream(key, create=True)
        view.make()
    groups = groups_of(view)
    if name in groups:
        raise CommandError(errors.BUSY_GROUP)
    groups[name] = Group(start, read)
    if view.groups is None:
        view.give_groups(groups)
    view.count_groups()
    call.changed()
    call.notify("t", "xgroup-create", key)
    return OK


@command(
    "XGROUP SETID key group (id | $) [ENTRIESREAD entries-read]", arity=-5, flags="write", keys=(2, 2, 1),
    access="RW update", group="stream", since="5.0.0", complexity="O(1)",
    summary="Sets from where on a group reads.",
)  # fmt: skip
def xgroup_setid(call: Call) -> Reply:
    _, read = group_options(call, making=False)
    view, group = existing_group(call)
    raw = call.args[4]
    group.last_id = view.last_id if raw == b"$" else loose_id(raw)
    group.read = read
    call.changed()
    call.notify("t", "xgroup-setid", call.args[2])
    return OK


@command(
    "XGROUP DESTROY key group", arity=4, flags="write", keys=(2, 2, 1), access="RW delete", group="stream",
    since="5.0.0", complexity="O(n) where n is the number of pending entries", summary="Removes a group.",
)  # fmt: skip
def xgroup_destroy(call: Call) -> Reply:
    view = existing(call)
    if groups_of(view).pop(call.args[3], None) is None:
        return 0
    view.count_groups()
    call.changed()
    call.notify("t", "xgroup-destroy", call.args[2])
    return 1


@command(
    "XGROUP CREATECONSUMER key group consumer", arity=5, flags="write denyoom", keys=(2, 2, 1),
    access="RW insert", group="stream", since="6.2.0", complexity="O(1)", summary="Makes a consumer.",
)  # fmt: skip
def xgroup_createconsumer(call: Call) -> Reply:
    view, group = existing_group(call)
    known = call.args[4] in group.consumers
    if not known:
        consumer_of(call, call.args[2], group, call.args[4])
        view.count_groups()
    return int(not known)


@command(
    "XGROUP DELCONSUMER key group consumer", arity=5, flags="write", keys=(2, 2, 1), access="RW delete",
    group="stream", since="5.0.0", complexity="O(n) where n is the number of its pending entries",
    summary="Removes a consumer, and what it had pending.",
)  # fmt: skip
def xgroup_delconsumer(call: Call) -> Reply:
    view, group = existing_group(call)
    pending = group.drop_consumer(call.args[4])
    if pending is None:
        return 0
    view.count_groups()
    call.changed()
    call.notify("t", "xgroup-delconsumer", call.args[2])
    return pending


declare_help("XGROUP", since="5.0.0", group="stream")


# --- reading and acknowledging -----------------------------------------------------------------------------


def history(call: Call, reader: Reader, start: "Id | None", count: int) -> Reply:
    """What a consumer has pending from an id on, delivered once more. An entry that is gone has a null."""
    view, consumer = reader.view, reader.consumer
    again: list[tuple[Id, Pending]] = []
    found: list[Reply] = []
    now = now_ms()
    following = () if start is None else consumer.pending.irange(start, None)
    ids = list(islice(following, None if count < 0 else count))
    for id_ in ids:
        entries = view.range(id_, id_, 1)
        if not entries:
            found.append([id_text(id_), NULL_ARRAY])
            continue
        pending = consumer.pending[id_]
        pending.delivered_at = now
        pending.count += 1
        again.append((id_, pending))
        found.append(entry_reply(entries[0]))
    reader.log(call, again, moved=False)  # Redis forgets these; they cost the log little
    return found


def deliver(call: Call, reader: Reader, asked: Reading) -> Reply:
    """New entries for a consumer; BLOCK: there are none."""
    view, group, consumer = reader.view, reader.group, reader.consumer
    start = after(group.last_id)
    entries = view.range(start, LAST, asked.count) if start is not None else []
    if not entries:
        reader.log(call, (), moved=False)
        return BLOCK
    now = now_ms()
    consumer.active_at = now
    given: list[tuple[Id, Pending]] = []
    for id_, _ in entries:
        advance(view, group, id_)
        if not asked.noack:
            pending = group.give(id_, consumer, now)
            pending.delivered_at, pending.count = now, 1
            given.append((id_, pending))
    call.changed()
    reader.log(call, given, moved=True)
    return [entry_reply(entry) for entry in entries]


@command(
    "XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] "
    "id [id ...]",
    arity=-7, flags="write blocking movablekeys",
    keys=Keys(keyword="STREAMS", after=4, last=-1, step=1, limit=2, access=("RO", "access")), group="stream",
    since="5.0.0", complexity="O(log n + m) for each stream, m the entries returned",
    summary="Returns the entries of streams that no other consumer of a group has had; waits for them.",
)  # fmt: skip
def xreadgroup(call: Call) -> Reply:
    asked = parse_reading(call, grouped=True)
    starts: list[Id | None] = []  # None: >
    for key, raw in zip(asked.keys, asked.ids, strict=True):
        named_group(call, key, asked.group, errors.NO_GROUP_XREADGROUP)
        if raw == b"$":
            raise CommandError(errors.XREADGROUP_DOLLAR)
        if raw == b"+":
            raise CommandError(errors.XREADGROUP_PLUS)
        starts.append(None if raw == b">" else strict_id(raw))

    def attempt(call: Call) -> Reply:
        call.log_nothing()  # but what is done to groups and consumers
        found: list[tuple[bytes, Reply]] = []
        for key, start in zip(asked.keys, starts, strict=True):
            reader = Reader.of(call, key, asked.group, asked.consumer, errors.NO_GROUP_XREADGROUP)
            if start is not None:
                following = after(start)
                entries = history(call, reader, following, asked.count)
            else:
                entries = deliver(call, reader, asked)
            reader.view.count_groups()
            if entries is not BLOCK:
                found.append((key, entries))
        return read_reply(call, found)

    if asked.block is None:
        reply = attempt(call)
        return NULL_ARRAY if reply is BLOCK else reply
    return waits(call, asked.keys, asked.block, attempt)


@command(
    "XACK key group id [id ...]", arity=-4, flags="write fast", keys=(1, 1, 1), access="RW update",
    group="stream", since="5.0.0", complexity="O(log n) for each id", summary="Acknowledges entries.",
)  # fmt: skip
def xack(call: Call) -> Reply:
    view = call.db.stream(call.args[1])
    group = groups_of(view).get(call.args[2])
    if view is None or group is None:
        return 0
    ids = [strict_id(raw) for raw in call.args[3:]]
    done = sum(1 for id_ in ids if group.forget(id_))
    if done:
        view.count_groups()
        call.changed(done)
    return done


@command(
    "XPENDING key group [[IDLE min-idle-time] start end count [consumer]]", arity=-3, flags="readonly",
    keys=(1, 1, 1), access="RO access", group="stream", since="5.0.0", tips=("nondeterministic_output",),
    complexity="O(log n + m) where m is the number of entries returned",
    summary="Tells what was delivered and is not acknowledged.",
)  # fmt: skip
def xpending(call: Call) -> Reply:
    if len(call.args) != 3 and not 6 <= len(call.args) <= 9:
        raise CommandError(errors.SYNTAX)
    low, high, count, min_idle, wanted = ZERO, LAST, 0, 0, None
    if len(call.args) > 3:
        at = 3
        if call.word(3) == b"IDLE":
            min_idle = call.int(4)
            if len(call.args) < 8:
                raise CommandError(errors.SYNTAX)
            at = 5
        count = max(0, call.int(at + 2))
        low, high = range_start(call.args[at]), range_end(call.args[at + 1])
        if len(call.args) > at + 3:
            wanted = call.args[at + 3]
    _, group = named_group(call, call.args[1], call.args[2], errors.NO_GROUP_OR_KEY)
    if len(call.args) == 3:
        return summary_of(group)
    if wanted is None:
        pending = group.pending
    elif wanted in group.consumers:
        pending = group.consumers[wanted].pending
    else:
        return []
    now = now_ms()
    found = ((id_, one) for id_, one in listed(pending, low, high) if now - one.delivered_at >= min_idle)
    return [
        [id_text(id_), one.consumer.name, max(0, now - one.delivered_at), one.count]
        for id_, one in islice(found, count)
    ]


def listed(pending: "SortedDict[Id, Pending]", low: "Id", high: "Id") -> "Iterator[tuple[Id, Pending]]":
    return ((id_, pending[id_]) for id_ in pending.irange(low, high))


def summary_of(group: Group) -> Reply:
    """[how many, the lowest id, the highest, [[consumer, how many], …]]."""
    if not group.pending:
        return [0, None, None, NULL_ARRAY]
    holders: list[Reply] = [[each.name, b"%d" % len(each.pending)] for each in group.named() if each.pending]
    lowest, highest = group.pending.peekitem(0)[0], group.pending.peekitem(-1)[0]
    return [len(group.pending), id_text(lowest), id_text(highest), holders]


# --- taking over -------------------------------------------------------------------------------------------


def claim(group: Group, consumer: Consumer, id_: "Id", at: int, *, count: bool) -> Pending:
    """Gives a pending entry to another consumer, as delivered at a time; `count` it as a delivery or not."""
    pending = group.give(id_, consumer, at)
    pending.delivered_at = at
    pending.count += count
    return pending


@command(
    "XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] "
    "[RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
    arity=-6, flags="write fast", keys=(1, 1, 1), access="RW update", group="stream", since="5.0.0",
    tips=("nondeterministic_output",), complexity="O(log n) for each id",
    summary="Takes over entries that another consumer has had for long.",
)  # fmt: skip
def xclaim(call: Call) -> Reply:
    key = call.args[1]
    view, group = named_group(call, key, call.args[2], errors.NO_GROUP_OR_KEY)
    min_idle = max(0, call.int(4, errors.XCLAIM_IDLE))
    ids: list[Id] = []
    for raw in call.args[5:]:
        id_ = read_id(raw)
        if id_ is None:
            break
        ids.append(id_)
    now = now_ms()
    at, retries, force, just_id, last_id = now, -1, False, False, ZERO
    i = 5 + len(ids)
    while i < len(call.args):
        word, more = call.word(i), i + 1 < len(call.args)
        if word == b"FORCE":
            force = True
        elif word == b"JUSTID":
            just_id = True
        elif word in (b"IDLE", b"TIME", b"RETRYCOUNT", b"LASTID") and more:
            i += 1
            if word == b"IDLE":
                at = now - call.int(i, errors.XCLAIM_OPTION_IDLE)
            elif word == b"TIME":
                at = call.int(i, errors.XCLAIM_OPTION_TIME)
            elif word == b"RETRYCOUNT":
                retries = call.int(i, errors.XCLAIM_OPTION_RETRY)
            else:
                last_id = strict_id(call.args[i])
        else:
            raise CommandError(errors.XCLAIM_OPTION % call.args[i].decode("latin-1"))
        i += 1
    call.log_nothing()  # but what is done to consumers and entries
    ahead = last_id > group.last_id
    if ahead:
        group.last_id = last_id
        call.changed()
    if not 0 <= at <= now:
        at = now
    reader = Reader.of(call, key, call.args[2], call.args[3], errors.NO_GROUP_OR_KEY)
    consumer = reader.consumer
    replies: list[Reply] = []
    touched: dict[Id, Pending] = {}
    for id_ in ids:
        entries = view.range(id_, id_, 1)
        if not entries:
            lost = group.pending.get(id_)
            if lost is not None:
                group.forget(id_)
                touched[id_] = lost
                call.changed()
            continue
        pending = group.pending.get(id_)
        if pending is None:
            if not force:
                continue
            group.give(id_, consumer, at).count = 0
        elif min_idle and now - pending.delivered_at < min_idle:
            continue
        pending = claim(group, consumer, id_, at, count=retries < 0 and not just_id)
        if retries >= 0:
            pending.count = retries
        consumer.active_at = now
        replies.append(id_text(id_) if just_id else entry_reply(entries[0]))
        touched[id_] = pending
        call.changed()
    reader.log(call, touched.items(), moved=ahead and not touched)
    view.count_groups()
    return replies


@command(
    "XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]", arity=-6, flags="write fast",
    keys=(1, 1, 1), access="RW delete", group="stream", since="6.2.0",
    tips=("nondeterministic_output",), complexity="O(1) for a small COUNT",
    summary="Takes over, from an id on, entries that other consumers have had for long.",
)  # fmt: skip
def xautoclaim(call: Call) -> Reply:
    key = call.args[1]
    min_idle = max(0, call.int(4, errors.XAUTOCLAIM_IDLE))
    start = range_start(call.args[5])
    count, just_id = 100, False
    i = 6
    while i < len(call.args):
        if call.word(i) == b"COUNT" and i + 1 < len(call.args):
            i += 1
            found = parse_int(call.args[i])
            if found is None or not 0 < found <= 2**59:
                raise CommandError(errors.XAUTOCLAIM_COUNT)
            count = found
        elif call.word(i) == b"JUSTID":
            just_id = True
        else:
            raise CommandError(errors.SYNTAX)
        i += 1
    view, group = named_group(call, key, call.args[2], errors.NO_GROUP_OR_KEY)
    call.log_nothing()  # but what is done to consumers and entries
    reader = Reader.of(call, key, call.args[2], call.args[3], errors.NO_GROUP_OR_KEY)
    consumer = reader.consumer
    now = now_ms()
    touched: list[tuple[Id, Pending]] = []
    claimed: list[Reply] = []
    deleted: list[Reply] = []
    following = ZERO
    # Ten looks for each entry asked for bound the work where few are idle for long enough.
    most = min(count * 10, 2**60)
    for looks, (id_, pending) in enumerate(list(islice(listed(group.pending, start, LAST), most + 1))):
        if looks == most or count == 0:
            following = id_
            break
        entries = view.range(id_, id_, 1)
        if not entries:
            group.forget(id_)
            touched.append((id_, pending))
            deleted.append(id_text(id_))
            call.changed()
            count -= 1
            continue
        if min_idle and now - pending.delivered_at < min_idle:
            continue
        claim(group, consumer, id_, now, count=not just_id)
        touched.append((id_, pending))
        consumer.active_at = now
        claimed.append(id_text(id_) if just_id else entry_reply(entries[0]))
        call.changed()
        count -= 1
    reader.log(call, touched, moved=False)
    view.count_groups()
    return [id_text(following), claimed, deleted]
