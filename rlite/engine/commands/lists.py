"""Lists. What every queue runs through is the core's (core/lists.pyx); here is what waits, and the rest."""

from collections.abc import Callable, Sequence, Sized

from rlite.engine import errors
from rlite.engine.commands.blocking import waits
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, command, core_command
from rlite.engine.errors import CommandError
from rlite.engine.reply import BLOCK, NULL_ARRAY, OK, Reply

END = {True: b"LEFT", False: b"RIGHT"}
FROM = Keys(1, 1, 1, access=("RW", "access", "delete"))
MOVED = Keys(1, 1, 1, access=("RW", "access", "delete"), more=(Keys(2, 2, 1, access=("RW", "insert")),))

core_command(
    "LPUSH key element [element ...]", arity=-3, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW insert", group="list", since="1.0.0", complexity="O(1) for each element",
    summary="Adds elements at the left end of a list.",
)  # fmt: skip
core_command(
    "RPUSH key element [element ...]", arity=-3, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW insert", group="list", since="1.0.0", complexity="O(1) for each element",
    summary="Adds elements at the right end of a list.",
)  # fmt: skip
core_command(
    "LPUSHX key element [element ...]", arity=-3, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW insert", group="list", since="2.2.0", complexity="O(1) for each element",
    summary="Adds elements at the left end of a list that exists.",
)  # fmt: skip
core_command(
    "RPUSHX key element [element ...]", arity=-3, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW insert", group="list", since="2.2.0", complexity="O(1) for each element",
    summary="Adds elements at the right end of a list that exists.",
)  # fmt: skip
core_command(
    "LPOP key [count]", arity=-2, flags="write fast", keys=(1, 1, 1), access="RW access delete",
    group="list", since="1.0.0", complexity="O(n) where n is the number of elements taken",
    summary="Takes elements from the left end of a list.",
)  # fmt: skip
core_command(
    "RPOP key [count]", arity=-2, flags="write fast", keys=(1, 1, 1), access="RW access delete",
    group="list", since="1.0.0", complexity="O(n) where n is the number of elements taken",
    summary="Takes elements from the right end of a list.",
)  # fmt: skip
core_command(
    "LLEN key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO", group="list", since="1.0.0",
    complexity="O(1)", summary="Counts the elements of a list.",
)  # fmt: skip
core_command(
    "LINDEX key index", arity=3, flags="readonly", keys=(1, 1, 1), access="RO access", group="list",
    since="1.0.0", complexity="O(n) where n is the distance to the nearer end",
    summary="Returns the element at an index.",
)  # fmt: skip
core_command(
    "LRANGE key start stop", arity=4, flags="readonly", keys=(1, 1, 1), access="RO access", group="list",
    since="1.0.0", complexity="O(s + n): distance of the start to the nearer end, elements returned",
    summary="Returns the elements between two indexes.",
)  # fmt: skip


@command(
    "LSET key index element", arity=4, flags="write denyoom", keys=(1, 1, 1), access="RW update",
    group="list", since="1.0.0", complexity="O(n) where n is the distance to the nearer end",
    summary="Replaces the element at an index.",
)  # fmt: skip
def lset(call: Call) -> Reply:
    view = call.db.list(call.args[1])
    if view is None:
        raise CommandError(errors.NO_SUCH_KEY)
    if not view.set(call.int(2), call.args[3]):
        raise CommandError(errors.INDEX_OUT_OF_RANGE)
    call.changed()
    call.notify("l", "lset", call.args[1])
    return OK


@command(
    "LINSERT key (BEFORE | AFTER) pivot element", arity=5, flags="write denyoom", keys=(1, 1, 1),
    access="RW insert", group="list", since="2.2.0",
    complexity="O(n) where n is the number of elements before the pivot",
    summary="Puts an element beside another.",
)  # fmt: skip
def linsert(call: Call) -> Reply:
    if call.word(2) not in (b"BEFORE", b"AFTER"):
        raise CommandError(errors.SYNTAX)
    view = call.db.list(call.args[1])
    if view is None:
        return 0
    if not view.insert(call.args[3], call.args[4], after=call.word(2) == b"AFTER"):
        return -1
    call.changed()
    call.notify("l", "linsert", call.args[1])
    return len(view)


@command(
    "LREM key count element", arity=4, flags="write", keys=(1, 1, 1), access="RW delete", group="list",
    since="1.0.0", complexity="O(n) where n is the length of the list",
    summary="Removes elements that equal a value.",
)  # fmt: skip
def lrem(call: Call) -> Reply:
    count = call.int(2)
    view = call.db.list(call.args[1])
    removed = 0 if view is None else view.remove(call.args[3], count)
    if view is not None and removed:
        call.changed(removed)
        call.notify("l", "lrem", call.args[1])
        tell_if_gone(call, call.args[1], view)
    return removed


def tell_if_gone(call: Call, key: bytes, view: Sized) -> None:
    """The event of a key that went with its last element."""
    if not len(view):
        call.notify("g", "del", key)


