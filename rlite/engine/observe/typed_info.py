"""INFO as values: numbers as numbers, `a=1,b=2` as an object; what is a name stays text.

Pure functions over the text of single fields, so that they serve for any server's INFO, ours or another's.
"""

import re
from collections.abc import Mapping

Plain = str | int | float
Typed = Plain | dict[str, Plain]

INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+", re.ASCII)
PERCENT = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,18})?)%")
# Names and identifiers, which may happen to look like numbers.
TEXTS = re.compile(
    r"(.*_)?(version|build_id|run_id|sha1|replid2?|host|ip|addr|name)|os|executable|config_file|bind|state",
    re.ASCII,
)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*", re.ASCII)


def parts(text: str) -> dict[str, str]:
    """The parts of a value like `ip=127.0.0.1,port=6380,state=online`; nothing where it is not one. A part
    without an equals sign belongs to the value before it, as the addresses of a listener do.
    """
    found: dict[str, str] = {}
    last = ""
    for part in text.split(","):
        name, equals, said = part.partition("=")
        if equals and NAME.fullmatch(name):
            found[name], last = said, name
        elif last:
            found[last] += f",{part}"
        else:
            return {}
    return found


def plain(field: str, text: str) -> Plain:
    """A number where it is one, else the words."""
    if TEXTS.fullmatch(field):
        return text
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if DECIMAL.fullmatch(text) else text


def typed(field: str, text: str, *, percents: bool = True) -> Typed:
    """The value of one field. percents: `98.50%` is a number too."""
    inner = parts(text)
    if inner:
        return {name: plain(name, value) for name, value in inner.items()}
    percent = PERCENT.fullmatch(text) if percents else None
    return float(percent[1]) if percent else plain(field, text)


def typed_section(fields: Mapping[str, object]) -> dict[str, Typed]:
    """The fields of one section."""
    return {name: typed(name, str(value)) for name, value in fields.items()}
