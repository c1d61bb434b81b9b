"""COMMAND: what commands there are and how they are called, told from their declarations alone.

Touches no key. The forms of the replies are those of Redis, since clients and proxies route by them.
"""

from collections.abc import Callable, Iterable, Sequence

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import REGISTRY, Command, Keys, command
from rlite.engine.commands.helping import declare_help
from rlite.engine.commands.syntax import Argument, arguments
from rlite.engine.core.glob import matches
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply, RespSet, Simple

# The orders in which Redis lists them.
FLAG_ORDER = [
    "write", "readonly", "denyoom", "admin", "pubsub", "noscript", "blocking", "loading", "stale",
    "skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "no_mandatory_keys",
    "no_async_loading", "no_multi", "movablekeys", "allow_busy",
]  # fmt: skip
CATEGORY_ORDER = [
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
    "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction",
    "scripting",
]  # fmt: skip
ACCESS_ORDER = [
    "RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags",
]  # fmt: skip
UNKNOWN_SPEC: dict[Reply, Reply] = {b"type": b"unknown", b"spec": {}}


def in_order(order: Sequence[str], words: Iterable[str]) -> list[str]:
    chosen = frozenset(words)
    return [word for word in order if word in chosen]


def statuses(words: Iterable[str]) -> RespSet:
    return RespSet([Simple(word) for word in words])


def top_level() -> list[Command]:
    return [each for each in REGISTRY.values() if " " not in each.name]


def named(word: bytes) -> Command | None:
    """A command by the name COMMAND uses for it: `get`, `client|list`."""
    return REGISTRY.get(word.decode("latin-1").upper().replace("|", " ")) if b" " not in word else None


def legacy_range(keys: Keys) -> tuple[int, int, int]:
    """First key, last key and step in COMMAND's older form: one range over all key specifications."""
    fixed = [each for each in (keys, *keys.more) if each.first and not each.counted and not each.keyword]
    if not fixed:
        return 0, 0, 0
    lasts = [each.last for each in fixed]
    return fixed[0].first, min(lasts) if min(lasts) < 0 else max(lasts), fixed[0].step


def key_spec(keys: Keys) -> Reply:
    spec: dict[Reply, Reply] = {b"flags": statuses(in_order(ACCESS_ORDER, keys.access))}
    if keys.counted:
        spec[b"begin_search"] = {b"type": b"index", b"spec": {b"index": keys.counted}}
        numbers: dict[Reply, Reply] = {b"keynumidx": 0, b"firstkey": 1, b"keystep": 1}
        spec[b"find_keys"] = {b"type": b"keynum", b"spec": numbers}
        return spec
    if keys.keyword:
        where: dict[Reply, Reply] = {b"keyword": keys.keyword.encode(), b"startfrom": keys.after}
        spec[b"begin_search"] = {b"type": b"keyword", b"spec": where}
        spec[b"find_keys"] = {
            b"type": b"range",
            b"spec": {b"lastkey": keys.last, b"keystep": keys.step, b"limit": keys.limit},
        }
        return spec
    if not keys.first:
        spec |= {b"begin_search": UNKNOWN_SPEC, b"find_keys": UNKNOWN_SPEC}
        return spec
    last = keys.last if keys.last < 0 else keys.last - keys.first
    spec[b"begin_search"] = {b"type": b"index", b"spec": {b"index": keys.first}}
    spec[b"find_keys"] = {
        b"type": b"range", b"spec": {b"lastkey": last, b"keystep": keys.step, b"limit": 0},
    }  # fmt: skip
    return spec


def described(each: Command) -> Reply:
    """A command in the form of COMMAND INFO."""
    first, last, step = legacy_range(each.keys)
    has_keys = bool(each.keys)
    return [
        each.counted_as.encode(),
        each.arity,
        statuses(in_order(FLAG_ORDER, each.flags)),
        first,
        last,
        step,
        statuses("@" + word for word in in_order(CATEGORY_ORDER, each.categories)),
        RespSet([tip.encode() for tip in each.tips]),
        RespSet([key_spec(keys) for keys in (each.keys, *each.keys.more)] if has_keys else []),
        [described(sub) for sub in each.subcommands.values()] or RespSet([]),
    ]


def documented_argument(argument: Argument, specs: list[int]) -> Reply:
    """An argument in the form of COMMAND DOCS.

    specs: key specifications not yet given to an argument, the last of which stays for all further keys.
    """
    told: dict[Reply, Reply] = {b"name": argument.name.encode(), b"type": argument.type.encode()}
    if not argument.parts:
        told[b"display_text"] = argument.name.encode()
    if argument.type == "key" and specs:
        told[b"key_spec_index"] = specs.pop(0) if len(specs) > 1 else specs[0]
    if argument.token:
        told[b"token"] = argument.token.encode()
    flags = [name for name in ("optional", "multiple", "multiple_token") if getattr(argument, name)]
    if flags:
        told[b"flags"] = statuses(flags)
    if argument.parts:
        told[b"arguments"] = [documented_argument(part, specs) for part in argument.parts]
    return told


def documented(each: Command) -> Reply:
    """A command in the form of COMMAND DOCS."""
    told: dict[Reply, Reply] = {
        b"summary": each.summary.encode(), b"since": each.since.encode(), b"group": each.group.encode(),
        b"complexity": each.complexity.encode(),
    }  # fmt: skip
    # A container's syntax is its name; its arguments are those of its subcommands.
    specs = list(range(1 + len(each.keys.more))) if each.keys else []
    found: list[Reply] = [documented_argument(one, specs) for one in arguments(each.syntax, each.name)]
    if found:
        told[b"arguments"] = found
    if each.subcommands:
        told[b"subcommands"] = {sub.counted_as.encode(): documented(sub) for sub in each.subcommands.values()}
    return told


