"""What INFO says, as values: the text of any Redis-compatible server, of any version.

Pure. Names and values are the server's own words, to be escaped before a terminal sees them.
"""

import re
from collections.abc import Mapping

Value = int | float | str | dict[str, "int | float | str"]

_INT = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
_PART = re.compile(r"[A-Za-z][A-Za-z0-9_.]*", re.ASCII)
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+", re.ASCII)
# Fields whose words look like numbers and are none.
_WORDS = re.compile(r"(.*_)?(version|build_id|run_id|sha1|replid2?|host|ip|addr|name)", re.ASCII)


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
    return int(value) if _INT.fullmatch(value) else default


def parts(value: str) -> dict[str, str]:
    """The parts of a value like `ip=127.0.0.1,port=6380,state=online`; nothing where it is not one. A part
    may hold commas itself, as the addresses of a listener do.
    """
    found: dict[str, str] = {}
    last = ""
    for part in value.split(","):
        name, equals, said = part.partition("=")
        if equals and _PART.fullmatch(name):
            found[name], last = said, name
        elif last:
            found[last] += f",{part}"
        else:
            return {}
    return found


def plain(name: str, value: str) -> int | float | str:
    """A number where it is one, else the words."""
    if _WORDS.fullmatch(name):
        return value
    if _INT.fullmatch(value):
        return int(value)
    return float(value) if _FLOAT.fullmatch(value) else value


def typed(name: str, value: str) -> Value:
    """A field for JSON: numbers as numbers, `a=1,b=2` as an object."""
    inner = parts(value)
    return {part: plain(part, said) for part, said in inner.items()} if inner else plain(name, value)
