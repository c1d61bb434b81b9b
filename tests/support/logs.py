"""Logs written by the tests, byte by byte, and a keyspace to load them into."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlite.engine.commands.context import Context
from rlite.engine.config import Config
from rlite.engine.core.records import sealed
from rlite.engine.persistence import manifest, recovery, segment
from rlite.engine.persistence.feeding import Progress
from rlite.engine.persistence.manifest import Manifest
from rlite.engine.persistence.segment import Header
from rlite.engine.server import Server

HISTORY = "0123456789abcdef" * 2 + "01234567"
MADE_MS = 1_700_000_000_000


def resp(*words: bytes | str | int) -> bytes:
    """One command as a client would send it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


@dataclass
class Writer:
    """A directory with a log of ours; segments are added, then `close` writes the manifest."""

    directory: Path
    stem: str = "appendonly"
    history: str = HISTORY
    offset: int = 0
    manifest: Manifest = field(init=False)

    def __post_init__(self) -> None:
        self.log_directory.mkdir(parents=True, exist_ok=True)
        self.manifest = Manifest(self.history)

    @property
    def log_directory(self) -> Path:
        return self.directory / "appendonlydir"

    def path(self, number: int) -> Path:
        return self.log_directory / segment.segment_name(self.stem, number)

    def segment(
        self,
        records: Iterable[bytes | tuple[int, bytes]],
        number: int = 1,
        *,
        salt: int = 77,
        **header: object,
    ) -> Path:
        """A segment of these records: RESP, or (database, RESP). Returns its path."""
        head = Header(
            **{"history": self.history, "first": self.offset, "made_ms": MADE_MS, "salt": salt, **header}
        )  # type: ignore[arg-type]
        self.offset = head.first
        pieces = [head.packed()]
        for number_, record in enumerate(records):
            database, data = record if isinstance(record, tuple) else (0, record)
            pieces.append(sealed(data, self.offset, MADE_MS + number_, database, head.seed))
            self.offset += len(data)
        path = self.path(number)
        path.write_bytes(b"".join(pieces))
        self.manifest = self.manifest.with_segment(path.name)
        return path

    def close(self) -> Path:
        path = self.log_directory / segment.manifest_name(self.stem)
        manifest.write(path, self.manifest)
        return path


@dataclass
class Loaded:
    """What recovery made of a directory."""

    result: recovery.Recovered
    server: Context

    def get(self, key: bytes, database: int = 0) -> bytes | None:
        from rlite.engine.core.database import Database

        return Database(self.server.keyspace, database).get(key)


def load(directory: Path, **directives: object) -> Loaded:
    """Recovers a directory in this process, as a server with these directives would."""
    config = Config(**{"dir": directory, "appendonly": True, **directives})
    server = Server(config).context
    found = recovery.plan(config)
    truncated = config.flag("aof-load-truncated")
    return Loaded(recovery.recover(found, server, Progress(), truncated=truncated), server)


def write_log(directory: Path, commands: Sequence[bytes]) -> Path:
    """A log of one segment. Returns the segment's path."""
    writer = Writer(directory)
    path = writer.segment(commands)
    writer.close()
    return path
