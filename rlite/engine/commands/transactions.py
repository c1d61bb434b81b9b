"""MULTI, EXEC, DISCARD, WATCH, UNWATCH.

EXEC locks the stripes of every key its commands and its watches name, in index order, looks at the watches,
and runs the queue under those locks: nobody sees half of it.
"""

from rlite.engine import errors
from rlite.engine.commands import blocking, watching
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Command, Locks, command
from rlite.engine.core.connection import Client
from rlite.engine.core.database import Database
from rlite.engine.errors import CommandError
from rlite.engine.reply import NULL_ARRAY, OK, Reply

Queue = list[tuple[Command, list[bytes]]]


@command(
    "MULTI", arity=1, flags="noscript loading stale fast allow_busy", group="transactions", since="1.2.0",
    complexity="O(1)", summary="Begins a transaction: what follows is queued until EXEC.",
)  # fmt: skip
def multi(call: Call) -> Reply:
    if call.client.transaction is not None:
        raise CommandError(errors.NESTED_MULTI)
    call.client.transaction = []
    call.client.restrict("transaction")
    return OK


@command(
    "DISCARD", arity=1, flags="noscript loading stale fast allow_busy", group="transactions", since="2.0.0",
    complexity="O(n) where n is the number of queued commands",
    summary="Drops the queued commands of a transaction.",
)  # fmt: skip
def discard(call: Call) -> Reply:
    if call.client.transaction is None:
        raise CommandError(errors.DISCARD_WITHOUT_MULTI)
    watching.abandon(call.server, call.client)
    return OK


@command(
    "EXEC", arity=1, flags="noscript loading stale skip_slowlog", group="transactions", since="1.2.0",
    complexity="That of the queued commands", summary="Runs the queued commands of a transaction as one.",
)  # fmt: skip
def exec_(call: Call) -> Reply:
    from rlite.engine.commands.dispatch import run

    client = call.client
    if client.transaction is None:
        raise CommandError(errors.EXEC_WITHOUT_MULTI)
    if client.transaction_failed:
        watching.abandon(call.server, client)
        raise CommandError(errors.EXEC_ABORT)
    queue: Queue = client.transaction
    held = Database(call.server.keyspace, client.database)
    lock(held, client, queue)
    journal = call.server.journal
    if journal is not None:  # one record: it is there after a crash, or it is not
        journal.begin()
    try:
        if watching.broken(client, held):
            watching.abandon(call.server, client)
            return NULL_ARRAY
        watching.abandon(
            call.server, client
        )  # before the queue runs: its own changes break no watch of its own
        return [run(call.server, client, queued, args, held) for queued, args in queue]
    finally:
        if journal is not None:
            journal.commit()
        held.unlock()
        if call.server.ready:
            blocking.serve_ready(call.server)


def lock(held: Database, client: Client, queue: Queue) -> None:
    """Takes every lock the transaction needs, at once."""
    if any(queued.locks in (Locks.WALK, Locks.EVERYTHING) for queued, _ in queue):
        held.lock_all()
        return
    keys = [key for _, key in client.watched or ()]
    for queued, args in queue:
        try:
            keys += [args[i] for i in queued.key_positions(args)]
        except CommandError:  # it will say so when it runs, before it touches a key
            continue
    held.lock(keys)


@command(
    "WATCH key [key ...]", arity=-2, flags="noscript loading stale fast allow_busy",
    group="transactions", since="2.2.0", complexity="O(1) for each key", keys=(1, -1, 1), access="RO",
    locks=Locks.NOTHING, summary="Lets the next EXEC run only if these keys stay as they are.",
)  # fmt: skip
def watch(call: Call) -> Reply:
    if call.client.transaction is not None:
        raise CommandError(errors.WATCH_IN_MULTI)
    for key in call.args[1:]:
        watching.watch(call.server, call.client, key)
    return OK


@command(
    "UNWATCH", arity=1, flags="noscript loading stale fast allow_busy", group="transactions", since="2.2.0",
    complexity="O(1)", summary="Forgets all watched keys.",
)  # fmt: skip
def unwatch(call: Call) -> Reply:
    watching.unwatch(call.server, call.client)
    return OK
