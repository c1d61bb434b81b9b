"""`rlite snapshot`: the group; each of its commands is a module of its own, imported when it is asked for."""

from importlib import import_module

import click

from rlite.cli.options import SETTINGS

COMMANDS = {
    "inspect": ("rlite.cli.snapshot_inspect", "inspect"),
    "diff": ("rlite.cli.snapshot_diff", "diff"),
    "convert": ("rlite.cli.snapshot_convert", "convert"),
}


class Lazy(click.Group):
    """Imports a command when it is used, or when help lists it."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        place = COMMANDS.get(name)
        if place is None:
            return None
        found = getattr(import_module(place[0]), place[1])
        assert isinstance(found, click.Command)
        return found


@click.group(cls=Lazy, context_settings=SETTINGS)
def snapshot() -> None:
    """Looks into RDB files, compares them, and turns them into other forms.

    \b
    Examples:
      rlite snapshot inspect dump.rdb
      rlite snapshot diff before.rdb after.rdb
      rlite snapshot convert dump.rdb dump.ndjson
    """
