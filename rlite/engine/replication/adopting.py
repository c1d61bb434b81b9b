"""A master's data in the place of one's own: received into a file, loaded beside what is served, exchanged.

Run by the link's thread. Clients see the old data until the moment at which, under every lock, they see the
new ones; a file that cannot be loaded changes nothing.
"""

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from rlite.engine.commands import blocking, watching
from rlite.engine.commands.context import Context
from rlite.engine.commands.holding import everything_held
from rlite.engine.core.database import Database
from rlite.engine.core.keyspace import Keyspace
from rlite.engine.core.rdbload import Loaded
from rlite.engine.persistence import files, snapshot
from rlite.engine.persistence.snapshot import History, SnapshotError
from rlite.engine.replication.channel import EndedError, LinkError
from rlite.engine.replication.handshake import Whole

LOG = logging.getLogger("rlite.replication")
FILE = "temp-{}.rdb"


@contextlib.contextmanager
def place_for(directory: str) -> Iterator[BinaryIO]:
    """A file for a transfer, which is gone afterwards, also after a kill: it loses its name at once.

    In the data directory; where this server has none, with the system's temporary files. Raises OSError.
    """
    home = Path(directory)
    if not home.is_dir():
        home = Path(tempfile.gettempdir())
    path = home / FILE.format(os.getpid())
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, files.MODE)
    with os.fdopen(descriptor, "w+b") as file:
        path.unlink()
        yield file


def adopt(
    server: Context, file: BinaryIO, whole: Whole, *, breathe: Callable[[], None], ended: Callable[[], bool],
    begin: Callable[[Whole, int, Loaded], None],
) -> Loaded:  # fmt: skip
    """Loads a file, and exchanges the data for what it holds. breathe: called a few times a second; begin:
    called under every lock with what the data are now,
    and the database that the stream has selected. Raises LinkError, EndedError.
    """
    started = time.monotonic()
    last = started

    def progress(_done: int, _size: int) -> None:
        nonlocal last
        if ended():
            raise EndedError
        if time.monotonic() - last > 0.2:
            last = time.monotonic()
            breathe()

    fresh = Keyspace(server.keyspace.databases, server.keyspace.stripes, server.keyspace)
    fresh.loading = True
    try:
        loaded = snapshot.load_open(file, "the master's data", fresh, progress=progress)
    except SnapshotError as fault:
        raise LinkError(_word(fault), f"{fault}") from None
    if loaded.dropped:
        LOG.warning("left out of the master's data: %s", ", ".join(loaded.dropped))
    databases = range(server.keyspace.databases)
    with everything_held(server) as held:
        if ended():
            raise EndedError
        watching.signal_all(server, databases, held)
        held.exchange(fresh)
        watching.signal_all(server, databases, held)
        history = History.of(loaded)  # a replica of a replica comes in where a database is selected
        begin(whole, 0 if history is None else history.selected, loaded)
    if server.ready:
        blocking.serve_ready(server)
    grave = Database(fresh, 0).flush(everything=True)  # what was here before
    if server.config.flag("replica-lazy-flush"):
        server.bury(grave.bury)
    else:
        grave.bury()
    LOG.info("loaded the master's data: %d keys, %.3f s", loaded.keys, time.monotonic() - started)
    return loaded


def _word(fault: SnapshotError) -> str:
    return "version" if "RDB version" in str(fault) else "data"
