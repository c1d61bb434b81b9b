"""What a tool prints: tables for people, JSON, NDJSON and CSV for programs, bytes made safe for terminals.

Data goes to standard output, all else to standard error. A table on no terminal is the same text, without
colour. Each JSON document, and each line of NDJSON, names its schema.
"""

import base64
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

import click

FORMS = ("table", "json", "ndjson", "csv")

_NAMED = {0x07: "\\a", 0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x22: '\\"', 0x5C: "\\\\"}


def escaped(data: bytes | str, limit: int = 0) -> str:
    r"""Bytes of a client or a file, for a line of text: what a terminal could act on becomes \x1b, \n and so
    on; UTF-8 letters stay. limit: characters after which it is cut with `...`; 0: never.
    """
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    shown = "".join(_NAMED.get(ord(c)) or (c if c.isprintable() else _hex(c)) for c in text)
    return shown if not limit or len(shown) <= limit else shown[: max(limit - 3, 0)] + "..."


def _hex(character: str) -> str:
    point = ord(character)
    raw = bytes([point - 0xDC00]) if 0xDC80 <= point <= 0xDCFF else character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def name_fields(name: bytes, label: str = "key") -> dict[str, str]:
    """A name in JSON: as it is where it is UTF-8; else escaped, and beside it without loss as base64."""
    try:
        return {label: name.decode("utf-8")}
    except UnicodeDecodeError:
        return {label: escaped(name), f"{label}_b64": base64.b64encode(name).decode("ascii")}


def path_text(path: os.PathLike[str] | str) -> str:
    """A file's name for people: names are given by strangers, too."""
    return escaped(os.fsencode(path)).replace('\\"', '"')


def size_text(count: int) -> str:
    """Bytes for people: `512 bytes`, `1.5 KiB`, `3.2 GiB`."""
    if count < 1024:
        return f"{count} byte{'' if count == 1 else 's'}"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def aligned(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()) -> str:
    """A table of plain text: columns as wide as their widest cell; right: columns that are set to the right.
    Empty where there are no rows.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    table = [list(headers), *cells]
    widths = [max(len(row[column]) for row in table) for column in range(len(headers))]
    to_right = set(right)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at in to_right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def document(schema: str, content: Mapping[str, object]) -> None:
    """Prints one JSON document."""
    click.echo(json.dumps({"schema": schema, **content}, indent=2))


def line(schema: str, content: Mapping[str, object]) -> None:
    """Prints one line of NDJSON, at once."""
    click.echo(json.dumps({"schema": schema, **content}, separators=(",", ":")))


class Csv:
    """Rows of CSV on standard output, the names of the columns first."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._row(columns)

    def row(self, cells: Iterable[object]) -> None:
        self._row(["" if cell is None else cell for cell in cells])

    @staticmethod
    def _row(cells: Sequence[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        click.echo(text.getvalue(), nl=False)


def note(text: str) -> None:
    """A line for people on standard error."""
    click.echo(text, err=True)


def on_terminal() -> bool:
    """Whether somebody can be asked: both standard input and standard error are terminals."""
    return sys.stdin.isatty() and sys.stderr.isatty()
