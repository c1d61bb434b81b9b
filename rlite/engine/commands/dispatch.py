"""The ordinary path: every check a command goes through, and the call itself, in Redis's order.

Runs with the GIL, in the client's I/O thread or in the caller's (in process). The plain path of the core
skips this only where each check here would have let the command through.
"""

import os
import time
from collections.abc import Sequence

from rlite.engine import errors
from rlite.engine.commands import blocking, monitoring
from rlite.engine.commands.call import Call
from rlite.engine.commands.context import Context, Journal
from rlite.engine.commands.declare import REGISTRY, Command, Locks
from rlite.engine.commands.notifying import absent, publish_events, tell_departures
from rlite.engine.commands.scripts import in_the_way
from rlite.engine.commands.watching import abandon, signal_changed
from rlite.engine.core.connection import Client
from rlite.engine.core.database import Database, KeyspaceBusyError
from rlite.engine.core.eviction import make_room
from rlite.engine.core.resp import encode
from rlite.engine.directives import INT64_MAX
from rlite.engine.errors import CommandError, printable
from rlite.engine.reply import (
    BLOCK,
    NO_REPLY,
    QUEUED,
    WAIT,
    ErrorReply,
    Pairs,
    Raw,
    Reply,
    RespSet,
    Verbatim,
)

# What a browser sends to a port it was tricked into talking to; answered with a closed connection.
CROSS_PROTOCOL = frozenset({b"POST", b"HOST:"})
# Commands that MULTI does not queue.
UNQUEUED = frozenset({"EXEC", "DISCARD", "MULTI", "WATCH", "QUIT", "RESET"})
# Commands that run though the client has not authenticated are flagged no_auth; these end a pause or a fault.
UNPAUSED = frozenset({"CLIENT UNPAUSE", "CLIENT PAUSE"})


# What a RESP2 client may send while it listens.
SUBSCRIBER_COMMANDS = frozenset(
    {
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PSUBSCRIBE",
        "PUNSUBSCRIBE",
        "SSUBSCRIBE",
        "SUNSUBSCRIBE",
        "PING",
        "QUIT",
        "RESET",
    }
)


MOST_FRAMING = 32  # bytes that a request has beside an argument, or beside all of them, at most


class CrossProtocolError(Exception):
    """The peer speaks HTTP."""


def find(server: Context, args: Sequence[bytes]) -> Command | None:
    """The command these arguments name, a subcommand where there is one. Raises CommandError for an unknown
    one of a known container; None for an unknown command.
    """
    name = args[0].upper().decode("latin-1")
    if server.renamed:
        name = server.renamed.get(args[0].lower(), name)
    command = REGISTRY.get(name) if " " not in name else None
    if command is None or not command.subcommands or len(args) < 2:
        return command
    sub = command.subcommands.get(args[1].upper().decode("latin-1"))
    if sub is None:
        raise CommandError(errors.UNKNOWN_SUBCOMMAND % (printable(args[1]), command.name))
    return sub


def unknown(args: Sequence[bytes]) -> CommandError:
    shown = ""
    for arg in args[1:]:
        if len(shown) >= 128:
            break
        shown += f"'{printable(arg, 128 - len(shown))}' "
    return CommandError(errors.UNKNOWN_COMMAND % (printable(args[0]), shown))


def execute(server: Context, client: Client, args: list[bytes]) -> Reply:
    """Runs one command for a client and returns its reply; what goes wrong comes back as an ErrorReply."""
    try:
        command = find(server, args)
        if command is None:
            if args[0].upper() in CROSS_PROTOCOL:
                raise CrossProtocolError
            raise unknown(args)
        if command.is_container or not command.accepts(len(args)):
            raise CommandError(errors.WRONG_ARITY % command.counted_as)
        reply = admitted(server, client, command, args)
    except CommandError as fault:
        text = fault.text
        if args[0].upper() == b"EXEC":  # refused before it ran: the transaction is over all the same
            abandon(server, client)
            text = errors.EXEC_ABORT_BECAUSE % text.removeprefix("ERR ")
        elif client.transaction is not None:
            client.transaction_failed = True
        reply = refuse(server, text)
    return heard(client, reply)


def admitted(server: Context, client: Client, command: Command, args: list[bytes]) -> Reply:
    """As `admit`; a client in process waits here for a slow script to end, one of the network in its loop."""
    while True:
        try:
            return admit(server, client, command, args)
        except KeyspaceBusyError:
            if client.fd < 0:
                server.scripts.over.wait()
            elif server.scripts.slow:
                in_the_way(server, client, command)
                return WAIT


