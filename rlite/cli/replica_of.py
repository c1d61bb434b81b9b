"""`rlite replica-of`: has a running server follow a master, waits for its data, and tells how it stands."""

from dataclasses import replace

import click

from rlite.cli.asking import asked, connected, refusal
from rlite.cli.exits import Exit
from rlite.cli.options import (
    SETTINGS,
    Target,
    command_line,
    confirmed,
    output_option,
    progress_option,
    secret_in,
    server_options,
    yes_option,
)  # fmt: skip
from rlite.cli.output import escaped, note, on_terminal, size_text
from rlite.cli.replica_faults import OF_THE_WAY, circle, is_talking, login_of, look, read_status, way_to
from rlite.cli.replica_status import Status, link_word, show
from rlite.cli.replica_waiting import Outcome, Wait
from rlite.engine.addresses import Address, parse_address
from rlite.engine.client import Connection
from rlite.engine.errors import CommandError, RliteError

LOOK_SECONDS = 2.0  # a master that cannot be reached from here must not hold everything up


@click.command("replica-of", context_settings=SETTINGS)
@click.argument("master", nargs=-1, metavar="[HOST PORT | URI | NO ONE]")
@click.option("--status", "only_status", is_flag=True, help="Change nothing: tell how the server stands.")
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Wait until the server has what its master has."
)
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    help="Wait no longer.  [default: until nothing has moved for 60 seconds]",
)  # fmt: skip
@click.option("--master-user", metavar="NAME", help="Name with which the server logs in to its master.")
@click.option(
    "--master-password-file", metavar="FILE", help="File with the password for that; - is standard input."
)
@server_options()
@output_option("table", "json", "ndjson")
@progress_option
@yes_option
def replica_of(
    master: tuple[str, ...], *, only_status: bool, wait: bool, timeout: float | None, master_user: str | None,
    master_password_file: str | None, target: Target, output: str, progress: bool | None, yes: bool,
) -> int:  # fmt: skip
    """Tells a running server, rlite or Redis, to follow a master, and waits until it has the master's data.
    What the server held before is given up for them. NO ONE ends that: the server is a master again, with
    the data it has. HOST and PORT are as the server sees them; -h, -p, -s and -u say which server is told.

    \b
    Examples:
      rlite replica-of -p 6380 127.0.0.1 6379
      rlite replica-of -h replica.example redis://repl:secret@db.example:6379
      rlite replica-of -p 6380 --status -o json
      rlite replica-of -p 6380 NO ONE

    A user and a password in the URI are set on the server as masteruser and masterauth; a password is never
    shown. Ctrl-C ends the waiting, not the server's.

    Exit code 0: it is so; 1: --status found a replica without a link to its master; 3: it could not be done,
    or not in time, and why; 130: Ctrl-C.
    """
    if only_status:
        if master or master_user or master_password_file:
            raise click.UsageError("--status changes nothing, and takes no master")
        return tell(target, output)
    if not master:
        raise click.UsageError(
            "which master? HOST PORT, a URI, or NO ONE; --status tells how the server stands"
        )
    address = wanted(master, master_user, master_password_file)
    try:
        with connected(target) as connection:
            if address is None:
                return promote(connection, target, output, yes=yes)
            return follow(
                connection, target, address, output, wait=wait, timeout=timeout, progress=progress, yes=yes
            )
    except CommandError as fault:
        raise RliteError(f"{target}: {refusal(fault, 'do that')}") from None


def wanted(words: tuple[str, ...], user: str | None, password_file: str | None) -> Address | None:
    """The master that was named, with the login for it; None: NO ONE. Raises UsageError."""
    if [word.lower() for word in words] == ["no", "one"]:
        if user is not None or password_file is not None:
            raise click.UsageError("NO ONE has no password")
        return None
    try:
        address = parse_address(words)
    except ValueError as fault:
        raise click.UsageError(str(fault)) from None
    if address.unix:
        raise click.UsageError("a replica reaches its master by TCP: HOST PORT")
    if password_file is not None:
        address = replace(address, password=secret_in(password_file))
    return replace(address, user=user if user is not None else address.user)


# --- how it stands -----------------------------------------------------------------------------------------


def tell(target: Target, output: str) -> int:
    try:
        with connected(target) as connection:
            status = seen(connection, target)
    except CommandError as fault:
        raise RliteError(f"{target}: {refusal(fault, 'tell how it stands')}") from None
    show(status, str(target), output)
    return Exit.NOT_SO if status.master is not None and link_word(status) == "down" else Exit.FINE


def seen(connection: Connection, target: Target) -> Status:
    """How a server stands, and, where it is a replica, where its master is by now. Raises CommandError."""
    status = read_status(connection)
    if status.master is None:
        return status
    user, password = login_of(connection)
    sight = look(reached(status.master, target, status, user, password))
    fault = status.fault
    if fault is None and not status.link_up and (status.transfer is None or not status.transfer.read):
        fault = sight.fault
        if fault is not None and fault.kind in OF_THE_WAY and is_talking(connection):
            fault = None
    return replace(status, fault=fault, master_offset=None if sight.status is None else sight.status.offset)


