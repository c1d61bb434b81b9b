"""REPLICAOF and SLAVEOF: whom this server follows. They hold every lock, and wait for nothing."""

from typing import TYPE_CHECKING, cast

from rlite.engine import errors
from rlite.engine.commands.call import Call, parse_int
from rlite.engine.commands.declare import Locks, command
from rlite.engine.errors import CommandError
from rlite.engine.replication.failing_over import Stage
from rlite.engine.replication.following import Master
from rlite.engine.reply import OK, Reply, Simple

if TYPE_CHECKING:
    from rlite.engine.replication.following import Following
    from rlite.engine.replication.replication import Replication

ALREADY = Simple("OK Already connected to specified master")


def following_of(call: Call) -> "Following":
    return cast("Replication", call.server.replication).following


def replicaof(call: Call) -> Reply:
    following = following_of(call)
    if cast("Replication", call.server.replication).failover.stage is not Stage.NONE:
        raise CommandError(errors.REPLICAOF_IN_FAILOVER)
    if call.word(1) == b"NO" and call.word(2) == b"ONE":
        if following.master is not None:
            following.lead()
        return OK
    port = parse_int(call.args[2])
    if port is None or not 0 <= port <= 65535:
        raise CommandError(errors.MASTER_PORT)
    host = call.args[1].decode("utf-8", "surrogateescape")
    master = following.master
    if master is not None and master.host.lower() == host.lower() and master.port == port:
        return ALREADY
    following.follow(Master(host, port))
    return OK


for name, since in (("REPLICAOF", "5.0.0"), ("SLAVEOF", "1.0.0")):
    command(
        f"{name} (host port | NO ONE)", arity=3, flags="admin noscript stale no_async_loading",
        group="server", since=since, locks=Locks.EVERYTHING, complexity="O(1)",
        summary="Makes this server a replica of another one, or a master.",
    )(replicaof)  # fmt: skip
