"""Publish and subscribe: SUBSCRIBE and its kind, PUBLISH, SPUBLISH, PUBSUB."""

from collections.abc import Sequence

from rlite.engine import errors
from rlite.engine.commands import subscriptions
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, Locks, command, container
from rlite.engine.commands.helping import declare_help
from rlite.engine.core.glob import matches
from rlite.engine.errors import CommandError
from rlite.engine.reply import Push, Reply, Several

LISTENING = "pubsub noscript loading stale"
LISTENED = Keys(1, -1, 1, access=("not_key",))


def subscribe_to(call: Call, kind: str, word: bytes, names: Sequence[bytes]) -> Reply:
    """Adds subscriptions; one confirmation for each name."""
    if call.client.mailbox is None:
        raise CommandError(errors.SUBSCRIBE_IN_PROCESS)
    server, client = call.server, call.client
    return Several([Push([word, name, subscriptions.add(server, client, kind, name)]) for name in names])


def unsubscribe_from(call: Call, kind: str, word: bytes) -> Reply:
    """Ends subscriptions, all of the kind where none is named."""
    mine = subscriptions.of(call.client)
    names = call.args[1:] or list(getattr(mine, kind))
    if not names:
        return Push([word, None, mine.count(kind)])
    return Several(
        [Push([word, name, subscriptions.remove(call.server, call.client, kind, name)]) for name in names]
    )


@command(
    "SUBSCRIBE channel [channel ...]", arity=-2, flags=LISTENING, group="pubsub", since="2.0.0",
    complexity="O(n) where n is the number of channels", summary="Listens to channels.",
)  # fmt: skip
def subscribe(call: Call) -> Reply:
    return subscribe_to(call, "channels", b"subscribe", call.args[1:])


@command(
    "UNSUBSCRIBE [channel [channel ...]]", arity=-1, flags=LISTENING, group="pubsub", since="2.0.0",
    complexity="O(n) where n is the number of channels", summary="Stops listening to channels.",
)  # fmt: skip
def unsubscribe(call: Call) -> Reply:
    return unsubscribe_from(call, "channels", b"unsubscribe")


@command(
    "PSUBSCRIBE pattern [pattern ...]", arity=-2, flags=LISTENING, group="pubsub", since="2.0.0",
    complexity="O(n) where n is the number of patterns", summary="Listens to channels whose names match.",
)  # fmt: skip
def psubscribe(call: Call) -> Reply:
    return subscribe_to(call, "patterns", b"psubscribe", call.args[1:])


@command(
    "PUNSUBSCRIBE [pattern [pattern ...]]", arity=-1, flags=LISTENING, group="pubsub", since="2.0.0",
    complexity="O(n) where n is the number of patterns", summary="Stops listening to patterns.",
)  # fmt: skip
def punsubscribe(call: Call) -> Reply:
    return unsubscribe_from(call, "patterns", b"punsubscribe")


@command(
    "SSUBSCRIBE shardchannel [shardchannel ...]", arity=-2, flags=LISTENING, keys=LISTENED,
    locks=Locks.NOTHING, group="pubsub", since="7.0.0",
    complexity="O(n) where n is the number of channels", summary="Listens to shard channels.",
)  # fmt: skip
def ssubscribe(call: Call) -> Reply:
    return subscribe_to(call, "shards", b"ssubscribe", call.args[1:])


@command(
    "SUNSUBSCRIBE [shardchannel [shardchannel ...]]", arity=-1, flags=LISTENING, keys=LISTENED,
    locks=Locks.NOTHING, group="pubsub",
    since="7.0.0", complexity="O(n) where n is the number of channels",
    summary="Stops listening to shard channels.",
)  # fmt: skip
def sunsubscribe(call: Call) -> Reply:
    return unsubscribe_from(call, "shards", b"sunsubscribe")


@command(
    "PUBLISH channel message", arity=3, flags="pubsub loading stale fast may_replicate", group="pubsub",
    since="2.0.0", complexity="O(n + m): listeners of the channel, and patterns in all",
    summary="Sends a message to whoever listens.",
)  # fmt: skip
def publish(call: Call) -> Reply:
    call.server.log.say(call.args)  # replicas have listeners too
    return subscriptions.publish(call.server, call.args[1], call.args[2], caller=call.client)


@command(
    "SPUBLISH shardchannel message", arity=3, flags="pubsub loading stale fast may_replicate",
    keys=Keys(1, 1, 1, access=("not_key",)), locks=Locks.NOTHING,
    group="pubsub", since="7.0.0", complexity="O(n) where n is the number of listeners",
    summary="Sends a message to whoever listens to a shard channel.",
)  # fmt: skip
def spublish(call: Call) -> Reply:
    call.server.log.say(call.args)
    return subscriptions.publish(call.server, call.args[1], call.args[2], shard=True, caller=call.client)


container("PUBSUB", since="2.8.0", summary="Tells who listens to what.", group="pubsub")


def named(call: Call, listeners: subscriptions.Listeners) -> Reply:
    if len(call.args) > 3:
        raise CommandError(errors.SUBCOMMAND_SYNTAX % (call.args[1].decode("latin-1"), "PUBSUB"))
    return [name for name in listeners if len(call.args) == 2 or matches(call.args[2], name)]


def numbers(call: Call, listeners: subscriptions.Listeners) -> Reply:
    found: list[Reply] = []
    for name in call.args[2:]:
        found += [name, len(listeners.get(name, ()))]
    return found


@command(
    "PUBSUB CHANNELS [pattern]", arity=-2, flags="pubsub loading stale", group="pubsub", since="2.8.0",
    complexity="O(n) where n is the number of channels", summary="Lists channels that somebody listens to.",

)  # fmt: skip
def pubsub_channels(call: Call) -> Reply:
    return named(call, call.server.board.channels)


@command(
    "PUBSUB SHARDCHANNELS [pattern]", arity=-2, flags="pubsub loading stale", group="pubsub", since="7.0.0",
    complexity="O(n) where n is the number of channels",
    summary="Lists shard channels that somebody listens to.",
)  # fmt: skip
def pubsub_shardchannels(call: Call) -> Reply:
    return named(call, call.server.board.shards)


@command(
    "PUBSUB NUMSUB [channel [channel ...]]", arity=-2, flags="pubsub loading stale", group="pubsub",
    since="2.8.0", complexity="O(n) where n is the number of channels named",
    summary="Counts the listeners of channels.",
)  # fmt: skip
def pubsub_numsub(call: Call) -> Reply:
    return numbers(call, call.server.board.channels)


@command(
    "PUBSUB SHARDNUMSUB [shardchannel [shardchannel ...]]", arity=-2, flags="pubsub loading stale",
    group="pubsub", since="7.0.0", complexity="O(n) where n is the number of channels named",
    summary="Counts the listeners of shard channels.",
)  # fmt: skip
def pubsub_shardnumsub(call: Call) -> Reply:
    return numbers(call, call.server.board.shards)


@command(
    "PUBSUB NUMPAT", arity=2, flags="pubsub loading stale", group="pubsub", since="2.8.0",
    complexity="O(1)", summary="Counts the patterns that somebody listens to.",
)  # fmt: skip
def pubsub_numpat(call: Call) -> Reply:
    return len(call.server.board.patterns)


declare_help("PUBSUB", since="6.2.0", group="pubsub")
