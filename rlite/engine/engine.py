"""The engine in process: the same commands, keyspace and limits as the server, without a socket.

Thread-safe: any number of threads may share one Engine. Each thread has a client of its own inside it, so a
MULTI or a SELECT of one thread is nobody else's. Nothing is written to disk, unless directives say so:
`Engine(appendonly=True, dir=…)` keeps what it holds, and has it again at its next start.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from rlite.engine import errors
from rlite.engine.commands import blocking
from rlite.engine.commands.dispatch import execute
from rlite.engine.config import Config
from rlite.engine.core.connection import Client
from rlite.engine.core.resp import decode_reply
from rlite.engine.errors import CommandError
from rlite.engine.reply import (
    BLOCK,
    ErrorReply,
    Pairs,
    Push,
    Raw,
    Reply,
    RespSet,
    Several,
    Simple,
    Special,
    Verbatim,
)
from rlite.engine.server import Server

Arg = bytes | str | int | float
Value = bytes | str | int | float | bool | None | list["Value"] | dict["Value", "Value"] | CommandError


class Engine:
    """A keyspace in this process.

    Keyword arguments are directives, with underscores for dashes: `Engine(maxmemory="64mb",
    maxmemory_policy="allkeys-lru")`. Raises ConfigErrors for one that does not exist or does not take that
    value.

    >>> with Engine() as engine:
    ...     engine.set("greeting", "hello", ex=60)
    ...     engine.get("greeting")
    True
    b'hello'
    """

    def __init__(self, **directives: object) -> None:
        self._server = Server(Config(**{"save": "", **directives}))
        self._server.start_background()
        self._server.load()
        self._local = threading.local()

    def close(self) -> None:
        """Ends the engine's background threads. The data is gone with the object."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _client(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = Client()
            client.resp = 3
            self._local.client = client
        return client

    def execute(self, *args: Arg) -> Value:
        """Runs any command, e.g. `execute("SET", "key", 1, "EX", 60)`.

        Text is sent as UTF-8, numbers as their shortest decimal form. Returns bytes for strings, str for a
        status such as "OK", int, float, bool, None, list, or dict. Raises CommandError with the text a client
        would be sent; errors inside an array (as EXEC has) are returned as CommandError objects in their
        place.
        """
        client = self._client()
        words = [encoded(arg) for arg in args]
        client.took_ns = -1
        reply = execute(self._server.context, client, words)
        if reply is BLOCK:
            reply = blocking.wait_here(self._server.context, client)
        elif client.took_ns >= self._server.context.slow_ns:
            self._server.noteworthy(client, words, client.took_ns, -1, -1)
        journal = self._server.context.journal
        if journal is not None and not journal.settle():
            raise CommandError(errors.LOG_WRITE_ERROR % os.strerror(journal.refusing))
        value = native(reply)
        if isinstance(value, CommandError):
            raise value
        return value

    # --- the common commands, typed ---

    def get(self, key: Arg) -> bytes | None:
        """The string at a key; None where there is none."""
        return _bytes_or_none(self.execute("GET", key))

    def set(
        self, key: Arg, value: Arg, *, ex: int | None = None, px: int | None = None,
        exat: int | None = None, pxat: int | None = None, keepttl: bool = False, nx: bool = False,
        xx: bool = False,
    ) -> bool:  # fmt: skip
        """Makes a key hold a string. False: `nx` or `xx` forbade it.

        ex, px: time to live in seconds, milliseconds; exat, pxat: Unix time in seconds, milliseconds at which
        it goes; keepttl: the deadline stays; nx: only where the key does not exist; xx: only where it does.
        """
        args: list[Arg] = ["SET", key, value]
        for word, number in (("EX", ex), ("PX", px), ("EXAT", exat), ("PXAT", pxat)):
            if number is not None:
                args += [word, number]
        args += [word for word, wanted in (("KEEPTTL", keepttl), ("NX", nx), ("XX", xx)) if wanted]
        return self.execute(*args) is not None

    def mget(self, *keys: Arg) -> list[bytes | None]:
        """The strings at several keys, in their order; None for each that does not exist."""
        values = self.execute("MGET", *keys)
        assert isinstance(values, list)
        return [_bytes_or_none(value) for value in values]

    def mset(self, values: Mapping[Arg, Arg]) -> None:
        """Sets several keys at once."""
        self.execute("MSET", *(part for pair in values.items() for part in pair))

    def getdel(self, key: Arg) -> bytes | None:
        """The string at a key, which is then deleted."""
        return _bytes_or_none(self.execute("GETDEL", key))

    def append(self, key: Arg, value: Arg) -> int:
        """Adds to the end of a string. Returns its length in bytes."""
        return _int(self.execute("APPEND", key, value))

    def strlen(self, key: Arg) -> int:
        """The length of a string in bytes; 0 where there is none."""
        return _int(self.execute("STRLEN", key))

    def incr(self, key: Arg, by: int = 1) -> int:
        """Adds to the number at a key (a missing one counts as 0). Returns the sum."""
        return _int(self.execute("INCRBY", key, by))

    def decr(self, key: Arg, by: int = 1) -> int:
        """Takes from the number at a key. Returns the difference."""
        return _int(self.execute("DECRBY", key, by))

    def delete(self, *keys: Arg) -> int:
        """Deletes keys. Returns how many there were."""
        return _int(self.execute("DEL", *keys))

    def exists(self, *keys: Arg) -> int:
        """How many of the keys exist; one named twice counts twice."""
        return _int(self.execute("EXISTS", *keys))

    def expire(self, key: Arg, seconds: int) -> bool:
        """Sets a time to live. False: there is no such key."""
        return self.execute("EXPIRE", key, seconds) == 1

    def pexpire(self, key: Arg, milliseconds: int) -> bool:
        """Sets a time to live in milliseconds. False: there is no such key."""
        return self.execute("PEXPIRE", key, milliseconds) == 1

    def ttl(self, key: Arg) -> int:
        """Seconds left; -1: the key stays, -2: there is no such key."""
        return _int(self.execute("TTL", key))

    def pttl(self, key: Arg) -> int:
        """Milliseconds left; -1: the key stays, -2: there is no such key."""
        return _int(self.execute("PTTL", key))

    def persist(self, key: Arg) -> bool:
        """Takes a deadline away. False: there was none."""
        return self.execute("PERSIST", key) == 1

    def type(self, key: Arg) -> str:
        """The name of a value's type; "none" where there is no such key."""
        return str(self.execute("TYPE", key))

    def dbsize(self) -> int:
        """The number of keys."""
        return _int(self.execute("DBSIZE"))

    def scan_iter(self, match: Arg = "*", count: int = 100) -> Iterator[bytes]:
        """Every key that matches, a batch at a time; one may come twice while the table changes size."""
        cursor: bytes | int = 0
        while True:
            step = self.execute("SCAN", cursor, "MATCH", match, "COUNT", count)
            assert isinstance(step, list)
            found = step[1]
            assert isinstance(found, list)
            for key in found:
                assert isinstance(key, bytes)
                yield key
            cursor = step[0] if isinstance(step[0], bytes) else b"0"
            if cursor == b"0":
                return

    def flushall(self) -> None:
        """Deletes every key of every database."""
        self.execute("FLUSHALL")


