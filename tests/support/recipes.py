"""The commands and files that docs/replication.md shows, to be run as they stand there, on other addresses.

A fenced block is found by the comment above it: `<!-- test: import -->`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "replication.md"
PORT = 6379
Address = tuple[str, int]


def block(name: str) -> str:
    """The text between the fences below the comment that names it."""
    found = re.findall(
        rf"^<!-- test: {re.escape(name)} -->\n```\w*\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(found) == 1, f"{PAGE.name} has {len(found)} blocks called {name!r}"
    text: str = found[0]
    return text


def placed(text: str, addresses: Mapping[Address, Address]) -> str:
    """The text with other addresses in the places of the documented ones, which must all be known.

    An address is written `host:port`, `host port`, `-h host -p port`, `-h host` when the port is 6379,
    `--port 6379 --bind host` or `("host", port`.
    """
    for (host, port), (there, its) in addresses.items():
        shapes = {
            f"{host}:{port}": f"{there}:{its}",
            f"{host} {port}": f"{there} {its}",
            f"-h {host} -p {port}": f"-h {there} -p {its}",
            f"--port {port} --bind {host}": f"--port {its} --bind {there}",
            f'("{host}", {port}': f'("{there}", {its}',
        }
        for shape, instead in shapes.items():
            text = re.sub(re.escape(shape) + r"(?!\d)", instead, text)
    for (host, port), (there, its) in addresses.items():
        if port == PORT:
            text = re.sub(rf"-h {re.escape(host)}(?! -p)(?!\d)", f"-h {there} -p {its}", text)
    left = re.findall(r"\b10\.0\.0\.\d+", text)
    assert not left, f"no address given for {left} in:\n{text}"
    return text


def run(
    name: str,
    addresses: Mapping[Address, Address],
    directory: Path,
    *,
    instead: Mapping[str, str] | None = None,
) -> str:
    """Run a block's commands in a shell, one after the other; the first that fails ends it. Its output.

    `instead`: words that the test must have otherwise.
    """
    commands = placed(block(name), addresses)
    for words, other in (instead or {}).items():
        assert words in commands, f"{name}: no {words!r} in:\n{commands}"
        commands = commands.replace(words, other)
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # our own rlite
        cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{name}: exit code {done.returncode}:\n{done.stdout}"
    # redis-cli ends with 0 when a server has answered an error.
    refused = re.search(r"^(\(error\)|ERR|READONLY|NOAUTH|NOREPLICAS|MISCONF) .*", done.stdout, re.MULTILINE)
    assert refused is None, done.stdout
    return done.stdout
