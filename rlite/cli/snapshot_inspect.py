"""`rlite snapshot inspect`: what is in an RDB file."""

import datetime as dt
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from rlite.cli.exits import Exit
from rlite.cli.options import SETTINGS, Progress, moment_text, output_option, progress_option
from rlite.cli.output import Csv, aligned, document, escaped, line, name_fields, note, path_text, size_text
from rlite.cli.snapshot_options import counted, filter_options, followed, refuse_terminal
from rlite.engine.persistence.byte_source import ByteSource
from rlite.engine.persistence.inspecting import Found, Inspection, Statistics, Sum
from rlite.engine.persistence.prefixes import PrefixTree
from rlite.engine.persistence.selecting import Wanted
from rlite.engine.persistence.snapshot_reading import Checksum, SnapshotReader

SCHEMA = "rlite.snapshot-inspect/1"
ROW_SCHEMA = "rlite.snapshot-inspect.row/1"
KEY_SCHEMA = "rlite.snapshot-key/1"
KEY_COLUMNS = ("db", "key", "type", "encoding", "bytes", "elements", "expires_at_ms", "offset")
SHOWN_NAME = 80  # characters of a name in a table on a terminal


@dataclass(frozen=True, slots=True)
class Report:
    """What one inspection has found; the forms of output are made from it."""

    file: str
    gzip: bool
    inspection: Inspection
    statistics: Statistics
    prefix_top: int
    filtered: bool

    @property
    def good(self) -> bool:
        end = self.inspection.end
        return self.inspection.damage is None and end is not None and end.checksum is not Checksum.BAD

    @property
    def checksum(self) -> str:
        """The verdict; "unread" where the end was not reached."""
        return self.inspection.end.checksum.value if self.inspection.end else "unread"


@click.command(context_settings=SETTINGS)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--keys", "each_key", is_flag=True, help="Print each key as it is read, as NDJSON (or -o csv).")
@click.option("--count", "only_count", is_flag=True, help="Print only how many keys there are.")
@click.option("--limit", type=click.IntRange(1), help="With --keys: stop after so many.")
@click.option(
    "--largest", type=click.IntRange(0), default=10, show_default=True, help="How many of the largest."
)
@click.option("--prefix-sep", default=":", show_default=True, help="What separates the parts of a name.")
@click.option(
    "--prefix-depth",
    type=click.IntRange(0, 32),
    default=3,
    show_default=True,
    help="How many parts are looked at; 0: no prefixes.",
)
@click.option(
    "--prefix-top",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="How many prefixes are shown below each, as far as they hold 1 % of all bytes; 0: all.",
)
@filter_options
@output_option()
@progress_option
@click.pass_context
def inspect(
    ctx: click.Context, file: str, *, each_key: bool, only_count: bool, limit: int | None, largest: int,
    prefix_sep: str, prefix_depth: int, prefix_top: int, wanted: Wanted, output: str, progress: bool | None,
) -> int:  # fmt: skip
    """Sums up what is in an RDB file (dump.rdb): keys and bytes by database, type, encoding and prefix,
    times to live, the largest keys, the checksum. FILE may be packed with gzip; - is standard input. Memory
    does not grow with the file. Bytes are those that a key takes in the file, its name included.

    \b
    Examples:
      rlite snapshot inspect dump.rdb
      redis-cli --rdb - | rlite snapshot inspect -
      rlite snapshot inspect dump.rdb.gz --match 'session:*' --ttl none
      rlite snapshot inspect dump.rdb --keys --min-size 1mb | jq -r .key

    Exit code 1: the file is damaged or no RDB. What was read before the damage is shown.
    """
    refuse_terminal(file)
    given = ctx.get_parameter_source("output") is not click.core.ParameterSource.DEFAULT
    if not prefix_sep:
        raise click.UsageError("--prefix-sep must not be empty")
    if each_key and given and output not in ("ndjson", "csv"):
        raise click.UsageError("--keys prints ndjson or csv")
    if limit and not each_key:
        raise click.UsageError("--limit belongs to --keys")
    prefixes = None
    if prefix_depth and not each_key and not only_count:
        prefixes = PrefixTree(prefix_sep.encode("utf-8", "surrogateescape"), prefix_depth)
    statistics = Statistics(wanted.at, top=0 if each_key or only_count else largest, prefixes=prefixes)
    try:
        with ByteSource(file) as source:
            bar = Progress("reading", source.total, wanted=progress)
            inspection = Inspection(
                SnapshotReader(followed(source, bar), size=lambda: source.plain_size), wanted
            )
            try:
                if each_key:
                    print_keys(inspection, wanted.at, limit, as_csv=output == "csv")
                else:
                    for found in inspection.keys():
                        statistics.add(found)
            finally:
                bar.done()
            gzip = source.gzip
    except BrokenPipeError:
        raise
    except OSError as fault:
        note(f"rlite: {path_text(file)}: {fault.strerror or fault}")
        return Exit.FAILED
    report = Report(file, gzip, inspection, statistics, prefix_top, not wanted.everything)
    if only_count:
        click.echo(statistics.total.keys)
    elif not each_key:
        FORMS[output](report)
    return verdict(report, limited=limit is not None)


