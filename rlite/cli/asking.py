"""Asking a running server something, with its refusals in words for who runs the command."""

from rlite.cli.options import Target
from rlite.cli.output import escaped
from rlite.engine.client import Connection
from rlite.engine.errors import CommandError, RliteError


def connected(target: Target) -> Connection:
    """A connection to a server, logged in. Raises RliteError, with the reason in words."""
    try:
        return target.connect()
    except CommandError as fault:
        raise RliteError(f"{target}: {refusal(fault, 'let anybody in')}") from None


def info_text(connection: Connection, section: str = "") -> bytes:
    """What INFO says, of one section or as it is without any. Raises CommandError, RliteError."""
    reply = connection.command("INFO", *([section] if section else []))
    if not isinstance(reply, bytes):
        raise RliteError(f"{connection.where} answered INFO with something else")
    return reply


def refusal(fault: CommandError, doing: str) -> str:
    """What an error reply means, for who runs the command. doing: what was asked of the server."""
    text = escaped(fault.text)
    word = fault.text.partition(" ")[0]
    if word == "NOAUTH":
        return "it asks for a password: REDISCLI_AUTH, --password-file or -a"
    if word == "WRONGPASS" or "invalid password" in fault.text:
        return "it refuses the password, or the name of the user"
    if word == "NOPERM":
        return f"its user may not {doing}: {text}"
    if "unknown command" in fault.text:
        return f"it has no command to {doing}: {text}"
    return f"it refuses to {doing}: {text}"


def asked(connection: Connection, doing: str, *words: str | int) -> None:
    """Has a server do something. Raises RliteError with its reason."""
    try:
        connection.command(*words)
    except CommandError as fault:
        raise RliteError(f"{connection.where}: {refusal(fault, doing)}") from None
