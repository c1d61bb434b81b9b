"""Commands run for HTTP: by a client in process that has no connection, with every check a socket's client
goes through, and a few of its own for what needs a connection.

Runs in the API's threads for commands, with the GIL.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rlite.engine import errors
from rlite.engine.commands import blocking, watching
from rlite.engine.commands.context import Context
from rlite.engine.commands.declare import Command
from rlite.engine.commands.dispatch import CrossProtocolError, execute, find, held_up, unknown
from rlite.engine.commands.scripts import in_the_way
from rlite.engine.core.connection import Client
from rlite.engine.core.resp import decode_reply, encode
from rlite.engine.errors import CommandError
from rlite.engine.reply import BLOCK, NO_REPLY, ErrorReply, Reply

Note = Callable[[Client, Sequence[bytes], int], None]  # a call that took so many ns

# Commands about the connection they come in on, which one of HTTP is not.
OF_A_CONNECTION = frozenset({
    "AUTH", "HELLO", "SELECT", "RESET", "QUIT", "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "MONITOR",
    "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "SYNC", "PSYNC",
    "REPLCONF", "DEBUG", "CLIENT REPLY", "CLIENT SETNAME",
    "CLIENT SETINFO", "CLIENT NO-EVICT", "CLIENT NO-TOUCH",
})  # fmt: skip
READS_OF_STREAMS = frozenset({"XREAD", "XREADGROUP"})  # block only when asked to
LOOK_SECONDS = 0.01  # how often one that is held up looks whether it may go on
PAUSE_SECONDS = 5.0  # how long a call waits for CLIENT PAUSE to end


def unfit(command: Command, args: Sequence[bytes]) -> str:
    """Why a command cannot be run over HTTP; empty where it can."""
    if command.name in OF_A_CONNECTION:
        return errors.HTTP_NEEDS_CONNECTION % command.name
    if "blocking" in command.flags and not (
        command.name in READS_OF_STREAMS and b"BLOCK" not in [arg.upper() for arg in args[1:]]
    ):
        return errors.HTTP_BLOCKS % command.name
    return ""


def named(server: Context, args: Sequence[bytes]) -> Command | None:
    """The command these arguments name; None where they name none, as running them will say."""
    try:
        return find(server, args)
    except CommandError:
        return None


@dataclass(frozen=True, slots=True)
class Session:
    """One client in process, for one request."""

    server: Context
    client: Client
    note: Note

    def call(self, *args: bytes) -> Any:
        """Runs a command of ours. Returns its reply as RESP2 has it: bytes, int, None, list, Simple; errors
        inside are ErrorReply. Raises CommandError.
        """
        reply = self.reply(list(args))
        if isinstance(reply, ErrorReply):
            raise CommandError(reply.text)
        return reply

    def ask(self, args: list[bytes]) -> Any:
        """Runs a command that came from outside. As `call`, but an error is returned."""
        command = named(self.server, args)
        reason = unfit(command, args) if command is not None else ""
        return ErrorReply(reason) if reason else self.reply(args)

    def transaction(self, *commands: Sequence[bytes]) -> list[Any] | None:
        """Runs commands of ours at once. None: a key that is watched has changed. Raises CommandError."""
        self.call(b"MULTI")
        for words in commands:
            self.call(*words)
        replies = self.call(b"EXEC")
        for each in replies or ():
            if isinstance(each, ErrorReply):
                raise CommandError(each.text)
        assert replies is None or isinstance(replies, list)
        return replies

    def reply(self, args: list[bytes]) -> Any:
        try:
            self.wait_for_leave(named(self.server, args))
            reply = self._run(args)
        except CommandError as fault:
            return ErrorReply(fault.text)
        except CrossProtocolError:
            return ErrorReply(unknown(args).text)
        return decode_reply(encode(reply, 2), 0)[0]

    def _run(self, args: list[bytes]) -> Reply:
        client, server = self.client, self.server
        client.took_ns = -1
        reply = execute(server, client, args)
        if reply is BLOCK:
            blocking.gone(server, client)
            return ErrorReply(errors.HTTP_BLOCKS % args[0].upper().decode("latin-1"))
        if reply is NO_REPLY:
            return None
        if client.took_ns >= server.slow_ns:
            self.note(client, args, client.took_ns)
        journal = server.journal
        if journal is not None and not journal.settle():
            return ErrorReply(errors.LOG_WRITE_ERROR % os.strerror(journal.refusing))
        return reply

    def wait_for_leave(self, command: Command | None) -> None:
        """Waits, as a client's connection would, for a slow script or CLIENT PAUSE. Raises CommandError when
        that lasts.
        """
        until = time.monotonic() + PAUSE_SECONDS
        server, client = self.server, self.client
        if command is None:
            return
        while in_the_way(server, client, command) is not None or held_up(server, client, command):
            if time.monotonic() > until:
                raise CommandError(errors.HTTP_PAUSED)
            time.sleep(LOOK_SECONDS)


@contextmanager
def session(server: Context, note: Note, peer: str, database: int = 0) -> Iterator[Session]:
    """A client for one request, which leaves nothing behind."""
    client = Client()
    client.resp = 2
    client.database = database
    client.address = peer
    try:
        yield Session(server, client, note)
    finally:
        watching.unwatch(server, client)
