"""`rlite aof-check`: is a log whole, and if not, where, and what to do."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlite.cli.exits import Exit
from rlite.cli.options import SETTINGS, Progress, moment_text, output_option, progress_option
from rlite.cli.output import Csv, aligned, document, escaped, line, note, path_text, size_text

if TYPE_CHECKING:
    from rlite.engine.persistence.check import Report
    from rlite.engine.persistence.dumping import Shown
    from rlite.engine.persistence.reading import Fault

SCHEMA = "rlite.aof-check/1"
COLUMNS = (
    "file", "kind", "note", "offset", "end", "record", "bytes_lost", "commands_lost", "expected", "found",
    "last_good_offset", "last_good_time",
)  # fmt: skip


@click.command("aof-check", context_settings=SETTINGS)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option(
    "--deep", is_flag=True, help="Also check that each command is known, has its arguments, and more."
)
@click.option(
    "--databases", type=click.IntRange(1), default=None, help="With --deep: how many databases there may be."
)
@click.option(
    "--dump", "at", type=click.IntRange(0), default=None, metavar="OFFSET",
    help="Show the records around this place of one file instead.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print the verdict alone.")
@output_option()
@progress_option
def aof_check(
    *,
    paths: tuple[Path, ...],
    deep: bool,
    databases: int | None,
    at: int | None,
    quiet: bool,
    output: str,
    progress: bool | None,
) -> int:
    """Checks append-only files, ours or Redis's, without changing anything.

    PATH is a file, a manifest, or a directory: that of the log, or the server's `dir` around it. Every
    fault is told, with its place, what was expected there, and what is lost. Where a server is running on
    it, what that writes meanwhile is not looked at.

    \b
    Examples:
      rlite aof-check /var/lib/redis/appendonlydir
      rlite aof-check -o json ~/.local/state/rlite | jq .verdict
      rlite aof-check --deep appendonly.aof
      rlite aof-check --dump 81234 appendonlydir/appendonly.3.aof

    \b
    Exit codes: 0 all is well; 1 a torn end, which truncation repairs; 6 damage with good data behind it;
    3 something could not be read; 2 usage.
    """
    from rlite.engine.persistence import check, layout

    if at is not None:
        return dump(paths, at, output)
    layouts = []
    for path in paths:
        try:
            layouts += [(path, found) for found in layout.find(path)]
        except OSError as error:
            raise cannot_read(path, error) from None
    try:
        total = sum(sum(check.sizes_of(found).values()) for _, found in layouts)
    except OSError as error:
        raise cannot_read(Path(error.filename or paths[0]), error) from None
    shown = Progress("aof-check", total, wanted=progress)
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        shown.step(done)

    reports = []
    for path, found in layouts:
        try:
            reports.append(check.check(path, found, deep=deep, databases=databases or 1 << 31, tick=tick))
        except OSError as error:
            shown.done()
            raise cannot_read(Path(error.filename or path), error) from None
    shown.done()
    show(reports, output, quiet=quiet)
    return exit_code(reports)


def cannot_read(path: Path, error: OSError) -> Exception:
    """What ends a command whose file cannot be read."""
    from rlite.engine.errors import RliteError

    return RliteError(f"{path_text(path)}: {error.strerror or error}")


def exit_code(reports: Iterable["Report"]) -> Exit:
    """The worst of what was found."""
    from rlite.engine.persistence.reading import Verdict

    codes = {
        Verdict.FINE: Exit.FINE, Verdict.TORN_TAIL: Exit.NOT_SO, Verdict.UNREADABLE: Exit.FAILED,
        Verdict.MIDDLE: Exit.BEYOND_TRUNCATION,
    }  # fmt: skip
    return max((codes[report.verdict] for report in reports), default=Exit.FINE)


# --- as data -----------------------------------------------------------------------------------------------


def fault_data(fault: "Fault") -> dict[str, object]:
    """A fault as JSON has it."""
    return {
        "file": path_text(fault.path), "kind": fault.kind.value, "note": fault.kind.is_note,
        "offset": fault.at, "end": fault.end, "record": fault.record, "bytes_lost": fault.size,
        "commands_lost": fault.commands, "expected": fault.expected, "found": fault.found,
        "last_good_offset": fault.last_end, "last_history_offset": fault.last_offset,
        "last_good_ms": fault.last_ms,
        "last_good_time": None if fault.last_ms is None else moment_text(fault.last_ms),
    }  # fmt: skip


def report_data(report: "Report") -> dict[str, object]:
    """A report as JSON has it."""
    from rlite.engine.persistence.check import advice

    good = report.last_good
    files = [
        {
            "file": path_text(checked.part.path), "role": checked.part.role.value,
            "size": checked.reading.size,
            "records": checked.reading.records, "commands": checked.reading.commands,
            "first_history_offset": checked.reading.first_offset,
            "end_history_offset": checked.reading.offset_end,
            "history": None if checked.reading.header is None else checked.reading.header.history,
        }
        for checked in report.files
    ]  # fmt: skip
    first, last = report.first_ms, report.last_ms
    return {
        "path": path_text(report.path), "form": report.layout.form.value, "verdict": report.verdict.value,
        "live": report.live is not None, "live_pid": report.live or None, "deep": report.deep,
        "size": report.size, "records": report.total("records"), "commands": report.total("commands"),
        "transactions": report.total("transactions"), "resp_bytes": report.total("resp_bytes"),
        "first_ms": first, "last_ms": last,
        "first_time": None if first is None else moment_text(first),
        "last_time": None if last is None else moment_text(last),
        "last_good": None if good is None else {"file": path_text(good[0]), "offset": good[1]},
        "bytes_lost": report.lost,
        "commands_by_name": {escaped(name): count for name, count in report.by_name.items()},
        "files": files, "faults": [fault_data(fault) for fault in report.faults],
        "faults_not_listed": report.more, "advice": advice(report),
    }  # fmt: skip


# --- for people --------------------------------------------------------------------------------------------


def show(reports: list["Report"], output: str, *, quiet: bool = False) -> None:
    """Prints reports in one of the forms."""
    if output == "json":
        document(SCHEMA, {"verdict": worst(reports), "logs": [report_data(report) for report in reports]})
    elif output == "ndjson":
        for report in reports:
            for fault in report.faults:
                line(SCHEMA, {"type": "fault", **fault_data(fault)})
            data = report_data(report)
            del data["faults"]
            line(SCHEMA, {"type": "log", **data})
    elif output == "csv":
        rows = Csv(COLUMNS)
        for fault in (fault for report in reports for fault in report.faults):
            data = fault_data(fault)
            rows.row([data[name] for name in COLUMNS])
    elif quiet:
        for report in reports:
            click.echo(f"{path_text(report.path)}: {WORDS[report.verdict.value]}")
    else:
        click.echo("\n\n".join(text(report) for report in reports))
    for report in reports:
        if report.live is not None and not quiet and output != "table":
            note(live_text(report))


def worst(reports: list["Report"]) -> str:
    """The verdict of the worst report."""
    return max(reports, key=lambda report: exit_code([report])).verdict.value if reports else "fine"


WORDS = {
    "fine": "fine",
    "torn-tail": "a torn end: truncation repairs it",
    "damage-in-the-middle": "damage that truncation cannot repair",
    "newer-version": "written by a newer version",
}


def live_text(report: "Report") -> str:
    """That a server is at work."""
    who = f"process {report.live}" if report.live else "a server"
    return f"{who} is writing to this log: looked at as it was at the start, {size_text(report.size)}"


def text(report: "Report") -> str:
    """A report for people."""
    from rlite.engine.persistence.check import advice

    names = {"rlite": "a log of rlite's", "redis-multi-part": "a multi-part log of Redis's",
             "redis-aof": "an append-only file of Redis's", "rdb": "a snapshot"}  # fmt: skip
    parts = [f"{path_text(report.path)}: {names[report.layout.form.value]}"]
    if report.live is not None:
        parts.append(live_text(report))
    rows = [
        (path_text(c.part.path.name), c.part.role.value, c.reading.size, c.reading.records,
         c.reading.commands,
         "-" if c.reading.offset_end is None else f"{c.reading.first_offset}..{c.reading.offset_end}",
         len(c.reading.damage) + c.reading.more)
        for c in report.files
    ]  # fmt: skip
    parts.append(
        aligned(
            ("file", "role", "bytes", "records", "commands", "offsets", "faults"), rows, right=range(2, 7)
        )
    )
    if report.first_ms is not None:
        parts.append(f"from {moment_text(report.first_ms)} to {moment_text(report.last_ms)}")
    if report.by_name:
        common = list(report.by_name.items())
        listed = ", ".join(f"{escaped(name, 40)} {count}" for name, count in common[:12])
        parts.append(f"commands: {listed}" + (f", {len(common) - 12} more" if len(common) > 12 else ""))
    parts += [fault_text(fault) for fault in report.faults]
    if report.more:
        parts.append(f"and {report.more} faults more, which are not listed")
    parts.append(f"verdict: {WORDS[report.verdict.value]}")
    good = report.last_good
    if report.damage and good is not None:
        parts.append(f"good up to byte {good[1]} of {path_text(good[0].name)}; {size_text(report.lost)} lost")
    parts += [escaped(sentence).replace('\\"', '"') for sentence in advice(report)]
    return "\n".join(part for part in parts if part)


def fault_text(fault: "Fault") -> str:
    """A fault for people, in some lines."""
    name = "note" if fault.kind.is_note else "FAULT"
    lines = [f"{name}: {fault.kind.value} at byte {fault.at} of {path_text(fault.path)}"]
    if fault.record:
        lines[0] += f" (record {fault.record})"
    lines.append(f"  expected {escaped(fault.expected)}; found {escaped(fault.found)}".replace('\\"', '"'))
    if fault.size:
        last = (
            "no good record before it"
            if fault.last_ms is None
            else f"last good one {moment_text(fault.last_ms)}"
        )
        lines.append(
            f"  {fault.size} bytes to {fault.end} lost, {fault.commands} command"
            f"{'' if fault.commands == 1 else 's'}; {last}, ends at {fault.last_end}"
        )
    return "\n".join(lines)


# --- --dump ------------------------------------------------------------------------------------------------

DUMP_SCHEMA = "rlite.aof-dump/1"
WORD = 64  # characters of a word that are shown on a line


def dump(paths: tuple[Path, ...], at: int, output: str) -> int:
    """Prints the records around a place of a file."""
    from rlite.engine.persistence import dumping, layout

    if len(paths) != 1 or paths[0].is_dir() or output == "csv":
        raise click.UsageError("--dump wants one file (no directory), and no csv")
    path = paths[0]
    try:
        found = layout.find(path)[0]
        if path.name.endswith(".manifest") or found.form is layout.Form.SNAPSHOT:
            raise click.UsageError("--dump wants a file of records or commands")
        pieces = dumping.around(path, found, at)
    except OSError as error:
        raise cannot_read(path, error) from None
    data = [
        {
            "offset": piece.at, "end": piece.end, "good": piece.good, "state": piece.state or None,
            "history_offset": piece.offset, "ms": piece.ms, "database": piece.database,
            "commands": [[escaped(word) for word in words] for words in piece.commands],
            "bytes": None if piece.good else piece.raw.hex(" "),
        }
        for piece in pieces
    ]  # fmt: skip
    if output == "json":
        document(DUMP_SCHEMA, {"file": path_text(path), "at": at, "pieces": data})
    elif output == "ndjson":
        for each in data:
            line(DUMP_SCHEMA, {"file": path_text(path), **each})
    else:
        for piece in pieces:
            mark = ">" if piece.at <= at < piece.end else " "
            click.echo(f"{mark} {piece.at:>12} {piece_text(piece)}")
    return Exit.FINE


def piece_text(piece: "Shown") -> str:
    """A piece of a log on a line, or, where it is a transaction, on some."""
    if not piece.good:
        return f"{piece.end - piece.at} bytes that are no record ({piece.state}): {piece.raw[:32].hex(' ')}"
    if piece.state == "snapshot":
        return f"a snapshot of {piece.end - piece.at} bytes"
    told = (
        ""
        if piece.offset is None
        else f"offset {piece.offset}  {moment_text(piece.ms)}  db {piece.database}  "
    )
    if not piece.commands:
        return told + escaped(piece.raw.rstrip(b"\r\n"))
    lines = [" ".join(f'"{escaped(word, WORD)}"' for word in words) for words in piece.commands]
    return told + f"\n{'':17}".join(lines)
