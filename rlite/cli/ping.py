"""`rlite ping`: is a server there, and ready?"""

import click

from rlite.cli.exits import Exit
from rlite.cli.options import SETTINGS, Target, server_options
from rlite.cli.output import escaped
from rlite.engine.errors import CommandError
from rlite.engine.reply import Simple


@click.command(context_settings=SETTINGS)
@server_options("--timeout")
def ping(target: Target) -> int:
    """Asks a server whether it is there. Prints its answer; exit code 0 means that it is ready.

    \b
    Examples:
      rlite ping
      rlite ping -h db.example -p 6380 && echo ready
      rlite ping -u redis://:secret@db.example

    A password is taken from REDISCLI_AUTH.
    """
    try:
        with target.connect() as connection:
            reply = connection.command("PING")
    except CommandError as fault:
        click.echo(escaped(fault.text), err=True)
        return Exit.NOT_SO
    click.echo(reply.text if isinstance(reply, Simple) else repr(reply))
    return Exit.FINE
