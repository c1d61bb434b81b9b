"""A command is one declaration: everything about it stands together, and everything else is derived from it.

From a declaration come dispatch and arity errors, COMMAND, COMMAND DOCS and COMMAND GETKEYS, ACL categories,
which stripes to lock, and the tests that every command obeys its own words. This module holds the
declarations; it knows nothing of connections or of the keyspace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NotRequired, TypedDict, Unpack

from rlite.engine.core import generic, hashes, lists, sets, streams, strings, zsets
from rlite.engine.core.execute import CoreCommand

if TYPE_CHECKING:
    from rlite.engine.commands.call import Call
    from rlite.engine.reply import Reply

Handler = Callable[["Call"], "Reply"]

FLAGS = frozenset(
    [
        "write",
        "readonly",
        "denyoom",
        "admin",
        "pubsub",
        "noscript",
        "blocking",
        "loading",
        "stale",
        "skip_monitor",
        "skip_slowlog",
        "asking",
        "fast",
        "no_auth",
        "no_multi",
        "may_replicate",
        "movablekeys",
        "no_async_loading",
        "no_mandatory_keys",
        "allow_busy",
        "sentinel",
        "protected",
    ]
)


class Locks(Enum):
    """What the dispatcher locks before a handler runs."""

    KEYS = "the stripes of the keys the declaration names"
    NOTHING = "nothing: the handler touches no key"
    WALK = "nothing: the database locks stripe by stripe as it is walked; inside a transaction, every stripe"
    EVERYTHING = "every stripe"


def counted_positions(args: Sequence[bytes], index: int) -> list[int]:
    """Positions of the keys behind their number, which is argument `index`; none where it makes no sense."""
    raw = args[index] if index < len(args) else b""
    if not raw.isdigit() or len(raw) > 9 or not 0 < int(raw) <= len(args) - index - 1:
        return []
    return list(range(index + 1, index + 1 + int(raw)))


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a command's keys stand: positions from 1, `last` counted from the end where it is negative.

    counted: position of the number of keys, which follow it. keyword: a word that keys stand behind, searched
    from position `after` (negative: from the end, backwards); `last` and `step` then count from behind it;
    limit: 2 where only the first half of what follows are keys. find: for keys that nothing else describes:
    args (the name first) -> positions. access: what is done with them, in the words of COMMAND
    GETKEYSANDFLAGS; depends: the same for given arguments, where they decide (`variable_flags`).
    """

    first: int = 0
    last: int = 0
    step: int = 0
    find: Callable[[Sequence[bytes]], list[int]] | None = None
    access: tuple[str, ...] = ()
    depends: Callable[[Sequence[bytes]], tuple[str, ...]] | None = None
    counted: int = 0
    keyword: str = ""
    after: int = 1
    limit: int = 0
    more: tuple["Keys", ...] = ()  # further key specifications, where their access differs

    def __bool__(self) -> bool:
        return bool(self.first or self.counted or self.keyword or self.find)

    def positions(self, args: Sequence[bytes]) -> list[int]:
        """Where these keys stand in a call; none where the arguments make no sense."""
        if "not_key" in self.access:
            return []
        if self.find is not None:
            return self.find(args)
        if self.counted:
            return counted_positions(args, self.counted)
        if self.keyword:
            return self._behind_keyword(args)
        if not self.first:
            return []
        last = self.last if self.last >= 0 else len(args) + self.last
        return list(range(self.first, min(last, len(args) - 1) + 1, self.step))

    def _behind_keyword(self, args: Sequence[bytes]) -> list[int]:
        word = self.keyword.encode()
        steps = range(self.after, len(args) - 1) if self.after > 0 else range(len(args) + self.after, 0, -1)
        for i in steps:
            if args[i].upper() == word:
                last = i + 1 + self.last if self.last >= 0 else len(args) + self.last
                if self.limit:
                    last = i + (last - i) // self.limit
                return list(range(i + 1, min(last, len(args) - 1) + 1, self.step))
        return []

    def access_in(self, args: Sequence[bytes]) -> tuple[str, ...]:
        """What a call with these arguments does with the keys."""
        return self.access if self.depends is None else self.depends(args)


@dataclass(frozen=True, slots=True)
class Command:
    """One declared command. `name` is upper case; a subcommand is `CONTAINER NAME`.

    counted_as: its name in INFO commandstats: lower case, a subcommand as `container|name`.
    """

    name: str
    counted_as: str
    syntax: str
    arity: int
    flags: frozenset[str]
    keys: Keys
    group: str
    since: str
    complexity: str
    summary: str
    handler: Handler | None
    core: CoreCommand | None
    locks: Locks
    categories: frozenset[str]
    tips: tuple[str, ...] = ()
    subcommands: dict[str, "Command"] = field(default_factory=dict, compare=False)

    @property
    def has_keys(self) -> bool:
        """Whether it may name keys; the channel of a shard stands like a key but is none."""
        return any("not_key" not in keys.access for keys in (self.keys, *self.keys.more) if keys)

    @property
    def is_container(self) -> bool:
        return self.handler is None and self.core is None

    def accepts(self, argc: int) -> bool:
        """Whether this many arguments, the name included, agree with the arity."""
        return argc == self.arity if self.arity >= 0 else argc >= -self.arity

    def key_positions(self, args: Sequence[bytes]) -> list[int]:
        """Where the keys stand in these arguments. Raises CommandError where a count in them makes no
        sense.
        """
        if not self.keys.more:
            return self.keys.positions(args)
        return [i for keys in (self.keys, *self.keys.more) for i in keys.positions(args)]


