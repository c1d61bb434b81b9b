"""`rlite slowlog tail`: the calls that a server found slow or large, as they come."""

import os
import select
import shutil
import stat
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import click

from rlite.cli.exits import Exit
from rlite.cli.options import SETTINGS, Target, microseconds, server_options, size
from rlite.cli.output import escaped, line, note
from rlite.cli.slowlog_following import Cursor, Gap
from rlite.cli.slowlog_groups import BY, Groups
from rlite.cli.slowlog_reading import OWN_NAME, TYPES, Log, Logged, open_log
from rlite.cli.slowlog_text import amount, described, group_facts, group_table, shown
from rlite.engine.core.glob import matches
from rlite.engine.errors import CommandError, RliteError

ENTRY, GAP, GROUP = "rlite.slowlog-entry/1", "rlite.slowlog-gap/1", "rlite.slowlog-group/1"
DEFAULT_LINES = 10
SHOWN_GROUPS = 20  # to people; programs get all
PATIENCE = 5.0  # seconds, at most, between two attempts to come back to a server
LENGTHS = {
    "slow": "slowlog-max-len",
    "large-request": "commandlog-large-request-max-len",
    "large-reply": "commandlog-large-reply-max-len",
}
# Errors that pass: the server is there, and will answer later.
PASSING = ("LOADING", "BUSY", "MASTERDOWN", "MISCONF", "TRYAGAIN")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which calls are wanted: of all that is said here. Patterns are as KEYS has them; one of each list is
    enough.
    """

    least: int = 0
    commands: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return not (self.least or self.commands or self.clients or self.keys)

    def takes(self, call: Logged) -> bool:
        command = call.command.encode("utf-8", "surrogateescape")
        names = (command, command.partition(b"|")[0])
        client = (call.client, call.client.rpartition(b":")[0], call.client_name)
        return (
            call.value >= self.least
            and fits(self.commands, names, nocase=True)
            and fits(self.clients, client)
            and fits(self.keys, () if call.key is None else (call.key,))
        )


def fits(patterns: tuple[str, ...], texts: Iterable[bytes], *, nocase: bool = False) -> bool:
    """Whether one of the patterns, if there are any, matches one of the texts."""
    return not patterns or any(
        matches(os.fsencode(each), text, nocase) for each in patterns for text in texts
    )


@dataclass(slots=True)
class Tail:
    """One run of the command."""

    target: Target
    type: str
    wanted: Filter
    people: bool  # text for a terminal; else NDJSON
    groups: Groups | None
    cursor: Cursor = field(default_factory=Cursor)

    def open(self) -> Log:
        """Raises RliteError, CommandError."""
        connection = self.target.connect()
        try:
            return open_log(connection, self.type)
        except BaseException:
            connection.close()
            raise

    def read(self, log: Log, *, count: int = -1, last: int | None = None) -> bool:
        """Reads what is new and shows it. count: entries to ask for; last: how many of those that are wanted
        to show, None: all. Returns whether there was anything.
        """
        after = self.cursor.since(log.run_id)
        batch = log.read(after, count)
        if batch.run_id != log.run_id and after >= 0:  # it was restarted behind a proxy that kept us on
            batch = log.read(self.cursor.since(batch.run_id))
        log.run_id = batch.run_id
        entries, gap = self.cursor.advance(batch)
        if gap is not None:
            self._tell(gap)
        fresh = [each for each in entries if each.client_name != OWN_NAME and self.wanted.takes(each)]
        if last is not None:
            fresh = fresh[max(len(fresh) - last, 0) :]
        if self.groups is not None:
            self.groups.add(fresh)
        else:
            for each in fresh:
                self._show(each)
        return bool(fresh)

    def show_groups(self) -> None:
        """Prints what was put together so far."""
        assert self.groups is not None
        found = self.groups.sorted()
        if self.people:
            click.echo(group_table(found[:SHOWN_GROUPS], self.groups.by, self.type) or "Nothing yet.")
            if len(found) > SHOWN_GROUPS:
                click.echo(f"and {len(found) - SHOWN_GROUPS} more")
            click.echo()
            return
        for each in found:
            line(GROUP, group_facts(each, self.groups.by, self.type))

    def _show(self, call: Logged) -> None:
        if self.people:
            click.echo(
                shown(call, self.type, shutil.get_terminal_size().columns if sys.stdout.isatty() else 0)
            )
        else:
            line(ENTRY, described(call, self.type, self.cursor.run_id))

    def _tell(self, gap: Gap) -> None:
        """Says what is missing: to people on standard error, to programs in its place."""
        if self.people:
            if gap.restarted:
                note("-- the server was started anew; what it logged before and was not read is gone --")
            if gap.missed > 0:
                note(
                    f"-- {gap.missed} entries had left the log before they were read: a larger "
                    f"{LENGTHS[self.type]} or a shorter --interval keeps them (or somebody reset it) --"
                )
            return
        facts = {
            "type": self.type, "run_id": self.cursor.run_id, "restarted": gap.restarted, "missed": gap.missed,
            "first_id": gap.first if gap.missed else None, "last_id": gap.last if gap.missed else None,
        }  # fmt: skip
        line(GAP, facts)


def wait(seconds: float) -> None:
    """Waits. Raises BrokenPipeError as soon as nobody reads standard output any more."""
    output = sys.stdout.fileno()
    if not stat.S_ISFIFO(os.fstat(output).st_mode) and not stat.S_ISSOCK(os.fstat(output).st_mode):
        time.sleep(seconds)
        return
    watcher = select.poll()
    watcher.register(output, 0)
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in watcher.poll(int(seconds * 1000))):
        raise BrokenPipeError


def follow(tail: Tail, log: Log, interval: float, every: float) -> None:
    """Reads on until the command is ended; comes back to a server that was away."""
    told_at = time.monotonic()
    changed = False
    while True:
        wait(interval)
        try:
            changed |= tail.read(log)
        except CommandError as fault:
            if not fault.text.startswith(PASSING):
                raise
        except RliteError as fault:
            note(f"-- {fault}; trying again --")
            log.connection.close()
            log = come_back(tail, interval)
            note("-- connected again --")
            continue
        if tail.groups is not None and changed and time.monotonic() - told_at >= every:
            tail.show_groups()
            told_at, changed = time.monotonic(), False


def come_back(tail: Tail, interval: float) -> Log:
    """A connection to the server, as soon as it takes one and has its data."""
    patience = interval
    while True:
        wait(patience)
        patience = min(patience * 2, PATIENCE)
        try:
            return tail.open()
        except CommandError as fault:
            if not fault.text.startswith(PASSING):
                raise
        except RliteError:
            pass


@click.group(context_settings=SETTINGS)
def slowlog() -> None:
    """The calls that a server found slow or large.

    \b
    Examples:
      rlite slowlog tail
      rlite slowlog tail --group-by command --once
    """


@slowlog.command(context_settings=SETTINGS)
@click.option(
    "--type", "kind", type=click.Choice(TYPES), default="slow", show_default=True, help="Which log."
)
@click.option("-n", "--lines", type=click.IntRange(0), metavar="N",
              help="Entries of before to begin with.  [default: 10; all with --group-by]")  # fmt: skip
@click.option("--once", is_flag=True, help="Print those, and end.")
@click.option("--min", "least", metavar="10ms", help="Only calls of so long, or of such a size (64kb).")
@click.option(
    "--cmd", "commands", multiple=True, metavar="PATTERN", help="Only these commands: get, config*."
)
@click.option("--client", "clients", multiple=True, metavar="PATTERN",
              help="Only of these clients: address, with port or without, or name.")  # fmt: skip
@click.option(
    "--key", "keys", multiple=True, metavar="PATTERN", help="Only calls whose first key is one of these."
)
@click.option("--group-by", "by", type=click.Choice(BY), help="Add calls up instead of listing them.")
@click.option(
    "--every", default="10s", show_default=True, metavar="10s", help="With that: how often to print."
)
@click.option(
    "--interval", default="1s", show_default=True, metavar="1s", help="How often to ask the server."
)
@click.option("-o", "--output", type=click.Choice(("text", "ndjson")),
              help="Form of what is printed.  [default: text on a terminal, else ndjson]")  # fmt: skip
@server_options()
def tail(
    *, kind: str, lines: int | None, once: bool, least: str | None, commands: tuple[str, ...],
    clients: tuple[str, ...], keys: tuple[str, ...], by: str | None, every: str, interval: str,
    output: str | None, target: Target,
) -> int:  # fmt: skip
    """Prints the calls that a server logs as slow or large, as they come: of rlite, Redis or Valkey. It says
    so where entries were lost, and goes on after a restart of the server. Patterns are those of KEYS; an
    option that takes one may be given several times.

    \b
    Examples:
      rlite slowlog tail --min 50ms --cmd 'z*' --cmd sort
      rlite slowlog tail -h db.example --group-by key --every 1m
      rlite slowlog tail --type large-reply --min 1mb
      rlite slowlog tail --once -n 100 | jq .cmd

    Exit code 0: --once, and it is done; 3: the server cannot be reached, or does not let us see its log;
    130: Ctrl-C; 141: nobody reads what is printed.
    """
    bound = 0
    if least is not None:
        bound = microseconds(least) if kind == "slow" else size(least)
    pause, period = seconds_of(interval, "--interval"), seconds_of(every, "--every")
    wanted = Filter(bound, commands, clients, keys)
    people = sys.stdout.isatty() if output is None else output == "text"
    run = Tail(target, kind, wanted, people, None if by is None else Groups(by))
    try:
        return start(run, lines, pause=pause, period=period, once=once)
    except CommandError as fault:
        raise RliteError(f"{target}: {escaped(fault.text)}") from None


def start(run: Tail, lines: int | None, *, pause: float, period: float, once: bool) -> int:
    if lines is None and run.groups is None:
        lines = DEFAULT_LINES
    log = run.open()
    if run.people:
        introduce(log, run.wanted.least)
    run.read(log, count=-1 if lines != 0 else 0, last=lines)
    if run.groups is not None:
        run.show_groups()
    if once:
        return Exit.FINE
    try:
        follow(run, log, pause, period)
    except KeyboardInterrupt:
        if run.groups is not None:
            run.show_groups()
        raise
    raise AssertionError("unreachable")


def introduce(log: Log, least: int) -> None:
    """Tells people what to expect."""
    threshold = log.threshold()
    if threshold is None:
        return
    what = {"slow": "calls", "large-request": "requests", "large-reply": "replies"}[log.type]
    if threshold < 0:
        note(f"{log.connection.where} logs no {what} of this type: its threshold is {threshold}.")
        return
    note(f"{log.connection.where} logs {what} from {amount(log.type, threshold)} on.")
    if 0 < least < threshold:
        note("--min is below that: what lies between is not logged.")


def seconds_of(value: str, option: str) -> float:
    """The duration that an option gives, in seconds; more than nothing."""
    micros = microseconds(value)
    if micros < 1000:
        raise click.BadParameter("must be at least 1ms", param_hint=f"'{option}'")
    return micros / 1_000_000
