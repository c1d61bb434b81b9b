"""What the snapshot commands share: options that choose keys, names of keys for people and programs, and
sources with progress.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

from rlite.cli.options import Progress, moment, size
from rlite.engine.persistence.byte_source import ByteSource
from rlite.engine.persistence.rdb_shapes import TYPES
from rlite.engine.persistence.selecting import TtlRange, Wanted, parse_duration, parse_ttl

F = TypeVar("F", bound=Callable[..., Any])


def ttl_range(value: str) -> TtlRange:
    """For click.option: see selecting.parse_ttl."""
    try:
        return parse_ttl(value)
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from None


def duration(value: str) -> int:
    """For click.option: milliseconds; see selecting.parse_duration."""
    try:
        return parse_duration(value)
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from None


MATCH = click.option("--match", multiple=True, metavar="GLOB", help="Only keys so named, as in KEYS.")
DATABASES = click.option(
    "--db", "databases", multiple=True, type=click.IntRange(0), help="Only keys of this one."
)
_FILTERS = (
    MATCH,
    DATABASES,
    click.option("--type", "types", multiple=True, type=click.Choice(TYPES), help="Only keys of this type."),
    click.option("--min-size", type=size, help="Only keys that take so many bytes in the file, or more."),
    click.option("--max-size", type=size, help="Only keys that take so many bytes in the file, or fewer."),
    click.option(
        "--ttl", "ttl", multiple=True, type=ttl_range,
        help="Only keys with this time left: none, any, '<1h' (and past), '>1d', 1h..1d.",
    ),
    click.option("--expired/--not-expired", default=None, help="Only keys past their deadline; only others."),
    click.option("--at", type=moment, help="The moment that counts as now (default: now)."),
)  # fmt: skip


def filter_options(function: F) -> F:
    """Options that choose keys; given together as `wanted`, a Wanted."""

    @functools.wraps(function)
    def with_wanted(*args: Any, **given: Any) -> Any:
        at = given.pop("at")
        wanted = Wanted(
            at=time.time_ns() // 1_000_000 if at is None else at,
            match=tuple(text.encode("utf-8", "surrogateescape") for text in given.pop("match")),
            types=frozenset(given.pop("types")),
            databases=frozenset(given.pop("databases")),
            min_size=given.pop("min_size"),
            max_size=given.pop("max_size"),
            ttl=tuple(given.pop("ttl")),
            expired=given.pop("expired"),
        )
        return function(*args, wanted=wanted, **given)

    decorated: Any = with_wanted
    for option in reversed(_FILTERS):
        decorated = option(decorated)
    wrapped: F = decorated
    return wrapped


def refuse_terminal(*names: str) -> None:
    """Raises UsageError where a snapshot is wanted from a keyboard, or twice from standard input."""
    if names.count("-") > 1:
        raise click.UsageError("only one of the files can be standard input")
    if "-" in names and sys.stdin.isatty():
        raise click.UsageError("standard input is a terminal; pipe a snapshot into it")


def followed(source: ByteSource, progress: Progress) -> Iterator[bytes]:
    """The pieces of a source, with progress told."""
    for piece in source.pieces():
        progress.step(source.done)
        yield piece


def counted(rows: Iterable[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """Rows of a table: numbers with separators between thousands."""
    return [tuple(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row) for row in rows]
