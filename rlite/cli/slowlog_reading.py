"""What a server's logs of slow and large calls hold, read for `rlite slowlog`: from rlite, Valkey and Redis.

rlite answers COMMANDLOG ENTRIES with all it knows, from an id on. Valkey (8.1 and newer) has COMMANDLOG GET,
and Redis SLOWLOG GET for slow calls alone; of those two the newest entries are read, more of them until they
reach back to the id. Values are the server's own words, to be escaped before a terminal sees them.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rlite.cli.info_text import flat
from rlite.engine.client import Connection
from rlite.engine.errors import CommandError, RliteError
from rlite.engine.reply import Reply, Verbatim

TYPES = ("slow", "large-request", "large-reply")
OWN_NAME = b"rlite-slowlog"  # of connections that read logs, whose calls are not shown
FIRST_LOOK = 16  # entries asked for at first, where one cannot ask from an id on
EVERYTHING = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Logged:
    """One call. value: microseconds of a slow one, bytes of a large one; command: in small letters; key: the
    first, None where there is none or it is not known. None stands for what the server does not tell.
    """

    id: int
    time_ms: int
    value: int
    command: str
    args: tuple[bytes, ...]
    args_cut: bool
    client: bytes
    client_name: bytes
    key: bytes | None = None
    user: bytes | None = None
    db: int | None = None
    duration_us: int | None = None
    request_bytes: int | None = None
    reply_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one reading, the oldest first. run_id: of the process that logged them; next_id: that its
    next entry gets, as far as is known.
    """

    run_id: str
    next_id: int
    entries: tuple[Logged, ...]


@dataclass(slots=True)
class Log:
    """The log of one type at a server, over one connection.

    run_id: of the server. Readings raise RliteError and CommandError as Connection does.
    """

    connection: Connection
    type: str
    dialect: str  # rlite, valkey or redis
    run_id: str
    _keys: dict[str, int]  # command -> where its first key stands, 0: nowhere

    def read(self, after: int = -1, count: int = -1) -> Batch:
        """Entries with ids beyond `after`; no more than the newest `count` of them (-1: all)."""
        if self.dialect == "rlite":
            return self._read_ours(after, count)
        wanted = FIRST_LOOK if after >= 0 and count < 0 else max(count, 1) if count >= 0 else EVERYTHING
        while True:
            found = self._get(wanted)
            if len(found) < wanted or count >= 0 or found[-1].id <= after + 1:
                break
            wanted *= 8
        fresh = [each for each in found if each.id > after]
        next_id = found[0].id + 1 if found else after + 1
        return Batch(self.run_id, next_id, tuple(reversed(fresh if count < 0 else fresh[:count])))

    def threshold(self) -> int | None:
        """From where on calls are logged (microseconds or bytes), negative: none are; None: not known."""
        names = {
            "slow": "slowlog-log-slower-than",
            "large-request": "commandlog-request-larger-than",
            "large-reply": "commandlog-reply-larger-than",
        }
        try:
            reply = self.connection.command("CONFIG", "GET", names[self.type])
        except CommandError:  # not everybody may
            return None
        value = listed(reply)[-1:] or [b""]
        return as_int(value[0])

    def _read_ours(self, after: int, count: int) -> Batch:
        options = ("AFTER", after) if count < 0 else ("AFTER", after, "COUNT", count)
        facts = mapping(self.connection.command("COMMANDLOG", "ENTRIES", self.type, *options))
        entries = tuple(ours(mapping(each)) for each in listed(facts.get("entries")))
        return Batch(text(facts.get("run-id")), as_int(facts.get("next-id")) or 0, entries)

    def _get(self, count: int) -> list[Logged]:
        """The newest entries, the newest first."""
        get = (
            ("SLOWLOG", "GET", count) if self.dialect == "redis" else ("COMMANDLOG", "GET", count, self.type)
        )
        return [self._theirs(listed(each)) for each in listed(self.connection.command(*get))]

    def _theirs(self, fields: list[Reply]) -> Logged:
        """An entry of Redis or Valkey. Before 4.0 it had no client."""
        if len(fields) < 4:
            raise RliteError(f"{self.connection.where}: an entry of its log has {len(fields)} fields")
        args = tuple(raw(each) for each in listed(fields[3]))
        value = as_int(fields[2]) or 0
        name = args[0].decode("utf-8", "surrogateescape").lower() if args else ""
        name, at = self._command(name, args)
        return Logged(
            id=as_int(fields[0]) or 0,
            time_ms=1000 * (as_int(fields[1]) or 0),
            value=value,
            command=name,
            args=args,
            args_cut=bool(args) and any(is_cut(each) for each in args),
            client=raw(fields[4]) if len(fields) > 4 else b"",
            client_name=raw(fields[5]) if len(fields) > 5 else b"",
            key=args[at] if 0 < at < len(args) else None,
            duration_us=value if self.type == "slow" else None,
            request_bytes=value if self.type == "large-request" else None,
            reply_bytes=value if self.type == "large-reply" else None,
        )

    def _command(self, name: str, args: tuple[bytes, ...]) -> tuple[str, int]:
        """A command's full name, and where its first key stands: a subcommand's where there is one."""
        sub = f"{name}|{args[1].decode('utf-8', 'surrogateescape').lower()}" if len(args) > 1 else name
        if sub in self._keys:
            return sub, self._keys[sub]
        if name not in self._keys:
            facts = self._info(name)
            self._keys[name] = as_int(facts[3]) or 0 if len(facts) > 3 else 0
            for each in listed(facts[9]) if len(facts) > 9 else []:
                inner = listed(each)
                if len(inner) > 3:
                    self._keys[text(inner[0]).lower()] = as_int(inner[3]) or 0
        return (sub, self._keys[sub]) if sub in self._keys else (name, self._keys[name])

    def _info(self, name: str) -> list[Reply]:
        try:
            return listed(*listed(self.connection.command("COMMAND", "INFO", name))[:1] or [None])
        except CommandError:
            return []


