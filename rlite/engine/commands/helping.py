"""The HELP of a container, told from the declarations of its subcommands. Touches no data."""

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import REGISTRY, command
from rlite.engine.errors import CommandError, printable
from rlite.engine.reply import Reply, Simple


def subcommand_syntax(call: Call) -> CommandError:
    """The error of a subcommand that was given arguments it knows no use for."""
    name = call.command.name.partition(" ")[0]
    return CommandError(errors.SUBCOMMAND_SYNTAX % (printable(call.args[1]), name))


def lines(name: str, entries: list[tuple[str, str]]) -> Reply:
    """The reply of `NAME HELP`: entries are (how to call it, what it does)."""
    told = [f"{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for usage, what in entries:
        told += [usage, f"    {what}"]
    return [Simple(line) for line in told]


def declare_help(name: str, *, since: str, group: str, flags: str = "loading stale", acl: str = "") -> None:
    """Declares `NAME HELP` for a container; call it after its subcommands are declared."""

    @command(
        f"{name} HELP", arity=2, flags=flags, group=group, since=since, complexity="O(1)", acl=acl,
        summary="Tells what the subcommands are.",
    )  # fmt: skip
    def help_(_call: Call) -> Reply:
        subcommands = REGISTRY[name].subcommands.values()
        return lines(name, [(each.syntax.removeprefix(f"{name} "), each.summary) for each in subcommands])