def verdict(report: Report, *, limited: bool) -> int:
    """Tells of damage on standard error. Returns the exit code."""
    inspection = report.inspection
    name = path_text(report.file)
    if inspection.damage is not None:
        note(
            f"rlite: {name}: damaged at offset {inspection.damage.offset}"
            f"{' of what is unpacked' if report.gzip else ''}: {escaped(inspection.damage.what)}; "
            f"{inspection.read:,} {'key was' if inspection.read == 1 else 'keys were'} read before it"
        )
        return Exit.NOT_SO
    if inspection.end is None:
        return Exit.FINE if limited else Exit.NOT_SO
    if inspection.end.checksum is Checksum.BAD:
        note(
            f"rlite: {name}: the checksum at its end is {inspection.end.stored:016x}, that of its content "
            f"{inspection.end.computed:016x}: something in it was changed"
        )
        return Exit.NOT_SO
    return Exit.FINE


# --- keys, one by one --------------------------------------------------------------------------------------


def print_keys(inspection: Inspection, at: int, limit: int | None, *, as_csv: bool) -> None:
    table = Csv(KEY_COLUMNS) if as_csv else None
    out = sys.stdout.buffer
    for number, found in enumerate(inspection.keys(), start=1):
        if table is not None:
            table.row(csv_cells(found))
        else:
            fields = {"schema": KEY_SCHEMA, **key_fields(found, at)}
            out.write(json.dumps(fields, separators=(",", ":")).encode() + b"\n")
            out.flush()
        if number == limit:
            return


def csv_cells(found: Found) -> tuple[object, ...]:
    """Names are escaped, as redis-cli writes them."""
    return (
        found.db, escaped(found.key), found.type, found.encoding, found.size, found.elements, found.deadline,
        found.offset,
    )  # fmt: skip


def key_fields(found: Found, at: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "db": found.db, **name_fields(found.key), "type": found.type, "encoding": found.encoding,
        "bytes": found.size, "elements": found.elements, "offset": found.offset,
    }  # fmt: skip
    if found.deadline is not None:
        made["expires_at_ms"] = found.deadline
        made["ttl_ms"] = found.deadline - at
    if found.idle is not None:
        made["idle_s"] = found.idle
    if found.frequency is not None:
        made["frequency"] = found.frequency
    return made


# --- the whole ---------------------------------------------------------------------------------------------


def share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def sum_fields(sum_: Sum) -> dict[str, Any]:
    return {
        "keys": sum_.keys, "bytes": sum_.size, "elements": sum_.elements, "volatile": sum_.volatile,
        "expired": sum_.expired,
    }  # fmt: skip


