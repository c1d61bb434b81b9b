"""WAIT and WAITAOF: how many replicas, and whether the log, hold what this client has written.

A lone server has neither, and says so: nobody acknowledges, so the answer is 0, as soon as no more is asked
for or the time is up.
"""

from rlite.engine import errors
from rlite.engine.commands.blocking import block
from rlite.engine.commands.call import INT64_MAX, Call
from rlite.engine.commands.declare import command
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply


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
    if local:
        raise CommandError(errors.WAITAOF_WITHOUT_LOG)
    return acknowledged(call, wanted > 0, seconds, [0, 0])