# --- following ---------------------------------------------------------------------------------------------


def follow(
    connection: Connection, target: Target, address: Address, output: str, *, wait: bool,
    timeout: float | None, progress: bool | None, yes: bool,
) -> int:  # fmt: skip
    """Tells the server to follow, and waits. Returns the exit code; raises RliteError, CommandError."""
    before = read_status(connection)
    own = f"{before.keys:,} {'key' if before.keys == 1 else 'keys'}"
    question = f"{target} holds {own} of its own, which give way to those of {address}. Go on?"
    if before.master is None and before.keys and on_terminal() and not confirmed(question, "", yes=yes):
        note("Nothing was changed.")
        return Exit.UNCONFIRMED
    user, password = login_for(connection, address)
    master = reached(address, target, before, user, password)
    if master is not None and (fault := circle(before, target.address, master)):
        raise RliteError(f"{target} cannot follow {address}: {fault.text}; nothing was changed")
    set_login(connection, address)
    asked(connection, "follow a master", "REPLICAOF", address.host, address.port)
    if not wait:
        done = f"{target} was told to follow {address}"
        return said(seen(connection, target), target, output, done)
    waiting = Wait(
        target, connection, address, master, before=before.fault, timeout=timeout, progress=progress
    )
    try:
        outcome = waiting.run()
    except KeyboardInterrupt:
        look_again = command_line(["rlite", "replica-of", *words_of(target.address), "--status"])
        note(f"\nNobody waits any more; {target} goes on by itself. How far it is: {look_again}")
        return Exit.INTERRUPTED
    finally:
        waiting.close()
    return concluded(outcome, before, target, address, output)


def reached(
    master: Address, target: Target, status: Status, user: str | None, password: str | None
) -> Target | None:
    """A server's master as it is reached from here, with its login; None where that is not known."""
    here = way_to(master, target.address, status)
    if here is None:
        return None
    return Target(replace(here, user=user, password=password), min(target.timeout, LOOK_SECONDS))


def login_for(connection: Connection, address: Address) -> tuple[str | None, str | None]:
    """With what the server will log in to the master: what is said now, else what it has."""
    if address.user is not None and address.password is not None:
        return address.user, address.password
    user, password = login_of(connection)
    if address.password is not None:
        return address.user, address.password
    return (address.user if address.user is not None else user), password


def set_login(connection: Connection, address: Address) -> None:
    """Sets masteruser and masterauth, where something is said of them. A password alone is for `default`."""
    doing = "take the master's password"
    if address.user is not None or address.password is not None:
        asked(connection, doing, "CONFIG", "SET", "masteruser", address.user or "")
    if address.password is not None:
        asked(connection, doing, "CONFIG", "SET", "masterauth", address.password)


def words_of(address: Address) -> list[str]:
    """The options that name a server, without its password."""
    if address.unix:
        return ["-s", address.unix]
    return ["-h", address.host, "-p", str(address.port)]


def concluded(outcome: Outcome, before: Status, target: Target, address: Address, output: str) -> int:
    """Tells how the wait has ended. before: how the server stood. Returns the exit code."""
    status, fault = outcome.status, outcome.fault
    if fault is not None:
        if output != "table":
            show(status, str(target), output)
        note(f"rlite: {target} follows {address}, but is not in step: {fault.text}; it goes on trying")
        return Exit.FAILED
    went_on = before.history in (status.history, status.former_id) and not outcome.received
    how = "it went on where it was" if went_on else "it took over all data"
    if outcome.received:
        how += f", {size_text(outcome.received)}"
    done = f"{target} follows {address}, in step at offset {status.offset:,} after {outcome.seconds:.1f} s"
    return said(status, target, output, f"{done}: {how}")


def said(status: Status, target: Target, output: str, text: str) -> int:
    """A line for people on standard output, or the document for programs."""
    if output == "table":
        click.echo(escaped(text))
    else:
        show(status, str(target), output)
    return Exit.FINE


# --- leading -----------------------------------------------------------------------------------------------


def promote(connection: Connection, target: Target, output: str, *, yes: bool) -> int:
    """NO ONE. Returns the exit code; raises RliteError, CommandError."""
    before = read_status(connection)
    if before.master is None:
        text = f"{target} is a master already: history {before.history}, offset {before.offset:,}"
        return said(before, target, output, text)
    question = f"{target} follows {before.master}. Shall it be a master of its own?"
    if on_terminal() and not confirmed(question, "", yes=yes):
        note("Nothing was changed.")
        return Exit.UNCONFIRMED
    if not before.link_up:
        note(f"{target} has no link to {escaped(str(before.master))}: it may lack what that has last written")
    asked(connection, "be a master", "REPLICAOF", "NO", "ONE")
    status = read_status(connection)
    text = f"{target} is a master: history {status.history} from offset {status.offset:,} on"
    if status.former_id:
        text += f", before it {status.former_id} up to {status.former_end:,}"
    return said(status, target, output, text)
