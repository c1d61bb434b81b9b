"""Deadlines of single fields of a hash: HEXPIRE and its kind. A hash goes with its last field."""

import time

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

LAST_MS = 2**46 - 2  # the latest deadline of a field, as Redis has it
NO_FIELD, UNMET, DONE, DELETED = -2, 0, 1, 2


def fields_from(call: Call, index: int) -> list[bytes]:
    """FIELDS numfields field …, which begins at argument `index` and ends the command."""
    if index >= len(call.args) or call.word(index) != b"FIELDS":
        raise CommandError(errors.HASH_FIELDS)
    if index + 1 == len(call.args):
        raise CommandError(errors.HASH_FIELD_COUNT)
    count = call.int(index + 1, errors.HASH_FIELD_COUNT)
    if count < 1:
        raise CommandError(errors.HASH_FIELD_COUNT)
    if count != len(call.args) - index - 2:
        raise CommandError(errors.HASH_FIELD_MISMATCH)
    return call.args[index + 2 :]


def expire(call: Call, *, seconds: bool, absolute: bool) -> Reply:
    key, when = call.args[1], call.int(2)
    condition, at = b"", 3
    while at < len(call.args) and call.word(at) in (b"NX", b"XX", b"GT", b"LT"):
        if condition:
            raise CommandError(errors.HASH_EXPIRE_BOTH)
        condition = call.word(at)
        at += 1
    fields = fields_from(call, at)
    now = time.time_ns() // 1_000_000
    if when < 0 or (seconds and when > LAST_MS // 1000):
        raise CommandError(errors.INVALID_EXPIRE % call.command.counted_as)
    deadline = when * (1000 if seconds else 1) + (0 if absolute else now)
    if deadline > LAST_MS:
        raise CommandError(errors.INVALID_EXPIRE % call.command.counted_as)
    view = call.db.hash_(key)
    if view is None:
        return [NO_FIELD] * len(fields)
    replies: list[Reply] = []
    deleted = 0
    for field in fields:
        if view.get(field) is None:
            replies.append(NO_FIELD)
            continue
        current = view.deadline(field)
        if (
            (condition == b"NX" and current is not None)
            or (condition == b"XX" and current is None)
            or (condition == b"GT" and (current is None or deadline <= current))
            or (condition == b"LT" and current is not None and deadline >= current)
        ):
            replies.append(UNMET)
        elif deadline <= now and not call.server.keyspace.keeps_expired:
            view.delete(field)
            deleted += 1
            replies.append(DELETED)
        else:
            view.set_deadline(field, deadline)
            replies.append(DONE)
    changes = sum(1 for reply in replies if reply in (DONE, DELETED))
    call.changed(changes)
    if changes and call.logged:  # all have one deadline: either it is past, or it is to come
        touched = [field for field, reply in zip(fields, replies, strict=True) if reply in (DONE, DELETED)]
        if deleted:
            call.log_as(b"HDEL", key, *touched)
        else:
            call.log_as(b"HPEXPIREAT", key, b"%d" % deadline, b"FIELDS", b"%d" % len(touched), *touched)
    if changes > deleted:
        call.notify("h", "hexpire", key)
    if deleted:
        call.notify("h", "hdel", key)
        if not len(view):
            call.notify("g", "del", key)
    return replies


@command(
    "HEXPIRE key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", arity=-6,
    flags="write denyoom fast", keys=(1, 1, 1), access="RW update", group="hash", since="7.4.0",
    complexity="O(n) where n is the number of fields", summary="Gives fields a time to live in seconds.",
)  # fmt: skip
def hexpire(call: Call) -> Reply:
    return expire(call, seconds=True, absolute=False)


@command(
    "HPEXPIRE key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", arity=-6,
    flags="write denyoom fast", keys=(1, 1, 1), access="RW update", group="hash", since="7.4.0",
    complexity="O(n) where n is the number of fields", summary="Gives fields a time to live in milliseconds.",
)  # fmt: skip
def hpexpire(call: Call) -> Reply:
    return expire(call, seconds=False, absolute=False)


@command(
    "HEXPIREAT key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", arity=-6,
    flags="write denyoom fast", keys=(1, 1, 1),
    access="RW update", group="hash", since="7.4.0",
    complexity="O(n) where n is the number of fields", summary="Gives fields a date in seconds to go at.",
)  # fmt: skip
def hexpireat(call: Call) -> Reply:
    return expire(call, seconds=True, absolute=True)


@command(
    "HPEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", arity=-6,
    flags="write denyoom fast", keys=(1, 1, 1),
    access="RW update", group="hash", since="7.4.0",
    complexity="O(n) where n is the number of fields",
    summary="Gives fields a date in milliseconds to go at.",
)  # fmt: skip
def hpexpireat(call: Call) -> Reply:
    return expire(call, seconds=False, absolute=True)


@command(
    "HPERSIST key FIELDS numfields field [field ...]", arity=-5, flags="write fast", keys=(1, 1, 1),
    access="RW update", group="hash", since="7.4.0", complexity="O(n) where n is the number of fields",
    summary="Takes the deadlines of fields away.",
)  # fmt: skip
def hpersist(call: Call) -> Reply:
    fields = fields_from(call, 2)
    view = call.db.hash_(call.args[1])
    replies: list[Reply] = []
    for field in fields:
        if view is None or view.get(field) is None:
            replies.append(NO_FIELD)
        elif view.deadline(field) is None:
            replies.append(-1)
        else:
            view.set_deadline(field, None)
            replies.append(DONE)
    if DONE in replies:
        call.changed(replies.count(DONE))
        call.notify("h", "hpersist", call.args[1])
    return replies


def told(call: Call, *, seconds: bool, absolute: bool) -> Reply:
    fields = fields_from(call, 2)
    view = call.db.hash_(call.args[1])
    call.looked_up(view is not None)
    now = time.time_ns() // 1_000_000
    replies: list[Reply] = []
    for field in fields:
        if view is None or view.get(field) is None:
            replies.append(NO_FIELD)
            continue
        at = view.deadline(field)
        if at is None:
            replies.append(-1)
            continue
        left = at if absolute else max(0, at - now)
        replies.append((left + 999 if not absolute else left) // 1000 if seconds else left)
    return replies


@command(
    "HTTL key FIELDS numfields field [field ...]", arity=-5, flags="readonly fast", keys=(1, 1, 1),
    access="RO access", group="hash", since="7.4.0", tips=("nondeterministic_output",),
    complexity="O(n) where n is the number of fields", summary="Tells the seconds that fields have left.",
)  # fmt: skip
def httl(call: Call) -> Reply:
    return told(call, seconds=True, absolute=False)


@command(
    "HPTTL key FIELDS numfields field [field ...]", arity=-5, flags="readonly fast", keys=(1, 1, 1),
    access="RO access", group="hash", since="7.4.0", tips=("nondeterministic_output",),
    complexity="O(n) where n is the number of fields",
    summary="Tells the milliseconds that fields have left.",
)  # fmt: skip
def hpttl(call: Call) -> Reply:
    return told(call, seconds=False, absolute=False)


@command(
    "HEXPIRETIME key FIELDS numfields field [field ...]", arity=-5, flags="readonly fast", keys=(1, 1, 1),
    access="RO access", group="hash", since="7.4.0",
    complexity="O(n) where n is the number of fields", summary="Tells when fields go, in seconds.",
)  # fmt: skip
def hexpiretime(call: Call) -> Reply:
    return told(call, seconds=True, absolute=True)


@command(
    "HPEXPIRETIME key FIELDS numfields field [field ...]", arity=-5, flags="readonly fast", keys=(1, 1, 1),
    access="RO access", group="hash", since="7.4.0",
    complexity="O(n) where n is the number of fields", summary="Tells when fields go, in milliseconds.",
)  # fmt: skip
def hpexpiretime(call: Call) -> Reply:
    return told(call, seconds=False, absolute=True)
