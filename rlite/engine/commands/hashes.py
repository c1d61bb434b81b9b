"""Hashes. What caches and sessions run through is the core's (core/hashes.pyx); here is the rest."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command, core_command
from rlite.engine.commands.walking import ScanOptions, parse_cursor
from rlite.engine.core.strings import sum_of_floats
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

core_command(
    "HSET key field value [field value ...]", arity=-4, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW update", group="hash", since="2.0.0", complexity="O(1) for each field",
    summary="Gives fields of a hash their values.",
)  # fmt: skip
core_command(
    "HMSET key field value [field value ...]", arity=-4, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW update", group="hash", since="2.0.0", complexity="O(1) for each field",
    summary="Gives fields of a hash their values; HSET does the same and counts the new ones.",
)  # fmt: skip
core_command(
    "HSETNX key field value", arity=4, flags="write denyoom fast", keys=(1, 1, 1), access="RW insert",
    group="hash", since="2.0.0", complexity="O(1)", summary="Gives a field a value, if it is not there.",
)  # fmt: skip
core_command(
    "HGET key field", arity=3, flags="readonly fast", keys=(1, 1, 1), access="RO access", group="hash",
    since="2.0.0", complexity="O(1)", summary="Returns the value of a field.",
)  # fmt: skip
core_command(
    "HMGET key field [field ...]", arity=-3, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="hash", since="2.0.0", complexity="O(1) for each field", summary="Returns the values of fields.",
)  # fmt: skip
core_command(
    "HLEN key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO", group="hash", since="2.0.0",
    complexity="O(1)", summary="Counts the fields of a hash.",
)  # fmt: skip
core_command(
    "HEXISTS key field", arity=3, flags="readonly fast", keys=(1, 1, 1), access="RO", group="hash",
    since="2.0.0", complexity="O(1)", summary="Tells whether a hash has a field.",
)  # fmt: skip
core_command(
    "HSTRLEN key field", arity=3, flags="readonly fast", keys=(1, 1, 1), access="RO", group="hash",
    since="3.2.0", complexity="O(1)", summary="Returns the length of a field's value.",
)  # fmt: skip
core_command(
    "HDEL key field [field ...]", arity=-3, flags="write fast", keys=(1, 1, 1), access="RW delete",
    group="hash", since="2.0.0", complexity="O(1) for each field", summary="Removes fields from a hash.",
)  # fmt: skip
core_command(
    "HINCRBY key field increment", arity=4, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW access update", group="hash", since="2.0.0", complexity="O(1)",
    summary="Adds to the number in a field.",
)  # fmt: skip
core_command(
    "HGETALL key", arity=2, flags="readonly", keys=(1, 1, 1), access="RO access", group="hash",
    since="2.0.0", tips=("nondeterministic_output_order",),
    complexity="O(n) where n is the number of fields", summary="Returns all fields with their values.",
)  # fmt: skip
core_command(
    "HKEYS key", arity=2, flags="readonly", keys=(1, 1, 1), access="RO access", group="hash", since="2.0.0",
    tips=("nondeterministic_output_order",), complexity="O(n) where n is the number of fields",
    summary="Returns all fields.",
)  # fmt: skip
core_command(
    "HVALS key", arity=2, flags="readonly", keys=(1, 1, 1), access="RO access", group="hash", since="2.0.0",
    tips=("nondeterministic_output_order",), complexity="O(n) where n is the number of fields",
    summary="Returns the values of all fields.",
)  # fmt: skip


@command(
    "HINCRBYFLOAT key field increment", arity=4, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW access update", group="hash", since="2.6.0", complexity="O(1)",
    summary="Adds to the floating-point number in a field.",
)  # fmt: skip
def hincrbyfloat(call: Call) -> Reply:
    key, field, by = call.args[1:4]
    step = sum_of_floats(b"0", by)
    if not step:
        raise CommandError(errors.NOT_A_FLOAT if step is None else errors.NOT_FINITE)
    view = call.db.hash_(key, create=True)
    old = view.get(field)
    if old is not None and sum_of_floats(old, b"0") is None:
        raise CommandError(errors.HASH_NOT_A_FLOAT)
    total = sum_of_floats(old or b"0", by)
    if not total:
        raise CommandError(errors.NAN_OR_INFINITY)
    view.set(field, total, keep_ttl=True)
    call.changed()
    if call.logged:  # a sum may come out differently on another machine
        call.log_as(b"HSET", key, field, total)
        deadline = view.deadline(field)
        if deadline is not None:  # which HSET takes away
            call.log_as(b"HPEXPIREAT", key, b"%d" % deadline, b"FIELDS", b"1", field)
    call.notify("h", "hincrbyfloat", key)
    return total


@command(
    "HRANDFIELD key [count [WITHVALUES]]", arity=-2, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="hash", since="6.2.0", tips=("nondeterministic_output",),
    complexity="O(n) where n is the number of fields returned", summary="Returns any fields of a hash.",
)  # fmt: skip
def hrandfield(call: Call) -> Reply:
    if len(call.args) == 2:
        view = call.db.hash_(call.args[1])
        call.looked_up(view is not None)
        pair = None if view is None else view.random()
        return None if pair is None else pair[0]
    count, with_values = pick_count(call, b"WITHVALUES")
    view = call.db.hash_(call.args[1])
    call.looked_up(view is not None)
    if view is None:
        return []
    pairs = picked(view.items, view.random, len(view), count)
    return paired(call, pairs) if with_values else [field for field, _ in pairs]


def pick_count(call: Call, option: bytes) -> tuple[int, bool]:
    """(count, whether the option is there) of HRANDFIELD and ZRANDMEMBER."""
    count = call.int(2)
    if len(call.args) > 4 or (len(call.args) == 4 and call.word(3) != option):
        raise CommandError(errors.SYNTAX)
    if len(call.args) == 4 and not -(2**62) <= count <= 2**62:
        raise CommandError(errors.OUT_OF_RANGE)
    if count == -(2**63):
        raise CommandError(errors.OUT_OF_RANGE)
    return count, len(call.args) == 4


T = TypeVar("T", bytes, tuple[bytes, bytes], tuple[bytes, float])


def picked(everything: Callable[[], list[T]], one: Callable[[], T | None], size: int, count: int) -> list[T]:
    """Any elements: -count with repetitions, or count different ones. `one` draws one of `size`."""
    if count < 0:
        draws = (one() for _ in range(-count))
        return [item for item in draws if item is not None]
    if count >= size:
        return everything()
    if count * 3 > size or size < 128:
        return random.sample(everything(), count)
    drawn: dict[bytes, T] = {}
    while len(drawn) < count:
        item = one()
        if item is not None:
            drawn[item if isinstance(item, bytes) else item[0]] = item
    return list(drawn.values())


def paired(call: Call, pairs: "Sequence[tuple[Reply, Reply]]") -> Reply:
    """Pairs as RESP3 has them, nested, or flat."""
    if call.client.resp == 3:
        return [list(pair) for pair in pairs]
    return [item for pair in pairs for item in pair]


@command(
    "HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]", arity=-3, flags="readonly", keys=(1, 1, 1),
    access="RO access", group="hash", since="2.8.0", tips=("nondeterministic_output",),
    complexity="O(1) a call; O(n) for a whole walk", summary="Walks the fields of a hash, some at a time.",
)  # fmt: skip
def hscan(call: Call) -> Reply:
    cursor = parse_cursor(call.args[2])
    view = call.db.hash_(call.args[1])
    call.looked_up(view is not None)
    if view is None:
        return [b"0", []]
    asked = ScanOptions.of(call, 3, flag=b"NOVALUES")
    cursor, pairs = view.scan(cursor, asked.count, asked.pattern)
    return [b"%d" % cursor, [item for pair in pairs for item in (pair[:1] if asked.flagged else pair)]]