NO_KEYS = Keys()
CORE: dict[str, CoreCommand] = {
    name: command
    for module in (strings, generic, lists, hashes, sets, zsets, streams)
    for name, command in module.COMMANDS.items()
}  # what the core implements, by name
REGISTRY: dict[str, Command] = {}


def _name_of(syntax: str) -> str:
    """What a syntax begins with: a command's name, or a container's and that of its subcommand."""
    name, _, rest = syntax.partition(" ")
    return f"{name} {rest.split()[0]}" if name in REGISTRY else name


def _categories(flags: frozenset[str], group: str, extra: str) -> frozenset[str]:
    """ACL categories, as Redis derives them from flags, and the group's own; extra: more, or `-` less."""
    found = {word for word in extra.split() if word[0] != "-"}
    if "write" in flags:
        found.add("write")
    if "readonly" in flags and group != "scripting":
        found.add("read")
    if "admin" in flags:
        found |= {"admin", "dangerous"}
    if "pubsub" in flags:
        found.add("pubsub")
    if "fast" in flags:
        found.add("fast")
    if "blocking" in flags:
        found.add("blocking")
    if "fast" not in flags:
        found.add("slow")
    by_group = {"string": "string", "bitmap": "bitmap", "generic": "keyspace", "connection": "connection",
                "transactions": "transaction", "list": "list", "hash": "hash", "set": "set",
                "sorted-set": "sortedset", "stream": "stream", "hyperloglog": "hyperloglog", "geo": "geo",
                "scripting": "scripting"}  # fmt: skip
    if group in by_group:
        found.add(by_group[group])
    return frozenset(found - {word[1:] for word in extra.split() if word[0] == "-"})


def _declare(command: Command) -> None:
    if command.name in REGISTRY:
        raise ValueError(f"command {command.name} is declared twice")
    unknown = command.flags - FLAGS
    if unknown:
        raise ValueError(f"command {command.name}: unknown flags {sorted(unknown)}")
    if command.keys.first and not command.accepts(max(command.arity, -command.arity)):
        raise ValueError(f"command {command.name}: arity {command.arity} leaves no room for its keys")
    REGISTRY[command.name] = command
    container, _, sub = command.name.partition(" ")
    if sub:
        REGISTRY[container].subcommands[sub] = command


class Facts(TypedDict):
    """What a declaration says beside its syntax. arity: arguments with the name, negative for at least so
    many (a subcommand counts both of its words); keys: first, last, step; access: what is done with them,
    e.g. "RW update"; acl: categories beyond those that follow from flags and group (`-`: without); core:
    the core implements the common forms of it, and the handler gets what that declines.
    """

    arity: int
    flags: str
    group: str
    since: str
    complexity: str
    summary: str
    keys: NotRequired[Keys | tuple[int, int, int]]
    access: NotRequired[str]
    locks: NotRequired[Locks]
    acl: NotRequired[str]
    tips: NotRequired[Sequence[str]]
    core: NotRequired[bool]


def command(syntax: str, **facts: Unpack[Facts]) -> Callable[[Handler], Handler]:
    """Declares a command whose handler is the decorated function.

    syntax: `NAME argument [OPTION value]`, its leading upper-case words the name.
    """

    def declare(handler: Handler) -> Handler:
        _add(syntax, facts, handler, CORE[_name_of(syntax).lower()] if facts.get("core") else None)
        return handler

    return declare


def core_command(syntax: str, **facts: Unpack[Facts]) -> None:
    """Declares a command that the core implements under the same name."""
    _add(syntax, facts, None, CORE[_name_of(syntax).lower()])


def container(name: str, *, since: str, summary: str, group: str = "server", arity: int = -2) -> None:
    """Declares a command that is nothing but its subcommands, which are declared after it."""
    _add(
        name,
        Facts(
            arity=arity,
            flags="",
            group=group,
            since=since,
            complexity="Depends on subcommand.",
            summary=summary,
        ),
        None,
        None,
    )


def _add(syntax: str, facts: Facts, handler: Handler | None, core: CoreCommand | None) -> None:
    name = _name_of(syntax)
    keys = facts.get("keys", NO_KEYS)
    if isinstance(keys, tuple):
        keys = Keys(*keys, access=tuple(facts.get("access", "").split()))
    flags = frozenset(facts["flags"].split())
    has_keys = bool(keys)
    pure = handler is None and core is None
    _declare(
        Command(
            name=name,
            counted_as=name.lower().replace(" ", "|"),
            syntax=syntax,
            arity=facts["arity"],
            flags=flags,
            keys=keys,
            group=facts["group"],
            since=facts["since"],
            complexity=facts["complexity"],
            summary=facts["summary"],
            handler=handler,
            core=core,
            locks=facts.get("locks") or (Locks.KEYS if has_keys else Locks.NOTHING),
            # A container holds no right of its own: those of its subcommands count.
            categories=_categories(flags, "" if pure else facts["group"], facts.get("acl", "")),
            tips=tuple(facts.get("tips", ())),
        )
    )
