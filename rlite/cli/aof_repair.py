"""`rlite aof-repair`: makes a damaged log loadable again, and loses no more than it must."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlite.cli.aof_check import WORDS, cannot_read, exit_code, fault_data, fault_text
from rlite.cli.exits import Exit
from rlite.cli.options import (
    SETTINGS,
    Progress,
    command_line,
    confirmed,
    dry_run_option,
    moment,
    moment_text,
    output_option,
    progress_option,
    size,
    yes_option,
)
from rlite.cli.output import document, escaped, note, path_text, size_text

if TYPE_CHECKING:
    from rlite.engine.persistence.repair import Change, Plan, RefusedError, Wish
    from rlite.engine.persistence.surgery import Done

SCHEMA = "rlite.aof-repair/1"


@click.command("aof-repair", context_settings=SETTINGS)
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option(
    "--salvage", is_flag=True,
    help="Keep what is good behind damage in the middle, and leave out what is damaged.",
)  # fmt: skip
@click.option(
    "--to-offset", type=click.IntRange(0), metavar="N",
    help="Keep nothing that ends behind this offset of the history (Redis: this byte of its commands).",
)  # fmt: skip
@click.option(
    "--to-timestamp", type=moment, metavar="TIME",
    help="Keep nothing later than this: Unix seconds or milliseconds, or ISO 8601.",
)  # fmt: skip
@click.option(
    "--max-loss", type=size, metavar="SIZE", help="Refuse to lose more bytes than this, such as 64kb."
)
@click.option(
    "--rebuild-manifest", is_flag=True, help="Make the manifest anew from the files that are there."
)
@click.option(
    "--deep", is_flag=True, help="Take commands that are not known, or have wrong arguments, as damage."
)
@click.option("--databases", type=click.IntRange(1), default=None, help="With --deep: how many there may be.")
@yes_option
@dry_run_option
@output_option("table", "json")
@progress_option
def aof_repair(
    *,
    path: Path,
    salvage: bool,
    to_offset: int | None,
    to_timestamp: int | None,
    max_loss: int | None,
    rebuild_manifest: bool,
    deep: bool,
    databases: int | None,
    yes: bool,
    dry_run: bool,
    output: str,
    progress: bool | None,
) -> int:
    """Repairs an append-only log, ours or Redis's: by default it cuts a torn end off.

    PATH is the log's directory, its manifest, or a file. First comes a plan: what will be kept, what will
    be lost. Nothing is changed in place: the old files stay under a second name (.bak-TIME), what is cut
    out is kept (.lost-TIME), and the command that undoes it all is printed. The result is checked.

    \b
    Examples:
      rlite aof-repair --dry-run /var/lib/redis/appendonlydir
      rlite aof-repair --yes --max-loss 64kb appendonlydir
      rlite aof-repair --salvage appendonlydir
      rlite aof-repair --to-timestamp 2026-11-25T10:29:00Z appendonlydir

    \b
    Exit codes: 0 repaired, or nothing to do; 1 more would be lost than --max-loss allows; 3 could not do it;
    4 not confirmed; 5 a server is running on it; 6 damage that this cannot repair (try --salvage).
    """
    from rlite.engine.persistence.repair import RefusedError, Wish, plan
    from rlite.engine.persistence.surgery import ChangedError, LiveError, carry_out

    wish = Wish(
        salvage=salvage, to_offset=to_offset, to_ms=to_timestamp, rebuild=rebuild_manifest, max_loss=max_loss,
        deep=deep, databases=databases or 1 << 31,
    )  # fmt: skip
    shown = Progress("aof-repair", 0, wanted=progress)
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        shown.step(done)

    try:
        live(path)
        planned = plan(path, wish, tick)
        shown.done()
    except RefusedError as error:
        shown.done()
        return refused(path, error, output)
    except LiveError as error:
        return locked(path, error)
    except OSError as error:
        shown.done()
        raise cannot_read(Path(error.filename or path), error) from None
    if dry_run or not planned.changes:
        show(planned, None, output, dry_run=dry_run)
        return Exit.FINE
    if output == "table":
        click.echo(plan_text(planned))
    if not confirmed("Do it?", command_line(words_of(path, wish)), yes=yes):
        if output == "json":
            show(planned, None, output, dry_run=True)
        return Exit.UNCONFIRMED
    try:
        result = carry_out(planned, tick)
        shown.done()
    except LiveError as error:
        return locked(path, error)
    except ChangedError as error:
        note(f"rlite: {error}")
        return Exit.FAILED
    except OSError as error:
        shown.done()
        raise cannot_read(Path(error.filename or path), error) from None
    show(planned, result, output, dry_run=False)
    return Exit.FINE if result.after is None else exit_code([result.after])


def live(path: Path) -> None:
    """Raises LiveError where a server holds the log."""
    from rlite.engine.persistence.layout import for_repair, holder
    from rlite.engine.persistence.surgery import LiveError

    who = holder(for_repair(path))
    if who is not None:
        process = f" (process {who})" if who else ""
        raise LiveError(f"a server is running on these files{process}: stop it first")


def locked(path: Path, error: Exception) -> Exit:
    note(f"rlite: {path_text(path)}: {error}")
    return Exit.LOCKED


def refused(path: Path, error: "RefusedError", output: str) -> Exit:
    """Says why not. Returns the exit code."""
    from rlite.engine.persistence.repair import Why

    if output == "json":
        document(
            SCHEMA,
            {"path": path_text(path), "done": False, "refused": error.why.value, "text": escaped(str(error))},
        )
    note(f"rlite: {path_text(path)}: {escaped(str(error))}")
    codes = {Why.NEWER: Exit.FAILED, Why.TOO_MUCH: Exit.NOT_SO}
    return codes.get(error.why, Exit.BEYOND_TRUNCATION)


def words_of(path: Path, wish: "Wish") -> list[str]:
    """The command that does what was asked for, unasked."""
    words = ["rlite", "aof-repair", "--yes"]
    words += ["--salvage"] if wish.salvage else []
    words += ["--rebuild-manifest"] if wish.rebuild else []
    words += ["--deep"] if wish.deep else []
    for name, value in (
        ("--to-offset", wish.to_offset), ("--to-timestamp", wish.to_ms), ("--max-loss", wish.max_loss),
        ("--databases", wish.databases if wish.databases != 1 << 31 else None),
    ):  # fmt: skip
        if value is not None:
            words += [name, f"{value:012}" if name == "--to-timestamp" else str(value)]
    return [*words, *(["--"] if str(path).startswith("-") else []), str(path)]


# --- what is printed ---------------------------------------------------------------------------------------


def show(planned: "Plan", done: "Done | None", output: str, *, dry_run: bool) -> None:
    """Prints a plan, or what came of it, in one of the forms."""
    if output == "json":
        document(SCHEMA, plan_data(planned, done, dry_run=dry_run))
        return
    if done is None:
        click.echo(plan_text(planned))
        return
    assert done.after is not None
    click.echo(f"done; checked again: {WORDS[done.after.verdict.value]}")
    for kept in done.kept:
        click.echo(f"kept: {path_text(kept)}")
    click.echo(f"to undo it:\n  {done.undo_command()}")


def plan_data(planned: "Plan", done: "Done | None", *, dry_run: bool) -> dict[str, object]:
    """A plan, and what came of it, as JSON has it."""
    kept = planned.kept
    last = kept.last_ms
    after = None if done is None or done.after is None else done.after.verdict.value
    ends = [c.reading.offset_end for c in kept.files if c.reading.offset_end is not None]
    return {
        "path": path_text(planned.path), "form": planned.layout.form.value, "refused": None,
        "verdict": planned.before.verdict.value, "dry_run": dry_run, "done": done is not None,
        "bytes_lost": planned.bytes_lost, "commands_lost": planned.commands_lost,
        "kept": {
            "records": kept.total("records"), "last_ms": last,
            "last_time": None if last is None else moment_text(last),
            "end_history_offset": ends[-1] if ends else None,
        },
        "faults": [fault_data(fault) for fault in planned.before.faults],
        "changes": [change_data(change) for change in planned.changes],
        "backups": [] if done is None else [path_text(path) for path in done.kept],
        "undo": None if done is None else done.undo_command(), "after": after,
        "command": command_line(words_of(planned.path, planned.wish)),
    }  # fmt: skip


def change_data(change: "Change") -> dict[str, object]:
    """A change as JSON has it."""
    return {
        "action": change.act.value, "file": path_text(change.path), "size": change.size,
        "kept": [list(piece) for piece in change.keep], "lost": [list(piece) for piece in change.lost],
        "bytes_lost": change.bytes_lost, "commands_lost": change.commands, "zeros": change.zeros,
    }  # fmt: skip


def plan_text(planned: "Plan") -> str:
    """A plan for people."""
    if not planned.changes:
        return f"{path_text(planned.path)}: nothing to do, {WORDS[planned.before.verdict.value]}"
    lines = [fault_text(fault) for fault in planned.before.faults]
    lines.append("plan:")
    lines += [f"  {change_text(change)}" for change in planned.changes]
    commands = planned.commands_lost
    lines.append(
        f"lost: {size_text(planned.bytes_lost)}, {commands} command{'' if commands == 1 else 's'}; "
        f"kept: {planned.kept.total('records')} records, the last of {moment_text(planned.kept.last_ms)}"
    )
    return "\n".join(lines)


def change_text(change: "Change") -> str:
    """A change for people."""
    from rlite.engine.persistence.repair import Act

    name = path_text(change.path)
    if change.act is Act.MANIFEST:
        return f"{'write a new manifest' if change.size else 'make the manifest'} {name}"
    if change.act is Act.ASIDE:
        return f"set {name} aside ({size_text(change.size)})"
    kept = sum(end - start for start, end in change.keep) + len(change.head)
    parts = [f"keep {kept} of the {change.size} bytes of {name}"]
    parts += ["with a new header"] if change.head else []
    if len(change.lost) == 1:
        parts.append(f"cut out {change.lost[0][0]} to {change.lost[0][1]}")
    elif change.lost:
        parts.append(f"cut out {len(change.lost)} pieces, {change.bytes_lost} bytes in all")
    parts += [f"leave out {change.zeros} zeros"] if change.zeros else []
    return ", ".join(parts)
