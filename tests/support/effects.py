"""What commands say to the log, recorded in process; and the data set that comes of running it again."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rlite.engine.commands import blocking
from rlite.engine.commands.dispatch import execute
from rlite.engine.config import Config
from rlite.engine.core.connection import Client
from rlite.engine.core.database import Database
from rlite.engine.engine import Value, native
from rlite.engine.reply import BLOCK
from rlite.engine.server import Server
from support.programs import quote, words

Effect = tuple[int, list[bytes]]  # (database, command)
DATABASES = 3
# When a consumer was seen last is in no log, Redis's neither.
UNLOGGED = ("seen-time", "active-time")


class Recorder:
    """A journal (commands/context.py) that keeps what it is told, a list of effects a record."""

    def __init__(self) -> None:
        self.records: list[list[Effect]] = []
        self._mine = threading.local()

    def begin(self) -> None:
        if not getattr(self._mine, "depth", 0):
            self._mine.depth, self._mine.effects = 0, []
        self._mine.depth += 1

    def append(self, database: int, words: Sequence[bytes]) -> None:
        assert getattr(self._mine, "depth", 0), f"{words} outside of any record"
        assert words, "an effect without a command"
        assert all(type(word) is bytes for word in words), words
        self._mine.effects.append((database, list(words)))

    def commit(self) -> None:
        self._mine.depth -= 1
        if not self._mine.depth and self._mine.effects:
            self.records.append(self._mine.effects)


class Logged:
    """A server of this process with a recorder for its journal, and clients by name."""

    def __init__(self, **directives: object) -> None:
        self.server = Server(Config(**{"databases": DATABASES, "enable_debug_command": "yes", **directives}))
        self.server.start_background()
        self.context = self.server.context
        self.journal = Recorder()
        self.clients: dict[str, Client] = {}
        self.context.journal = self.journal

    def client(self, name: str = "a") -> Client:
        if name not in self.clients:
            self.clients[name] = Client()
        return self.clients[name]

    def blocked(self, name: str) -> bool:
        return self.client(name).id in self.context.blocked

    def run(self, args: Sequence[bytes], name: str = "a") -> Value:
        """The reply to a command; None where the client waits now."""
        reply = execute(self.context, self.client(name), list(args))
        return None if reply is BLOCK else native(reply)

    def told(self, line: str, name: str = "a") -> list[str]:
        """What a command has the log hold, a line an effect; those outside of database 0 say so."""
        before = len(self.journal.records)
        self.run(words(line.encode()), name)
        return self.lines(before)

    def lines(self, since: int = 0) -> list[str]:
        effects = [effect for record in self.journal.records[since:] for effect in record]
        return [("" if not db else f"{db}: ") + " ".join(map(quote, args)) for db, args in effects]

    def again(self, records: Sequence[Sequence[Effect]]) -> None:
        """Runs what was recorded, as recovery does. Fails where a command is refused."""
        self.context.loading = True
        client = Client()
        try:
            for record in records:
                for database, args in record:
                    client.database = database
                    reply = native(execute(self.context, client, list(args)))
                    assert not isinstance(reply, Exception), f"{args} was refused: {reply}"
        finally:
            self.context.loading = False

    def empty(self) -> None:
        """As it was made: no data, no clients, nothing recorded."""
        for client in self.clients.values():
            blocking.gone(self.context, client)
        self.clients.clear()
        execute(self.context, Client(), [b"FLUSHALL"])
        self.journal.records.clear()

    def state(self) -> dict[str, object]:
        """The digest of all data, and what it leaves out: deadlines, and what is known of consumer groups."""
        found: dict[str, object] = {"digest": native(execute(self.context, Client(), [b"DEBUG", b"DIGEST"]))}
        for index in range(DATABASES):
            db = Database(self.server.keyspace, index)
            for key in sorted(db.keys()):
                found[f"{index} {key!r}"] = facts(self.context, db, key)
        return found

    def close(self) -> None:
        self.empty()
        self.server.stop()


def facts(context: object, db: Database, key: bytes) -> object:
    """What there is to say of a key beside its value."""
    kind = db.type(key)
    more: object = None
    if kind == "hash":
        db.lock([key])
        view = db.hash_(key, create=True)
        more = {name: view.deadline(name) for name, _ in sorted(view.items())}
        db.unlock()
    elif kind == "stream":
        client = Client()
        client.resp, client.database = 3, db.index
        more = lasting(native(execute(context, client, [b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"])))  # type: ignore[arg-type]
    return kind, db.deadline(key), more


def lasting(value: Value) -> Value:
    """Without what no log holds, and without how the stream lies in memory."""
    if isinstance(value, dict):
        left_out = (*UNLOGGED, "radix-tree-keys", "radix-tree-nodes")
        return {key: lasting(item) for key, item in value.items() if str(key, "latin-1") not in left_out}  # type: ignore[misc, arg-type]
    return [lasting(item) for item in value] if isinstance(value, list) else value


@contextmanager
def logged(**directives: object) -> Iterator[Logged]:
    one = Logged(**directives)
    try:
        yield one
    finally:
        one.close()
