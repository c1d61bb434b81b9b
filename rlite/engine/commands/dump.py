"""DUMP and RESTORE: a value as a portable run of bytes, in the form Redis gives it.

The payload: a byte that names the type, the value as in an RDB file, the RDB version (two bytes,
little-endian), and the CRC-64 of all before it (eight bytes, little-endian; the Jones polynomial).
"""

import time

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command
from rlite.engine.commands.saving import put_value, read, saved
from rlite.engine.core.crc64 import crc64
from rlite.engine.errors import CommandError
from rlite.engine.reply import OK, Reply
from rlite.engine.types.rdb_string import RdbError
from rlite.engine.types.rdb_values import HASH_LISTPACK_EX, HASH_METADATA, UNSUPPORTED

WRITTEN_VERSION = 10  # what Redis 7.0 loads
NEWER_VERSION = 12  # where fields have deadlines
READ_VERSION = 12


def checksum(data: bytes) -> bytes:
    return crc64(data).to_bytes(8, "little")


@command(
    "DUMP key", arity=2, flags="readonly", keys=(1, 1, 1), access="RO access", group="generic", since="2.6.0",
    tips=("nondeterministic_output",), complexity="O(n) where n is the size of the value",
    summary="Returns a value in a form that RESTORE takes.",
)  # fmt: skip
def dump(call: Call) -> Reply:
    found = payload_of(call, call.args[1])
    call.looked_up(found is not None)
    return found


def payload_of(call: Call, key: bytes) -> bytes | None:
    """What DUMP returns for a key; None where there is none."""
    found = saved(call.db, key, call.server.config)
    if found is None:
        return None
    kind, body = found
    version = NEWER_VERSION if kind in (HASH_METADATA, HASH_LISTPACK_EX) else WRITTEN_VERSION
    payload = bytes([kind]) + body + version.to_bytes(2, "little")
    return payload + checksum(payload)


@command(
    "RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]", arity=-4,
    flags="write denyoom", keys=(1, 1, 1), access="OW update", group="generic", since="2.6.0",
    acl="dangerous",
    complexity="O(n) where n is the size of the value", summary="Makes a key from what DUMP returned.",
)  # fmt: skip
def restore(call: Call) -> Reply:
    key = call.args[1]
    replace = absolute = False
    idle: int | None = None
    frequency: int | None = None
    i = 4
    while i < len(call.args):
        word = call.word(i)
        more = i + 1 < len(call.args)
        if word == b"REPLACE":
            replace = True
        elif word == b"ABSTTL":
            absolute = True
        elif word == b"IDLETIME" and more and frequency is None:
            i += 1
            idle = call.int(i)
            if idle < 0:
                raise CommandError(errors.INVALID_IDLETIME)
        elif word == b"FREQ" and more and idle is None:
            i += 1
            frequency = call.int(i)
            if not 0 <= frequency <= 255:
                raise CommandError(errors.INVALID_FREQ)
        else:
            raise CommandError(errors.SYNTAX)
        i += 1
    if not replace and call.db.exists(key):
        raise CommandError(errors.BUSY_KEY)
    ttl = call.int(2)
    if ttl < 0:
        raise CommandError(errors.INVALID_TTL)
    value = value_in(call.args[3], call.server.config.int("proto-max-bulk-len"))
    now = time.time_ns() // 1_000_000
    deadline = ttl if absolute or not ttl else now + ttl
    if deadline and deadline <= now and not call.server.keyspace.keeps_expired:
        if call.db.delete(key):
            call.changed()
            call.log_deletion([key])
            call.notify("g", "del", key)
        return OK
    call.db.delete(key)
    put_value(call.db, key, value)
    call.db.set_use(key, None if idle is None else idle * 1000, frequency)
    if deadline:  # nobody looks at it again before the log has it: it may be past by then, and DEL come first
        deadline = min(deadline, 2**62)
        call.db.set_deadline(key, deadline)
        if not absolute:
            call.log_as(b"RESTORE", key, b"%d" % deadline, *call.args[3:], b"ABSTTL")
    call.changed()
    call.notify("g", "restore", key)
    return OK


def value_in(payload: bytes, limit: int) -> object:
    """The value in a payload (see saving.py). Raises CommandError for one that is damaged, or of a type that
    is not held here.
    """
    body, version, sum_ = payload[:-10], payload[-10:-8], payload[-8:]
    if len(payload) < 10 or int.from_bytes(version, "little") > READ_VERSION:
        raise CommandError(errors.BAD_PAYLOAD)
    if sum_ != bytes(8) and sum_ != checksum(payload[:-8]):
        raise CommandError(errors.BAD_PAYLOAD)
    if body and body[0] in UNSUPPORTED:
        raise CommandError(errors.TYPE_NOT_SUPPORTED % UNSUPPORTED[body[0]])
    try:
        value, end = read(body[0] if body else 255, body, 1, limit)
    except (RdbError, OverflowError):
        raise CommandError(errors.BAD_FORMAT) from None
    if end != len(body):
        raise CommandError(errors.BAD_FORMAT)
    return value
