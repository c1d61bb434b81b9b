"""Commands that give a key another name, database or double: RENAME, RENAMENX, COPY, MOVE."""

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, command
from rlite.engine.commands.watching import signal_changed
from rlite.engine.errors import CommandError
from rlite.engine.reply import OK, Reply


def rename_key(call: Call, *, replace: bool) -> bool:
    """Moves a value and its deadline to another name. False: `replace` is off and that name is taken."""
    source, target = call.args[1], call.args[2]
    if not call.db.exists(source):
        raise CommandError(errors.NO_SUCH_KEY)
    if source == target:
        return replace
    if not replace and call.db.exists(target):
        return False
    call.db.rename(source, call.db, target)
    call.changed()
    call.notify("g", "rename_from", source)
    call.notify("g", "rename_to", target)
    return True


@command(
    "RENAME key newkey", arity=3, flags="write", group="generic", since="1.0.0", complexity="O(1)",
    keys=Keys(1, 1, 1, access=("RW", "access", "delete"), more=(Keys(2, 2, 1, access=("OW", "update")),)),
    summary="Gives a key another name, over whatever has that name.",
)  # fmt: skip
def rename(call: Call) -> Reply:
    rename_key(call, replace=True)
    return OK


@command(
    "RENAMENX key newkey", arity=3, flags="write fast", group="generic", since="1.0.0", complexity="O(1)",
    keys=Keys(1, 1, 1, access=("RW", "access", "delete"), more=(Keys(2, 2, 1, access=("OW", "insert")),)),
    summary="Gives a key another name, if nothing has that name.",
)  # fmt: skip
def renamenx(call: Call) -> Reply:
    return int(rename_key(call, replace=False))


@command(
    "COPY source destination [DB destination-db] [REPLACE]", arity=-3, flags="write denyoom", group="generic",
    since="6.2.0", complexity="O(n) where n is the size of the value",
    keys=Keys(1, 1, 1, access=("RO", "access"), more=(Keys(2, 2, 1, access=("OW", "update")),)),
    summary="Makes a double of a key under another name or in another database.",
)  # fmt: skip
def copy(call: Call) -> Reply:
    source, name = call.args[1], call.args[2]
    replace = False
    index = call.db.index
    i = 3
    while i < len(call.args):
        word = call.word(i)
        if word == b"REPLACE":
            replace = True
        elif word == b"DB" and i + 1 < len(call.args):
            i += 1
            index = database_index(call, i)
        else:
            raise CommandError(errors.SYNTAX)
        i += 1
    if source == name and index == call.db.index:
        raise CommandError(errors.SAME_OBJECT)
    target = call.db.sibling(index)
    if not call.db.exists(source) or (not replace and target.exists(name)):
        return 0
    call.db.copy(source, target, name)
    call.changed()
    call.notify("g", "copy_to", name, index)
    signal_changed(call.server, index, [name])
    return 1


@command(
    "MOVE key db", arity=3, flags="write fast", group="generic", since="1.0.0", complexity="O(1)",
    keys=(1, 1, 1),
    access="RW access update", summary="Moves a key to another database, if it is not there already.",
)  # fmt: skip
def move(call: Call) -> Reply:
    key = call.args[1]
    index = database_index(call, 2)
    if index == call.db.index:
        raise CommandError(errors.SAME_OBJECT)
    target = call.db.sibling(index)
    if not call.db.exists(key) or target.exists(key):
        return 0
    call.db.rename(key, target, key)
    call.changed()
    call.notify("g", "move_from", key)
    call.notify("g", "move_to", key, index)
    signal_changed(call.server, index, [key])
    return 1


def database_index(call: Call, i: int) -> int:
    """Argument i as the number of a database. Raises CommandError for one that is none."""
    index = call.int32(i)
    if not 0 <= index < call.server.keyspace.databases:
        raise CommandError(errors.DB_OUT_OF_RANGE)
    return index
