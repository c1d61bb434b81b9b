"""`rlite ping`: is a server there, and ready?"""

import os

import click

from rlite.cli.exits import Exit
from rlite.engine.client import Connection
from rlite.engine.errors import CommandError
from rlite.engine.reply import Simple


@click.command(context_settings={"help_option_names": ["--help"]})
@click.option("-h", "--host", default="127.0.0.1", show_default=True, help="Host to connect to.")
@click.option("-p", "--port", type=int, default=6379, show_default=True, help="Port to connect to.")
@click.option("-s", "--socket", "unix", default="", help="Unix socket to connect to instead.")
@click.option("-t", "--timeout", type=float, default=5.0, show_default=True, help="Seconds to wait.")
def ping(host: str, port: int, unix: str, timeout: float) -> int:
    """Asks a server whether it is there. Prints its answer; exit code 0 means that it is ready.

    \b
    Examples:
      rlite ping
      rlite ping -h db.example -p 6380 && echo ready

    A password is taken from REDISCLI_AUTH.
    """
    with Connection(host, port, unix, timeout) as connection:
        try:
            password = os.environ.get("REDISCLI_AUTH")
            if password:
                connection.command("AUTH", password)
            reply = connection.command("PING")
        except CommandError as fault:
            click.echo(fault.text, err=True)
            return Exit.NOT_SO
    click.echo(reply.text if isinstance(reply, Simple) else repr(reply))
    return Exit.FINE
