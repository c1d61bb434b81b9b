"""Commands on whole databases: FLUSHDB, FLUSHALL, SWAPDB."""

from rlite.engine import errors
from rlite.engine.commands import watching
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Locks, command
from rlite.engine.errors import CommandError
from rlite.engine.reply import OK, Reply


def flush(call: Call, *, everything: bool) -> Reply:
    """Empties one database or all; what was there is freed at once, or later by another thread."""
    later = call.server.config.flag("lazyfree-lazy-user-flush")
    if len(call.args) > 2:
        raise CommandError(errors.SYNTAX)
    if len(call.args) == 2:
        word = call.word(1)
        if word not in (b"SYNC", b"ASYNC"):
            raise CommandError(errors.SYNTAX)
        later = word == b"ASYNC"
    databases = range(call.server.keyspace.databases) if everything else [call.db.index]
    watching.signal_all(call.server, databases, call.db)
    grave = call.db.flush(everything)
    call.changed(max(1, grave.keys))
    if later:
        call.server.bury(grave.bury)
    else:
        grave.bury()
    if everything and call.server.saves is not None:
        call.server.saves.flushed(call.db)
    return OK


@command(
    "FLUSHDB [ASYNC | SYNC]", arity=-1, flags="write", group="server", since="1.0.0", locks=Locks.EVERYTHING,
    acl="keyspace dangerous", tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    complexity="O(n) where n is the number of keys", summary="Deletes all keys of a database.",
)  # fmt: skip
def flushdb(call: Call) -> Reply:
    return flush(call, everything=False)


@command(
    "FLUSHALL [ASYNC | SYNC]", arity=-1, flags="write", group="server", since="1.0.0", locks=Locks.EVERYTHING,
    acl="keyspace dangerous", tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    complexity="O(n) where n is the number of keys", summary="Deletes all keys of all databases.",
)  # fmt: skip
def flushall(call: Call) -> Reply:
    return flush(call, everything=True)


@command(
    "SWAPDB index1 index2", arity=3, flags="write fast", group="server", since="4.0.0",
    locks=Locks.EVERYTHING, acl="keyspace dangerous", complexity="O(n) where n is the number of watched keys",
    summary="Exchanges two databases.",
)  # fmt: skip
def swapdb(call: Call) -> Reply:
    a = call.int(1, errors.INVALID_FIRST_DB_INDEX)
    b = call.int(2, errors.INVALID_SECOND_DB_INDEX)
    if not (0 <= a < call.server.keyspace.databases and 0 <= b < call.server.keyspace.databases):
        raise CommandError(errors.DB_OUT_OF_RANGE)
    watching.signal_all(call.server, (a, b), call.db)
    call.db.swap(a, b)
    watching.signal_all(call.server, (a, b), call.db)
    call.changed()
    return OK
