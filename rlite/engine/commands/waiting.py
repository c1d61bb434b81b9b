"""WAIT and WAITAOF: how many replicas, and whether the log, hold what this client has written.

There are no replicas yet, so nobody acknowledges for them: that answer is 0, as soon as no more is asked for
or the time is up. Whether the log is on disk is looked at every few milliseconds while somebody waits for it.
"""

from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.blocking import block, end
from rlite.engine.commands.call import INT64_MAX, Call
from rlite.engine.commands.declare import command
from rlite.engine.errors import CommandError
from rlite.engine.reply import BLOCK, Reply

if TYPE_CHECKING:
    from rlite.engine.commands.blocking import Waiter
    from rlite.engine.commands.context import Context, Journal

LOOK_SECONDS = 0.005


def milliseconds(call: Call, index: int) -> float:
    """Argument `index`, a timeout in milliseconds, in seconds."""
    value = call.int(index, errors.TIMEOUT_NOT_AN_INTEGER)
    if value < 0:
        raise CommandError(errors.TIMEOUT_NEGATIVE)
    return value / 1000


def acknowledged(call: Call, wanted: bool, seconds: float, reply: Reply) -> Reply:
    """The reply: at once where no more is wanted than there is, or nobody may wait, else when time is up."""
    if not wanted or call.may_not_block:
        return reply
    return block(call, [], seconds, lambda _call: reply, reply)


@command(
    "WAIT numreplicas timeout", arity=3, flags="noscript", group="generic", since="3.0.0",
    acl="-keyspace connection", complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:agg_min"),
    summary="Waits until so many replicas have what was written.",
)  # fmt: skip
def wait(call: Call) -> Reply:
    wanted = call.int(1)
    return acknowledged(call, wanted > 0, milliseconds(call, 2), 0)


@command(
    "WAITAOF numlocal numreplicas timeout", arity=4, flags="noscript", group="generic",
    since="7.2.0", acl="-keyspace connection", complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:agg_min"),
    summary="Waits until the log, here and on replicas, holds what was written.",
)  # fmt: skip
def waitaof(call: Call) -> Reply:
    local = call.int_in(1, 0, 1, errors.NUMLOCAL)
    wanted = call.int_in(2, 0, INT64_MAX, errors.MUST_BE_POSITIVE)
    seconds = milliseconds(call, 3)
    journal = call.server.journal
    if journal is None:
        if local:
            raise CommandError(errors.WAITAOF_WITHOUT_LOG)
        return acknowledged(call, wanted > 0, seconds, [0, 0])
    target = journal.positions[0]  # all that anybody has done so far, this client's own with it
    on_disk = int(journal.positions[2] >= target)
    if (on_disk >= local and not wanted) or call.may_not_block:
        return [on_disk, 0]
    block(call, [], seconds, lambda _call: BLOCK, [on_disk, 0])
    look(call.server, journal, call.server.blocked[call.client.id], target, enough=not wanted)
    return BLOCK


def look(server: "Context", journal: "Journal", waiter: "Waiter", target: int, *, enough: bool) -> None:
    """Answers a client once the log is on disk up to its place; enough: that is all it waits for."""
    if server.blocked.get(waiter.client.id) is not waiter:
        return
    if journal.positions[2] >= target:
        waiter.late = [1, 0]
        if enough:
            end(server, waiter, waiter.late)
        return
    server.timers.after(LOOK_SECONDS, lambda: look(server, journal, waiter, target, enough=enough))
