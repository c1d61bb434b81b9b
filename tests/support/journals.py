"""Servers with a log, as the tests of the log need them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlite.engine.persistence import manifest
from rlite.engine.persistence.manifest import Manifest
from support.servers import Server, start_rlite, wait_for
from support.wire import Bulk, Reply

LOG = {"appendonly": "yes", "enable-debug-command": "yes", "auto-aof-rewrite-percentage": "0"}


def start(directory: Path, **more: str) -> Server:
    return start_rlite(directory, {**LOG, **{name.replace("_", "-"): value for name, value in more.items()}})


@contextmanager
def served(directory: Path, **more: str) -> Iterator[Server]:
    server = start(directory, **more)
    try:
        yield server
    finally:
        server.kill9()


def named(directory: Path) -> Manifest:
    return manifest.read(directory / "appendonlydir" / "appendonly.manifest")


def there(directory: Path) -> set[str]:
    """The files of the log."""
    return {path.name for path in (directory / "appendonlydir").iterdir()}


def info(server: Server, field: str) -> str:
    with server.wire() as wire:
        reply = wire.command("INFO", "persistence")
    assert isinstance(reply, Bulk)
    return dict(line.split(":", 1) for line in reply.data.decode().splitlines() if ":" in line)[field]


def wait_rewritten(server: Server, times: int = 1) -> None:
    wait_for(lambda: info(server, "aof_rewrites") == str(times), "a rewrite", seconds=30)
    wait_for(lambda: info(server, "aof_rewrite_in_progress") == "0", "the end of the rewrite")


def digest(server: Server) -> Reply:
    with server.wire() as wire:
        return wire.command("DEBUG", "DIGEST")


def fill(server: Server, first: int = 0, count: int = 300) -> None:
    """Values of every type, some in another database, some with deadlines."""
    with server.wire() as wire:
        for n in range(first, first + count):
            wire.command("SET", f"string:{n}", "v" * (n % 100))
            wire.command("RPUSH", f"list:{n % 7}", n, f"item {n}")
            wire.command("HSET", f"hash:{n % 5}", f"field:{n}", n)
            wire.command("SADD", f"set:{n % 3}", n)
            wire.command("ZADD", f"zset:{n % 3}", n / 7, f"member:{n}")
            wire.command("XADD", f"stream:{n % 2}", "*", "n", n)
            wire.command("PEXPIRE", f"string:{n}", 10_000_000)
        wire.command("SELECT", 5)
        wire.command("SET", f"elsewhere:{first}", 1)
        wire.command("XGROUP", "CREATE", "stream", "group", "0", "MKSTREAM")
