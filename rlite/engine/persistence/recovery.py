"""What is there at start: finds the data under `dir`, loads it, and says how far it goes.

Reads our log (manifest, base snapshot, segments), Redis's in each of its forms, or a snapshot. What a crash
left unfinished at the end is cut off and kept beside; damage with good records behind it is refused: cutting
there would lose what was durable. docs/internals/log-format.md has the rules. Runs before anything is logged.
"""

import time
from dataclasses import replace
from pathlib import Path

from rlite.engine.commands.context import Context, Loading
from rlite.engine.config import Config
from rlite.engine.persistence import manifest, redis_log, segment, snapshot
from rlite.engine.persistence.feeding import load_snapshot
from rlite.engine.persistence.manifest import ManifestError
from rlite.engine.persistence.outcome import Plan, Recovered, RecoveryError, Source, advice
from rlite.engine.persistence.own_log import OwnLog

LONGEST = 2**32 - 1  # bytes of a string


# --- finding -----------------------------------------------------------------------------------------------


def plan(config: Config) -> Plan:
    """What there is to load. Raises RecoveryError where that is not clear or not complete; OSError."""
    directory = Path(config.text("dir"))
    stem, inner = segment.stem_of(config.text("appendfilename")), directory / config.text("appenddirname")
    path = snapshot.path_of(config)
    found: Plan | None = None
    ours = _ours(inner, stem)
    if config.flag("appendonly"):
        found = _own_log(inner, stem, ours) or redis_log.plan(directory, config)
    if found is None and path.exists():
        found = Plan(Source.SNAPSHOT, directory, (path,), path.stat().st_size)
    if found is None:
        if config.flag("appendonly") and any(each.suffix == ".rdb" for each in ours):
            raise RecoveryError(
                f"{inner / segment.manifest_name(stem)} is missing, though there is the base of a log. "
                f"{advice(inner)}"
            )
        found = Plan(Source.NOTHING, directory)
    numbers = (segment.number_of(each) or 0 for each in (*ours, *found.files))
    return replace(found, next_number=max(numbers, default=0) + 1)


def unread_log(config: Config) -> Path | None:
    """The directory of a log that is there and is not loaded, since no log is wanted; None: there is none."""
    inner = Path(config.text("dir")) / config.text("appenddirname")
    path = inner / segment.manifest_name(segment.stem_of(config.text("appendfilename")))
    return inner if not config.flag("appendonly") and path.exists() else None


def _own_log(directory: Path, stem: str, ours: list[Path]) -> Plan | None:
    path = directory / segment.manifest_name(stem)
    if not path.exists():
        if any(_has_records(each) for each in ours):
            raise RecoveryError(f"{path} is missing, though there are segments of a log. {advice(directory)}")
        return None
    try:
        found = manifest.read(path)
    except ManifestError as fault:
        raise RecoveryError(f"{path}: {fault}. {advice(directory)}") from None
    paths = tuple(directory / name for name in found.files)
    for each in paths:
        if not each.exists():
            raise RecoveryError(f"{each} is missing, and {path.name} names it. {advice(directory)}")
    return Plan(Source.LOG, directory, paths, sum(each.stat().st_size for each in paths), found)


def _ours(directory: Path, stem: str) -> list[Path]:
    """The files there whose names are those of segments and bases of ours."""
    return [
        each for each in _listed(directory)
        if segment.number_of(each) is not None and each.name.rsplit(".", 2)[0] == stem
    ]  # fmt: skip


def _listed(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _has_records(path: Path) -> bool:
    """Whether it is a segment that was written to. One with no more than a header may be of the first start
    ever, which ended before it had written the manifest.
    """
    with path.open("rb") as file:
        return file.read(len(segment.MAGIC)) == segment.MAGIC and path.stat().st_size > segment.SIZE


# --- loading -----------------------------------------------------------------------------------------------


def recover(found: Plan, server: Context, progress: Loading, *, truncated: bool = True) -> Recovered:
    """Loads what was found into an empty keyspace. truncated: whether a torn end may be cut off
    (aof-load-truncated). Raises RecoveryError, StoppedError, OSError.
    """
    began = time.monotonic()
    progress.total = found.total
    server.keyspace.loading = True  # until the caller has begun the log: what is due then is logged
    server.keyspace.configure(max_string=LONGEST)  # what was let in once is not refused now
    try:
        match found.source:
            case Source.LOG:
                done = OwnLog(found, server, progress, truncated=truncated).load()
            case Source.REDIS_LOG:
                done = redis_log.RedisLog(found, server, progress, truncated=truncated).load()
            case Source.SNAPSHOT:
                done = _snapshot(found.files[0], server, progress)
            case Source.NOTHING:
                done = Recovered(found.source)
    finally:
        server.keyspace.configure(max_string=server.config.int("proto-max-bulk-len"))
    keys = sum(server.keyspace.size(index) for index in range(server.keyspace.databases))
    return replace(done, keys=keys, seconds=time.monotonic() - began, next_number=found.next_number)


def _snapshot(path: Path, server: Context, progress: Loading) -> Recovered:
    """A snapshot and nothing behind it: what has expired since is left out."""
    loaded = load_snapshot(path, server.keyspace, progress, now_ms=time.time_ns() // 1_000_000)
    history = snapshot.History.of(loaded)
    if history is None:
        return Recovered(Source.SNAPSHOT, snapshot=loaded)
    return Recovered(
        Source.SNAPSHOT,
        offset=history.offset,
        selected=history.selected,
        manifest=manifest.Manifest(history.replication_id),
        snapshot=loaded,
    )
