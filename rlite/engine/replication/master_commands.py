"""PSYNC, SYNC and REPLCONF: what a replica says to its master. Touches no key; runs in its I/O thread."""

import logging
import math
import time
from typing import TYPE_CHECKING, cast

from rlite.engine import errors
from rlite.engine.commands.call import Call, parse_int
from rlite.engine.commands.declare import command
from rlite.engine.commands.holding import everything_held
from rlite.engine.commands.waiting import note_acknowledgement
from rlite.engine.errors import CommandError, printable
from rlite.engine.persistence.history import HistoryFiles
from rlite.engine.replication.failing_over import Stage, Wanted
from rlite.engine.replication.following import Master
from rlite.engine.replication.full_sync import start_stream
from rlite.engine.replication.replicas import NEVER, Greeting, Replica
from rlite.engine.replication.sending import send, serve, stream
from rlite.engine.reply import NO_REPLY, OK, Reply

if TYPE_CHECKING:
    from rlite.engine.replication.replication import Replication

LOG = logging.getLogger("rlite.replication")


def replication_of(call: Call) -> "Replication":
    """Raises CommandError where there is none: an engine without sockets has no replicas."""
    found = call.server.replication
    if found is None or call.client.mailbox is None:
        raise CommandError(errors.NOT_FOR_EMBEDDED)
    return cast("Replication", found)


# --- REPLCONF ----------------------------------------------------------------------------------------------


@command(
    "REPLCONF [option value [option value ...]]", arity=-1, flags="admin noscript loading stale allow_busy",
    group="server", since="3.0.0", complexity="O(1)", summary="What replicas say to their master.",
)  # fmt: skip
def replconf(call: Call) -> Reply:
    if len(call.args) % 2 == 0:
        raise CommandError(errors.SYNTAX)
    replication = replication_of(call)
    greeting = replication.replicas.greeting(call.client)
    for at in range(1, len(call.args), 2):
        option = call.args[at].lower()
        if option == b"ack":
            acknowledge(replication, call, at)
            return NO_REPLY
        if option == b"getack":  # from a master: the link answers (link.py); from anybody else it is nothing
            return NO_REPLY
        greet(greeting, option, call, at + 1)
    return OK


def greet(greeting: Greeting, option: bytes, call: Call, at: int) -> None:
    """One option, whose value is argument `at`."""
    value = call.args[at]
    if option == b"listening-port":
        greeting.port = call.int(at)
    elif option == b"ip-address":
        if len(value) >= 256:
            raise CommandError(errors.REPLCONF_ADDRESS % len(value))
        greeting.address = value.decode("latin-1")
    elif option == b"capa":
        greeting.eof |= value.lower() == b"eof"
        greeting.psync2 |= value.lower() == b"psync2"
    elif option == b"rdb-only":
        greeting.snapshot_only = call.int_in(at, 0, 1, errors.NOT_AN_INTEGER) == 1
    elif option == b"rdb-filter-only":
        if value:
            raise CommandError(errors.REPLCONF_FILTER)
    else:
        raise CommandError(errors.REPLCONF_UNKNOWN % printable(call.args[at - 1]))


def acknowledge(replication: "Replication", call: Call, at: int) -> None:
    """ACK <offset> [FACK <offset>]; nothing is answered, whatever it says."""
    replica = replication.replicas.of(call.client)
    offset = parse_int(call.args[at + 1])
    if replica is None or offset is None:
        return
    on_disk = NEVER
    if len(call.args) > at + 3 and call.args[at + 2].lower() == b"fack":
        on_disk = parse_int(call.args[at + 3]) or 0
    replication.replicas.note_ack(replica, offset, on_disk)
    note_acknowledgement(call.server)


# --- PSYNC -------------------------------------------------------------------------------------------------


@command(
    "PSYNC replicationid offset [FAILOVER]", arity=-3, flags="admin noscript no_async_loading no_multi",
    group="server", since="2.8.0", complexity="O(1)",
    summary="Begins to replicate, from where the replica has come to.",
)  # fmt: skip
def psync(call: Call) -> Reply:
    offset = call.int(2)
    if len(call.args) > 3 and call.word(3) == b"FAILOVER":
        take_over(call)
    return begin(call, call.args[1], offset)


def take_over(call: Call) -> None:
    """The master asks this replica to be the master. Raises CommandError."""
    server, replication = call.server, replication_of(call)
    if not server.follows:
        raise CommandError(errors.TAKE_OVER_FROM_MASTER)
    with everything_held(server):
        if call.args[1] != server.replication_id.encode():
            raise CommandError(errors.TAKE_OVER_OTHER_HISTORY)
        LOG.info("the master %s asks this replica to take over", replication.master)
        replication.following.lead()


