"""`rlite info`: what a server says of itself, as a table or as typed values."""

import click

from rlite.cli.asking import connected, info_text, refusal
from rlite.cli.exits import Exit
from rlite.cli.info_text import sections, typed
from rlite.cli.options import SETTINGS, Target, output_option, server_options
from rlite.cli.output import Csv, aligned, document, escaped, line, note
from rlite.engine.client import Connection
from rlite.engine.errors import CommandError, RliteError

SCHEMA = "rlite.info/1"
FIELD_SCHEMA = "rlite.info.field/1"

Sections = dict[str, dict[str, str]]


@click.command(context_settings=SETTINGS)
@click.argument("names", nargs=-1, metavar="[SECTION]...")
@server_options()
@output_option()
def info(names: tuple[str, ...], *, target: Target, output: str) -> int:
    """Prints what INFO says, of rlite or any Redis: all sections, or those that are named (replication,
    memory, commandstats, all, everything). In JSON numbers are numbers, and what has parts is an object.

    \b
    Examples:
      rlite info
      rlite info memory clients -p 6380
      rlite info -o json | jq .sections.replication.connected_slaves
      rlite info commandstats -o csv

    Exit code 1: the server has nothing to say of a section.
    """
    try:
        with connected(target) as connection:
            found = read(connection, names)
    except CommandError as fault:
        raise RliteError(f"{target}: {refusal(fault, 'tell about itself')}") from None
    FORMS[output](found, str(target))
    missing = [name for name in names if not found.get(name.lower()) and name.lower() not in SETS]
    for name in missing:
        note(f"rlite: {target} says nothing of {escaped(name)}")
    return Exit.NOT_SO if missing or not found else Exit.FINE


# Names that stand for several sections.
SETS = ("default", "all", "everything")


def read(connection: Connection, names: tuple[str, ...]) -> Sections:
    """The sections, each asked for alone: older servers take one name at a time. Raises CommandError."""
    found: Sections = {}
    for name in names or ("",):
        found |= sections(info_text(connection, name))
    return found


def print_table(found: Sections, where: str) -> None:
    for number, (section, fields) in enumerate(found.items()):
        rows = [(escaped(name), escaped(value)) for name, value in fields.items()]
        head = escaped(section) or escaped(where)
        click.echo(("\n" if number else "") + aligned((head, ""), rows or [("(nothing)", "")]))


def print_json(found: Sections, where: str) -> None:
    shown = {
        section: {name: typed(name, value) for name, value in fields.items()}
        for section, fields in found.items()
    }
    document(SCHEMA, {"server": where, "sections": shown})


def print_ndjson(found: Sections, where: str) -> None:
    for section, fields in found.items():
        for name, value in fields.items():
            field = {"section": section, "name": name, "value": typed(name, value)}
            line(FIELD_SCHEMA, {"server": where, **field})


def print_csv(found: Sections, _where: str) -> None:
    table = Csv(("section", "name", "value"))
    for section, fields in found.items():
        for name, value in fields.items():
            table.row((escaped(section), escaped(name), escaped(value)))


FORMS = {"table": print_table, "json": print_json, "ndjson": print_ndjson, "csv": print_csv}
