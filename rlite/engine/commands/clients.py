"""CLIENT: who is connected, under which name, and what is done to them: killed, paused, silenced.

Runs with the GIL and touches no key. Another client belongs to its own I/O thread, which is asked
through its mailbox.
"""

import time
from collections.abc import Callable, Iterable

from rlite.engine import errors
from rlite.engine.commands import blocking
from rlite.engine.commands.call import Call, parse_int
from rlite.engine.commands.connection import valid_name
from rlite.engine.commands.context import Context, Pause
from rlite.engine.commands.declare import command, container
from rlite.engine.commands.helping import declare_help, subcommand_syntax
from rlite.engine.commands.subscriptions import Subscriptions
from rlite.engine.core.connection import Client
from rlite.engine.errors import CommandError, printable
from rlite.engine.reply import NO_REPLY, OK, ErrorReply, Reply, RespSet, Verbatim

ANYONE = "noscript loading stale"
ADMIN = "admin noscript loading stale"
NO_SUBSCRIPTIONS = Subscriptions()
# What CLIENT LIST TYPE and CLIENT KILL TYPE know.
TYPES = {
    b"NORMAL": "normal",
    b"MASTER": "master",
    b"REPLICA": "replica",
    b"SLAVE": "replica",
    b"PUBSUB": "pubsub",
}

container("CLIENT", since="2.4.0", summary="Everything about connections.", group="connection")


def kind(client: Client) -> str:
    """Its type as CLIENT LIST TYPE understands it."""
    if client.peer:
        return client.peer
    return "pubsub" if client.subscriptions is not None and client.subscriptions.any else "normal"


def flags_of(server: Context, client: Client) -> str:
    """Its letters in CLIENT LIST; N where there are none."""
    letters = (
        ("S", client.peer == "replica"),
        ("M", client.peer == "master"),
        ("O", client in server.monitors),
        ("P", kind(client) == "pubsub"),
        ("b", client.id in server.blocked),
        ("x", client.transaction is not None),
        ("U", client.is_unix),
        ("d", client.watch_broken),
        ("c", client.closing),
        ("e", client.no_evict),
        ("T", client.no_touch),
    )
    return "".join(letter for letter, on in letters if on) or "N"


def fields_of(server: Context, client: Client) -> dict[str, object]:
    """What CLIENT LIST says of a client."""
    facts = client.facts()
    queue = client.transaction
    mine = client.subscriptions or NO_SUBSCRIPTIONS
    last = client.last_command
    return {
        "id": client.id, "addr": client.address, "laddr": client.local_address, "fd": client.fd,
        "name": client.name,
        "age": facts["age"], "idle": facts["idle"], "flags": flags_of(server, client), "db": client.database,
        "sub": len(mine.channels), "psub": len(mine.patterns), "ssub": len(mine.shards),
        "multi": -1 if queue is None else len(queue),
        "watch": len(client.watched or ()), "qbuf": facts["qbuf"], "qbuf-free": facts["qbuf_free"],
        "argv-mem": facts["argv_mem"],
        "multi-mem": sum(len(arg) for _, args in queue for arg in args) if queue else 0,
        "rbs": facts["rbs"], "rbp": facts["rbs"], "obl": facts["obl"], "oll": 0, "omem": facts["omem"],
        "tot-mem": facts["total"], "events": facts["events"],
        "cmd": server.table.names[last] if last >= 0 else "NULL", "user": client.user, "redir": -1,
        "resp": client.resp, "lib-name": client.lib_name, "lib-ver": client.lib_ver,
    }  # fmt: skip


def described(server: Context, client: Client) -> str:
    """The line of a client in CLIENT LIST."""
    return " ".join(f"{name}={value}" for name, value in fields_of(server, client).items())


def listing(server: Context, clients: Iterable[Client]) -> Reply:
    text = "".join(described(server, client) + "\n" for client in clients)
    return Verbatim("txt", text.encode("utf-8", "surrogateescape"))


