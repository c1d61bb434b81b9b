"""Reads the syntax of a declaration (`SET key value [NX | XX] [GET]`) into the argument maps of COMMAND DOCS.

The notation: lower-case words are arguments, upper-case words tokens (an argument right behind a token
belongs to it), `[...]` is optional, `(a | b)` and `[a | b]` are choices, `key [key ...]` is one or more.
Pure functions on strings.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

KEY_NAMES = frozenset({"key", "newkey", "key1", "key2", "source", "destination", "destkey", "srckey"})
INTEGERS = frozenset({
    "increment", "decrement", "seconds", "milliseconds", "offset", "start", "end", "count", "index",
    "numkeys", "timeout", "cursor", "destination-db", "index1", "index2", "db", "port", "bit",
    "client-id", "protover", "ttl", "frequency", "samples", "min-match-len", "bytes", "width", "delay",
})  # fmt: skip
TYPES = {"pattern": "pattern", "unix-time-seconds": "unix-time", "unix-time-milliseconds": "unix-time"}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument; `parts` are the choices of a oneof or the members of a block."""

    name: str
    type: str
    token: str = ""
    optional: bool = False
    multiple: bool = False
    multiple_token: bool = False
    parts: tuple["Argument", ...] = ()


@dataclass(frozen=True, slots=True)
class _Group:
    """What stood in brackets: the alternatives, each a sequence."""

    optional: bool
    alternatives: tuple[tuple["_Item", ...], ...]


_Item = str | _Group


def arguments(syntax: str, name: str) -> tuple[Argument, ...]:
    """A syntax's arguments; `name` are its leading words. Raises ValueError for unbalanced brackets."""
    words = re.findall(r"\[|\]|\(|\)|\||[^\s\[\]()|]+", syntax.removeprefix(name))
    items, rest = _sequence(words)
    if rest:
        raise ValueError(f"unbalanced brackets in the syntax of {name}")
    return _read(items)


def _sequence(words: Sequence[str]) -> tuple[tuple[_Item, ...], Sequence[str]]:
    """Items up to a closing bracket or a bar, and what is left."""
    items: list[_Item] = []
    while words and words[0] not in ("]", ")", "|"):
        if words[0] in ("[", "("):
            group, words = _group(words)
            items.append(group)
        else:
            items.append(words[0])
            words = words[1:]
    return tuple(items), words


def _group(words: Sequence[str]) -> tuple[_Group, Sequence[str]]:
    close = "]" if words[0] == "[" else ")"
    alternatives: list[tuple[_Item, ...]] = []
    optional = words[0] == "["
    while words and words[0] != close:
        items, words = _sequence(words[1:])
        alternatives.append(items)
    if not words:
        raise ValueError("a bracket is not closed")
    return _Group(optional, tuple(alternatives)), words[1:]


def _is_token(word: str) -> bool:
    return word == word.upper() and any(ch.isalpha() for ch in word)


def _repeats(item: _Item, words: Sequence[_Item]) -> bool:
    """Whether an item says `[words ...]`: once more what stood before it."""
    return (
        isinstance(item, _Group)
        and len(item.alternatives) == 1
        and item.alternatives[0][-1:] == ("...",)
        and item.alternatives[0][:-1] == tuple(words)
    )


def _read(items: Sequence[_Item]) -> tuple[Argument, ...]:
    found: list[Argument] = []
    i = 0
    while i < len(items):
        item = items[i]
        i += 1
        if isinstance(item, _Group):
            found.append(_grouped(item))
        elif item == "...":
            continue
        elif _is_token(item):
            argument, i = _after_token(item, items, i)
            found.append(argument)
        else:
            # The longest run of words that what follows repeats: `key value [key value ...]`.
            last = i
            while last < len(items) and isinstance(items[last], str) and not _is_token(str(items[last])):
                last += 1
            run = items[i - 1 : last]
            if last < len(items) and _repeats(items[last], run):
                found.append(replace(_one([_plain(str(word)) for word in run]), multiple=True))
                i = last + 1
            else:
                found.append(_plain(item))
    return tuple(found)


def _after_token(token: str, items: Sequence[_Item], i: int) -> tuple[Argument, int]:
    """The argument that a token begins, and the index behind it."""
    start = i
    while i < len(items) and isinstance(items[i], str) and not _is_token(str(items[i])) and items[i] != "...":
        i += 1
    words = [str(word) for word in items[start:i]]
    if not words and i < len(items):
        group = items[i]
        if isinstance(group, _Group) and not group.optional:
            return replace(_grouped(group), token=token), i + 1
    if not words:
        return Argument(token.lower(), "pure-token", token), i
    argument = replace(_one([_plain(word) for word in words], token.lower()), token=token)
    if i < len(items) and _repeats(items[i], words):
        return replace(argument, multiple=True), i + 1
    if i < len(items) and _repeats(items[i], [token, *words]):
        return replace(argument, multiple=True, multiple_token=True), i + 1
    return argument, i


def _grouped(group: _Group) -> Argument:
    if len(group.alternatives) == 1:
        items = group.alternatives[0]
        argument = replace(_one(_read(items)), optional=group.optional)
        return replace(argument, multiple=True) if items[-1:] == ("...",) else argument
    choices = tuple(_one(_read(items)) for items in group.alternatives)
    return Argument("_".join(each.name for each in choices), "oneof", optional=group.optional, parts=choices)


def _one(parts: Sequence[Argument], name: str = "") -> Argument:
    """Several arguments as one: a block, where they are more than one."""
    if len(parts) == 1:
        return parts[0]
    return Argument(name or "_".join(each.name for each in parts), "block", parts=tuple(parts))


def _plain(word: str) -> Argument:
    kind = TYPES.get(word) or ("key" if word in KEY_NAMES else "integer" if word in INTEGERS else "string")
    return Argument(word, kind)
