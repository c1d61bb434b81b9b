"""The manifest of Redis's multi-part append-only file (7.0 and later): read only.

Lines `file NAME seq N type T`; T: b base, i increment, h history (no longer needed). Names are quoted where
they must be. Knows nothing of what is in the files it names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rlite.engine.errors import RliteError
from rlite.engine.split_args import UnbalancedQuotes, split_args

SUFFIX = ".aof.manifest"
PART = re.compile(r"(.+)\.(\d+)\.(base|incr)\.(aof|rdb)")


class RedisManifestError(RliteError):
    """A manifest of Redis's that is none; says which line."""


@dataclass(frozen=True, slots=True)
class RedisManifest:
    """base: file name of what the increments continue, None: nothing; increments: file names, oldest first;
    history: names of files that are no longer needed; orders: the `seq` of each.
    """

    base: str | None = None
    increments: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    orders: Mapping[str, int] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """All that is read, in the order in which it is."""
        return (*((self.base,) if self.base else ()), *self.increments)

    def text(self) -> str:
        """The manifest as Redis writes it."""
        kinds = [*((name, "b") for name in (self.base,) if name), *((name, "h") for name in self.history)]
        kinds += [(name, "i") for name in self.increments]
        return "".join(f"file {_quoted(name)} seq {self.orders[name]} type {kind}\n" for name, kind in kinds)


def guessed(names: Iterable[str]) -> RedisManifest:
    """What a lost manifest has probably said: the newest base, and the increments from its number on."""
    parts = [found for name in names if (found := PART.fullmatch(name))]
    orders = {found[0]: int(found[2]) for found in parts}
    bases = sorted((int(found[2]), found[0]) for found in parts if found[3] == "base")
    start = bases[-1][0] if bases else 0
    increments = sorted(
        (int(found[2]), found[0]) for found in parts if found[3] == "incr" and int(found[2]) >= start
    )
    return RedisManifest(bases[-1][1] if bases else None, tuple(name for _, name in increments), (), orders)


def _quoted(name: str) -> str:
    """A name as `split_args` reads it back."""
    if re.fullmatch(r"[!#-&(-~]+", name):
        return name
    raw = name.encode("utf-8", "surrogateescape")
    return '"' + "".join(chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\x{c:02x}" for c in raw) + '"'


def parsed(text: str) -> RedisManifest:
    """The manifest in a text. Raises RedisManifestError."""
    base: str | None = None
    increments: list[str] = []
    history: list[str] = []
    orders: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            continue
        name, order, kind = _line(number, line)
        if kind == "h":
            history.append(name)
        elif kind == "b":
            if base is not None:
                raise RedisManifestError(f"line {number}: a second base")
            base = name
        else:
            if increments and order <= orders[increments[-1]]:
                raise RedisManifestError(
                    f"line {number}: seq {order} does not come after {orders[increments[-1]]}"
                )
            increments.append(name)
        orders[name] = order
    if base is None and not increments:
        raise RedisManifestError("it names no file")
    return RedisManifest(base, tuple(increments), tuple(history), orders)


def _line(number: int, line: str) -> tuple[str, int, str]:
    """(name, seq, type) of a line."""
    try:
        words = split_args(line.encode("utf-8", "surrogateescape"))
    except UnbalancedQuotes:
        words = []
    if len(words) < 6 or len(words) % 2:
        raise RedisManifestError(f"line {number}: {line!r} is no line of a manifest")
    text = [word.decode("utf-8", "surrogateescape") for word in words]
    pairs = dict(zip(text[::2], text[1::2], strict=True))
    name, order, kind = pairs.get("file", ""), pairs.get("seq", ""), pairs.get("type", "")
    if not name or "/" in name or not re.fullmatch(r"\d{1,18}", order) or kind not in ("b", "i", "h"):
        raise RedisManifestError(f"line {number}: {line!r} is no line of a manifest")
    return name, int(order), kind


def read(path: Path) -> RedisManifest:
    """The manifest at a path. Raises RedisManifestError, OSError."""
    return parsed(path.read_bytes().decode("utf-8", "surrogateescape"))
