"""Keyspace events: what `notify-keyspace-events` lets through, published to whoever listens.

Classes are the letters of that directive: g generic, $ strings, l lists, s sets, h hashes, z sorted sets,
t streams, x expired, e evicted, n new keys, m misses; K and E choose the channels. Runs with the GIL.
"""

from typing import TYPE_CHECKING

from rlite.engine.commands.subscriptions import publish

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context

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


def tell_departures(server: "Context") -> None:
    """Publishes what has expired or was evicted since the last time."""
    for why, database, key in server.keyspace.departures():
        notify(server, CLASS_OF_GONE[why], GONE[why], key, database)
