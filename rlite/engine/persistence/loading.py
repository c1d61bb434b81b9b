"""A server's start: its data directory, the lock on it, what is loaded, and what the log says of that.

Called once, by the thread that starts the server, while clients are already answered (with LOADING).
"""

import logging
import os
import time
from pathlib import Path

from rlite.engine.commands.context import Context, Loading
from rlite.engine.config import Config
from rlite.engine.errors import RliteError
from rlite.engine.persistence import recovery, snapshot
from rlite.engine.persistence.lock import DirectoryLock
from rlite.engine.persistence.outcome import Recovered, RecoveryError, Source

log = logging.getLogger("rlite")
TELL_SECONDS = 2.0  # between two lines on how far loading is


def persists(config: Config) -> bool:
    """Whether a server with these directives keeps anything on disk: its log, or snapshots.

    The rules of `save` are there by default; a server in process keeps nothing because of them alone, as long
    as nobody has said where.
    """
    return config.flag("appendonly") or (bool(config["save"]) and not config.is_default("dir"))


def reads(config: Config) -> bool:
    """Whether it loads anything at its start: what it keeps, or a snapshot where it was told to look."""
    return persists(config) or (not config.is_default("dir") and snapshot.path_of(config).exists())


def own(config: Config) -> DirectoryLock:
    """Makes the data directory, if need be, and locks it. Raises RliteError."""
    directory = Path(config.text("dir"))
    try:
        if not directory.is_dir():
            # Where the user's state goes all of the way may be missing; elsewhere that is likely a slip.
            directory.mkdir(0o700, parents=config.origin("dir") == "default")
        return DirectoryLock(directory)
    except OSError as fault:
        raise RliteError(f"cannot use {directory} for the data: {os.strerror(fault.errno or 0)}") from None


def load(server: Context, progress: Loading) -> Recovered:
    """Loads what is on disk into the empty keyspace. Raises RecoveryError, StoppedError."""
    config = server.config
    directory = config.text("dir")
    try:
        found = recovery.plan(config)
        what = f"{len(found.files)} files, {size(found.total)}" if found.files else "nothing there yet"
        log.info("data directory: %s (%s)", directory, what)
        if unread := recovery.unread_log(config):
            log.warning("appendonly is no: the log in %s is not read", unread)
        asked, told = progress.stop, [time.monotonic()]

        def stop() -> bool:
            if time.monotonic() - told[0] > TELL_SECONDS:
                told[0] = time.monotonic()
                log.info("%s", line(progress))
            return asked()

        progress.stop = stop
        done = recovery.recover(found, server, progress, truncated=config.flag("aof-load-truncated"))
    except OSError as fault:
        where = fault.filename or directory
        raise RecoveryError(f"cannot load {where}: {os.strerror(fault.errno or 0)}") from None
    except MemoryError:
        raise RecoveryError(f"cannot load {directory}: there is not enough memory") from None
    if done.source is not Source.NOTHING:
        log.info(
            "DB loaded from %s: %.3f seconds (%d keys, %d commands)",
            done.source.value, done.seconds, done.keys, done.commands,
        )  # fmt: skip
    return done


def line(progress: Loading) -> str:
    """How far loading is, in words."""
    return (
        f"loading: {100 * progress.share:.0f} % of {size(progress.total)}, {progress.commands} commands, "
        f"about {progress.seconds_left:.0f} s left"
    )


def size(count: int) -> str:
    """Bytes, for people."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count //= 1000
        del units[0]
    return f"{count} {units[0]}"
