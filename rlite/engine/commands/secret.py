"""What of a command's arguments must not be shown: passwords, for MONITOR and for logs. Touches nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlite.engine.directives import BY_NAME

if TYPE_CHECKING:
    from rlite.engine.commands.declare import Command

REDACTED = b"(redacted)"


def without_secrets(command: "Command", args: Sequence[bytes]) -> list[bytes]:
    """The arguments with what is secret of them replaced, as Redis replaces it."""
    shown = list(args)
    for at in _secrets(command.name, args):
        if at < len(shown):
            shown[at] = REDACTED
    return shown


def _secrets(name: str, args: Sequence[bytes]) -> list[int]:
    match name:
        case "AUTH":
            return list(range(1, len(args)))
        case "HELLO" | "MIGRATE":
            places: list[int] = []
            for at, word in enumerate(args):
                upper = word.upper()
                if upper == b"AUTH":
                    places += [at + 1, at + 2] if name == "HELLO" else [at + 1]
                elif upper == b"AUTH2":
                    places += [at + 1, at + 2]
            return places
        case "CONFIG SET":
            return [at + 1 for at in range(2, len(args), 2) if _is_sensitive(args[at])]
    return []


def _is_sensitive(directive: bytes) -> bool:
    row = BY_NAME.get(directive.decode("latin-1").lower())
    return row is not None and row.sensitive
