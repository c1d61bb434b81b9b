"""Logged commands that the core cannot run by itself, run at start by their ordinary handlers.

The ordinary checks are left out: nobody is connected in their name, so nothing is counted, timed, published
or logged, and what was let in once is not refused for want of memory or of a password.
"""

import logging
from collections.abc import Callable

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.context import Context
from rlite.engine.commands.declare import REGISTRY, Command, Locks
from rlite.engine.commands.dispatch import find, unknown
from rlite.engine.core.connection import Client
from rlite.engine.core.database import Database
from rlite.engine.errors import CommandError
from rlite.engine.reply import ErrorReply

log = logging.getLogger("rlite")


class StoppedError(Exception):
    """The server was told to stop while it loaded."""


def runner(
    server: Context, stop: Callable[[], bool]
) -> Callable[[int, list[bytes]], tuple[str | None, bool]]:
    """The `otherwise` of a Replay: (database, command) -> (the error it answered or None, whether that is
    fatal: a command that nobody knows). Raises StoppedError when `stop` says so: transactions may be long.
    """
    client = Client()

    def run(database: int, args: list[bytes]) -> tuple[str | None, bool]:
        if stop():
            raise StoppedError
        client.database = database
        try:
            command = known(server, args)
        except CommandError as fault:
            return fault.text, True
        try:
            return answered(server, client, command, args), False
        except CommandError as fault:
            return fault.text, False
        except MemoryError:
            return errors.OUT_OF_MEMORY, True
        except Exception as fault:
            log.debug("while replaying %r", args[:3], exc_info=True)
            return f"internal error: {fault!r}", True

    return run


def known(server: Context, args: list[bytes]) -> Command:
    """The command, by the name that clients say or by its own. Raises CommandError."""
    command = find(server, args)
    if command is None:
        command = REGISTRY.get(args[0].upper().decode("latin-1"))
    if command is None:
        raise unknown(args)
    return command


def answered(server: Context, client: Client, command: Command, args: list[bytes]) -> str | None:
    """Runs it. Returns the error that it answered; raises CommandError for one that it raised."""
    if command.is_container or not command.accepts(len(args)):
        raise CommandError(errors.WRONG_ARITY % command.counted_as)
    alone = command.locks is Locks.EVERYTHING
    positions = [] if alone else command.key_positions(args)
    db = Database(server.keyspace, client.database)
    if alone:
        db.lock_all()
    elif positions and command.locks is Locks.KEYS:
        db.lock([args[i] for i in positions])
    try:
        done = None
        if command.core is not None:
            done = db.run_core(command.core, args, positions, client.resp, False)
        if done is not None:
            raw, failed = done[:2]
            return raw[1:-2].decode("utf-8", "surrogateescape") if failed else None
        assert command.handler is not None
        reply = command.handler(Call(command, args, db, client, server, may_not_block=True))
        return reply.text if isinstance(reply, ErrorReply) else None
    finally:
        db.unlock()
