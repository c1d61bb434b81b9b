"""`rlite serve`: the server in the foreground, with redis-server's forms of arguments."""

import json
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click

from rlite.cli.exits import Exit
from rlite.engine.config import Config
from rlite.engine.version import REDIS_VERSION, RLITE_VERSION

BANNER = r"""
        _ _ _
  _ __ | (_) |_ ___
 | '__|| | | __/ _ \   rlite {version}, compatible with Redis {redis}
 | |   | | | ||  __/   pid {pid}, {where}
 |_|   |_|_|\__\___|
"""
EMPTY = '""'
# What `rlite serve` does unless told otherwise, beyond the defaults that programs get.
DEFAULTS = {"appendonly": "yes"}
SWITCH_SECONDS = 0.0005  # how long Python work of one thread may keep the others from theirs


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": ["--help"],
    }
)
@click.option(
    "--port-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the port here when ready."
)
@click.option("--ephemeral", is_flag=True, help="Keep nothing on disk: no log, no snapshots.")
@click.option("--check-config", is_flag=True, help="Check the configuration, start nothing.")
@click.option(
    "--print-config", is_flag=True, help="Print each directive, its value and where that came from."
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Form of --print-config."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[CONF] [--DIRECTIVE VALUE]...")
def serve(
    *, port_file: Path | None, ephemeral: bool, check_config: bool, print_config: bool, output: str,
    arguments: tuple[str, ...],
) -> int:  # fmt: skip
    """Runs a server until SIGTERM or SIGINT.

    \b
    Examples:
      rlite serve
      rlite serve /etc/redis/redis.conf
      rlite serve --port 0 --port-file ./port
      rlite serve --ephemeral
      rlite serve --dir /var/lib/rlite --appendfsync always
      rlite serve --maxmemory 64mb --maxmemory-policy allkeys-lru
      rlite serve - < my.conf

    CONF is a redis.conf (`-` reads standard input). Every directive of it can be given as an option, and as a
    variable of the environment: RLITE_MAXMEMORY for maxmemory. An option wins over the environment, that over
    the file, and the file over the default.
    """
    from rlite.engine.redisconf import ConfigErrors, load, parse_serve_args

    try:
        path, flags = parse_serve_args(list(arguments))
        if ephemeral:
            flags += [("appendonly", ["no"]), ("save", [""])]
        config = load(path, flags, os.environ)
        settle(config)
    except ConfigErrors as fault:
        for problem in fault.problems:
            click.echo(f"rlite: {problem}", err=True)
        return Exit.USAGE
    if print_config:
        rows = [(name, shown(config, name), config.origin(name)) for name in config]
        if output == "json":
            document = [{"directive": name, "value": value, "origin": origin} for name, value, origin in rows]
            click.echo(json.dumps({"schema": "rlite.config/1", "directives": document}))
        else:
            for name, value, origin in rows:
                click.echo(f"{name} {value or EMPTY}  # {origin}")
        return Exit.FINE
    if check_config:
        click.echo("rlite: the configuration is good", err=True)
        return Exit.FINE
    return run(config, port_file)


def settle(config: Config) -> None:
    """Fills in what nobody has said: the defaults of a server that is a program, and where its data lies."""
    from rlite.engine.directives import BY_NAME

    for name, value in (*DEFAULTS.items(), ("dir", config.text("dir"))):
        if config.origin(name) == "default":
            config.put(BY_NAME[name], [value], "default")


def shown(config: Config, name: str) -> str:
    """A directive's value, unless it is a secret."""
    from rlite.engine.directives import BY_NAME

    value = config.text(name)
    return "(hidden)" if value and BY_NAME[name].sensitive else value


def run(config: Config, port_file: Path | None) -> int:
    """Serves until it is told to stop. Returns the exit code; raises RliteError where it cannot start."""
    from rlite.engine.logs import follow_role, set_up
    from rlite.engine.persistence.replaying import StoppedError
    from rlite.engine.server import Server

    set_up(config.text("loglevel"), config.text("logfile"), config.text("log-format"))
    log = logging.getLogger("rlite")
    for warning in config.warnings:
        log.warning("%s", warning)
    if config.notes:
        log.warning("accepted, and without effect in this version: %s", ", ".join(config.notes))
    sys.setswitchinterval(SWITCH_SECONDS)
    started = time.monotonic()
    server = Server(config)
    known = weakref.ref(server)  # the log outlives it, and must not keep it
    follow_role(lambda: "M" if (there := known()) is None else there.role)
    asked = server.asked_to_stop
    received: list[str] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stopper(asked, received, log))
    try:
        server.start()
    except StoppedError:
        log.info("told to stop while loading; bye")
        return Exit.FINE
    where = f"port {server.port}" if server.port else f"socket {config.text('unixsocket')}"
    if sys.stderr.isatty() and not config.text("logfile"):
        click.echo(
            BANNER.format(version=RLITE_VERSION, redis=REDIS_VERSION, pid=os.getpid(), where=where), err=True
        )
    written = [path for path in (port_file, config.text("pidfile") and Path(config.text("pidfile"))) if path]
    if port_file is not None:
        write_whole(port_file, f"{server.port}\n")
    if config.text("pidfile"):
        write_whole(Path(config.text("pidfile")), f"{os.getpid()}\n")
    log.info("Ready to accept connections on %s (%.0f ms)", where, (time.monotonic() - started) * 1000)
    while True:
        while not asked.wait(3600):  # a wait without end could not be interrupted by a signal everywhere
            pass
        if server.ready_to_stop(config.text(f"shutdown-on-{received[-1].lower()}") if received else ""):
            break
        log.error("could not save the data, so the server goes on; SHUTDOWN NOSAVE ends it all the same")
        asked.clear()
    log.info("stopping")
    server.stop()
    for path in written:
        path.unlink(missing_ok=True)
    log.info("bye")
    return Exit.FINE


def stopper(
    asked: threading.Event, received: list[str], log: logging.Logger
) -> Callable[[int, FrameType | None], None]:
    """A signal handler that asks for a shutdown, and notes the signal's name."""

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        log.info("received %s", received[-1])
        asked.set()

    return handle


def write_whole(path: Path, text: str) -> None:
    """Writes a small file so that a reader sees all of it or none."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
