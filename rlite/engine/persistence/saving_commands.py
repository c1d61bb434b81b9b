"""SAVE, BGSAVE, LASTSAVE: snapshots at a client's word (saves.py). They name no key."""

from typing import TYPE_CHECKING, cast

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Locks, command
from rlite.engine.errors import CommandError
from rlite.engine.persistence.forking import ChildBusyError
from rlite.engine.reply import OK, Reply, Simple

if TYPE_CHECKING:
    from rlite.engine.persistence.saves import Saves


def saves_of(call: Call) -> "Saves":
    if call.server.saves is None:
        raise CommandError(errors.NO_SNAPSHOTS)
    return cast("Saves", call.server.saves)


@command(
    "SAVE", arity=1, flags="admin noscript no_async_loading no_multi", group="server", since="1.0.0",
    locks=Locks.EVERYTHING, complexity="O(n) where n is the number of keys",
    summary="Writes a snapshot to disk while everybody waits.",
)  # fmt: skip
def save(call: Call) -> Reply:
    try:
        saves_of(call).save(call.db)
    except ChildBusyError:
        raise CommandError(errors.ALREADY_SAVING) from None
    except OSError as fault:
        raise CommandError(errors.NOT_SAVED % (fault.strerror or fault)) from None
    return OK


@command(
    "BGSAVE [SCHEDULE]", arity=-1, flags="admin noscript no_async_loading", group="server", since="1.0.0",
    locks=Locks.NOTHING, complexity="O(1)", summary="Writes a snapshot to disk in the background.",
)  # fmt: skip
def bgsave(call: Call) -> Reply:
    if len(call.args) > 2 or (len(call.args) == 2 and call.word(1) != b"SCHEDULE"):
        raise CommandError(errors.SYNTAX)
    saves = saves_of(call)
    later = len(call.args) == 2
    if saves.running:
        raise CommandError(errors.ALREADY_SAVING)
    if call.may_not_block:  # in a transaction, whose locks are held: when it is over
        saves.scheduled = True
        return Simple("Background saving scheduled")
    try:
        saves.start()
    except ChildBusyError:
        if saves.running:
            raise CommandError(errors.ALREADY_SAVING) from None
        if not later:
            raise CommandError(errors.CHILD_IS_ACTIVE) from None
        saves.scheduled = True
        return Simple("Background saving scheduled")
    except OSError as fault:
        raise CommandError(errors.NOT_SAVED % (fault.strerror or fault)) from None
    return Simple("Background saving started")


@command(
    "LASTSAVE", arity=1, flags="loading stale fast", group="server", since="1.0.0", acl="admin dangerous",
    locks=Locks.NOTHING, complexity="O(1)", tips=("nondeterministic_output",),
    summary="Returns when the last snapshot came off, in Unix seconds.",
)  # fmt: skip
def lastsave(call: Call) -> Reply:
    return saves_of(call).last_save
