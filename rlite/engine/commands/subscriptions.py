"""Who listens to which channels and patterns, and how a message reaches them. Runs with the GIL.

A message is encoded once a protocol and posted to each listener's I/O thread. A client that listens has each
of its commands come to Python (`restricted`), for in RESP2 it may send few others.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rlite.engine.core.glob import matches
from rlite.engine.core.resp import encode
from rlite.engine.reply import Push

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.core.connection import Client

Listeners = dict[bytes, dict["Client", None]]  # in the order in which they came


@dataclass(slots=True)
class Board:
    """Of a whole server: listeners by channel, by pattern, by shard channel."""

    channels: Listeners = field(default_factory=dict)
    patterns: Listeners = field(default_factory=dict)
    shards: Listeners = field(default_factory=dict)


@dataclass(slots=True)
class Subscriptions:
    """Of one client: names, in order."""

    channels: dict[bytes, None] = field(default_factory=dict)
    patterns: dict[bytes, None] = field(default_factory=dict)
    shards: dict[bytes, None] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return bool(self.channels or self.patterns or self.shards)

    def count(self, kind: str) -> int:
        """The number that confirmations tell: channels and patterns together, shard channels alone."""
        return len(self.shards) if kind == "shards" else len(self.channels) + len(self.patterns)


def of(client: "Client") -> Subscriptions:
    """A client's subscriptions; an empty one is made where there are none."""
    if client.subscriptions is None:
        client.subscriptions = Subscriptions()
    found: Subscriptions = client.subscriptions
    return found


def add(server: "Context", client: "Client", kind: str, name: bytes) -> int:
    """Subscribes to one name; kind: an attribute of Board. Returns the number to confirm."""
    mine = of(client)
    getattr(mine, kind)[name] = None
    getattr(server.board, kind).setdefault(name, {})[client] = None
    client.restrict("restricted")
    return mine.count(kind)


def remove(server: "Context", client: "Client", kind: str, name: bytes) -> int:
    """Unsubscribes from one name, subscribed or not. Returns the number to confirm."""
    mine = of(client)
    if getattr(mine, kind).pop(name, 0) is None:
        listeners = getattr(server.board, kind)
        del listeners[name][client]
        if not listeners[name]:
            del listeners[name]
    if not mine.any:
        client.lift("restricted")
    return mine.count(kind)


def forget(server: "Context", client: "Client") -> None:
    """Ends all subscriptions, in silence: the client has gone, or was reset."""
    mine = client.subscriptions
    if mine is None:
        return
    for kind in ("channels", "patterns", "shards"):
        for name in list(getattr(mine, kind)):
            remove(server, client, kind, name)
    client.subscriptions = None


def publish(
    server: "Context", channel: bytes, message: bytes, *, shard: bool = False, caller: "Client | None" = None
) -> int:
    """Sends a message to whoever listens. Returns how many messages that were.

    caller: the client whose command this is; if it listens too, it gets the message before its reply.
    """
    board, sent = server.board, 0
    listeners = (board.shards if shard else board.channels).get(channel)
    if listeners:
        sent += deliver(listeners, [b"smessage" if shard else b"message", channel, message], caller)
    if not shard:
        for pattern, who in list(board.patterns.items()):
            if matches(pattern, channel):
                sent += deliver(who, [b"pmessage", pattern, channel, message], caller)
    return sent


def deliver(listeners: dict["Client", None], parts: list[bytes], caller: "Client | None") -> int:
    encoded: dict[int, bytes] = {}
    for client in list(listeners):
        data = encoded.get(client.resp)
        if data is None:
            data = encoded[client.resp] = encode(Push(list(parts)), client.resp)
        if client is caller:
            client.write_now(data)
        elif client.mailbox is not None:
            client.mailbox("send", client, data)
    return len(listeners)