def tell_replaced(call: Call, target: bytes, kind: str, event: str, *, existed: bool, changes: int) -> None:
    """Counts and tells that a key was made anew of others, with so many changes; with none, that it went."""
    if changes:
        call.changed(changes)
        call.notify(kind, event, target)
    elif existed:
        call.changed()
        call.notify("g", "del", target)


def bounds(call: Call, first: int, size: int) -> tuple[int, int]:
    """Arguments `first` and the next as indexes (negative: from the end): the half-open range they mean."""
    start, stop = call.int(first), call.int(first + 1)
    if start < 0:
        start = max(start + size, 0)
    if stop < 0:
        stop += size
    return start, min(stop, size - 1) + 1


@command(
    "LTRIM key start stop", arity=4, flags="write", keys=(1, 1, 1), access="RW delete", group="list",
    since="1.0.0", complexity="O(n) where n is the number of elements removed",
    summary="Keeps only the elements between two indexes.",
)  # fmt: skip
def ltrim(call: Call) -> Reply:
    call.int(2), call.int(3)
    view = call.db.list(call.args[1])
    if view is None:
        return OK
    before = len(view)
    view.trim(*bounds(call, 2, before))
    call.notify("l", "ltrim", call.args[1])
    call.changed(before - len(view))
    tell_if_gone(call, call.args[1], view)
    return OK


@command(
    "LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]", arity=-3, flags="readonly",
    keys=(1, 1, 1), access="RO access", group="list", since="6.0.6",
    complexity="O(n) where n is the length of the list", summary="Finds the indexes of elements.",
)  # fmt: skip
def lpos(call: Call) -> Reply:
    rank, most = 1, 0
    count: int | None = None
    for i in range(3, len(call.args), 2):
        word = call.word(i)
        if i + 1 == len(call.args):
            raise CommandError(errors.SYNTAX)
        if word == b"RANK":
            rank = call.int_in(i + 1, -(2**63) + 1, 2**63 - 1, errors.LPOS_RANK_RANGE)
            if rank == 0:
                raise CommandError(errors.LPOS_RANK)
        elif word == b"COUNT":
            count = call.int(i + 1, errors.LPOS_COUNT)
            if count < 0:
                raise CommandError(errors.LPOS_COUNT)
        elif word == b"MAXLEN":
            most = call.int(i + 1, errors.LPOS_MAXLEN)
            if most < 0:
                raise CommandError(errors.LPOS_MAXLEN)
        else:
            raise CommandError(errors.SYNTAX)
    view = call.db.list(call.args[1])
    call.looked_up(view is not None)
    found = [] if view is None else view.positions(call.args[2], rank, 1 if count is None else count, most)
    if count is None:
        return found[0] if found else None
    return list[Reply](found)


# --- moving ------------------------------------------------------------------------------------------------


def side(call: Call, index: int) -> bool:
    """Argument `index` as an end of a list; True: the left one."""
    if call.word(index) not in (b"LEFT", b"RIGHT"):
        raise CommandError(errors.SYNTAX)
    return call.word(index) == b"LEFT"


def move_element(call: Call, from_left: bool, to_left: bool) -> bytes | None:
    """Moves an end of the first key's list to an end of the second's. None: there is nothing to move."""
    source, target = call.args[1], call.args[2]
    view = call.db.list(source)
    if view is None:
        return None
    call.db.list(target)  # of another type: an error before anything has changed
    item = view.pop(from_left)
    assert item is not None
    if source == target and not len(view):
        view.push([item], to_left)
    else:
        call.db.list(target, create=True).push([item], to_left)
    if len(call.args) == 3 or call.command.name == "BRPOPLPUSH":
        call.log_as(b"RPOPLPUSH", source, target)
    else:
        call.log_as(b"LMOVE", source, target, END[from_left], END[to_left])
    call.notify("l", "lpush" if to_left else "rpush", target)
    call.notify("l", "lpop" if from_left else "rpop", source)
    tell_if_gone(call, source, view)
    call.changed()
    return item


@command(
    "LMOVE source destination (LEFT | RIGHT) (LEFT | RIGHT)", arity=5, flags="write denyoom", keys=MOVED,
    group="list", since="6.2.0", complexity="O(1)",
    summary="Moves an end of a list to an end of another.",
)  # fmt: skip
def lmove(call: Call) -> Reply:
    return move_element(call, side(call, 3), side(call, 4))


@command(
    "RPOPLPUSH source destination", arity=3, flags="write denyoom", keys=MOVED, group="list", since="1.2.0",
    complexity="O(1)", summary="Moves the right end of a list to the left end of another.",
)  # fmt: skip
def rpoplpush(call: Call) -> Reply:
    return move_element(call, from_left=False, to_left=True)


def move_or_wait(call: Call, from_left: bool, to_left: bool, seconds: float) -> Reply:
    def attempt(call: Call) -> Reply:
        view = call.db.list(call.args[1])
        return BLOCK if view is None else move_element(call, from_left, to_left)

    return waits(call, [call.args[1]], seconds, attempt, None)