def open_log(connection: Connection, kind: str) -> Log:
    """The log of one of TYPES. Raises RliteError where the server has none of that type, CommandError where
    it does not let this client see it.
    """
    name_connection(connection)
    dialect = dialect_of(connection, kind)
    if dialect == "rlite":
        reply = mapping(connection.command("COMMANDLOG", "ENTRIES", kind, "COUNT", 0))
        run_id = text(reply.get("run-id"))
    else:
        run_id = flat(raw(connection.command("INFO", "server"))).get("run_id", "")
    return Log(connection, kind, dialect, run_id, {})


def dialect_of(connection: Connection, kind: str) -> str:
    try:
        connection.command("COMMANDLOG", "ENTRIES", kind, "COUNT", 0)
    except CommandError as fault:
        if not is_unknown(fault):
            raise
    else:
        return "rlite"
    try:
        connection.command("COMMANDLOG", "LEN", kind)
    except CommandError as fault:
        if not is_unknown(fault):
            raise
    else:
        return "valkey"
    if kind != "slow":
        raise RliteError(f"{connection.where} has no {kind} log; rlite does, and Valkey from 8.1 on")
    return "redis"


def is_unknown(fault: CommandError) -> bool:
    """Whether a server does not have a command, or a subcommand."""
    return fault.text.lower().startswith(("err unknown ", "unknown "))


def name_connection(connection: Connection) -> None:
    """Gives the connection the name by which its own calls are told from others', where that is allowed."""
    with contextlib.suppress(CommandError):
        connection.command("CLIENT", "SETNAME", OWN_NAME)


def ours(fields: Mapping[str, Reply]) -> Logged:
    """An entry as rlite describes it."""
    key = fields.get("key")
    return Logged(
        id=as_int(fields.get("id")) or 0,
        time_ms=as_int(fields.get("time-ms")) or 0,
        value=as_int(fields.get("value")) or 0,
        command=text(fields.get("command")),
        args=tuple(raw(each) for each in listed(fields.get("args"))),
        args_cut=as_int(fields.get("args-cut")) == 1,
        client=raw(fields.get("client")),
        client_name=raw(fields.get("client-name")),
        key=None if key is None else raw(key),
        user=raw(fields.get("user")),
        db=as_int(fields.get("db")),
        duration_us=known(fields.get("duration-us")),
        request_bytes=known(fields.get("request-bytes")),
        reply_bytes=known(fields.get("reply-bytes")),
    )


def is_cut(arg: bytes) -> bool:
    """Whether Redis has cut an argument, or the list of them."""
    return re.search(rb"\.\.\. \([0-9]+ more (bytes|arguments)\)\Z", arg) is not None


# --- replies, of RESP2 or RESP3, as values -----------------------------------------------------------------


def raw(reply: Reply) -> bytes:
    match reply:
        case bytes():
            return reply
        case Verbatim(data=data):
            return data
        case int():
            return b"%d" % reply
    return b""


def text(reply: Reply) -> str:
    return raw(reply).decode("utf-8", "surrogateescape")


def listed(reply: Reply) -> list[Reply]:
    return reply if isinstance(reply, list) else []


def mapping(reply: Reply) -> dict[str, Reply]:
    """A map, which RESP2 has as a flat array."""
    if isinstance(reply, dict):
        return {text(name): value for name, value in reply.items()}
    flat_pairs = listed(reply)
    return {text(name): value for name, value in zip(flat_pairs[::2], flat_pairs[1::2], strict=False)}


def as_int(reply: Reply) -> int | None:
    if isinstance(reply, int):
        return reply
    digits = raw(reply)
    return int(digits) if digits.removeprefix(b"-").isdigit() and len(digits) < 20 else None


def known(reply: Reply) -> int | None:
    """A size or time; -1 is how rlite says that it does not know."""
    value = as_int(reply)
    return value if value is None or value >= 0 else None
