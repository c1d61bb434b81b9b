"""Options that several commands share, each declared once, with what stands behind them.

`@output_option()`, `@progress_option`, `@yes_option`, `@dry_run_option`, `@server_options()`; `size` and
`moment` for values; `confirmed` for what must not happen unasked.
"""

import datetime as dt
import functools
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rlite.cli.output import FORMS, note, on_terminal, path_text, size_text
from rlite.engine.addresses import HIGHEST_PORT, Address, parse_address

if TYPE_CHECKING:
    from rlite.engine.client import Connection
    from rlite.engine.errors import CommandError

F = TypeVar("F", bound=Callable[..., Any])

# Every command: `--help` is help, because `-h` is a host in redis-cli.
SETTINGS = {"help_option_names": ["--help"]}


def output_option(*forms: str) -> Callable[[F], F]:
    """`-o FORM`, given to the function as `output`; forms: those the command knows, the first its default;
    none named: all of output.FORMS.
    """
    known = forms or FORMS
    return click.option(
        "-o", "--output", type=click.Choice(known), default=known[0], show_default=True,
        help="Form of what is printed on standard output.",
    )  # fmt: skip


def progress_option(function: F) -> F:
    """`--progress/--no-progress`, given as `progress`: None leaves it to the terminal (see `Progress`)."""
    return click.option(
        "--progress/--no-progress", default=None,
        help="Show progress on standard error (default: when that is a terminal).",
    )(function)  # fmt: skip


def yes_option(function: F) -> F:
    """`-y`, given as `yes`."""
    return click.option("-y", "--yes", is_flag=True, envvar="RLITE_YES", help="Do it without asking.")(
        function
    )


def dry_run_option(function: F) -> F:
    """`-n`, given as `dry_run`."""
    return click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, change nothing.")(
        function
    )


def confirmed(question: str, command: str, *, yes: bool) -> bool:
    """Whether to go on: told so by --yes, or by whoever sits at the terminal. Without a terminal nobody is
    asked: the command that would do it is named, and the answer is no (the caller ends with
    Exit.UNCONFIRMED).
    """
    if yes:
        return True
    if on_terminal():
        return click.confirm(question, default=False, err=True)
    note(f"Nothing was changed. To do it:\n  {command}")
    return False


# --- the server that a command speaks to -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, and how to get in. timeout: seconds for connecting and for each reply."""

    address: Address
    timeout: float = 5.0

    def __str__(self) -> str:
        return str(self.address)

    def connect(self, *, strict: bool = False) -> "Connection":
        """A connection that is logged in, where there is something to log in with. strict: a password for a
        server without any is a fault, as it is to a replica. Raises RliteError where nobody can be reached,
        CommandError where the login is refused.
        """
        from rlite.engine.client import Connection
        from rlite.engine.errors import CommandError

        connection = Connection(self.address.host, self.address.port, self.address.unix, self.timeout)
        try:
            if self.address.password is not None:
                connection.login(self.address.user, self.address.password)
        except CommandError as fault:
            # One password for all servers in the environment: those without any take the client as it is.
            if strict or not for_nothing(fault):
                connection.close()
                raise
        except BaseException:
            connection.close()
            raise
        return connection


def for_nothing(fault: "CommandError") -> bool:
    """Whether AUTH was refused because the server wants no password."""
    return "without any password" in fault.text


