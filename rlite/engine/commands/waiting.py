"""WAIT and WAITAOF: how many replicas, and whether the log, hold what has been written.

Whoever waits is looked at whenever a replica acknowledges; whether the log here is on disk, every few
milliseconds. What is waited for is the stream up to the moment of the command: everything that anybody has
written by then, this client's own writes with it. Runs with the GIL.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.blocking import block, end
from rlite.engine.commands.call import INT64_MAX, Call
from rlite.engine.commands.declare import command
from rlite.engine.errors import CommandError
from rlite.engine.reply import BLOCK, Reply

if TYPE_CHECKING:
    from rlite.engine.commands.blocking import Waiter
    from rlite.engine.commands.context import Context

LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What a client waits for. now: the reply as things are; enough: whether that is what it asked for."""

    waiter: "Waiter"
    now: Callable[[], Reply]
    enough: Callable[[Reply], bool]


def milliseconds(call: Call, index: int) -> float:
    """Argument `index`, a timeout in milliseconds, in seconds."""
    value = call.int(index, errors.TIMEOUT_NOT_AN_INTEGER)
    if value < 0:
        raise CommandError(errors.TIMEOUT_NEGATIVE)
    return value / 1000


def wait_until(
    call: Call, seconds: float, now: Callable[[], Reply], enough: Callable[[Reply], bool]
) -> Reply:
    """The reply: at once where it is enough or nobody may wait, else when it is, or time is up."""
    reply = now()
    if enough(reply) or call.may_not_block:
        return reply
    server = call.server
    block(call, [], seconds, lambda _call: BLOCK, reply)
    waiter = server.blocked[call.client.id]
    server.acknowledging[call.client.id] = Wanted(waiter, now, enough)
    if server.replication is not None:
        server.replication.ask()
    note_acknowledgement(server)  # what came in before it stood in the list
    return BLOCK


def note_acknowledgement(server: "Context") -> None:
    """A replica has acknowledged, or the log is further on disk: answers those for whom that is enough."""
    for client_id, wanted in list(server.acknowledging.items()):
        waiter = wanted.waiter
        if server.blocked.get(client_id) is not waiter:
            server.acknowledging.pop(client_id, None)
            continue
        waiter.late = wanted.now()
        if wanted.enough(waiter.late):
            server.acknowledging.pop(client_id, None)
            end(server, waiter, waiter.late)


def refuse_on_replica(call: Call, text: str) -> None:
    if call.server.follows:
        raise CommandError(text)


@command(
    "WAIT numreplicas timeout", arity=3, flags="noscript", group="generic", since="3.0.0",
    acl="-keyspace connection", complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:agg_min"),
    summary="Waits until so many replicas have what was written.",
)  # fmt: skip
def wait(call: Call) -> Reply:
    refuse_on_replica(call, errors.WAIT_ON_REPLICA)
    wanted, seconds = call.int(1), milliseconds(call, 2)
    replication = call.server.replication
    offset = 0 if replication is None else replication.written()

    def now() -> Reply:
        return 0 if replication is None else replication.acknowledged(offset)

    return wait_until(call, seconds, now, lambda reply: isinstance(reply, int) and reply >= wanted)


@command(
    "WAITAOF numlocal numreplicas timeout", arity=4, flags="noscript", group="generic",
    since="7.2.0", acl="-keyspace connection", complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:agg_min"),
    summary="Waits until the log, here and on replicas, holds what was written.",
)  # fmt: skip
def waitaof(call: Call) -> Reply:
    refuse_on_replica(call, errors.WAITAOF_ON_REPLICA)
    local = call.int_in(1, 0, 1, errors.NUMLOCAL)
    wanted = call.int_in(2, 0, INT64_MAX, errors.MUST_BE_POSITIVE)
    seconds = milliseconds(call, 3)
    server, log = call.server, call.server.log
    if local and not log.filing:
        raise CommandError(errors.WAITAOF_WITHOUT_LOG)
    target = log.positions[0]  # all that anybody has done so far
    offset = 0 if server.replication is None else server.replication.written()

    def now() -> Reply:
        here = int(log.filing and log.positions[2] >= target)
        return [here, 0 if server.replication is None else server.replication.synced(offset)]

    def enough(reply: Reply) -> bool:
        here, there = reply if isinstance(reply, list) else (0, 0)
        return bool(here >= local and there >= wanted)  # type: ignore[operator]

    reply = wait_until(call, seconds, now, enough)
    if reply is BLOCK and local:
        look(server, call.client.id)
    return reply


def look(server: "Context", client_id: int) -> None:
    """Looks again and again whether the log is on disk, for as long as that client waits."""
    note_acknowledgement(server)
    if client_id in server.acknowledging:
        server.timers.after(LOOK_SECONDS, lambda: look(server, client_id))
