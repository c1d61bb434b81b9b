r"""Programs of commands, written as text and read as bytes.

One command a line, its arguments quoted as redis-cli quotes: "a b", "\x00\n\"", 'raw'. Before the command
may stand, in this order, `b|` (the connection it goes to; the first is `a`) and `@about` (how its two replies
must agree, see differential.py; the default is byte for byte). Lines that begin with # say why.
"""

import re
from dataclasses import dataclass

import pytest

_TOKEN = re.compile(rb"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+))""", re.DOTALL)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_PREFIX = re.compile(rb"\s*(?:([a-z])\|)?\s*(?:@([a-z]+)\s)?")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a program."""

    args: tuple[bytes, ...]
    agreement: str = "exact"
    connection: str = "a"

    def __str__(self) -> str:
        words = " ".join(quote(arg) for arg in self.args)
        mark = "" if self.agreement == "exact" else f"@{self.agreement} "
        return f"{self.connection}| {mark}{words}"


def quote(arg: bytes) -> str:
    """An argument as a program would write it."""
    if re.fullmatch(rb"[!#-&(-~]+", arg):
        return arg.decode()
    if len(arg) > 200:
        return f"{quote(arg[:50])}...({len(arg)} bytes)"
    return '"' + "".join(map(_escape, arg)) + '"'


def _escape(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}"


def _unescape(match: re.Match[bytes]) -> bytes:
    what: bytes = match[1]
    return bytes([int(what[1:], 16)]) if len(what) == 3 else _NAMED.get(what, what)


def words(text: bytes) -> tuple[bytes, ...]:
    """The arguments of one line."""
    found: list[bytes] = []
    for double, single, bare in _TOKEN.findall(text):
        found.append(bare or single or _ESCAPE.sub(_unescape, double))
    return tuple(found)


def program(text: str) -> tuple[Step, ...]:
    """The steps of a program, read from its text."""
    steps: list[Step] = []
    for line in text.encode().splitlines():
        if not line.strip() or line.lstrip().startswith(b"# "):
            continue
        prefix = _PREFIX.match(line)
        assert prefix is not None
        connection, agreement = prefix[1] or b"a", prefix[2] or b"exact"
        args = words(line[prefix.end() :])
        assert args, f"a line without a command: {line!r}"
        steps.append(Step(args, agreement.decode(), connection.decode()))
    return tuple(steps)


def programs(text: str) -> dict[str, tuple[Step, ...]]:
    """Many programs: each begins with a line `== its name`, and the name is a sentence about behaviour."""
    found: dict[str, tuple[Step, ...]] = {}
    for part in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        assert name.strip() not in found, f"two programs are called {name!r}"
        found[name.strip()] = program(body)
    assert found, "no program in this text"
    return found


MODES = {
    "resp2": {"protocol": 2, "pipelined": False},
    "resp3": {"protocol": 3, "pipelined": False},
    "pipelined": {"protocol": 2, "pipelined": True},
}


def each_program(text: str) -> pytest.MarkDecorator:
    """Parametrize `steps` and `mode` over the programs of a text: RESP2, RESP3, and all in one packet."""
    cases = [
        pytest.param(steps, options, id=f"{name}-{mode}")
        for name, steps in programs(text).items()
        for mode, options in MODES.items()
        if mode != "pipelined" or {step.connection for step in steps} == {"a"}
    ]
    return pytest.mark.parametrize(("steps", "mode"), cases)
