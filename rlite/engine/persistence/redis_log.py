"""Redis's append-only file, loaded in each of its forms; nothing is changed in it.

One file `NAME.aof` (7.0 and before: plain RESP, or a snapshot and RESP behind it), or the files that
`NAME.aof.manifest` lists: a base and what came after it. There are no checksums, so what is an unfinished end
has to be guessed: whole commands behind the fault say that it is damage.
"""

import logging
import mmap
import re
from pathlib import Path

from rlite.engine.commands.context import Context, Loading
from rlite.engine.commands.declare import REGISTRY
from rlite.engine.config import Config
from rlite.engine.core.replay import Replay
from rlite.engine.errors import printable
from rlite.engine.persistence import redis_manifest, replaying
from rlite.engine.persistence.feeding import feed, load_preamble
from rlite.engine.persistence.outcome import (
    Cut,
    DamageError,
    Plan,
    Recovered,
    RecoveryError,
    Source,
    advice,
    told,
)
from rlite.engine.persistence.redis_manifest import RedisManifestError

log = logging.getLogger("rlite")
RDB_MAGIC = b"REDIS"
HEAD = re.compile(rb"\*([1-9][0-9]{0,6})\r\n\$([1-9][0-9]?)\r\n([A-Za-z]+)\r\n")


# --- finding -----------------------------------------------------------------------------------------------


def plan(directory: Path, config: Config) -> Plan | None:
    """A log of Redis under a data directory; None: there is none. Raises RecoveryError, OSError."""
    name = config.text("appendfilename")
    inner = directory / config.text("appenddirname")
    path = inner / f"{name}.manifest"
    if path.exists():
        paths = _listed(path)
    else:
        paths = [each for each in (directory / name, inner / name) if each.is_file()][:1]
        if not paths:
            return None
    for each in paths:
        if not each.exists():
            raise RecoveryError(f"{each} is missing, and {path.name} names it. {advice(inner)}")
    return Plan(Source.REDIS_LOG, inner, tuple(paths), sum(each.stat().st_size for each in paths))


def _listed(path: Path) -> list[Path]:
    """The files that a manifest names, in order. Raises RecoveryError, OSError."""
    try:
        return [path.with_name(name) for name in redis_manifest.read(path).files]
    except RedisManifestError as fault:
        raise RecoveryError(f"{path}: {fault}") from None


# --- loading -----------------------------------------------------------------------------------------------


class RedisLog:
    """One loading of a log of Redis."""

    def __init__(self, found: Plan, server: Context, progress: Loading, *, truncated: bool) -> None:
        self.found, self.keyspace, self.progress, self.truncated = found, server.keyspace, progress, truncated
        self.replay = Replay(
            server.keyspace, server.table, replaying.runner(server, progress.stop), strict=False
        )
        self.broken = 0  # bytes from the first command that is not run to the first that is not whole
        self.cut: list[Cut] = []

    def load(self) -> Recovered:
        for path in self.found.files:
            self.file(path, last=path == self.found.files[-1])
        if self.replay.failure is not None:
            args, error = self.replay.failure
            log.warning(
                "%d commands of the log answered with an error, as they do for Redis; the first: %s: %s",
                self.replay.failed, printable(args[0]), error,
            )  # fmt: skip
        return Recovered(
            Source.REDIS_LOG, commands=self.replay.running, failed=self.replay.failed, cut=tuple(self.cut)
        )

    def file(self, path: Path, *, last: bool) -> None:
        size, at = path.stat().st_size, 0
        if size == 0:
            return
        with path.open("rb", buffering=0) as file:
            if file.read(len(RDB_MAGIC)) == RDB_MAGIC:
                before = self.progress.loaded
                at = load_preamble(path, self.keyspace, self.progress).end
                self.progress.loaded = before + at
            self.replay.selected = 0

            def run(data: bytearray, held: int, left: int) -> tuple[str, int]:
                self.replay.longest = left
                why, done = self.replay.commands(data, held, 0, held)
                self.progress.commands = self.replay.running
                self.broken = self.replay.broken_at - done
                return why, done

            if at < size:
                why, at = feed(file, at, size, run, self.progress)
            else:
                why = "end"
        if why == "failed" and self.replay.failure is not None:
            args, error = self.replay.failure
            raise RecoveryError(f"{path}: byte {at}: {printable(args[0])}: {error}. {advice(path)}")
        if why != "end":
            self.ended(path, at, size, last=last)

    def ended(self, path: Path, at: int, size: int, *, last: bool) -> None:
        """The commands stop before the file does."""
        broken = at + self.broken
        if broken == size:
            what = "a transaction is not finished"
        else:
            what = f"a command is not finished, or is none, at byte {broken}"
        behind = command_behind(path, broken + 1)
        if behind is not None or not last:
            where = f"at byte {behind}" if behind is not None else "in the next file"
            raise DamageError(
                f"{path}: byte {at}: {what}, and good commands follow {where}: this is damage. {advice(path)}"
            )
        if not self.truncated:
            raise RecoveryError(f"{path}: byte {at}: {what}, and aof-load-truncated is no. {advice(path)}")
        cut = Cut(path, at, size - at, what, None, self.replay.last_ms)
        self.cut.append(cut)
        log.warning("%s", told(cut))


def command_behind(path: Path, at: int) -> int | None:
    """Where the next whole command begins, at or after a byte of a file of RESP; None: nowhere."""
    if at >= path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for head in HEAD.finditer(data, at):
            command = REGISTRY.get(head[3].upper().decode())
            count = int(head[1])
            if command is None or len(head[3]) != int(head[2]) or not command.accepts(count):
                continue
            if _whole(data, head.end(), count - 1):
                return head.start()
    return None


BULK = re.compile(rb"\$(0|[1-9][0-9]{0,17})\r\n")


def _whole(data: mmap.mmap, at: int, count: int) -> bool:
    """Whether so many arguments stand there."""
    for _ in range(count):
        bulk = BULK.match(data, at)
        if bulk is None:
            return False
        at = bulk.end() + int(bulk[1])
        if data[at : at + 2] != b"\r\n":
            return False
        at += 2
    return True
