"""`rlite snapshot diff`: what differs between two RDB files."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from rlite.cli.exits import Exit
from rlite.cli.options import SETTINGS, Progress, moment_text, output_option, progress_option
from rlite.cli.output import Csv, document, escaped, line, name_fields, note, path_text
from rlite.cli.snapshot_options import DATABASES, MATCH, duration, followed, refuse_terminal
from rlite.engine.persistence.byte_source import ByteSource
from rlite.engine.persistence.diffing import Change, Counts, Difference, Side, differences
from rlite.engine.persistence.rdb_shapes import type_of
from rlite.engine.persistence.selecting import Wanted
from rlite.engine.persistence.snapshot_key import SnapshotKey
from rlite.engine.persistence.snapshot_reading import DamagedError, SnapshotReader, sound_keys

SCHEMA = "rlite.snapshot-diff/1"
KEY_SCHEMA = "rlite.snapshot-diff.key/1"
SUMMARY_SCHEMA = "rlite.snapshot-diff.summary/1"
COLUMNS = ("change", "db", "key", "what", "a_type", "b_type", "a_expires_at_ms", "b_expires_at_ms")
SIGNS = {Change.ONLY_A: "-", Change.ONLY_B: "+", Change.CHANGED: "~"}


@click.command(context_settings=SETTINGS)
@click.argument("a", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.argument("b", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--ttl-tolerance",
    type=duration,
    default="0ms",
    metavar="DURATION",
    help="Deadlines no farther apart than this are the same, as in 1s. A deadline and none always differ.",
)
@click.option("--summary", is_flag=True, help="Only the counts, not each key.")
@MATCH
@DATABASES
@output_option()
@progress_option
def diff(
    a: str, b: str, *, ttl_tolerance: int, summary: bool, match: tuple[str, ...], databases: tuple[int, ...],
    output: str, progress: bool | None,
) -> int:  # fmt: skip
    """Compares two RDB files by what they mean: type, value and deadline of each key. Encodings, the order
    of what has none, the version and the writer do not count, nor do the times at which consumers of a stream
    were last seen. Each file may be packed with gzip; one of them may be - for standard input.

    \b
    Examples:
      rlite snapshot diff before.rdb after.rdb
      redis-cli --rdb - | rlite snapshot diff yesterday.rdb.gz - --ttl-tolerance 1s
      rlite snapshot diff a.rdb b.rdb -o ndjson | jq -r 'select(.change == "changed") | .key'

    Keys are compared by digests: some 150 bytes of memory for each key of A (of B, where A cannot be read
    twice), however large the values are.

    Exit code 0: they are equal; 1: they differ; 3: one of them could not be read to its end.
    """
    refuse_terminal(a, b)
    wanted = Wanted(
        0, match=tuple(text.encode("utf-8", "surrogateescape") for text in match),
        databases=frozenset(databases),
    )  # fmt: skip
    flipped = not rereadable(a)
    first, second = (b, a) if flipped else (a, b)
    if not rereadable(first):
        raise click.UsageError("one of the two must be a file: it is read twice")
    counts = Counts()
    found = differences(
        lambda: keys_of(first, wanted, progress), lambda: keys_of(second, wanted, progress), counts,
        tolerance_ms=ttl_tolerance, flipped=flipped,
    )  # fmt: skip
    try:
        FORMS[output](() if summary and drained(found) else found, counts)
    except DamagedError as fault:
        note(f"rlite: damaged at offset {fault.offset} of {escaped(fault.what)}")
        return Exit.FAILED
    except UnreadableError as fault:
        note(f"rlite: {fault}")
        return Exit.FAILED
    return Exit.NOT_SO if counts.different else Exit.FINE


class UnreadableError(Exception):
    """A file that cannot be read to its end; says which, where, and why."""


def rereadable(name: str) -> bool:
    return name != "-" and stat.S_ISREG(Path(name).stat().st_mode)


def drained(found: Iterator[Difference]) -> bool:
    """Has all of it counted."""
    for _ in found:
        pass
    return True


def keys_of(name: str, wanted: Wanted, progress: bool | None) -> Iterator[SnapshotKey]:
    """The wanted keys of a file. Raises UnreadableError."""
    test = wanted.test()
    try:
        with ByteSource(name) as source:
            bar = Progress(path_text(name), source.total, wanted=progress)
            for key in sound_keys(SnapshotReader(followed(source, bar), size=lambda: source.plain_size)):
                if test(key.db, key.key, type_of(key.kind), key.size, key.deadline):
                    yield key
            bar.done()
    except DamagedError as fault:
        raise UnreadableError(
            f"{path_text(name)}: damaged at offset {fault.offset}: {escaped(fault.what)}"
        ) from None
    except OSError as fault:
        raise UnreadableError(f"{path_text(name)}: {fault.strerror or fault}") from None


# --- forms of output ---------------------------------------------------------------------------------------


def side_fields(side: Side | None) -> dict[str, Any] | None:
    return None if side is None else {"type": side.type, "expires_at_ms": side.deadline}


def fields(found: Difference) -> dict[str, Any]:
    return {
        "change": found.change.value, "db": found.db, **name_fields(found.key), "what": list(found.what),
        "a": side_fields(found.a), "b": side_fields(found.b),
    }  # fmt: skip


def summary_fields(counts: Counts) -> dict[str, Any]:
    return {
        "keys_a": counts.a, "keys_b": counts.b, "equal": counts.equal, "only_a": counts.only_a,
        "only_b": counts.only_b, "changed": counts.changed,
        "changed_what": {"type": counts.type, "value": counts.value, "ttl": counts.ttl},
        "same": counts.different == 0,
    }  # fmt: skip


def print_table(found: Any, counts: Counts) -> None:
    for one in found:
        text = f"{SIGNS[one.change]} db{one.db} {escaped(one.key)}"
        sides = [side for side in (one.a, one.b) if side is not None]
        if one.change is Change.CHANGED:
            told = []
            for what in one.what:
                if what == "type":
                    told.append(f"type {one.a.type} -> {one.b.type}")
                elif what == "ttl":
                    told.append(f"expires {moment_text(one.a.deadline)} -> {moment_text(one.b.deadline)}")
                else:
                    told.append("value")
            text += f": {', '.join(told)}"
        else:
            text += f" ({sides[0].type})"
        click.echo(text)
    click.echo(
        f"{counts.equal:,} equal, {counts.only_a:,} only in A, {counts.only_b:,} only in B, "
        f"{counts.changed:,} changed (type {counts.type:,}, value {counts.value:,}, ttl {counts.ttl:,}); "
        f"A has {counts.a:,} keys, B {counts.b:,}"
    )


def print_json(found: Any, counts: Counts) -> None:
    listed = [fields(one) for one in found]
    document(SCHEMA, {**summary_fields(counts), "differences": listed})


def print_ndjson(found: Any, counts: Counts) -> None:
    for one in found:
        line(KEY_SCHEMA, fields(one))
    line(SUMMARY_SCHEMA, summary_fields(counts))


def print_csv(found: Any, _counts: Counts) -> None:
    table = Csv(COLUMNS)
    for one in found:
        table.row(
            (one.change.value, one.db, escaped(one.key), " ".join(one.what),
             one.a and one.a.type, one.b and one.b.type, one.a and one.a.deadline, one.b and one.b.deadline)
        )  # fmt: skip


FORMS = {"table": print_table, "json": print_json, "ndjson": print_ndjson, "csv": print_csv}