@command(
    "FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]", arity=-1,
    flags="admin noscript stale", group="server", since="6.2.0", complexity="O(1)",
    summary="Has a replica and this master change places, without losing a write.",
)  # fmt: skip
def failover(call: Call) -> Reply:
    replication, args = replication_of(call), call.args
    if len(args) == 2 and call.word(1) == b"ABORT":
        replication.failover.abort("it was told to")
        return OK
    replication.failover.begin(wanted(call))
    return OK


def wanted(call: Call) -> Wanted:
    """The options of FAILOVER. Raises CommandError."""
    target, until, force, at = None, math.inf, False, 1
    while at < len(call.args):
        word, left = call.word(at), len(call.args) - at - 1
        if word == b"TIMEOUT" and left >= 1 and until == math.inf:
            milliseconds = call.int(at + 1)
            if milliseconds <= 0:
                raise CommandError(errors.FAILOVER_TIMEOUT)
            until = time.monotonic() + milliseconds / 1000
            at += 2
        elif word == b"TO" and left >= 2 and target is None:
            target = Master(call.args[at + 1].decode("utf-8", "surrogateescape"), call.int(at + 2))
            at += 3
        elif word == b"FORCE" and not force:
            force = True
            at += 1
        else:
            raise CommandError(errors.SYNTAX)
    if force and (target is None or until == math.inf):
        raise CommandError(errors.FAILOVER_FORCE)
    return Wanted(target, until, force)


@command(
    "SYNC", arity=1, flags="admin noscript no_async_loading no_multi", group="server", since="1.0.0",
    complexity="O(1)", summary="Begins to replicate, as replicas did before PSYNC.",
)  # fmt: skip
def sync(call: Call) -> Reply:
    return begin(call, b"?", 0, answered=False)


def begin(call: Call, wanted: bytes, offset: int, *, answered: bool = True) -> Reply:
    """Makes the client a replica. What it is answered comes from the thread that sends to it.

    answered: it is told where the stream stands before it gets the data.
    """
    replication, client = replication_of(call), call.client
    replicas = replication.replicas
    if replicas.of(client) is not None:
        return NO_REPLY
    if replication.failover.stage is not Stage.NONE:
        raise CommandError(errors.SYNC_IN_FAILOVER)
    if replication.master is not None and not replication.link_up:
        raise CommandError(errors.NO_MASTER_LINK)
    try:
        replica = replicas.add(client)
        replica.answered = answered
    except OSError as fault:
        raise CommandError(f"ERR {fault.strerror}") from None

    # Behind whatever the turn under way still has for this client; and not in its I/O thread, for it may take
    # a while to find the place in the files, or to have every lock.
    assert client.mailbox is not None
    client.mailbox("call", client, lambda _client: serve(
        replicas, replica, lambda: go_on(replication, replica, wanted, offset - 1)
    ))  # fmt: skip
    return NO_REPLY


def go_on(replication: "Replication", replica: Replica, wanted: bytes, at: int) -> bool:
    """Serves a replica from an offset of a history on, until it leaves. False: it needs all data, and waits
    for them. Raises LostError.
    """
    replicas, server = replication.replicas, replication.server
    found = place(replication, replica, wanted, at)
    if found is None:
        why = "" if wanted == b"?" else "; it could not go on where it was"
        LOG.info("replica %s asks for a full synchronisation%s", replica.name, why)
        replicas.full += 1
        replicas.partial_failed += wanted != b"?"
        replication.full_sync.wait_for(replica)
        return False
    replicas.partial += 1
    files = found if isinstance(found, HistoryFiles) else None
    where = "memory" if files is None else "the log's files"
    LOG.info("replica %s goes on at offset %d, from %s", replica.name, at, where)
    patience = server.config.int("repl-timeout")
    identity = f" {server.replication_id}" if replica.greeting.psync2 else ""
    send(replica, f"+CONTINUE{identity}\r\n".encode(), patience)
    stream(replicas, replica, files, at, patience)
    return True


class InMemory:
    """Says that the feed has joined already."""


def place(
    replication: "Replication", replica: Replica, wanted: bytes, at: int
) -> HistoryFiles | InMemory | None:
    """Where the stream of a history is from an offset on: None where it cannot go on there."""
    server = replication.server
    known = wanted.decode("latin-1")
    if known != server.replication_id and (known != server.former_id or at > server.former_end):
        return None
    if not 0 <= at <= server.log.offset:
        return None
    if not server.log.streaming:
        with everything_held(server):
            start_stream(server)
        if known not in (server.replication_id, server.former_id):  # there was no log at all
            return None
    if replica.feed.join(at):
        return InMemory()
    files = replication.disk.history()
    if files is not None and (at <= replication.replicas.unreadable_to or not files.covers(known, at)):
        files.close()
        files = None
    return files
