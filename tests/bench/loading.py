"""Loading a log at start: SETs of 16-byte keys and 32-byte values, drawn from 100,000 keys.

Our own log, and Redis's file of the same commands (plain RESP, which both load). What is told is what each
server's log says of it ("DB loaded from ..."); the start of the process is not in it.
"""

import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.servers import Server, start_redis, start_rlite
from support.wire import Int

from bench.common import Options, Result, median
from rlite.engine.core.records import sealed
from rlite.engine.persistence import manifest
from rlite.engine.persistence.manifest import Manifest
from rlite.engine.persistence.segment import Header

KEYS = 100_000
CASES = ((3_000_000, "3,000,000 SETs"), (KEYS, "100,000 keys, each once"))
SAID = {
    "redis": re.compile(r"DB loaded from (?:incr|base) file .*: (\d+\.\d+) seconds"),
    "rlite": re.compile(r"DB loaded from append only file(?: of Redis)?: (\d+\.\d+) seconds"),
}
DIRECTIVES = {"appendonly": "yes", "save": "", "appendfsync": "no"}


def commands(count: int) -> Iterator[bytes]:
    """So many SETs; all keys come once before any comes twice."""
    value = b"x" * 32
    drawn = random.Random(1)
    for number in range(count):
        key = number if number < KEYS else drawn.randrange(KEYS)
        yield b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$32\r\n%b\r\n" % (key, value)


def write(count: int, ours: Path, theirs: Path) -> None:
    """The same commands as our log under one directory, and as Redis's under another."""
    for directory in (ours, theirs):
        (directory / "appendonlydir").mkdir(parents=True)
    header, offset = Header.new("0123456789" * 4, 0), 0
    with (
        (ours / "appendonlydir" / "appendonly.1.aof").open("wb") as log,
        (theirs / "appendonlydir" / "appendonly.aof.1.incr.aof").open("wb") as plain,
    ):
        log.write(header.packed())
        plain.write(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n")
        for resp in commands(count):
            log.write(sealed(resp, offset, header.made_ms, 0, header.seed))
            plain.write(resp)
            offset += len(resp)
    manifest.write(
        ours / "appendonlydir" / "appendonly.manifest",
        Manifest(header.history, segments=("appendonly.1.aof",)),
    )
    (theirs / "appendonlydir" / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.incr.aof seq 1 type i\n"
    )


@contextmanager
def copied(directory: Path) -> Iterator[Path]:
    """A copy that a server may change; its files are in the page cache then."""
    with tempfile.TemporaryDirectory(prefix="rl-load-") as place:
        copy = Path(place) / "data"
        shutil.copytree(directory, copy)
        os.sync()  # so that the disk is not busy with it while somebody loads
        yield copy


def seconds(kind: str, directory: Path) -> float:
    """How long a server of this kind says that loading took."""
    with copied(directory) as place:
        start = start_redis if kind == "redis" else start_rlite
        server: Server = start(place, DIRECTIVES)
        try:
            with server.wire() as wire:
                assert wire.command("DBSIZE") == Int(KEYS)
            found = SAID[kind].findall(server.log())
            assert found, server.log()
            return sum(map(float, found))
        finally:
            server.kill9()


def measure(options: Options) -> Result:
    """Each run loads all three, one after the other."""
    rows, data = [], {}
    for count, name in CASES:
        with tempfile.TemporaryDirectory(prefix="rl-log-") as place:
            ours, theirs = Path(place) / "ours", Path(place) / "theirs"
            write(count, ours, theirs)
            runs = [
                (seconds("rlite", ours), seconds("rlite", theirs), seconds("redis", theirs))
                for _ in range(min(options.runs, 5))
            ]
        own, foreign, redis = (median(run[column] for run in runs) for column in range(3))
        rows.append((name, f"{own:.3f}", f"{foreign:.3f}", f"{redis:.3f}", f"{redis / own:.2f}"))
        data[name] = runs
    headers = ("seconds to load", "rlite, its log", "rlite, Redis's", "redis", "times as fast")
    return Result("loading", headers, rows, data)