def aux_fields(report: Report) -> dict[str, str]:
    return {escaped(name): escaped(text) for name, text in report.inspection.aux.items()}


def header_fields(report: Report) -> dict[str, Any]:
    inspection, damage = report.inspection, report.inspection.damage
    return {
        "file": report.file,
        "gzip": report.gzip,
        "rdb_version": inspection.version or None,
        "aux": aux_fields(report),
        "functions": inspection.functions,
        "module_data": inspection.modules,
        "filtered": report.filtered,
        "keys_read": inspection.read,
        "bytes_read": inspection.offset,
        "trailing_bytes": inspection.trailing,
        "checksum": report.checksum,
        "damage": None if damage is None else {"offset": damage.offset, "what": damage.what},
        "good": report.good,
    }


def sections(report: Report) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(name, rows) of each part, the same in all forms of output."""
    statistics = report.statistics
    total = statistics.total
    yield "databases", [{"db": db, **sum_fields(sum_)} for (db,), sum_ in statistics.by(0)]
    yield "types", [{"type": type_, **sum_fields(sum_)} for (type_,), sum_ in statistics.by(1)]
    yield (
        "encodings",
        [
            {"type": type_, "encoding": encoding, **sum_fields(sum_)}
            for (type_, encoding), sum_ in statistics.by(1, 2)
        ],
    )
    yield (
        "ttl",
        [
            {"range": name, "keys": sum_.keys, "bytes": sum_.size, "share": share(sum_.keys, total.keys)}
            for name, sum_ in statistics.ttl_ranges()
        ],
    )
    yield "largest", [key_fields(found, statistics.at) for found in statistics.largest]
    if statistics.prefixes is not None:
        yield (
            "prefixes",
            [
                {**name_fields(row.prefix, "prefix"), "depth": row.depth, "keys": row.keys,
                 "bytes": row.size, "share": share(row.size, total.size)}
                for row in statistics.prefixes.rows(report.prefix_top)
            ],
        )  # fmt: skip


def total_fields(report: Report) -> dict[str, Any]:
    total = report.statistics.total
    return {**sum_fields(total), "expired_share": share(total.expired, total.keys)}


def print_json(report: Report) -> None:
    prefixes = report.statistics.prefixes
    document(
        SCHEMA,
        {
            **header_fields(report),
            "at_ms": report.statistics.at,
            "total": total_fields(report),
            **dict(sections(report)),
            "prefix_error_bytes": prefixes.folded if prefixes is not None else 0,
        },
    )


def print_ndjson(report: Report) -> None:
    line(ROW_SCHEMA, {"section": "header", **header_fields(report)})
    line(ROW_SCHEMA, {"section": "total", **total_fields(report)})
    for name, rows in sections(report):
        for row in rows:
            line(ROW_SCHEMA, {"section": name, **row})


def print_csv(report: Report) -> None:
    table = Csv(
        ("section", "name", "db", "type", "encoding", "keys", "bytes", "elements", "volatile", "expired")
    )
    numbers = ("keys", "bytes", "elements", "volatile", "expired")
    for name, rows in (("total", [total_fields(report)]), *sections(report)):
        for row in rows:
            label = row.get("range") or row.get("prefix") or row.get("key")
            table.row(
                (name, None if label is None else escaped(label), row.get("db"), row.get("type"),
                 row.get("encoding"), *map(row.get, numbers))
            )  # fmt: skip


def print_table(report: Report) -> None:
    inspection, statistics = report.inspection, report.statistics
    total = statistics.total
    click.echo(headline(report))
    if inspection.aux:
        shown = "  ".join(f"{name}={text}" for name, text in aux_fields(report).items())
        click.echo(f"aux: {shown}")
    if inspection.functions or inspection.modules:
        click.echo(f"beside keys: {inspection.functions} function libraries, {inspection.modules} of modules")
    if inspection.trailing:
        click.echo(f"behind its end: {size_text(inspection.trailing)} (a log with an RDB at its head?)")
    words = "of those asked for" if report.filtered else "in all"
    click.echo(
        f"\n{total.keys:,} keys {words}, {size_text(total.size)}; {total.volatile:,} with a deadline, "
        f"{total.expired:,} of them past it ({share(total.expired, total.keys):.1%} of all)"
    )
    limit = SHOWN_NAME if sys.stdout.isatty() else 0
    for name, rows in sections(report):
        text = section_table(name, rows, limit)
        if text:
            click.echo(f"\n{text}")
    if statistics.prefixes is not None and statistics.prefixes.folded:
        error = size_text(statistics.prefixes.folded)
        click.echo(f"\nThere are many prefixes: sums of single ones may be too small, by {error} a time.")
    click.echo(f"\nchecksum: {report.checksum}")


def headline(report: Report) -> str:
    """The first line: what the file is."""
    inspection = report.inspection
    name = "standard input" if report.file == "-" else path_text(report.file)
    if not inspection.version:
        return f"{name}: no RDB file"
    text = f"{name}: RDB version {inspection.version}"
    if writer := inspection.aux.get(b"valkey-ver"):
        text += f", written by Valkey {escaped(writer)}"
    elif writer := inspection.aux.get(b"rlite-ver"):
        text += f", written by rlite {escaped(writer)}"
    elif writer := inspection.aux.get(b"redis-ver"):
        text += f", written by Redis {escaped(writer)}"
    made = inspection.aux.get(b"ctime", b"")
    if made.isdigit() and int(made) < 2**33:
        text += f" at {dt.datetime.fromtimestamp(int(made), dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"{text}, {size_text(inspection.offset)}{' unpacked' if report.gzip else ''}"


def section_table(name: str, rows: list[dict[str, Any]], limit: int) -> str:
    if name == "ttl":
        if not any(row["keys"] for row in rows):
            return ""
        times = [(row["range"], row["keys"], size_text(row["bytes"]), f"{row['share']:.1%}") for row in rows]
        return aligned(("time left", "keys", "size", "share"), counted(times), right=(1, 2, 3))
    if name == "largest":
        largest = [
            (size_text(row["bytes"]), row["type"], row["encoding"], row["elements"], str(row["db"]),
             "-" if "expires_at_ms" not in row else moment_text(row["expires_at_ms"]),
             shown_name(row, "key", limit))
            for row in rows
        ]  # fmt: skip
        heads = ("largest", "type", "encoding", "elements", "db", "expires", "key")
        return aligned(heads, counted(largest), right=(0, 3, 4))
    if name == "prefixes":
        prefixes = [
            ("  " * (row["depth"] - 1) + shown_name(row, "prefix", limit), row["keys"],
             size_text(row["bytes"]), f"{row['share']:.1%}")
            for row in rows
        ]  # fmt: skip
        return aligned(("prefix", "keys", "size", "share"), counted(prefixes), right=(1, 2, 3))
    labels = {"databases": ("db",), "types": ("type",), "encodings": ("type", "encoding")}[name]
    sums = [
        (*(str(row[label]) for label in labels), row["keys"], size_text(row["bytes"]), row["elements"],
         row["volatile"], row["expired"])
        for row in rows
    ]  # fmt: skip
    first = len(labels)
    columns = (*labels, "keys", "size", "elements", "volatile", "expired")
    return aligned(columns, counted(sums), right=range(first, first + 5))


def shown_name(row: dict[str, Any], label: str, limit: int) -> str:
    """A name for a table; one that is not UTF-8 is escaped already."""
    if f"{label}_b64" in row:
        text: str = row[label]
        return text if not limit or len(text) <= limit else text[: limit - 3] + "..."
    return escaped(row[label], limit)


FORMS = {"table": print_table, "json": print_json, "ndjson": print_ndjson, "csv": print_csv}
