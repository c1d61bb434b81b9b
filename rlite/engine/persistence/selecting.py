"""Which keys of a snapshot somebody asked for: by name, type, database, size, time to live. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from rlite.engine.core.glob import matches

UNITS_MS = {
    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000, "": 1000,
}  # fmt: skip
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w|)")


def parse_duration(text: str) -> int:
    """Milliseconds: `250ms`, `5s`, `10m`, `2h`, `7d`, `1w`; a bare number is seconds. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(
            f"{text!r} is no duration: write a number with ms, s, m, h, d or w, as in 90s or 1.5h"
        )
    return round(float(found[1]) * UNITS_MS[found[2]])


@dataclass(frozen=True, slots=True)
class TtlRange:
    """Milliseconds left, from `low` (included) to `high` (not included; None: no end); none: keys that
    stay.
    """

    low: int | None = None
    high: int | None = None
    none: bool = False

    def holds(self, left: int | None) -> bool:
        if left is None:
            return self.none
        if self.none:
            return False
        return (self.low is None or left >= self.low) and (self.high is None or left < self.high)


def parse_ttl(text: str) -> TtlRange:
    """`none` (keys that stay), `any` (those that do not), `<1h`, `>1d`, `1h..1d`. What has gone already has
    less than nothing left, and so is below any bound. Raises ValueError.
    """
    word = text.strip().lower()
    if word == "none":
        return TtlRange(none=True)
    if word == "any":
        return TtlRange()
    if word.startswith("<"):
        return TtlRange(high=parse_duration(word[1:]))
    if word.startswith(">"):
        return TtlRange(low=parse_duration(word[1:].removeprefix("=")))
    low, dots, high = word.partition("..")
    if not dots:
        raise ValueError(f"{text!r} is no range of times to live: none, any, <1h, >1d or 1h..1d")
    return TtlRange(
        low=parse_duration(low) if low else None,
        high=parse_duration(high) if high else None,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must hold of a key, all at once; within match, types, databases and ttl, one is enough.

    match: globs of names; min_size, max_size: serialized bytes, both included; expired: only what is past its
    deadline (True) or only what is not (False); at: the Unix milliseconds that "now" is.
    """

    at: int
    match: tuple[bytes, ...] = ()
    types: frozenset[str] = frozenset()
    databases: frozenset[int] = frozenset()
    min_size: int | None = None
    max_size: int | None = None
    ttl: tuple[TtlRange, ...] = ()
    expired: bool | None = None

    @property
    def everything(self) -> bool:
        return self == Wanted(self.at)

    def test(self) -> Callable[[int, bytes, str, int, int | None], bool]:
        """A function (database, key, type, bytes, deadline or None) -> whether the key is wanted."""
        if self.everything:
            return lambda _db, _key, _type, _size, _deadline: True
        return self.holds

    def holds(self, db: int, key: bytes, type_: str, size: int, deadline: int | None) -> bool:
        if self.databases and db not in self.databases:
            return False
        if self.types and type_ not in self.types:
            return False
        if self.min_size is not None and size < self.min_size:
            return False
        if self.max_size is not None and size > self.max_size:
            return False
        left = None if deadline is None else deadline - self.at
        if self.expired is not None and (left is not None and left <= 0) != self.expired:
            return False
        if self.ttl and not any(range_.holds(left) for range_ in self.ttl):
            return False
        return not self.match or any(matches(pattern, key) for pattern in self.match)