@command(
    "COMMAND", arity=-1, flags="loading stale", group="server", since="2.8.13", acl="connection",
    complexity="O(n) where n is the number of commands", tips=["nondeterministic_output_order"],
    summary="Describes every command: arity, flags, keys, categories.",
)  # fmt: skip
def command_(_call: Call) -> Reply:
    return [described(each) for each in top_level()]


@command(
    "COMMAND COUNT", arity=2, flags="loading stale", group="server", since="2.8.13", acl="connection",
    complexity="O(1)", summary="Returns how many commands there are, subcommands not counted.",
)  # fmt: skip
def command_count(_call: Call) -> Reply:
    return len(top_level())


@command(
    "COMMAND INFO [command-name [command-name ...]]", arity=-2, flags="loading stale", group="server",
    since="2.8.13", acl="connection", complexity="O(n) where n is the number of commands asked for",
    tips=["nondeterministic_output_order"], summary="Describes some commands as COMMAND does, or all.",
)  # fmt: skip
def command_info(call: Call) -> Reply:
    if len(call.args) == 2:
        return command_(call)
    found = [named(word) for word in call.args[2:]]
    return [None if each is None else described(each) for each in found]


@command(
    "COMMAND DOCS [command-name [command-name ...]]", arity=-2, flags="loading stale", group="server",
    since="7.0.0", acl="connection", complexity="O(n) where n is the number of commands asked for",
    tips=["nondeterministic_output_order"], summary="Documents some commands, or all, for people to read.",
)  # fmt: skip
def command_docs(call: Call) -> Reply:
    asked = [named(word) for word in call.args[2:]] if len(call.args) > 2 else top_level()
    return {each.counted_as.encode(): documented(each) for each in asked if each is not None}


@command(
    "COMMAND LIST [FILTERBY (MODULE module-name | ACLCAT category | PATTERN pattern)]", arity=-2,
    flags="loading stale", group="server", since="7.0.0", acl="connection",
    complexity="O(n) where n is the number of commands", tips=["nondeterministic_output_order"],
    summary="Names the commands, all of them or those a filter lets through.",
)  # fmt: skip
def command_list(call: Call) -> Reply:
    args = call.args
    passes: Callable[[Command], bool]
    if len(args) == 2:
        passes = lambda _each: True  # noqa: E731
    elif len(args) == 5 and call.word(2) == b"FILTERBY":
        kind, value = call.word(3), args[4]
        if kind == b"MODULE":
            passes = lambda _each: False  # noqa: E731  (no command comes from a module here)
        elif kind == b"ACLCAT":
            category = value.decode("latin-1").lower()
            passes = lambda each: category in each.categories  # noqa: E731
        elif kind == b"PATTERN":
            passes = lambda each: matches(value, each.counted_as.encode(), True)  # noqa: E731
        else:
            raise CommandError(errors.SYNTAX)
    else:
        raise CommandError(errors.SYNTAX)
    return [each.counted_as.encode() for each in REGISTRY.values() if passes(each)]


def called(call: Call) -> tuple[Command, list[bytes]]:
    """The command that COMMAND GETKEYS is asked about, and its arguments. Raises CommandError."""
    from rlite.engine.commands.dispatch import find

    args = call.args[2:]
    try:
        found = find(call.server, args)
    except CommandError:
        found = None
    if found is None:
        raise CommandError(errors.UNKNOWN_COMMAND_NAME)
    if not found.has_keys:
        raise CommandError(errors.NO_KEY_ARGUMENTS)
    if not found.accepts(len(args)):
        raise CommandError(errors.BAD_ARGUMENT_COUNT)
    return found, args


def keys_of(found: Command, args: Sequence[bytes]) -> list[tuple[bytes, tuple[str, ...]]]:
    """Each key, with what the command does to it. Raises CommandError where there is none."""
    access = [
        (at, keys.access_in(args)) for keys in (found.keys, *found.keys.more) for at in keys.positions(args)
    ]
    if not access and "no_mandatory_keys" not in found.flags:
        raise CommandError(errors.INVALID_KEY_ARGUMENTS)
    return [(args[at], flags) for at, flags in access]


@command(
    "COMMAND GETKEYS command arg [arg ...]", arity=-4, flags="loading stale", group="server", since="2.8.13",
    acl="connection", complexity="O(n) where n is the number of arguments",
    summary="Picks the keys out of a command and its arguments.",
)  # fmt: skip
def command_getkeys(call: Call) -> Reply:
    return [key for key, _ in keys_of(*called(call))]


@command(
    "COMMAND GETKEYSANDFLAGS command arg [arg ...]", arity=-4, flags="loading stale", group="server",
    since="7.0.0", acl="connection", complexity="O(n) where n is the number of arguments",
    summary="Picks the keys out of a command and its arguments, each with what is done to it.",
)  # fmt: skip
def command_getkeysandflags(call: Call) -> Reply:
    return [[key, statuses(in_order(ACCESS_ORDER, access))] for key, access in keys_of(*called(call))]


declare_help("COMMAND", since="5.0.0", group="server", acl="connection")
