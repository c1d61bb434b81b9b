"""The manifest of Redis's multi-part append-only file (7.0 and later): read only.

Lines `file NAME seq N type T`; T: b base, i increment, h history (no longer needed). Names are quoted where
they must be. Knows nothing of what is in the files it names.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from rlite.engine.errors import RliteError
from rlite.engine.split_args import split_args

SUFFIX = ".aof.manifest"
PART = re.compile(r"(.+)\.(\d+)\.(base|incr)\.(aof|rdb)")


class RedisManifestError(RliteError):
    """A manifest of Redis's that is none; says which line."""


@dataclass(frozen=True, slots=True)
class RedisManifest:
    """base: file name of what the increments continue, None: nothing; increments: file names, oldest first;
    history: names of files that are no longer needed.
    """

    base: str | None = None
    increments: tuple[str, ...] = ()
    history: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All that is read, in the order in which it is."""
        return (*((self.base,) if self.base else ()), *self.increments)


def parsed(text: str) -> RedisManifest:
    """The manifest in a text. Raises RedisManifestError."""
    base: str | None = None
    increments: list[tuple[int, str]] = []
    history: list[str] = []
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
            if increments and order <= increments[-1][0]:
                raise RedisManifestError(
                    f"line {number}: seq {order} does not come after {increments[-1][0]}"
                )
            increments.append((order, name))
    if base is None and not increments:
        raise RedisManifestError("it names no file")
    return RedisManifest(base, tuple(name for _, name in increments), tuple(history))


def _line(number: int, line: str) -> tuple[str, int, str]:
    """(name, seq, type) of a line."""
    words = split_args(line.encode("utf-8", "surrogateescape"))
    if words is None or len(words) < 6 or len(words) % 2:
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
