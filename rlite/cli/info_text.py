"""What INFO says, as values: the text of any Redis-compatible server, of any version.

Pure. Names and values are the server's own words, to be escaped before a terminal sees them.
"""

from collections.abc import Mapping

from rlite.engine.observe import typed_info
from rlite.engine.observe.typed_info import INTEGER, Typed, parts

__all__ = ["flat", "number", "parts", "sections", "typed"]


def sections(text: bytes | str) -> dict[str, dict[str, str]]:
    """The fields of each section, by its name in small letters; fields before any section stand under ""."""
    shown = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    found: dict[str, dict[str, str]] = {}
    fields: dict[str, str] | None = None
    for line in shown.split("\n"):
        said = line.rstrip("\r")
        if said.startswith("#"):
            fields = found.setdefault(said.lstrip("# ").lower(), {})
        elif ":" in said:
            if fields is None:
                fields = found.setdefault("", {})
            name, _, value = said.partition(":")
            fields[name] = value
    return found


def flat(text: bytes | str) -> dict[str, str]:
    """All fields, without their sections."""
    return {name: value for fields in sections(text).values() for name, value in fields.items()}


def number(fields: Mapping[str, str], name: str, default: int = 0) -> int:
    """A whole number; the default where the server does not say it, or says something else."""
    value = fields.get(name, "")
    return int(value) if INTEGER.fullmatch(value) else default


def typed(name: str, value: str) -> Typed:
    """A field for JSON: numbers as numbers, `a=1,b=2` as an object; a percentage stays text."""
    return typed_info.typed(name, value, percents=False)
