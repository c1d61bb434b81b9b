"""Imports run one way: cli -> server -> http, replication, persistence, observe -> commands -> types,
scripting -> core.

A row may import what stands below it, never what stands above. Small value modules may be imported by all.
"""

import ast
import re
from pathlib import Path

import pytest

import rlite

ROOT = Path(rlite.__file__).parent
RANKS = {
    "core": 0,
    "types": 1,
    "scripting": 1,
    "commands": 2,
    "http": 3,
    "replication": 3,
    "persistence": 3,
    "observe": 3,
}
SERVER, CLI = 4, 5
# Values and formats that belong to no row: they import nothing of rlite but each other (and, where named, the
# core).
ANYWHERE = {
    "addresses",
    "errors",
    "reply",
    "version",
    "split_args",
    "directives",
    "config",
    "redisconf",
    "values",
    "logs",
    "client",
}
CORE_ALLOWED = {"config": "glob", "client": "resp", "redisconf": "glob"}
HEAVY = {"click", "rich", "textual"}


def sources() -> list[Path]:
    return sorted(path for kind in ("*.py", "*.pyx", "*.pxd") for path in ROOT.rglob(kind))


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """The modules a source imports when it runs; imports for type checkers do not count."""
    text = path.read_text()
    if path.suffix != ".py":
        return set(re.findall(r"^from (\S+) c?import", text, re.MULTILINE))
    tree = ast.parse(text)
    quiet = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in quiet:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def rank(module: str) -> int | None:
    """The row of a module; None for what belongs to no row."""
    parts = module.split(".")
    if parts[:2] == ["rlite", "cli"]:
        return CLI
    if parts[:2] == ["rlite", "pytest_plugin"] or len(parts) < 3 or parts[1] != "engine":
        return SERVER + 1 if parts[:2] == ["rlite", "pytest_plugin"] else None
    if parts[2] in ("server", "engine"):
        return SERVER
    return RANKS.get(parts[2])


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_below_it(path: Path) -> None:
    module = module_of(path)
    parts = module.split(".")
    own = rank(module)
    for name in imported(path):
        target = rank(name)
        if not name.startswith("rlite.") or target is None:
            continue
        if len(parts) > 2 and parts[2] in ANYWHERE:
            allowed = CORE_ALLOWED.get(parts[2])
            assert allowed, f"{module} is for all to import, and imports {name}"
            assert name.startswith(f"rlite.engine.core.{allowed}"), f"{module} imports {name}"
        elif own is not None:
            assert target <= own, f"{module} imports {name}, which stands above it"


@pytest.mark.parametrize("path", sorted((ROOT / "engine").rglob("*.py")), ids=lambda path: path.name)
def test_the_engine_imports_nothing_of_the_command_line(path: Path) -> None:
    for name in imported(path):
        assert name.split(".")[0] not in HEAVY
        assert not name.startswith("rlite.cli")


def test_the_rows_are_those_of_the_package() -> None:
    """A new folder must be given its place here."""
    folders = {
        path.name for path in (ROOT / "engine").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert folders == set(RANKS)
    modules = {path.stem for path in (ROOT / "engine").glob("*.py")} - {"__init__"}
    assert modules <= ANYWHERE | {"server", "engine"}
