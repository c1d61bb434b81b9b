"""The declarations of the string commands; the core implements them (core/strings.pyx)."""

from collections.abc import Sequence

from rlite.engine.commands.declare import Keys, core_command


def set_access(args: Sequence[bytes]) -> tuple[str, ...]:
    """What SET does with its key: it reads it only where it is asked for the old value."""
    return ("RW", "access", "update") if b"GET" in [arg.upper() for arg in args[3:]] else ("OW", "update")


core_command(
    "GET key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="string", since="1.0.0", complexity="O(1)",
    summary="Returns the string at a key.",
)  # fmt: skip

core_command(
    "SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | "
    "PXAT unix-time-milliseconds | KEEPTTL]",
    arity=-3, flags="write denyoom", group="string", since="1.0.0", complexity="O(1)",
    keys=Keys(1, 1, 1, access=("RW", "access", "update", "variable_flags"), depends=set_access),
    summary="Makes a key hold a string, whatever it held before.",
)  # fmt: skip

core_command(
    "SETNX key value", arity=3, flags="write denyoom fast", keys=(1, 1, 1), access="OW insert",
    group="string", since="1.0.0", complexity="O(1)",
    summary="Sets a key only where it does not exist.",
)  # fmt: skip

core_command(
    "SETEX key seconds value", arity=4, flags="write denyoom", keys=(1, 1, 1), access="OW update",
    group="string", since="2.0.0", complexity="O(1)",
    summary="Sets a key and its time to live in seconds.",
)  # fmt: skip

core_command(
    "PSETEX key milliseconds value", arity=4, flags="write denyoom", keys=(1, 1, 1), access="OW update",
    group="string", since="2.6.0", complexity="O(1)",
    summary="Sets a key and its time to live in milliseconds.",
)  # fmt: skip

core_command(
    "GETSET key value", arity=3, flags="write denyoom fast", keys=(1, 1, 1), access="RW access update",
    group="string", since="1.0.0", complexity="O(1)",
    summary="Sets a key and returns what it held.",
)  # fmt: skip

core_command(
    "GETDEL key", arity=2, flags="write fast", keys=(1, 1, 1), access="RW access delete",
    group="string", since="6.2.0", complexity="O(1)",
    summary="Returns the string at a key and deletes the key.",
)  # fmt: skip

core_command(
    "GETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | "
    "PXAT unix-time-milliseconds | PERSIST]",
    arity=-2, flags="write fast", keys=(1, 1, 1), access="RW access update",
    group="string", since="6.2.0", complexity="O(1)",
    summary="Returns the string at a key and changes its time to live.",
)  # fmt: skip

core_command(
    "MGET key [key ...]", arity=-2, flags="readonly fast", keys=(1, -1, 1), access="RO access",
    group="string", since="1.0.0", complexity="O(n) where n is the number of keys",
    tips=["request_policy:multi_shard"],
    summary="Returns the strings at several keys.",
)  # fmt: skip

core_command(
    "MSET key value [key value ...]", arity=-3, flags="write denyoom", keys=(1, -1, 2), access="OW update",
    group="string", since="1.0.1", complexity="O(n) where n is the number of keys",
    tips=["request_policy:multi_shard", "response_policy:all_succeeded"],
    summary="Sets several keys at once.",
)  # fmt: skip

core_command(
    "MSETNX key value [key value ...]", arity=-3, flags="write denyoom", keys=(1, -1, 2), access="OW insert",
    group="string", since="1.0.1", complexity="O(n) where n is the number of keys",
    tips=["request_policy:multi_shard", "response_policy:agg_min"],
    summary="Sets several keys at once, or none if one of them exists.",
)  # fmt: skip

core_command(
    "INCR key", arity=2, flags="write denyoom fast", keys=(1, 1, 1), access="RW access update",
    group="string", since="1.0.0", complexity="O(1)",
    summary="Adds one to the number at a key.",
)  # fmt: skip

core_command(
    "DECR key", arity=2, flags="write denyoom fast", keys=(1, 1, 1), access="RW access update",
    group="string", since="1.0.0", complexity="O(1)",
    summary="Takes one from the number at a key.",
)  # fmt: skip

core_command(
    "INCRBY key increment", arity=3, flags="write denyoom fast", keys=(1, 1, 1), access="RW access update",
    group="string", since="1.0.0", complexity="O(1)",
    summary="Adds to the number at a key.",
)  # fmt: skip

core_command(
    "DECRBY key decrement", arity=3, flags="write denyoom fast", keys=(1, 1, 1), access="RW access update",
    group="string", since="1.0.0", complexity="O(1)",
    summary="Takes from the number at a key.",
)  # fmt: skip

core_command(
    "INCRBYFLOAT key increment", arity=3, flags="write denyoom fast",
    keys=(1, 1, 1), access="RW access update",
    group="string", since="2.6.0", complexity="O(1)",
    summary="Adds a fraction to the number at a key.",
)  # fmt: skip

core_command(
    "APPEND key value", arity=3, flags="write denyoom fast", keys=(1, 1, 1), access="RW insert",
    group="string", since="2.0.0", complexity="O(1) amortised",
    summary="Adds bytes to the end of a string.",
)  # fmt: skip

core_command(
    "STRLEN key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO",
    group="string", since="2.2.0", complexity="O(1)",
    summary="Returns the length of a string in bytes.",
)  # fmt: skip

core_command(
    "SETRANGE key offset value", arity=4, flags="write denyoom", keys=(1, 1, 1), access="RW update",
    group="string", since="2.2.0", complexity="O(n) where n is the number of bytes written",
    summary="Overwrites part of a string.",
)  # fmt: skip

core_command(
    "GETRANGE key start end", arity=4, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="string", since="2.4.0", complexity="O(n) where n is the number of bytes returned",
    summary="Returns part of a string.",
)  # fmt: skip

core_command(
    "SUBSTR key start end", arity=4, flags="readonly", keys=(1, 1, 1), access="RO access",
    group="string", since="1.0.0", complexity="O(n) where n is the number of bytes returned",
    summary="Returns part of a string; an older name of GETRANGE.",
)  # fmt: skip
