"""Commands that walk a database: SCAN, KEYS, RANDOMKEY, DBSIZE. They lock a stripe at a time, never all."""

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Locks, command
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply


def parse_cursor(raw: bytes) -> int:
    """A SCAN cursor: an unsigned 64-bit number as strtoul reads it. Raises CommandError for anything else."""
    digits = raw[1:] if raw[:1] in (b"+", b"-") else raw
    if not raw:
        return 0
    if not digits.isdigit() or int(digits) >= 2**64:
        raise CommandError(errors.INVALID_CURSOR)
    return int(raw) % 2**64


@command(
    "SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]", arity=-2, flags="readonly", group="generic",
    since="2.8.0", locks=Locks.WALK, tips=("nondeterministic_output", "request_policy:special"),
    complexity="O(1) a call; O(n) for a whole walk", summary="Walks the keys of a database, some at a time.",
)  # fmt: skip
def scan(call: Call) -> Reply:
    cursor = parse_cursor(call.args[1])
    pattern: bytes | None = None
    type_name: str | None = None
    count = 10
    i = 2
    while i < len(call.args):
        word = call.word(i)
        if i + 1 == len(call.args):
            raise CommandError(errors.SYNTAX)
        if word == b"COUNT":
            count = call.int(i + 1)
            if count < 1:
                raise CommandError(errors.SYNTAX)
        elif word == b"MATCH":
            pattern = call.args[i + 1]
        elif word == b"TYPE":
            type_name = call.args[i + 1].lower().decode("latin-1")
        else:
            raise CommandError(errors.SYNTAX)
        i += 2
    cursor, keys = call.db.scan(cursor, min(count, 2**40), pattern, type_name)
    return [b"%d" % cursor, list[Reply](keys)]


@command(
    "KEYS pattern", arity=2, flags="readonly", group="generic", since="1.0.0",
    locks=Locks.WALK, acl="dangerous",
    tips=("request_policy:all_shards", "nondeterministic_output_order"),
    complexity="O(n) where n is the number of keys", summary="Lists all keys that match a pattern.",
)  # fmt: skip
def keys(call: Call) -> Reply:
    return list[Reply](call.db.keys(call.args[1]))


@command(
    "RANDOMKEY", arity=1, flags="readonly", group="generic", since="1.0.0", locks=Locks.WALK,
    tips=("request_policy:all_shards", "nondeterministic_output"),
    complexity="O(1)", summary="Returns any key.",
)  # fmt: skip
def randomkey(call: Call) -> Reply:
    return call.db.random_key()


@command(
    "DBSIZE", arity=1, flags="readonly fast", group="server", since="1.0.0", acl="keyspace",
    tips=("request_policy:all_shards", "response_policy:agg_sum"), complexity="O(1)",
    summary="Counts the keys of a database.",
)  # fmt: skip
def dbsize(call: Call) -> Reply:
    return call.server.keyspace.size(call.db.index)
