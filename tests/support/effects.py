"""What commands say to the log, recorded in process; and the data set that comes of running it again."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rlite.engine.commands import blocking
from rlite.engine.commands.context import Context
from rlite.engine.commands.dispatch import execute
from rlite.engine.config import Config
from rlite.engine.core.connection import Client
from rlite.engine.core.database import Database
from rlite.engine.core.log import Log
from rlite.engine.core.records import read_record
from rlite.engine.core.replay import Replay
from rlite.engine.core.resp import decode_reply
from rlite.engine.engine import Value, native
from rlite.engine.persistence.replaying import runner
from rlite.engine.reply import BLOCK
from rlite.engine.server import Server
from support.programs import quote, words

Effect = tuple[int, list[bytes]]  # (database, command)
DATABASES = 3
SEED = 1
SOON_MS = 2000
# When a consumer was seen last is in no log, Redis's neither.
UNLOGGED = ("seen-time", "active-time")


class Records:
    """A real log in a file without a name, and what stands in it: a list of effects a record."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the log
        self.log = Log()
        self.log.open(os.dup(self._file.fileno()), 0, SEED, 0)
        self._begin = self._read = 0
        self._found = list[list[Effect]]()

    @property
    def data(self) -> bytes:
        """The log's bytes since it was cleared."""
        assert self.log.settle()
        return os.pread(self._file.fileno(), 1 << 30, self._begin)

    @property
    def records(self) -> list[list[Effect]]:
        data, at = self.data, self._read - self._begin
        while at < len(data):
            state, record = read_record(data, at, SEED)
            assert record is not None, f"a record is not good: {state}"
            _, _, database, resp, at = record
            self._found.append(effects_in(resp, database))
        self._read = self._begin + at
        return self._found

    def clear(self) -> None:
        self._begin = self._read = self._begin + len(self.data)
        self._found.clear()

    def close(self) -> None:
        self.log.close()
        self._file.close()


def effects_in(resp: bytes, database: int) -> list[Effect]:
    """The commands of a record with the database of each, without what only frames them."""
    found: list[Effect] = []
    at = 0
    while at < len(resp):
        reply, at = decode_reply(resp, at)
        assert isinstance(reply, list)
        args = [bytes(word) for word in reply if isinstance(word, bytes)]
        if args[0] == b"SELECT":
            database = int(args[1])
        elif args[0] not in (b"MULTI", b"EXEC"):
            found.append((database, args))
    return found


class Logged:
    """A server of this process with a log, and clients by name."""

    def __init__(self, *, listening: bool = False, **directives: object) -> None:
        settings = {"databases": DATABASES, "enable_debug_command": "yes", "port": 0, "bind": ["127.0.0.1"]}
        self.server = Server(Config(**{**settings, **directives}))
        if listening:
            self.server.start()
        else:
            self.server.start_background()
        self.context = self.server.context
        self.journal = Records()
        self.clients: dict[str, Client] = {}
        self.context.keyspace.attach(self.journal.log)
        self.context.journal = self.journal.log

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

    def replay(self, data: bytes) -> None:
        """Runs a log, as recovery does. Fails where a command of it does."""
        run = runner(self.context, lambda: False)
        replay = Replay(self.context.keyspace, self.context.table, run, True)
        self.context.keyspace.loading = True
        try:
            why, at = replay.records(data, len(data), 0, SEED, len(data))
        finally:
            self.context.keyspace.loading = False
        assert (why, at) == ("end", len(data)), f"{why} at {at}: {replay.failure}"
        assert not replay.failed, replay.failure

    def empty(self) -> None:
        """As it was made: no data, no clients, nothing recorded."""
        for client in self.clients.values():
            blocking.gone(self.context, client)
        self.clients.clear()
        execute(self.context, Client(), [b"FLUSHALL"])
        self.journal.clear()

    def state(self) -> dict[str, object]:
        """The digest of all data, and what it leaves out: deadlines, and what is known of consumer groups.

        What is about to go is waited for, until it has gone: it must not do so between two looks.
        """
        while True:
            found = {
                (index, key): facts(self.context, db, key)
                for index in range(DATABASES)
                for db in [Database(self.server.keyspace, index)]
                for key in sorted(db.keys())
            }
            now = time.time_ns() // 1_000_000
            soon = [at for each in found.values() for at in each.deadlines if at < now + SOON_MS]
            if not soon and all(each.kind for each in found.values()):
                break
            time.sleep(max(1, max(soon, default=now) + 1 - now) / 1000)
        digest = native(execute(self.context, Client(), [b"DEBUG", b"DIGEST"]))
        return {"digest": digest} | {f"{index} {key!r}": each for (index, key), each in found.items()}

    def close(self) -> None:
        self.empty()
        self.server.stop()
        self.journal.close()


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to say of a key beside its value. deadlines: its own, and those of its fields."""

    kind: str | None
    deadlines: tuple[int, ...]
    more: object


def facts(context: Context, db: Database, key: bytes) -> Facts:
    kind, own = db.type(key), db.deadline(key)
    more: object = None
    deadlines = [] if own is None else [own]
    if kind == "hash":
        db.lock([key])
        view = db.hash_(key)
        fields = [] if view is None else sorted(view.items())
        more = {name: None if view is None else view.deadline(name) for name, _ in fields}
        deadlines += [at for at in more.values() if at is not None]
        db.unlock()
    elif kind == "stream":
        client = Client()
        client.resp, client.database = 3, db.index
        more = lasting(native(execute(context, client, [b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"])))
    return Facts(kind, tuple(deadlines), more)


def lasting(value: Value) -> Value:
    """Without what no log holds, and without how the stream lies in memory."""
    if isinstance(value, dict):
        left_out = (*UNLOGGED, "radix-tree-keys", "radix-tree-nodes")
        return {key: lasting(item) for key, item in value.items() if str(key, "latin-1") not in left_out}  # type: ignore[misc, arg-type]
    return [lasting(item) for item in value] if isinstance(value, list) else value


@contextmanager
def logged(*, listening: bool = False, **directives: object) -> Iterator[Logged]:
    one = Logged(listening=listening, **directives)
    try:
        yield one
    finally:
        one.close()


# What the rows of effect_cases.py change, and programs with them.
CHANGED = ("stream-node-max-entries", "lazyfree-lazy-server-del", "notify-keyspace-events")


@contextmanager
def restored(server: Logged) -> Iterator[None]:
    """An empty server, whose directives are afterwards what they were, and where nobody waits."""
    server.empty()
    config = server.context.config
    before = {name: config.get(name) for name in CHANGED}
    yield
    server.empty()
    for name, value in before.items():
        server.run([b"CONFIG", b"SET", name.encode(), str(value).encode()])