def everybody(server: Context) -> list[Client]:
    """All clients, the oldest first. A copy: others come and go meanwhile."""
    return sorted(server.clients.copy().values(), key=lambda client: client.id)


def type_named(word: bytes) -> str:
    """The client type a word names. Raises CommandError for an unknown one."""
    found = TYPES.get(word.upper())
    if found is None:
        raise CommandError(errors.UNKNOWN_CLIENT_TYPE % printable(word))
    return found


@command(
    "CLIENT ID", arity=2, flags=ANYONE, group="connection", since="5.0.0", complexity="O(1)",
    summary="Returns the id of this connection; ids are never used again.",
)  # fmt: skip
def client_id(call: Call) -> Reply:
    return call.client.id


@command(
    "CLIENT INFO", arity=2, flags=ANYONE, group="connection", since="6.2.0", complexity="O(1)",
    tips=["nondeterministic_output"], summary="Describes this connection in one line of name=value words.",
)  # fmt: skip
def client_info(call: Call) -> Reply:
    return listing(call.server, [call.client])


@command(
    "CLIENT LIST [TYPE (NORMAL | MASTER | REPLICA | PUBSUB)] [ID client-id [client-id ...]]", arity=-2,
    flags=ADMIN, group="connection", since="2.4.0", complexity="O(n) where n is the number of connections",
    tips=["nondeterministic_output"], summary="Describes connections, one a line.",
)  # fmt: skip
def client_list(call: Call) -> Reply:
    args = call.args
    if len(args) == 2:
        return listing(call.server, everybody(call.server))
    option = call.word(2)
    if option == b"TYPE" and len(args) == 4:
        wanted = type_named(args[3])
        return listing(call.server, [each for each in everybody(call.server) if kind(each) == wanted])
    if option == b"ID" and len(args) > 3:
        ids = [call.int(i, errors.INVALID_CLIENT_ID) for i in range(3, len(args))]
        clients = call.server.clients
        return listing(call.server, [clients[each] for each in ids if each in clients])
    raise CommandError(errors.SYNTAX)


@command(
    "CLIENT GETNAME", arity=2, flags=ANYONE, group="connection", since="2.6.9", complexity="O(1)",
    summary="Returns the name of this connection.",
)  # fmt: skip
def client_getname(call: Call) -> Reply:
    return call.client.name.encode() or None


@command(
    "CLIENT SETNAME connection-name", arity=3, flags=ANYONE, group="connection", since="2.6.9",
    complexity="O(1)", summary="Names this connection; an empty name takes its name away.",
)  # fmt: skip
def client_setname(call: Call) -> Reply:
    call.client.name = valid_name(call.args[2]).decode()
    return OK


