"""MIGRATE: moves keys to another server, ours or any Redis.

The stripes of the keys stay locked while they travel, so nobody can change what has been sent: a key is here
or there, or, after a fault on the way, on both sides. Waits for the network without the GIL.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rlite.engine import errors
from rlite.engine.client import Connection
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, command
from rlite.engine.commands.dump import payload_of
from rlite.engine.errors import CommandError, RliteError
from rlite.engine.reply import OK, Reply, Simple

NO_KEY = Simple("NOKEY")
KEYS = Keys(
    3, 3, 1, access=("RW", "access", "delete"),
    more=(Keys(keyword="KEYS", after=-2, last=-1, step=1, access=("RW", "access", "delete", "incomplete")),),
)  # fmt: skip


@dataclass(slots=True)
class Move:
    """What a call asks for. login: the words of AUTH; seconds: for connecting and for each reply."""

    keys: list[bytes]
    database: int
    seconds: float
    copy: bool = False
    replace: bool = False
    login: list[bytes] = field(default_factory=list)


def parsed(call: Call) -> Move:
    args = call.args
    move = Move([args[3]], 0, 1.0)
    i = 6
    while i < len(args):
        word, left = call.word(i), len(args) - i - 1
        if word == b"COPY":
            move.copy = True
        elif word == b"REPLACE":
            move.replace = True
        elif word == b"AUTH" and left >= 1:
            move.login = args[i + 1 : i + 2]
            i += 1
        elif word == b"AUTH2" and left >= 2:
            move.login = args[i + 1 : i + 3]
            i += 2
        elif word == b"KEYS":
            if args[3]:
                raise CommandError(errors.MIGRATE_KEYS)
            move.keys = args[i + 1 :]
            break
        else:
            raise CommandError(errors.SYNTAX)
        i += 1
    timeout, move.database = call.int(5), call.int(4)
    move.seconds = timeout / 1000 if timeout > 0 else 1.0
    return move


@command(
    'MIGRATE host port (key | "") destination-db timeout [COPY] [REPLACE] '
    "[AUTH password | AUTH2 username password] [KEYS key [key ...]]",
    arity=-6, flags="write movablekeys", keys=KEYS, group="generic", since="2.6.0", acl="dangerous",
    tips=("nondeterministic_output",), complexity="O(n) where n is the size of the values",
    summary="Moves keys to another server.",
)  # fmt: skip
def migrate(call: Call) -> Reply:
    move = parsed(call)
    payloads = [(key, payload_of(call, key), call.db.deadline(key)) for key in move.keys]
    there = [(key, payload, at) for key, payload, at in payloads if payload is not None]
    if not there:
        return NO_KEY
    try:
        port = int(call.args[2])
        link = Connection(call.args[1].decode("utf-8", "replace"), port, timeout=move.seconds)
    except (RliteError, ValueError, OverflowError):
        raise CommandError(errors.MIGRATE_IO % "connecting to") from None
    with link:
        arrived, fault = sent(link, move, there)
    if not move.copy:
        for key in arrived:
            call.db.delete(key)
            call.changed()
            call.notify("g", "del", key)
        if arrived:
            call.log_as(b"DEL", *arrived)
    if fault is not None:
        raise fault
    return OK


def sent(
    link: Connection, move: Move, there: Sequence[tuple[bytes, bytes, int | None]]
) -> tuple[list[bytes], CommandError | None]:
    """(keys that the other side has now, the first fault). A key it refuses stays; the others are sent on."""
    arrived: list[bytes] = []
    fault: CommandError | None = None
    try:
        if move.login:
            link.command(b"AUTH", *move.login)
        if move.database:
            link.command(b"SELECT", move.database)
    except CommandError as refused:
        return [], CommandError(errors.MIGRATE_REFUSED % refused.text)
    except RliteError:
        return [], CommandError(errors.MIGRATE_IO % "reading from")
    for key, payload, at in there:
        ttl = 0 if at is None else max(1, at - time.time_ns() // 1_000_000)
        try:
            link.command(b"RESTORE", key, ttl, payload, *[b"REPLACE"] * move.replace)
        except CommandError as refused:
            fault = fault or CommandError(errors.MIGRATE_REFUSED % refused.text)
        except RliteError:
            return arrived, CommandError(errors.MIGRATE_IO % "reading from")
        else:
            arrived.append(key)
    return arrived, fault
