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
from rlite.engine.errors import CommandError, printable
from rlite.engine.reply import OK, Reply, Simple

HELP = [
    ("CHANGE-REPL-ID", "Gives this server a new replication id."),
    ("DIGEST", "Returns a fingerprint of all data; equal data have equal ones, here and in Redis."),
    ("DIGEST-VALUE <key> [<key> ...]", "Returns a fingerprint of each key's value."),
    ("OBJECT <key>", "Tells how a value is kept."),
    ("SET-ACTIVE-EXPIRE <0|1>", "Chooses whether keys past their deadline are removed before anyone asks."),
    ("SLEEP <seconds>", "Makes the whole server wait; decimals allowed."),
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


def serialized_length(encoding: str, value: bytes) -> int:
    """The bytes of the value in a snapshot, uncompressed: a length and the string, or a small number."""
    number = parse_int(value) if encoding == "int" else None
    if number is not None:
        for bits, size in ((7, 2), (15, 3), (31, 5)):
            if -(1 << bits) <= number < 1 << bits:
                return size
    length = len(value)
    return length + (1 if length < 1 << 6 else 2 if length < 1 << 14 else 5)


def debug_object(call: Call, key: bytes) -> Reply:
    call.db.no_touch = True  # a look at how a value is kept is no use of it
    facts, value = call.db.inspect(key), call.db.get(key)
    if facts is None or value is None:
        raise CommandError(errors.NO_SUCH_KEY)
    idle = facts["idle_ms"] // 1000
    return Simple(
        f"Value at:0x0 refcount:1 encoding:{facts['encoding']} "
        f"serializedlength:{serialized_length(facts['encoding'], value)} "
        f"lru:{(int(time.time()) - idle) & 0xFFFFFF} lru_seconds_idle:{idle}"
    )


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
        case b"DIGEST", 0:
            return Simple(digest.of_everything(call.db, server.keyspace.databases).hex())
        case b"DIGEST-VALUE", n if n:
            call.db.no_touch = True
            return [Simple(digest.of_value(call.db, key).hex()) for key in rest]
    raise CommandError(errors.SUBCOMMAND_SYNTAX % (printable(call.args[1]), "DEBUG"))
