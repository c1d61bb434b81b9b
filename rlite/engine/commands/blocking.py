"""Blocked clients: who waits for which keys, and how they are served, first come first.

A command that finds nothing calls `block`; its client hears nothing until one of the keys changes, the time
is up, or somebody ends the wait. A change marks its key ready; once the command (or transaction, or script)
that made it has let go of its locks, `serve_ready` runs the command of each client that waits for it, in the
order in which they came. While somebody waits, the stripe of the key has an observer, so every change of it
comes through the dispatcher. Runs with the GIL.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.notifying import absent, publish_events
from rlite.engine.core.database import Database
from rlite.engine.core.resp import encode
from rlite.engine.errors import CommandError
from rlite.engine.reply import BLOCK, NULL_ARRAY, ErrorReply, Reply

if TYPE_CHECKING:
    from rlite.engine.commands.call import Call
    from rlite.engine.commands.context import Context
    from rlite.engine.commands.timers import Timer
    from rlite.engine.core.connection import Client

Attempt = Callable[["Call"], Reply]  # BLOCK: nothing yet


@dataclass(slots=True, eq=False)
class Waiter:
    """One blocked client. late: what it hears when the time is up."""

    client: "Client"
    call: "Call"
    attempt: Attempt
    places: list[tuple[int, bytes]]
    late: Reply = NULL_ARRAY
    timer: "Timer | None" = None
    answered: threading.Event = field(default_factory=threading.Event)  # for clients in process
    reply: Reply = None


def waits(
    call: "Call", keys: Sequence[bytes], seconds: float, attempt: Attempt, empty: Reply = NULL_ARRAY
) -> Reply:
    """Tries at once; where there is nothing, has the client wait for a change of these keys.

    seconds: 0 is for ever. empty: the answer inside a transaction or a script, where nobody waits.
    """
    reply = attempt(call)
    if reply is not BLOCK:
        return reply
    return empty if call.may_not_block else block(call, keys, seconds, attempt)


def block(
    call: "Call", keys: Sequence[bytes], seconds: float, attempt: Attempt, late: Reply = NULL_ARRAY
) -> Reply:
    """Has the client wait for a change of these keys; their stripes are locked."""
    client, server = call.client, call.server
    places = list(dict.fromkeys((client.database, key) for key in keys))
    waiter = Waiter(client, call, attempt, places, late)
    for place in places:
        server.waiting.setdefault(place, deque()).append(waiter)
        server.keyspace.observe(place[0], place[1], 1)
    server.blocked[client.id] = waiter
    if seconds:
        waiter.timer = server.timers.after(seconds, lambda: end(server, waiter, waiter.late))
    return BLOCK


def forget(server: "Context", waiter: Waiter) -> bool:
    """Takes a waiter off every list. False: somebody else has done so."""
    if server.blocked.get(waiter.client.id) is not waiter:
        return False
    del server.blocked[waiter.client.id]
    for place in waiter.places:
        others = server.waiting[place]
        others.remove(waiter)
        if not others:
            del server.waiting[place]
        server.keyspace.observe(place[0], place[1], -1)
    if waiter.timer is not None:
        waiter.timer.cancelled = True
    return True


def end(server: "Context", waiter: Waiter, reply: Reply) -> None:
    """Answers a blocked client, which goes on."""
    with server.serving:
        mine = forget(server, waiter)
    if mine:
        answer(waiter, reply)


def unblock(server: "Context", client: "Client", reply: Reply = None, *, by_timeout: bool = True) -> bool:
    """Ends a client's wait as if the time were up, or with `reply`. False: it does not wait."""
    waiter = server.blocked.get(client.id)
    if waiter is None:
        return False
    end(server, waiter, waiter.late if by_timeout else reply)
    return True


def gone(server: "Context", client: "Client") -> None:
    """The client's connection has ended."""
    with server.serving:
        waiter = server.blocked.get(client.id)
        if waiter is not None:
            forget(server, waiter)


def serve_ready(server: "Context") -> None:
    """Serves the clients that wait for keys that have changed. No lock is held."""
    while server.ready:
        place = next(iter(server.ready))
        del server.ready[place]
        for waiter in list(server.waiting.get(place, ())):
            if server.blocked.get(waiter.client.id) is waiter:
                retry(server, waiter)


def retry(server: "Context", waiter: Waiter) -> bool:
    """Runs a blocked command again. False: it still finds nothing."""
    from rlite.engine.commands.dispatch import log_call, refuse
    from rlite.engine.commands.watching import signal_changed

    call = waiter.call
    db = Database(server.keyspace, waiter.places[0][0])
    positions = call.command.key_positions(call.args)
    db.lock([call.args[i] for i in positions])
    call.db = db
    call.dirty = 0
    call.events.clear()
    call.effects = None
    journal = server.journal
    if journal is not None:
        journal.begin()
    args = call.args
    missing = absent(server, db, call.command, args, positions)
    try:
        with server.serving:  # a timeout must not come between what is taken and who gets it
            if server.blocked.get(waiter.client.id) is not waiter:
                return False
            try:
                reply = waiter.attempt(call)
            except CommandError as fault:
                # A value of another type is no element: whoever waits for one goes on waiting. Not so for a
                # consumer group, which is gone with the stream.
                if fault.text == errors.WRONG_TYPE and call.command.name != "XREADGROUP":
                    return False
                reply = refuse(server, fault.text)
            if reply is BLOCK:
                return False
            forget(server, waiter)
        publish_events(server, db, missing, call.events)
        if call.dirty:
            signal_changed(server, db.index, [args[i] for i in positions])
    finally:
        if journal is not None:
            log_call(journal, call)  # also of one that goes on waiting: it may have made a consumer
            journal.commit()
        db.unlock()
    server.counters.effects(call.dirty, 0, 0)
    answer(waiter, reply)
    return True


def answer(waiter: Waiter, reply: Reply) -> None:
    client = waiter.client
    if client.mailbox is None:
        waiter.reply = reply
        waiter.answered.set()
        return
    from rlite.engine.commands.dispatch import heard

    client.mailbox("answer", client, encode(heard(client, reply), client.resp))


def wait_here(server: "Context", client: "Client") -> Reply:
    """For a client in process: waits, without the GIL, until its blocked command has an answer."""
    waiter = server.blocked.get(client.id)
    if waiter is None:
        return ErrorReply("ERR the wait was ended")
    waiter.answered.wait()
    return waiter.reply