@command(
    "BLMOVE source destination (LEFT | RIGHT) (LEFT | RIGHT) timeout", arity=6,
    flags="write denyoom blocking", keys=MOVED, group="list", since="6.2.0", complexity="O(1)",
    summary="Moves an end of a list to an end of another; waits where there is none.",
)  # fmt: skip
def blmove(call: Call) -> Reply:
    return move_or_wait(call, side(call, 3), side(call, 4), call.seconds(5))


@command(
    "BRPOPLPUSH source destination timeout", arity=4, flags="write denyoom blocking", keys=MOVED,
    group="list", since="2.2.0", complexity="O(1)",
    summary="Moves the right end of a list to the left end of another; waits where there is none.",
)  # fmt: skip
def brpoplpush(call: Call) -> Reply:
    return move_or_wait(call, from_left=False, to_left=True, seconds=call.seconds(3))


# --- popping from the first of several ---------------------------------------------------------------------


def pop_first(call: Call, keys: Sequence[bytes], left: bool) -> Reply:
    for key in keys:
        view = call.db.list(key)
        if view is not None:
            item = view.pop(left)
            call.changed()
            call.log_as(b"LPOP" if left else b"RPOP", key)
            call.notify("l", "lpop" if left else "rpop", key)
            tell_if_gone(call, key, view)
            return [key, item]
    return BLOCK


def pop_or_wait(call: Call, left: bool) -> Reply:
    seconds, keys = call.seconds(len(call.args) - 1), call.args[1:-1]
    return waits(call, keys, seconds, lambda call: pop_first(call, keys, left))


@command(
    "BLPOP key [key ...] timeout", arity=-3, flags="write blocking", keys=(1, -2, 1),
    access="RW access delete", group="list", since="2.0.0",
    complexity="O(n) where n is the number of keys",
    summary="Takes the left end of the first list that has one; waits where none has.",
)  # fmt: skip
def blpop(call: Call) -> Reply:
    return pop_or_wait(call, left=True)


@command(
    "BRPOP key [key ...] timeout", arity=-3, flags="write blocking", keys=(1, -2, 1),
    access="RW access delete", group="list", since="2.0.0",
    complexity="O(n) where n is the number of keys",
    summary="Takes the right end of the first list that has one; waits where none has.",
)  # fmt: skip
def brpop(call: Call) -> Reply:
    return pop_or_wait(call, left=False)


def option_count(call: Call, index: int) -> int:
    """What follows the fixed arguments of LMPOP and ZMPOP: nothing, or COUNT and how many."""
    if index == len(call.args):
        return 1
    if index + 1 == len(call.args) or call.word(index) != b"COUNT":
        raise CommandError(errors.SYNTAX)
    count = call.int(index + 1, errors.COUNT_POSITIVE)
    if count < 1:
        raise CommandError(errors.COUNT_POSITIVE)
    if index + 2 < len(call.args):
        raise CommandError(errors.SYNTAX)
    return count


def pop_many(call: Call, first: int) -> tuple[list[bytes], Callable[[Call], Reply]]:
    """The keys of LMPOP, whose `numkeys` is argument `first`, and the attempt to pop from them."""
    count = call.count_of_keys(first)
    keys = call.args[first + 1 : first + 1 + count]
    if first + 1 + count >= len(call.args):
        raise CommandError(errors.SYNTAX)
    left = side(call, first + 1 + count)
    most = option_count(call, first + 2 + count)

    def attempt(call: Call) -> Reply:
        for key in keys:
            view = call.db.list(key)
            if view is not None:
                items: list[Reply] = [view.pop(left) for _ in range(min(most, len(view)))]
                call.changed(len(items))
                call.log_as(b"LPOP" if left else b"RPOP", key, b"%d" % len(items))
                call.notify("l", "lpop" if left else "rpop", key)
                tell_if_gone(call, key, view)
                return [key, items]
        return BLOCK

    return keys, attempt


@command(
    "LMPOP numkeys key [key ...] (LEFT | RIGHT) [COUNT count]", arity=-4, flags="write movablekeys",
    keys=Keys(counted=1, access=("RW", "access", "delete")), group="list", since="7.0.0",
    complexity="O(n + m): keys, elements taken", summary="Takes elements from the first list that has any.",
)  # fmt: skip
def lmpop(call: Call) -> Reply:
    reply = pop_many(call, 1)[1](call)
    return NULL_ARRAY if reply is BLOCK else reply


@command(
    "BLMPOP timeout numkeys key [key ...] (LEFT | RIGHT) [COUNT count]", arity=-5,
    flags="write blocking movablekeys", keys=Keys(counted=2, access=("RW", "access", "delete")),
    group="list", since="7.0.0", complexity="O(n + m): keys, elements taken",
    summary="Takes elements from the first list that has any; waits where none has.",
)  # fmt: skip
def blmpop(call: Call) -> Reply:
    seconds = call.seconds(1)
    keys, attempt = pop_many(call, 2)
    return waits(call, keys, seconds, attempt)
