"""The `rlite` entry point: finds the subcommand, imports it only then, and turns what went wrong into an exit
code.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from rlite.cli.exits import Exit
from rlite.engine.version import REDIS_VERSION, RLITE_VERSION

if TYPE_CHECKING:
    import click

# Subcommand -> (module, function). A subcommand's module is imported when it is used, or when help lists it.
SUBCOMMANDS = {
    "serve": ("rlite.cli.serve", "serve"),
    "ping": ("rlite.cli.ping", "ping"),
    "info": ("rlite.cli.info", "info"),
    "replica-of": ("rlite.cli.replica_of", "replica_of"),
    "slowlog": ("rlite.cli.slowlog", "slowlog"),
    "snapshot": ("rlite.cli.snapshot", "snapshot"),
    "aof-check": ("rlite.cli.aof_check", "aof_check"),
    "aof-repair": ("rlite.cli.aof_repair", "aof_repair"),
}


def main() -> None:
    """Runs the command line and exits with its code."""
    if sys.argv[1:] in (
        ["--version"],
        ["-V"],
    ):  # before click is imported: scripts ask this, and want it at once
        print(f"rlite {RLITE_VERSION} (Redis {REDIS_VERSION} compatible)")
        sys.exit(Exit.FINE)
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Runs one command line. Returns the exit code."""
    import click

    from rlite.engine.errors import RliteError

    exits = {
        "LockedError": Exit.LOCKED,
        "DamageError": Exit.BEYOND_TRUNCATION,
    }  # by name: not all imported yet
    try:
        code = group().main(argv, prog_name="rlite", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as fault:
        fault.show()
        return Exit.USAGE
    except RliteError as fault:
        print(f"rlite: {fault}", file=sys.stderr)
        return exits.get(type(fault).__name__, Exit.FAILED)
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except (BrokenPipeError, PipeClosedError):
        return broken_pipe()
    return int(code or 0)


class PipeClosedError(Exception):
    """A BrokenPipeError by a name that click does not know; it would end with 1."""


def broken_pipe() -> int:
    """Points standard output at nothing, so that closing it has no say, and returns the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.BROKEN_PIPE


def group() -> "click.Group":
    """The group of all subcommands."""
    from difflib import get_close_matches

    import click

    class Lazy(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return [*SUBCOMMANDS, *super().list_commands(ctx)]

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            place = SUBCOMMANDS.get(name)
            if place is None:
                return super().get_command(ctx, name)
            found = getattr(import_module(place[0]), place[1])
            assert isinstance(found, click.Command)
            return found

        def resolve_command(
            self, ctx: click.Context, args: list[str]
        ) -> tuple[str | None, click.Command | None, list[str]]:
            try:
                return super().resolve_command(ctx, args)
            except click.UsageError as fault:
                close = get_close_matches(args[0], self.list_commands(ctx), 1)
                raise click.UsageError(
                    f"No such command '{args[0]}'." + (f" Did you mean '{close[0]}'?" if close else ""),
                    fault.ctx,
                ) from None

        def invoke(self, ctx: click.Context) -> object:
            try:
                return super().invoke(ctx)
            except BrokenPipeError:
                raise PipeClosedError from None

    @click.group(cls=Lazy, context_settings={"help_option_names": ["--help"]})
    @click.version_option(
        RLITE_VERSION, "-V", "--version", message=f"rlite %(version)s (Redis {REDIS_VERSION} compatible)"
    )
    def rlite() -> None:
        """A Redis-compatible data engine and its tools.

        \b
        Examples:
          rlite serve                        a server on 127.0.0.1:6379
          rlite serve --port 0 --port-file p a server on a free port, which is written to p
          rlite ping -p 6379                 is somebody there?
          rlite replica-of -p 6380 NO ONE    that replica is a master from now on
        """

    @rlite.command("help")
    @click.argument("name", required=False)
    @click.pass_context
    def show_help(ctx: click.Context, name: str | None) -> None:
        """Shows the help of a command."""
        parent = ctx.parent
        assert parent is not None
        if name is None:
            click.echo(parent.get_help())
            return
        command = rlite.get_command(parent, name)
        if command is None:
            raise click.UsageError(f"No such command '{name}'.", parent)
        with click.Context(command, info_name=name, parent=parent) as inner:
            click.echo(command.get_help(inner))

    return rlite


if __name__ == "__main__":
    main()
