"""Keyspace events: what `notify-keyspace-events` lets through, published to whoever listens.

Classes are the letters of that directive: g generic, $ strings, l lists, s sets, h hashes, z sorted sets,
t streams, x expired, e evicted, n new keys, m misses; K and E choose the channels. Runs with the GIL.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlite.engine.commands.subscriptions import publish

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.commands.declare import Command
    from rlite.engine.core.database import Database

Event = tuple[str, str, bytes, int]  # class, name, key, database

ALL = "g$lshzxetd"
GONE = ("expired", "evicted", "hexpired", "del")  # the events of Keyspace.departures, by its numbers
CLASS_OF_GONE = ("x", "e", "h", "g")


def notify(server: "Context", kind: str, event: str, key: bytes, database: int) -> None:
    """Publishes one event, if its class is on."""
    classes = server.notify_classes
    if kind not in classes:
        return
    if "K" in classes:
        publish(server, b"__keyspace@%d__:%s" % (database, key), event.encode())
    if "E" in classes:
        publish(server, b"__keyevent@%d__:%s" % (database, event.encode()), key)


def absent(
    server: "Context", database: "Database", command: "Command", args: list[bytes], at: list[int]
) -> list[bytes]:
    """The keys a command may make, where class n is on: those that a write names and that are not there."""
    if "n" not in server.notify_classes or "write" not in command.flags:
        return []
    return [key for key in dict.fromkeys(args[i] for i in at) if not database.exists(key)]


def publish_events(
    server: "Context", database: "Database", missing: list[bytes], events: Sequence[Event]
) -> None:
    """Publishes what a command has done; `missing`: what `absent` told before it ran. A key is new before it
    is anything else.
    """
    for key in missing:
        if database.exists(key):
            notify(server, "n", "new", key, database.index)
    for kind, event, key, index in events:
        notify(server, kind, event, key, index)


def tell_departures(server: "Context") -> None:
    """Publishes what has expired or was evicted since the last time."""
    for why, database, key in server.keyspace.departures():
        notify(server, CLASS_OF_GONE[why], GONE[why], key, database)
