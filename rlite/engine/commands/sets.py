"""Sets. Membership is the core's (core/sets.pyx); here are random members, walks, and sets made of sets."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, command, core_command
from rlite.engine.commands.hashes import picked
from rlite.engine.commands.lists import tell_if_gone, tell_replaced
from rlite.engine.commands.walking import ScanOptions, parse_cursor
from rlite.engine.core.views import SetView
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply, RespSet

SOURCES = Keys(2, -1, 1, access=("RO", "access"))
REMOVED_AT_ONCE = 1024  # members that one SREM of the log names at most, as in Redis

core_command(
    "SADD key member [member ...]", arity=-3, flags="write denyoom fast", keys=(1, 1, 1), access="RW insert",
    group="set", since="1.0.0", complexity="O(1) for each member", summary="Adds members to a set.",
)  # fmt: skip
core_command(
    "SREM key member [member ...]", arity=-3, flags="write fast", keys=(1, 1, 1), access="RW delete",
    group="set", since="1.0.0", complexity="O(1) for each member", summary="Removes members from a set.",
)  # fmt: skip
core_command(
    "SCARD key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO", group="set", since="1.0.0",
    complexity="O(1)", summary="Counts the members of a set.",
)  # fmt: skip
core_command(
    "SISMEMBER key member", arity=3, flags="readonly fast", keys=(1, 1, 1), access="RO", group="set",
    since="1.0.0", complexity="O(1)", summary="Tells whether a set has a member.",
)  # fmt: skip
core_command(
    "SMISMEMBER key member [member ...]", arity=-3, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="set", since="6.2.0", complexity="O(1) for each member",
    summary="Tells for each of several whether a set has it.",
)  # fmt: skip
core_command(
    "SMEMBERS key", arity=2, flags="readonly", keys=(1, 1, 1), access="RO access", group="set",
    since="1.0.0", tips=("nondeterministic_output_order",),
    complexity="O(n) where n is the number of members", summary="Returns all members of a set.",
)  # fmt: skip


@command(
    "SPOP key [count]", core=True, arity=-2, flags="write fast", keys=(1, 1, 1), access="RW access delete",
    group="set", since="1.0.0", tips=("nondeterministic_output",),
    complexity="O(n) where n is the number of members taken", summary="Takes any members out of a set.",
)  # fmt: skip
def spop(call: Call) -> Reply:
    """With a count; the rest is the core's."""
    if len(call.args) > 3:
        raise CommandError(errors.SYNTAX)
    count = call.int(2, errors.MUST_BE_POSITIVE)
    if count < 0:
        raise CommandError(errors.MUST_BE_POSITIVE)
    key = call.args[1]
    view = call.db.set_(key)
    if view is None or count == 0:
        return RespSet([])
    if count >= len(view):
        members = view.members()
        view.clear()
        call.log_deletion([key])
    else:
        members = []
        for _ in range(count):
            member = view.random()
            assert member is not None
            view.remove(member)
            members.append(member)
        for first in range(0, count * call.logged, REMOVED_AT_ONCE):
            call.log_as(b"SREM", key, *members[first : first + REMOVED_AT_ONCE])
    call.changed(len(members))
    call.notify("s", "spop", key)
    tell_if_gone(call, key, view)
    return RespSet(members)


@command(
    "SRANDMEMBER key [count]", arity=-2, flags="readonly", keys=(1, 1, 1), access="RO access", group="set",
    since="1.0.0", tips=("nondeterministic_output",),
    complexity="O(n) where n is the number of members returned", summary="Returns any members of a set.",
)  # fmt: skip
def srandmember(call: Call) -> Reply:
    if len(call.args) > 3:
        raise CommandError(errors.SYNTAX)
    count = None if len(call.args) == 2 else call.int_in(2, -(2**63) + 1, 2**63 - 1)
    view = call.db.set_(call.args[1])
    call.looked_up(view is not None)
    if count is None:
        return None if view is None else view.random()
    if view is None:
        return []
    return list[Reply](picked(view.members, view.random, len(view), count))


@command(
    "SMOVE source destination member", arity=4, flags="write fast", group="set", since="1.0.0",
    keys=Keys(1, 1, 1, access=("RW", "access", "delete"), more=(Keys(2, 2, 1, access=("RW", "insert")),)),
    complexity="O(1)", summary="Moves a member from a set to another.",
)  # fmt: skip
def smove(call: Call) -> Reply:
    source, target, member = call.args[1:]
    view = call.db.set_(source)
    if view is None:
        return 0
    other = call.db.set_(target, create=True)
    if source == target:
        return int(view.has(member))
    if not view.remove(member):
        return 0
    call.notify("s", "srem", source)
    tell_if_gone(call, source, view)
    call.changed()
    if other.add([member]):
        call.notify("s", "sadd", target)
        call.changed()
    return 1


