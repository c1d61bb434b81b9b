"""The master's stream, run command by command by the ordinary handlers.

Run by the link's thread. Each command takes every lock and looks whether the link has ended meanwhile: once
another role was given to this server, under those locks, nothing of the stream is applied any more.
"""

from collections.abc import Callable

from rlite.engine.commands import blocking, dispatch
from rlite.engine.commands.context import Context
from rlite.engine.commands.declare import REGISTRY
from rlite.engine.core.connection import Client
from rlite.engine.core.keyspace import mark_link
from rlite.engine.core.resp import IncompleteError, decode_reply
from rlite.engine.errors import CommandError, printable
from rlite.engine.replication.channel import EndedError, LinkError
from rlite.engine.replication.holding import everything_held
from rlite.engine.reply import ErrorReply


class Applier:
    """offset: behind what has been applied; read: behind what has come; asked: whether the master wants to
    know the offset now.
    """

    def __init__(self, server: Context, client: Client, offset: int, ended: Callable[[], bool]) -> None:
        self._server, self._client, self._ended = server, client, ended
        self.offset = self.read = offset
        self.asked = False
        self._rest = b""
        self._queue: list[list[bytes]] | None = None

    def feed(self, data: memoryview) -> None:
        """Applies what is complete by now. Raises LinkError where the stream makes no sense, EndedError."""
        self.read += len(data)
        raw = self._rest + bytes(data)
        at = done = 0
        while at < len(raw):
            if raw[at : at + 1] == b"\n":
                at += 1
                if self._queue is None:
                    self.offset += at - done
                    done = at
                continue
            try:
                words, end = decode_reply(raw, at)
            except IncompleteError:
                break
            except ValueError as fault:
                raise LinkError("protocol", f"the stream makes no sense: {fault}") from None
            if not isinstance(words, list) or not all(isinstance(word, bytes) for word in words) or not words:
                raise LinkError("protocol", f"no command in the stream: {printable(raw[at : at + 60])}")
            self._take([word for word in words if isinstance(word, bytes)])
            at = end
            if self._queue is None:
                self.offset += at - done
                done = at
        # A transaction is applied, and counted, as a whole: what there is of it is read again with its end.
        self._queue = None
        self._rest = raw[done:]

    def _take(self, words: list[bytes]) -> None:
        name = words[0].upper()
        if name == b"MULTI":
            self._queue = []
        elif name == b"EXEC" and self._queue is not None:
            queue, self._queue = self._queue, None
            self._run(queue)
        elif self._queue is not None:
            self._queue.append(words)
        else:
            self._run([words])

    def _run(self, commands: list[list[bytes]]) -> None:
        server, client = self._server, self._client
        held = everything_held(server)
        mark_link(True)
        try:
            if self._ended():
                raise EndedError
            for words in commands:
                if words[0].upper() == b"REPLCONF":
                    self.asked = self.asked or words[1:2] == [b"GETACK"]
                    continue
                command = dispatch.find(server, words) or REGISTRY.get(words[0].upper().decode("latin-1"))
                if command is None or not command.accepts(len(words)):
                    raise LinkError(
                        "protocol", f"the master sent a command unknown here: {printable(words[0])}"
                    )
                reply = dispatch.run(server, client, command, words, held)
                if isinstance(reply, ErrorReply):
                    raise LinkError("data", f"{command.name} of the stream was answered with {reply.text}")
        except CommandError as fault:
            raise LinkError("protocol", fault.text) from None
        finally:
            mark_link(False)  # whoever is served now, out of this thread, is a client
            held.unlock()
            if server.ready:
                blocking.serve_ready(server)
