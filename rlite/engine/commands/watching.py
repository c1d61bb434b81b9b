"""WATCH: which clients watch which keys, and what breaks a watch.

While a key is watched its stripe has an observer, which keeps the plain path away from it, so every change of
it comes through the dispatcher and is signalled here. Runs with the GIL.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rlite.engine.core.database import Database

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.core.connection import Client


def watch(server: "Context", client: "Client", key: bytes) -> None:
    """Begins to watch a key of the client's database."""
    place = (client.database, key)
    if client.watched is None:
        client.watched = {}
    if place in client.watched:
        return
    watchers = server.watchers.setdefault(place, set())
    if not watchers:
        server.keyspace.observe(client.database, key, 1)
    watchers.add(client)
    client.watched[place] = Database(server.keyspace, client.database).exists(key)


def unwatch(server: "Context", client: "Client") -> None:
    """Ends all its watches."""
    for place in client.watched or ():
        watchers = server.watchers[place]
        watchers.discard(client)
        if not watchers:
            del server.watchers[place]
            server.keyspace.observe(place[0], place[1], -1)
    client.watched = None
    client.watch_broken = False


def abandon(server: "Context", client: "Client") -> None:
    """Ends the client's transaction, and its watches."""
    client.transaction = None
    client.transaction_failed = False
    client.lift("transaction")
    unwatch(server, client)


def signal_changed(server: "Context", database: int, keys: Iterable[bytes]) -> None:
    """Breaks the watches on these keys, and wakes who waits for them."""
    for key in keys:
        if (database, key) in server.waiting:
            server.ready[database, key] = None
        for client in server.watchers.get((database, key), ()):
            client.watch_broken = True


def signal_all(server: "Context", databases: Iterable[int], db: Database) -> None:
    """Breaks the watches on every key of these databases that is there now. `db` carries the locks held, if
    any.
    """
    wanted = set(databases)
    for place in server.waiting:
        if place[0] in wanted:
            server.ready[place] = None
    for (database, key), clients in server.watchers.items():
        if database in wanted and db.sibling(database).exists(key):
            for client in clients:
                client.watch_broken = True


def broken(client: "Client", held: Database) -> bool:
    """Whether EXEC must answer with a null: a key was changed, or one that was there has expired or been
    evicted.

    `held` holds the stripes of all watched keys.
    """
    if client.watch_broken:
        return True
    watched: dict[tuple[int, bytes], bool] = client.watched or {}
    return any(
        existed and not held.sibling(database).exists(key) for (database, key), existed in watched.items()
    )
