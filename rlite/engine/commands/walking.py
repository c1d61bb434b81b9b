"""Commands that walk a database: SCAN, KEYS, RANDOMKEY, DBSIZE. They lock a stripe at a time, never all."""

from dataclasses import dataclass
from typing import Self

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


@dataclass(slots=True)
class ScanOptions:
    """What SCAN and its kind are asked for. count: how many to aim for; flagged: the word without a value."""

    pattern: bytes | None = None
    count: int = 10
    type_name: str | None = None
    flagged: bool = False

    @classmethod
    def of(cls, call: Call, first: int, *, flag: bytes = b"", typed: bool = False) -> Self:
        """Read from argument `first` on; `flag` is a word that stands alone. Raises CommandError."""
        found = cls()
        i = first
        while i < len(call.args):
            word = call.word(i)
            if flag and word == flag:
                found.flagged = True
                i += 1
                continue
            if i + 1 == len(call.args):
                raise CommandError(errors.SYNTAX)
            if word == b"COUNT":
                found.count = min(call.int(i + 1), 2**40)
                if found.count < 1:
                    raise CommandError(errors.SYNTAX)
            elif word == b"MATCH":
                found.pattern = None if call.args[i + 1] == b"*" else call.args[i + 1]
            elif typed and word == b"TYPE":
                found.type_name = call.args[i + 1].lower().decode("latin-1")
            else:
                raise CommandError(errors.SYNTAX)
            i += 2
        return found


@command(
    "SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]", arity=-2, flags="readonly", group="generic",
    since="2.8.0", locks=Locks.WALK, tips=("nondeterministic_output", "request_policy:special"),
    complexity="O(1) a call; O(n) for a whole walk", summary="Walks the keys of a database, some at a time.",
)  # fmt: skip
def scan(call: Call) -> Reply:
    cursor = parse_cursor(call.args[1])
    asked = ScanOptions.of(call, 2, typed=True)
    cursor, keys = call.db.scan(cursor, asked.count, asked.pattern, asked.type_name)
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