@command(
    "SSCAN key cursor [MATCH pattern] [COUNT count]", arity=-3, flags="readonly", keys=(1, 1, 1),
    access="RO access", group="set", since="2.8.0", tips=("nondeterministic_output",),
    complexity="O(1) a call; O(n) for a whole walk", summary="Walks the members of a set, some at a time.",
)  # fmt: skip
def sscan(call: Call) -> Reply:
    cursor = parse_cursor(call.args[2])
    view = call.db.set_(call.args[1])
    call.looked_up(view is not None)
    if view is None:
        return [b"0", []]
    asked = ScanOptions.of(call, 3)
    cursor, members = view.scan(cursor, asked.count, asked.pattern)
    return [b"%d" % cursor, list[Reply](members)]


# --- sets made of sets -------------------------------------------------------------------------------------


def opened(call: Call, keys: Sequence[bytes]) -> list[SetView | None]:
    """The sets at these keys; every one is looked at, so that a wrong type is an error in any place."""
    return [call.db.set_(key) for key in keys]


def common(call: Call, keys: Sequence[bytes]) -> Iterator[bytes]:
    """The members that all have, one by one; the smallest set is walked."""
    views = opened(call, keys)
    found = sorted((view for view in views if view is not None), key=len)
    if len(found) == len(views):
        yield from (member for member in found[0].members() if all(view.has(member) for view in found[1:]))


def intersection(call: Call, keys: Sequence[bytes]) -> list[bytes]:
    return list(common(call, keys))


def union(call: Call, keys: Sequence[bytes]) -> list[bytes]:
    members: dict[bytes, None] = {}
    for view in opened(call, keys):
        if view is not None:
            members.update(dict.fromkeys(view.members()))
    return list(members)


def difference(call: Call, keys: Sequence[bytes]) -> list[bytes]:
    first, *others = opened(call, keys)
    if first is None:
        return []
    there = [view for view in others if view is not None]
    return [member for member in first.members() if not any(view.has(member) for view in there)]


def store(call: Call, event: str, members: Sequence[bytes]) -> Reply:
    """Makes the first key hold these members; without any the key goes."""
    target = call.args[1]
    existed = call.db.delete(target)
    if members:
        call.db.set_(target, create=True).add(members)
    tell_replaced(call, target, "s", event, existed=existed, changes=int(bool(members)))
    return len(members)


def declare_algebra(
    name: str, work: Callable[[Call, Sequence[bytes]], list[bytes]], what: str, complexity: str
) -> None:
    """SINTER and SINTERSTORE, and so on."""
    written = "RW" if name == "SINTER" else "OW"  # what Redis says of the destination
    stored_keys = Keys(1, 1, 1, access=(written, "update"), more=(SOURCES,))

    @command(
        f"{name} key [key ...]", arity=-2, flags="readonly", keys=(1, -1, 1), access="RO access",
        group="set", since="1.0.0", tips=("nondeterministic_output_order",), complexity=complexity,
        summary=f"Returns {what}.",
    )  # fmt: skip
    def shown(call: Call) -> Reply:
        return RespSet(work(call, call.args[1:]))

    @command(
        f"{name}STORE destination key [key ...]", arity=-3, flags="write denyoom", keys=stored_keys,
        group="set", since="1.0.0", complexity=complexity, summary=f"Makes a set of {what}.",
    )  # fmt: skip
    def stored(call: Call) -> Reply:
        return store(call, f"{name.lower()}store", work(call, call.args[2:]))


declare_algebra(
    "SINTER", intersection, "the members that all of several sets have",
    "O(n * m): members of the smallest set, sets",
)  # fmt: skip
declare_algebra("SUNION", union, "the members that any of several sets has", "O(n): members in all")
declare_algebra("SDIFF", difference, "the members of the first set that no other has", "O(n): members in all")


@command(
    "SINTERCARD numkeys key [key ...] [LIMIT limit]", arity=-3, flags="readonly movablekeys",
    keys=Keys(counted=1, access=("RO", "access")), group="set", since="7.0.0",
    complexity="O(n * m): members of the smallest set, sets",
    summary="Counts the members that all of several sets have.",
)  # fmt: skip
def sintercard(call: Call) -> Reply:
    count = call.int(1, errors.NUMKEYS_POSITIVE)
    if count < 1:
        raise CommandError(errors.NUMKEYS_POSITIVE)
    if count > len(call.args) - 2:
        raise CommandError(errors.NUMKEYS_TOO_MANY)
    limit = limit_after(call, 2 + count)
    return sum(1 for _ in islice(common(call, call.args[2 : 2 + count]), limit or None))


def limit_after(call: Call, index: int) -> int:
    """LIMIT (0: none) of SINTERCARD and ZINTERCARD, which may stand from argument `index` on."""
    limit = 0
    for i in range(index, len(call.args), 2):
        if call.word(i) != b"LIMIT" or i + 1 == len(call.args):
            raise CommandError(errors.SYNTAX)
        limit = call.int(i + 1, errors.LIMIT_IS_NEGATIVE)
        if limit < 0:
            raise CommandError(errors.LIMIT_IS_NEGATIVE)
    return limit