def encoded(arg: Arg) -> bytes:
    """An argument as a client would send it. Raises TypeError for what has no plain form."""
    if isinstance(arg, bytes):
        return arg
    if isinstance(arg, str):
        return arg.encode("utf-8", "surrogateescape")
    if isinstance(arg, bool) or not isinstance(arg, int | float):
        raise TypeError(f"an argument must be bytes, str, int or float, not {type(arg).__name__}")
    return repr(arg).encode()


def native(reply: Reply) -> Value:
    """A reply as Python values."""
    if isinstance(reply, Raw):
        return native(decode_reply(reply.data, 0)[0])
    if isinstance(reply, Simple):
        return reply.text
    if isinstance(reply, ErrorReply):
        return CommandError(reply.text)
    if isinstance(reply, Verbatim):
        return reply.data
    if isinstance(reply, list):
        return [native(item) for item in reply]
    if isinstance(reply, Several):
        return [native(item) for item in reply.replies]
    if isinstance(reply, RespSet | Push):
        return [native(item) for item in reply.items]
    if isinstance(reply, dict):
        return {native(key): native(value) for key, value in reply.items()}
    if isinstance(reply, Pairs):
        return {native(key): native(value) for key, value in reply.pairs}
    if reply is None or isinstance(reply, Special):
        return None
    if isinstance(reply, bytes | int | float):
        return reply
    return int(reply.text)


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _bytes_or_none(value: Value) -> bytes | None:
    assert value is None or isinstance(value, bytes)
    return value
