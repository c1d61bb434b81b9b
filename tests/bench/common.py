"""What the benchmarks share: the contestants, the options, a result, and ways to fill a server."""

import atexit
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from support.servers import Server, running, start_redis, start_rlite
from support.wire import Simple

# One I/O thread each: the comparison is of the work done, not of the cores taken. Nothing is kept on disk but
# where a benchmark is about that.
_DIRECTIVES = {"io-threads": "1", "appendonly": "no", "save": ""}
STARTS: Mapping[str, tuple[Callable[..., Server], Mapping[str, str]]] = {
    "rlite": (start_rlite, _DIRECTIVES),
    "redis": (start_redis, _DIRECTIVES),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line chose; each benchmark reads what concerns it."""

    ours: str = "rlite"
    theirs: str = "redis"
    runs: int = 5
    seconds: float = 3.0
    pipelines: tuple[int, ...] = (1, 16, 64)
    tests: tuple[str, ...] = ("get", "set", "incr", "mset")
    keys: int = 1_000_000
    fill: int = 10_000_000
    requests: int = 1_000_000
    cap: float = 60.0
    rate: int = 100_000


@dataclass(frozen=True, slots=True)
class Result:
    """A table to print, and the same and more as data."""

    name: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]
    data: Any = field(default_factory=dict)

    def text(self) -> str:
        """The table, its columns aligned."""
        table = [self.headers, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.headers))]
        lines = [
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in table
        ]
        return "\n".join([f"== {self.name}", lines[0], "-" * len(lines[0]), *lines[1:]])


@contextmanager
def contestants(
    options: Options, *directives: Mapping[str, str], parent: Path | None = None
) -> Iterator[tuple[Server, Server]]:
    """Ours and theirs, freshly started. The same name twice starts two of that kind (to see the noise).

    directives: more of them, of both, or of ours and of theirs; parent: where their directories are made.
    """
    names = (options.ours, options.theirs)
    more = directives if len(directives) == 2 else (directives or ({},)) * 2
    with ExitStack() as stack:
        pair = []
        for name, own in zip(names, more, strict=True):
            start, always = STARTS[name]
            pair.append(stack.enter_context(running(start, {**always, **own}, parent=parent)))
        yield pair[0], pair[1]


def on_disk() -> Path | None:
    """A directory for temporary files that is on a disk, not in memory; None: the usual one is."""
    for place in (Path(tempfile.gettempdir()), Path("/var/tmp")):
        if place.is_dir() and _file_system(place) not in ("tmpfs", "ramfs"):
            return place
    print("no temporary directory on a disk: what follows is measured in memory", file=sys.stderr)
    return None


def _file_system(place: Path) -> str:
    """The kind of file system that a path is on, by the longest mount point above it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(mount[1], mount[2]) for mount in mounts if place.resolve().is_relative_to(mount[1])]
    return max(above, key=lambda mount: len(mount[0]))[1]


def send_in_chunks(server: Server, commands: Iterable[Sequence[bytes]], chunk: int = 1000) -> None:
    """Send commands that all answer +OK, a chunk in flight at a time."""
    batch: list[bytes] = []
    with server.wire(timeout=120) as wire:

        def flush() -> None:
            wire.send_raw(b"".join(batch))
            for _ in batch:
                assert wire.read_reply() == Simple(b"OK")
            batch.clear()

        for args in commands:
            parts = b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)
            batch.append(b"*%d\r\n%b" % (len(args), parts))
            if len(batch) == chunk:
                flush()
        flush()


def fill(server: Server, count: int, value: bytes) -> None:
    """Keys of 16 bytes, named as redis-benchmark names them, ten a command."""
    names = (b"key:%012d" % index for index in range(count))
    pairs = (word for name in names for word in (name, value))
    send_in_chunks(server, ((b"MSET", *first) for first in _groups(pairs, 20)), chunk=100)


def _groups(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def program(name: str, package: str) -> str:
    """The path of a program, or an end with the Debian package that brings it."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} not found: apt-get install {package}")
    return found


@cache
def _loadgen() -> str:
    directory = tempfile.mkdtemp(prefix="rl-loadgen-")
    atexit.register(shutil.rmtree, directory)
    binary = Path(directory) / "loadgen"
    source = Path(__file__).with_name("loadgen.c")
    subprocess.run([program("cc", "gcc"), "-O2", "-o", str(binary), str(source)], check=True)
    return str(binary)


def loadgen(
    server: Server, *, clients: int, requests: int, gets: int, keys: int, size: int
) -> dict[str, float]:
    """One run of loadgen.c: latencies in µs. `keys` 0 writes a new key each time."""
    numbers = map(str, (server.port, clients, requests, gets, keys, size))
    done = subprocess.run([_loadgen(), *numbers], check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return statistics.median(list(values))
