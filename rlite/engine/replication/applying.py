"""The master's stream: what of it core/follow leaves to Python, and what is made of commands that fail.

Used by the link's thread. A command that fails here has come off at the master, so the data may differ from
then on; Redis goes on, and so does this, loudly, unless propagation-error-behavior says otherwise.
"""

import logging

from rlite.engine.commands import blocking, dispatch
from rlite.engine.commands.context import Context
from rlite.engine.core.connection import Client
from rlite.engine.core.database import Database
from rlite.engine.core.follow import Follower
from rlite.engine.errors import CommandError
from rlite.engine.persistence.replaying import known
from rlite.engine.replication.channel import EndedError, LinkError
from rlite.engine.reply import ErrorReply, Raw

LOG = logging.getLogger("rlite.replication")


class Applying:
    """The stream of one link, from where the log is. client: in whose name commands run."""

    def __init__(self, server: Context, client: Client) -> None:
        self._server, self._client = server, client
        self.follower = Follower(
            server.keyspace, server.table, server.gate, self._run, server.link_counters, server.log.offset,
            max(0, server.log.selected),
        )  # fmt: skip
        self._told = 0  # failures that the log has been told of

    def feed(self, data: memoryview) -> None:
        """Applies what is complete by now, and wakes who waited for it. Raises EndedError; LinkError, with
        the word `protocol` or `data` where the stream cannot be gone on with.
        """
        try:
            alive = self.follower.feed(data)
        except ValueError as fault:
            raise LinkError("protocol", str(fault)) from None
        finally:
            if self._server.ready:
                blocking.serve_ready(self._server)
        if not alive:
            raise EndedError
        if self.follower.failed > self._told:
            self._tell()

    def _run(self, db: Database, words: list[bytes]) -> str | None:
        """Runs a command under every lock, which `db` holds. Returns the error that it answers with."""
        try:
            command = known(self._server, words)
            if command.is_container or not command.accepts(len(words)):
                return f"ERR {command.name} does not take {len(words) - 1} arguments"
        except CommandError as fault:
            return fault.text
        self._client.database = db.index
        reply = dispatch.run(self._server, self._client, command, words, db)
        if isinstance(reply, Raw) and reply.data[:1] == b"-":
            return reply.data[1:-2].decode("utf-8", "surrogateescape")
        return reply.text if isinstance(reply, ErrorReply) else None

    def _tell(self) -> None:
        """Of commands that failed. Raises LinkError where that is to end the link."""
        count, first = self.follower.failed - self._told, self.follower.failure
        self._server.unexpected_errors += count
        if first is not None and not self._told:
            words, text = first
            LOG.error(
                "a command of the master failed here, so the data may differ: %s was answered with %s",
                words[0].decode("latin-1"), text,
            )  # fmt: skip
        self._told = self.follower.failed
        if self._server.config.text("propagation-error-behavior") != "ignore":
            raise LinkError("data", "a command of the master failed here; all data are asked for anew")