def admit(server: Context, client: Client, command: Command, args: list[bytes]) -> Reply:
    """The checks of a command that is known and well-formed; then it is run, or queued."""
    if client.restricted("auth") and "no_auth" not in command.flags:
        server.counters.reject(server.ids[command.counted_as])
        raise CommandError(errors.NO_AUTH)
    if not make_room(server.keyspace) and comes_to(client, command, "denyoom"):
        server.counters.reject(server.ids[command.counted_as])
        raise CommandError(errors.OUT_OF_MEMORY)
    if client.peer == "replica" and command.flags & {"write", "readonly", "may_replicate"}:
        raise CommandError(errors.REPLICA_TOUCHES_KEYS)
    check_log(server, client, command)
    check_saves(server, client, command)
    check_replicas(server, client, command)
    check_role(server, client, command)
    if client.transaction is not None and "no_multi" in command.flags:
        raise CommandError(errors.NOT_IN_MULTI)
    if listens(client) and command.name not in SUBSCRIBER_COMMANDS:
        raise CommandError(errors.SUBSCRIBER_MODE % command.counted_as)
    if server.stale and not is_flagged(client, command, "stale"):
        server.counters.reject(server.ids[command.counted_as])
        raise CommandError(errors.MASTER_DOWN)
    if server.loading is not None and not is_flagged(client, command, "loading"):
        raise CommandError(errors.LOADING)
    if client.transaction is not None and command.name not in UNQUEUED:
        client.transaction.append((command, args))
        return QUEUED
    if server.scripts.slow and client.fd >= 0 and in_the_way(server, client, command) is WAIT:
        return WAIT
    if server.pause is not None and paused(server, client, command):
        return WAIT
    return run(server, client, command, args, None)


def is_flagged(client: Client, command: Command, flag: str) -> bool:
    """Whether a command, and each that an EXEC would run, has a flag without which it may not run now."""
    return flag in command.flags and not (
        command.name == "EXEC" and any(flag not in queued.flags for queued, _ in client.transaction or ())
    )


def listens(client: Client) -> bool:
    """Whether it is a RESP2 client with subscriptions, which may send little and hears messages only."""
    return client.subscriptions is not None and client.resp == 2 and client.subscriptions.any


def comes_to(client: Client, command: Command, flag: str) -> bool:
    """Whether a command has a flag, or is an EXEC with one in it that has."""
    if command.name == "EXEC":
        return any(flag in queued.flags for queued, _ in client.transaction or ())
    return flag in command.flags


def check_log(server: Context, client: Client, command: Command) -> None:
    """Raises CommandError for a command that writes, or an EXEC that would, while the log takes no more."""
    if server.journal is None or not server.journal.refusing:
        return
    if comes_to(client, command, "write"):
        server.counters.reject(server.ids[command.counted_as])
        raise CommandError(errors.LOG_WRITE_ERROR % os.strerror(server.journal.refusing))


def check_saves(server: Context, client: Client, command: Command) -> None:
    """Raises CommandError for what Redis refuses while snapshots fail: writes, an EXEC that would, and PING,
    so that monitors hear of it.
    """
    if server.saves is None or not server.saves.refusing:
        return
    if comes_to(client, command, "write") or command.name == "PING":
        server.counters.reject(server.ids[command.counted_as])
        raise CommandError(errors.SAVE_ERROR)


def check_replicas(server: Context, client: Client, command: Command) -> None:
    """Raises CommandError for a command that writes, while fewer replicas are well than
    min-replicas-to-write asks for.
    """
    replication = server.replication
    if replication is None or not replication.wanting or server.follows:
        return
    if comes_to(client, command, "write"):
        server.counters.reject(server.ids[command.counted_as])
        raise CommandError(errors.NO_REPLICAS)


def check_role(server: Context, client: Client, command: Command) -> None:
    """Raises CommandError for a command that writes, or an EXEC that would, on a replica that takes none."""
    if server.read_only and comes_to(client, command, "write"):
        server.counters.reject(server.ids[command.counted_as])
        raise CommandError(errors.READ_ONLY)


def paused(server: Context, client: Client, command: Command) -> bool:
    """Whether CLIENT PAUSE has a client of the network wait; one in process is held up by its caller."""
    return client.fd >= 0 and held_up(server, client, command)


def held_up(server: Context, client: Client, command: Command) -> bool:
    """Whether CLIENT PAUSE is about this command."""
    pause = server.pause
    if pause is None or time.monotonic() >= pause.until or command.name in UNPAUSED:
        return False
    if not pause.writes_only:
        return True
    return comes_to(client, command, "write") or "may_replicate" in command.flags


