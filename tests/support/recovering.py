"""A directory loaded in this process, as a server would load it at its start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlite.engine.commands.context import Context, Loading
from rlite.engine.commands.dispatch import execute
from rlite.engine.config import Config
from rlite.engine.core.connection import Client
from rlite.engine.core.database import Database
from rlite.engine.core.resp import encode
from rlite.engine.persistence import recovery
from rlite.engine.persistence.outcome import Recovered
from rlite.engine.server import Server
from support.wire import Reply, parse


@dataclass
class Loaded:
    """What recovery made of a directory."""

    result: Recovered
    server: Context

    def get(self, key: bytes | str, database: int = 0) -> bytes | None:
        name = key.encode() if isinstance(key, str) else key
        found: bytes | None = Database(self.server.keyspace, database).get(name)
        return found


def load(directory: Path, **directives: object) -> Loaded:
    """Recovers a directory as a server with these directives would. Raises what recovery raises."""
    config = Config(**{"dir": directory, "appendonly": True, **directives})
    server = Server(config).context
    found = recovery.plan(config)
    done = recovery.recover(found, server, Loading(), truncated=config.flag("aof-load-truncated"))
    server.keyspace.loading = False
    return Loaded(done, server)


def digest(server: Context) -> bytes:
    """DEBUG DIGEST of what was loaded; `enable_debug_command` must be on."""
    from rlite.engine.commands.dispatch import execute
    from rlite.engine.core.connection import Client
    from rlite.engine.reply import Simple

    reply = execute(server, Client(), [b"DEBUG", b"DIGEST"])
    assert isinstance(reply, Simple), reply
    return reply.text.encode()


def asking(directory: Path, **directives: object) -> Callable[[Sequence[Sequence[bytes]]], list[Reply]]:
    """Replies to commands by what lies in a directory, loaded as at a start. Raises what recovery raises."""
    server = load(directory, **directives).server
    client = Client()
    return lambda asked: [parse(encode(execute(server, client, list(command)), 2)) for command in asked]
