"""DEBUG: what tests and people who hunt faults need. Shut by default, since it can make everybody wait.

Runs with every stripe locked: DIGEST must see one moment, and SLEEP must stop the whole server.
"""

import math
import time

from rlite.engine import errors
from rlite.engine.commands import digest
from rlite.engine.commands.call import Call, parse_int
from rlite.engine.commands.declare import Locks, command
from rlite.engine.commands.helping import lines
from rlite.engine.commands.saving import saved
from rlite.engine.core.audit import Shape, shape_of_value, table_shapes
from rlite.engine.core.glob import matches
from rlite.engine.errors import CommandError, RliteError, printable
from rlite.engine.reply import OK, Reply, Simple

HELP = [
    ("CHANGE-REPL-ID", "Gives this server a new replication id."),
    ("DIGEST", "Returns a fingerprint of all data; equal data have equal ones, here and in Redis."),
    ("DIGEST-VALUE <key> [<key> ...]", "Returns a fingerprint of each key's value."),
    ("OBJECT <key>", "Tells how a value is kept."),
    ("SET-ACTIVE-EXPIRE <0|1>", "Chooses whether keys past their deadline are removed before anyone asks."),
    ("RELOAD [NOSAVE] [NOFLUSH]", "Writes a snapshot to disk and loads it again in the data's place."),
    ("SLEEP <seconds>", "Makes the whole server wait; decimals allowed."),
    ("HTSTATS <dbid>", "Tells how full the hash tables of a database are."),
    ("HTSTATS-KEY <key>", "The same of the table of a large hash, set or sorted set."),
    ("LISTPACK <key>", "Tells how a packed value is laid out."),
    ("STRINGMATCH-LEN <length> <pattern>", "Tells whether a pattern matches so many letters a."),
    ("DICT-RESIZING <0|1>", "Accepted, without effect: tables grow and shrink a bucket at a time."),
    ("QUICKLIST-PACKED-THRESHOLD <size>", "Accepted, without effect: long elements stand alone anyway."),
    ("REPLYBUFFER <option> <value>", "Accepted, without effect: reply buffers know no such cycle."),
    ("HELP", "Tells what the subcommands are."),
]


def allowed(call: Call) -> bool:
    """What enable-debug-command says for this client."""
    mode = str(call.server.config.get("enable-debug-command", "no"))
    if mode != "local":
        return mode == "yes"
    client = call.client
    host = client.address.rpartition(":")[0].strip("[]")
    return client.fd < 0 or client.is_unix or host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")


def shown(name: str, shape: Shape) -> str:
    """How full a hash table is, for people."""
    items, buckets, filled, children, moving = shape
    lines_ = [
        f"[{name}]{' (being resized)' if moving else ''}",
        f" {items} elements in {buckets} buckets of 7 slots, {children} buckets beside them",
    ]
    lines_ += [f"  {n} in a bucket: {count}" for n, count in enumerate(filled) if count]
    return "\n".join(lines_) + "\n"


def debug_object(call: Call, key: bytes) -> Reply:
    call.db.no_touch = True  # a look at how a value is kept is no use of it
    facts, image = call.db.inspect(key), saved(call.db, key, call.server.config)
    if facts is None or image is None:
        raise CommandError(errors.NO_SUCH_KEY)
    idle = facts["idle_ms"] // 1000
    return Simple(
        f"Value at:0x0 refcount:1 encoding:{facts['encoding']} "
        f"serializedlength:{len(image[1])} "
        f"lru:{(int(time.time()) - idle) & 0xFFFFFF} lru_seconds_idle:{idle}"
    )


def reload(call: Call, words: list[bytes]) -> Reply:
    """Writes a snapshot and starts over from it. NOSAVE: from the one there is; NOFLUSH: beside the data."""
    if set(words) - {b"NOSAVE", b"NOFLUSH"}:
        raise CommandError(errors.DEBUG_RELOAD_OPTIONS)
    if call.server.saves is None:
        raise CommandError(errors.NO_SNAPSHOTS)
    try:
        call.server.saves.reload(call.db, save=b"NOSAVE" not in words, flush=b"NOFLUSH" not in words)
    except (RliteError, OSError) as fault:
        raise CommandError(errors.DEBUG_RELOAD % fault) from None
    if words and call.server.rewriter is not None:  # the log knows nothing of data from elsewhere
        call.server.rewriter.later()
    return OK


@command(
    "DEBUG subcommand [arg [arg ...]]", arity=-2, flags="admin noscript loading stale", group="server",
    since="1.0.0", complexity="Depends on subcommand.", locks=Locks.EVERYTHING,
    summary="Serves tests and those who hunt faults.",
)  # fmt: skip
def debug(call: Call) -> Reply:
    if not allowed(call):
        raise CommandError(errors.DEBUG_DISABLED)
    server, rest = call.server, call.args[2:]
    match call.word(1), len(rest):
        case b"HELP", 0:
            return lines("DEBUG", HELP)
        case b"SLEEP", 1:
            try:
                seconds = float(rest[0])
            except ValueError:
                seconds = 0.0
            time.sleep(min(max(seconds, 0.0), 1e6) if not math.isnan(seconds) else 0.0)
            return OK
        case b"SET-ACTIVE-EXPIRE", 1:
            server.keyspace.configure(active_expire=rest[0].strip() not in (b"0", b""))
            return OK
        case b"CHANGE-REPL-ID", 0:
            server.new_replication_id()
            return OK
        case b"OBJECT", 1:
            return debug_object(call, rest[0])
        case b"HTSTATS", 1:
            index = parse_int(rest[0])
            if index is None or not 0 <= index < server.keyspace.databases:
                raise CommandError(errors.DEBUG_DATABASE)
            shapes = table_shapes(call.db.sibling(index))
            return "".join(shown(f"Stripe {i}", shape) for i, shape in enumerate(shapes)).encode()
        case b"HTSTATS-KEY", 1:
            if not call.db.exists(rest[0]):
                raise CommandError(errors.NO_SUCH_KEY)
            shape = shape_of_value(call.db, rest[0])
            if shape is None:
                raise CommandError(errors.DEBUG_NO_TABLE)
            return shown("Table", shape).encode()
        case b"LISTPACK", 1:
            facts = call.db.inspect(rest[0])
            if facts is None:
                raise CommandError(errors.NO_SUCH_KEY)
            if facts["encoding"] != "listpack":
                raise CommandError(errors.DEBUG_NO_LISTPACK)
            return Simple(f"{facts['length']} elements, {facts['bytes']} bytes with the key")
        case b"STRINGMATCH-LEN", 2:
            length = parse_int(rest[0])
            if length is None or not 0 <= length <= 1 << 26:
                raise CommandError(errors.OUT_OF_RANGE)
            return int(matches(rest[1], b"a" * length))
        case b"RELOAD", _:
            return reload(call, [word.upper() for word in rest])
        case (b"DICT-RESIZING", 1) | (b"QUICKLIST-PACKED-THRESHOLD", 1) | (b"REPLYBUFFER", 2):
            return OK
        case b"DIGEST", 0:
            return Simple(digest.of_everything(call.db, server.keyspace.databases).hex())
        case b"DIGEST-VALUE", n if n:
            call.db.no_touch = True
            return [Simple(digest.of_value(call.db, key).hex()) for key in rest]
    raise CommandError(errors.SUBCOMMAND_SYNTAX % (printable(call.args[1]), "DEBUG"))