def run(server: Context, client: Client, command: Command, args: list[bytes], held: Database | None) -> Reply:
    """The call itself, timed and counted. `held`: the locks of a transaction around it, or None."""
    which = server.ids[command.counted_as]
    client.last_command = which
    script = command.group == "scripting"
    if script and server.monitors:  # a script is shown before its commands, a transaction behind them
        monitoring.feed(server, client, command, args, client.database)
    started = time.perf_counter_ns()
    reply: Reply
    dirty = hits = misses = 0
    failed = False
    positions: list[int] = []
    try:
        # Under every lock nothing needs to know the keys, but those who wait for a change of one.
        alone = command.locks is Locks.EVERYTHING and "write" not in command.flags
        positions = [] if alone else command.key_positions(args)
        db = Database(server.keyspace, client.database) if held is None else held.sibling(client.database)
        db.no_touch = client.no_touch
        if held is None:
            if command.locks is Locks.EVERYTHING:
                db.lock_all()
            elif positions and command.locks is Locks.KEYS:
                db.lock([args[i] for i in positions])
        missing = absent(server, db, command, args, positions) if server.notify_classes else []
        journal = server.journal if command.locks is not Locks.NOTHING else None
        if journal is not None:
            journal.begin()
        try:
            done = None
            if command.core is not None and not (command.name == "PING" and listens(client)):
                noting = server.notify_classes != ""
                done = db.run_core(command.core, args, positions, client.resp, noting)
            if done is not None:
                raw, failed, dirty, hits, misses, events = done
                reply = Raw(raw)
                if failed:
                    count_error(server, raw[1:].partition(b" ")[0].decode("latin-1"))
                if events or missing:
                    told = [(kind, event, key, client.database) for kind, event, key in events]
                    publish_events(server, db, missing, told)
            else:
                assert command.handler is not None
                call = Call(command, args, db, client, server, may_not_block=held is not None)
                try:
                    reply = command.handler(call)
                finally:
                    dirty, hits, misses = call.dirty, call.hits, call.misses
                    if journal is not None:
                        log_call(journal, call)
                    if call.events or missing:
                        publish_events(server, db, missing, call.events)
            if dirty and (server.watchers or server.waiting) and "write" in command.flags:
                signal_changed(server, client.database, [args[i] for i in positions])
        finally:
            if journal is not None:
                journal.commit()
            if held is None:
                db.unlock()
                if server.ready:
                    blocking.serve_ready(server)
    except CommandError as fault:
        failed = True
        reply = refuse(server, fault.text)
    except MemoryError:
        failed = True
        reply = refuse(server, errors.OUT_OF_MEMORY)
    if server.monitors and not script:
        monitoring.feed(server, client, command, args, client.database)
    if server.notify_classes:
        tell_departures(server)
    took = time.perf_counter_ns() - started
    server.counters.record(which, took, failed)
    server.counters.effects(dirty, hits, misses)
    if positions:
        server.hot_keys.note(client.database, args, positions, "write" in command.flags, took)
    if held is None:
        client.took_ns = took  # whoever sends the reply knows its size, and judges
    else:
        judge_nested(server, client, command, args, ns=took, reply=reply)
    return reply


def judge(
    server: Context, client: Client, command: Command, args: list[bytes], *, ns: int, request: int, reply: int
) -> None:
    """Has a call that may have taken long or have been large (bytes; -1: unknown) noted where it was."""
    database = client.database
    if client is server.scripts.client and server.scripts.running is not None:
        client = server.scripts.running.caller
    server.latency_monitor.note("fast-command" if "fast" in command.flags else "command", ns)
    server.command_log.judge(client, command, args, database=database, ns=ns, request=request, reply=reply)


def judge_nested(
    server: Context, client: Client, command: Command, args: list[bytes], *, ns: int, reply: Reply
) -> None:
    """As `judge`, for a command of a transaction or a script: its request and reply are a part of others."""
    if isinstance(reply, Raw):
        size = len(reply.data)
    elif isinstance(reply, bytes | list | dict | Pairs | RespSet | Verbatim):
        size = len(encode(reply, client.resp)) if server.large_reply != INT64_MAX else -1
    else:
        size = 0
    largest = sum(map(len, args)) + MOST_FRAMING * (len(args) + 1)
    if ns < server.slow_ns and size < server.large_reply and largest < server.large_request:
        return
    request = -1 if client is server.scripts.client else framed_size(args)
    if ns >= server.slow_ns or size >= server.large_reply or request >= server.large_request:
        judge(server, client, command, args, ns=ns, request=request, reply=size)


def framed_size(args: Sequence[bytes]) -> int:
    """Bytes of a request with these arguments."""
    heads = [b"*%d\r\n" % len(args), *(b"$%d\r\n\r\n" % len(arg) for arg in args)]
    return sum(map(len, heads)) + sum(map(len, args))


def log_call(journal: Journal, call: Call) -> None:
    """Has the log hold what a handler has done: the command as it came, or what it says instead."""
    if call.effects is not None:
        for database, words in call.effects:
            journal.append(database, words)
    elif call.dirty and "write" in call.command.flags:
        journal.append(call.db.index, call.args)


def refuse(server: Context, text: str) -> ErrorReply:
    count_error(server, text.partition(" ")[0])
    return ErrorReply(text)


def count_error(server: Context, word: str) -> None:
    server.errors[word] = server.errors.get(word, 0) + 1


def heard(client: Client, reply: Reply) -> Reply:
    """What CLIENT REPLY lets through."""
    if client.reply_mode == "on" or reply is WAIT or reply is BLOCK:
        return reply
    if client.reply_mode == "skip-next":  # the reply of CLIENT REPLY SKIP itself; the next one is skipped
        client.reply_mode = "skip"
    elif client.reply_mode == "skip":
        client.reply_mode = "on"
        client.lift("silenced")
    return NO_REPLY