def secret_in(path: str) -> str:
    """The first line of a file, or of standard input for `-`. Raises UsageError."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8", "surrogateescape")
    except OSError as fault:
        raise click.UsageError(f"{path_text(path)}: {fault.strerror or fault}") from None
    return text.split("\n", 1)[0].rstrip("\r")


def uri(value: str) -> Address:
    """For click.option: see addresses.parse_address."""
    try:
        return parse_address([value])
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from None


def server_options(*timeout_names: str) -> Callable[[F], F]:
    """redis-cli's options that say which server is meant; given together as `target`, a Target.

    timeout_names: what the option of seconds is called beside `-t`; `--connect-timeout` where none is named.
    """
    declared = (
        click.option("-h", "--host", help="Host of the server.  [default: 127.0.0.1]"),
        click.option(
            "-p", "--port", type=click.IntRange(1, HIGHEST_PORT), help="Its port.  [default: 6379]"
        ),
        click.option("-s", "--socket", "unix", help="Its Unix socket, instead of host and port."),
        click.option("--user", help="Name to log in with.  [default: default]"),
        click.option("-a", "--pass", "password", help="Password; better in REDISCLI_AUTH or in a file."),
        click.option("--password-file", metavar="FILE", help="File with the password; - is standard input."),
        click.option("--no-auth-warning", is_flag=True, help="No warning of a password that others see."),
        click.option(
            "-u", "--url", type=uri, envvar="RLITE_URL", metavar="URI",
            help="All of it in one: redis://[[USER]:PASSWORD@]HOST[:PORT], or unix:///PATH. Also RLITE_URL.",
        ),
        click.option(
            "-t", *(timeout_names or ("--connect-timeout",)), "server_timeout", metavar="SECONDS",
            type=click.FloatRange(0, min_open=True), default=5.0, show_default=True,
            help="For connecting, and for each reply.",
        ),
    )  # fmt: skip

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_target(*args: Any, **given: Any) -> Any:
            return function(*args, target=_target(given), **given)

        decorated: Any = with_target
        for option in reversed(declared):
            decorated = option(decorated)
        wrapped: F = decorated
        return wrapped

    return decorate


def _target(given: dict[str, Any]) -> Target:
    """Takes the options of a server out of those given. One that is said alone wins over the URI."""
    context = click.get_current_context()
    on_line = click.core.ParameterSource.COMMANDLINE
    url: Address | None = given.pop("url")
    host, port, unix = given.pop("host"), given.pop("port"), given.pop("unix")
    user, password, file = given.pop("user"), given.pop("password"), given.pop("password_file")
    quiet, timeout = given.pop("no_auth_warning"), given.pop("server_timeout")
    if unix and (host or port):
        raise click.UsageError("-s is a server by itself; -h and -p name another")
    if password is not None and file is not None:
        raise click.UsageError("-a and --password-file both say the password")
    asked = context.get_parameter_source("url") is on_line
    if url is not None and not asked and (host or port or unix):
        url = None  # the environment's server is not meant, and its password none of another's business
    if (password is not None or (asked and url is not None and url.password)) and not quiet:
        note("warning: others on this machine can see a password on the command line; REDISCLI_AUTH or")
        note("--password-file keep it (--no-auth-warning: no warning)")
    address = url or Address()
    if host or port:
        address = replace(address, host=host or address.host, port=port or address.port, unix="")
    if unix:
        address = replace(address, unix=unix)
    if file is not None:
        password = secret_in(file)
    if password is None:
        password = address.password
    if password is None:
        password = os.environ.get("REDISCLI_AUTH") or None
    return Target(replace(address, user=user or address.user, password=password), timeout)


# --- values: types for click.option ------------------------------------------------------------------------

_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def size(value: str) -> int:
    """A number of bytes as in redis.conf: 100, 64kb (1024), 64k (1000), 1mb, 1gb."""
    found = re.fullmatch(r"(\d{1,18})([a-z]*)", value.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise click.BadParameter(f"{value!r} is no size: a number, and k, kb, m, mb, g or gb")
    return int(found[1]) * _UNITS[found[2]]


_TIMES = {"us": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}


def microseconds(value: str) -> int:
    """A length of time, in microseconds: 250us, 1.5ms, 10s, 5m, 2h."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([a-z]+)", value.strip().lower())
    if found is None or found[2] not in _TIMES:
        raise click.BadParameter(f"{value!r} is no length of time: a number, and us, ms, s, m or h")
    return round(float(found[1]) * _TIMES[found[2]])


def moment(value: str) -> int:
    """A time as Unix milliseconds: Unix seconds or milliseconds (more than eleven digits), or ISO 8601; one
    without a zone is local time.
    """
    text = value.strip()
    if re.fullmatch(r"\d{1,17}", text):
        return int(text) if len(text) > 11 else int(text) * 1000
    if found := re.fullmatch(r"(\d{1,11})\.(\d{1,9})", text):
        return int(found[1]) * 1000 + int(found[2].ljust(3, "0")[:3])
    try:
        at = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time: Unix seconds or milliseconds, or 2026-11-25T10:30:00+01:00"
        ) from None
    return (at - _EPOCH) // dt.timedelta(milliseconds=1)


def moment_text(ms: int | None) -> str:
    """Unix milliseconds for people and programs alike: ISO 8601 in UTC. `-` where there is none."""
    if ms is None:
        return "-"
    try:
        at = _EPOCH + dt.timedelta(milliseconds=ms)
    except OverflowError:
        return f"{ms} ms"
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


# --- progress ----------------------------------------------------------------------------------------------


class Progress:
    """A line on standard error that is drawn over itself: how far, how fast, how long still. On no
    terminal, where it was asked for, a line every five seconds. `step` may be called often: it draws five
    times a second.

    total: bytes to be read, 0: unknown. wanted: what --progress said.
    """

    def __init__(self, label: str, total: int, *, wanted: bool | None = None) -> None:
        self._label, self._total = label, total
        self._terminal = sys.stderr.isatty()
        self._shown = self._terminal if wanted is None else wanted
        self._began = self._last = time.monotonic()
        self._drawn = False

    def step(self, done: int, what: str = "") -> None:
        """done: bytes so far; what: the file it is at."""
        now = time.monotonic()
        if not self._shown or now - self._last < (0.2 if self._terminal else 5):
            return
        self._last = now
        self._draw(self._text(done, now - self._began, what))

    def say(self, text: str) -> None:
        """A line of its own words, where there is nothing to count."""
        now = time.monotonic()
        if self._shown and now - self._last >= (0.2 if self._terminal else 5):
            self._last = now
            self._draw(f"{self._label} {text}")

    def done(self) -> None:
        """Clears the line."""
        if self._drawn and self._terminal:
            click.echo(_clearing(), nl=False, err=True)
        self._drawn = False

    def _text(self, done: int, seconds: float, what: str) -> str:
        rate = done / seconds if seconds else 0
        text = f"{self._label} {size_text(done)}"
        if self._total:
            text += f" of {size_text(self._total)} ({min(100 * done // self._total, 100)} %)"
        text += f", {size_text(int(rate))}/s"
        if rate and self._total > done:
            text += f", {_duration((self._total - done) / rate)} left"
        return f"{text}  {what}"

    def _draw(self, text: str) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns
            click.echo(f"{_clearing()}{text[: width - 1]}", nl=False, err=True)
        else:
            click.echo(text, err=True)
        self._drawn = True


def _clearing() -> str:
    """What makes the line of a terminal empty; a dumb one knows no codes, and is written over."""
    if os.environ.get("TERM", "dumb") != "dumb":
        return "\r\x1b[K"
    return "\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def command_line(words: Sequence[str]) -> str:
    """A command as it can be pasted into a shell."""
    return shlex.join(words)