@command(
    "CLIENT SETINFO (LIB-NAME libname | LIB-VER libver)", arity=4, flags=ANYONE, group="connection",
    since="7.2.0", complexity="O(1)", tips=["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary="Tells which client library this is.",
)  # fmt: skip
def client_setinfo(call: Call) -> Reply:
    option = call.word(2)
    if option not in (b"LIB-NAME", b"LIB-VER"):
        raise CommandError(errors.CLIENT_INFO_OPTION % printable(call.args[2]))
    value = valid_name(call.args[3], errors.CLIENT_INFO_VALUE % option.decode().lower()).decode()
    if option == b"LIB-NAME":
        call.client.lib_name = value
    else:
        call.client.lib_ver = value
    return OK


def kill(call: Call, victim: Client) -> None:
    """Ends a connection: another at once, one's own once it has its reply."""
    victim.close_when_sent()  # from this moment nothing of it runs, though its thread has not heard of it yet
    if victim is not call.client and victim.mailbox is not None:
        victim.mailbox("close", victim)


def kill_condition(call: Call, i: int) -> Callable[[Client], bool]:
    """The filter that CLIENT KILL's arguments i and i+1 ask for. Raises CommandError."""
    option, value = call.word(i), call.args[i + 1]
    if option == b"ID":
        number = parse_int(value)
        if number is None or number < 1:
            raise CommandError(errors.CLIENT_ID_POSITIVE)
        return lambda client: client.id == number
    if option == b"TYPE":
        wanted = type_named(value)
        return lambda client: kind(client) == wanted
    if option == b"ADDR":
        return lambda client: client.address.encode() == value
    if option == b"LADDR":
        return lambda client: client.local_address.encode() == value
    if option == b"USER":
        if value != b"default":
            raise CommandError(errors.NO_SUCH_USER % printable(value))
        return lambda client: client.user == "default"
    if option == b"MAXAGE":
        seconds = call.int(i + 1, errors.MAXAGE_NOT_AN_INTEGER)
        if seconds <= 0:
            raise CommandError(errors.MAXAGE_POSITIVE)
        return lambda client: client.facts()["age"] >= seconds
    raise CommandError(errors.SYNTAX)


def kill_filters(call: Call) -> tuple[list[Callable[[Client], bool]], bool]:
    """The conditions of CLIENT KILL's newer form, and whether to spare oneself. Raises CommandError."""
    conditions: list[Callable[[Client], bool]] = []
    skip_me = True
    if len(call.args) % 2:
        raise CommandError(errors.SYNTAX)
    for i in range(2, len(call.args), 2):
        if call.word(i) != b"SKIPME":
            conditions.append(kill_condition(call, i))
        elif call.word(i + 1) in (b"YES", b"NO"):
            skip_me = call.word(i + 1) == b"YES"
        else:
            raise CommandError(errors.SYNTAX)
    return conditions, skip_me


@command(
    "CLIENT KILL (ip:port | [ID client-id] [TYPE (NORMAL | MASTER | SLAVE | REPLICA | PUBSUB)] "
    "[USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME (YES | NO)] [MAXAGE seconds])",
    arity=-3, flags=ADMIN, group="connection", since="2.4.0",
    complexity="O(n) where n is the number of connections", summary="Ends connections.",
)  # fmt: skip
def client_kill(call: Call) -> Reply:
    if len(call.args) == 3:
        address = call.args[2]
        for each in everybody(call.server):
            if each.address.encode() == address:
                kill(call, each)
                return OK
        raise CommandError(errors.NO_SUCH_CLIENT)
    conditions, skip_me = kill_filters(call)
    killed = 0
    for each in everybody(call.server):
        if (each is call.client and skip_me) or not all(holds(each) for holds in conditions):
            continue
        kill(call, each)
        killed += 1
    return killed


@command(
    "CLIENT PAUSE timeout [WRITE | ALL]", arity=-3, flags=ADMIN, group="connection", since="2.9.50",
    complexity="O(1)", summary="Makes clients wait, all or those that write, for some milliseconds.",
)  # fmt: skip
def client_pause(call: Call) -> Reply:
    writes_only = False
    if len(call.args) == 4:
        if call.word(3) not in (b"WRITE", b"ALL"):
            raise CommandError(errors.NOT_PAUSED_MODE)
        writes_only = call.word(3) == b"WRITE"
    elif len(call.args) > 4:
        raise subcommand_syntax(call)
    milliseconds = call.int(2, errors.TIMEOUT_NOT_AN_INTEGER)
    if milliseconds < 0:
        raise CommandError(errors.TIMEOUT_NEGATIVE)
    begin_pause(call.server, time.monotonic() + milliseconds / 1000, writes_only=writes_only)
    return OK


def begin_pause(server: Context, until: float, *, writes_only: bool) -> None:
    """Makes clients wait, all or those that write, until a time (monotonic seconds) or until it is ended."""
    with server.pausing:
        before = server.pause
        if before is None:
            server.pause = Pause(until, writes_only)
            server.gate.close()
        elif before.until <= time.monotonic():  # over, but not yet noticed: the gate is still shut
            server.pause = Pause(until, writes_only)
        else:  # of two pauses the longer time and the stricter kind hold
            server.pause = Pause(max(until, before.until), writes_only and before.writes_only)


@command(
    "CLIENT UNPAUSE", arity=2, flags=ADMIN, group="connection", since="6.2.0",
    complexity="O(n) where n is the number of connections", summary="Ends a pause: whoever waits goes on.",
)  # fmt: skip
def client_unpause(call: Call) -> Reply:
    call.server.unpause()
    return OK


@command(
    "CLIENT REPLY (ON | OFF | SKIP)", arity=3, flags=ANYONE, group="connection", since="3.2.0",
    complexity="O(1)", summary="Chooses whether this connection is sent replies, or misses the next one.",
)  # fmt: skip
def client_reply(call: Call) -> Reply:
    client, mode = call.client, call.word(2)
    if mode == b"ON":
        client.reply_mode = "on"
        client.lift("silenced")
        return OK
    if mode == b"OFF":
        client.reply_mode = "off"
    elif mode == b"SKIP":
        if client.reply_mode != "off":
            client.reply_mode = "skip-next"
    else:
        raise CommandError(errors.SYNTAX)
    client.restrict("silenced")
    return NO_REPLY


def switch(call: Call) -> bool:
    """Argument 2 as ON or OFF. Raises CommandError for anything else."""
    if call.word(2) not in (b"ON", b"OFF"):
        raise CommandError(errors.SYNTAX)
    return call.word(2) == b"ON"


@command(
    "CLIENT NO-EVICT (ON | OFF)", arity=3, flags=ADMIN, group="connection", since="7.0.0", complexity="O(1)",
    summary="Spares this connection when buffers of clients must be given up.",
)  # fmt: skip
def client_no_evict(call: Call) -> Reply:
    call.client.no_evict = switch(call)
    return OK


@command(
    "CLIENT GETREDIR", arity=2, flags=ANYONE, group="connection", since="6.0.0", complexity="O(1)",
    summary="Tells which client gets this one's invalidations: none, for nothing is tracked yet.",
)  # fmt: skip
def client_getredir(_: Call) -> Reply:
    return -1


@command(
    "CLIENT TRACKINGINFO", arity=2, flags=ANYONE, group="connection", since="6.2.0", complexity="O(1)",
    summary="Tells how keys are tracked for this connection: not at all yet.",
)  # fmt: skip
def client_trackinginfo(_: Call) -> Reply:
    return {b"flags": RespSet([b"off"]), b"redirect": -1, b"prefixes": []}


@command(
    "CLIENT NO-TOUCH (ON | OFF)", arity=3, flags=ANYONE, group="connection", since="7.2.0", complexity="O(1)",
    summary="Chooses whether commands of this connection count as use of a key.",
)  # fmt: skip
def client_no_touch(call: Call) -> Reply:
    call.client.no_touch = switch(call)
    return OK


@command(
    "CLIENT UNBLOCK client-id [TIMEOUT | ERROR]", arity=-3, flags=ADMIN, group="connection", since="5.0.0",
    complexity="O(1)", summary="Lets a client go on that waits in a blocking command.",
)  # fmt: skip
def client_unblock(call: Call) -> Reply:
    if len(call.args) > 4:
        raise subcommand_syntax(call)
    if len(call.args) == 4 and call.word(3) not in (b"TIMEOUT", b"ERROR"):
        raise CommandError(errors.UNBLOCK_REASON)
    other = call.server.clients.get(call.int(2))
    if other is None:
        return 0
    if len(call.args) == 4 and call.word(3) == b"ERROR":
        return int(blocking.unblock(call.server, other, ErrorReply(errors.UNBLOCKED), by_timeout=False))
    return int(blocking.unblock(call.server, other))


declare_help("CLIENT", since="5.0.0", group="connection")
