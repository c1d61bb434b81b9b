"""Every lock of a server, for who needs them outside of a command."""

from collections.abc import Iterator
from contextlib import contextmanager

from rlite.engine.commands.context import Context
from rlite.engine.core.database import Database, KeyspaceBusyError


@contextmanager
def everything_held_if_free(server: Context) -> Iterator[Database | None]:
    """A Database that holds every lock; None while a slow script has them. For who may not wait for its end,
    and comes again.
    """
    db = Database(server.keyspace, 0)
    try:
        db.lock_all()
    except KeyspaceBusyError:
        yield None
        return
    try:
        yield db
    finally:
        db.unlock()


@contextmanager
def everything_held(server: Context) -> Iterator[Database]:
    """The same, once a slow script is over. Not in a thread that a script may be run by, nor in the server's
    clock.
    """
    while True:
        with everything_held_if_free(server) as db:
            if db is not None:
                yield db
                return
        server.scripts.over.wait()
