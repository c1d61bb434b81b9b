"""Every lock of a server, for who must have them and can wait."""

from rlite.engine.commands.context import Context
from rlite.engine.core.database import Database, KeyspaceBusyError


def everything_held(server: Context) -> Database:
    """A Database that holds every lock; waits, for a slow script too. The caller unlocks it."""
    while True:
        db = Database(server.keyspace, 0)
        try:
            db.lock_all()
        except KeyspaceBusyError:
            server.scripts.over.wait()
        else:
            return db
