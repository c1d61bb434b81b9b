"""Commands about the connection itself: PING, ECHO, SELECT, HELLO, AUTH, RESET, QUIT."""

import hmac

from rlite.engine import errors
from rlite.engine.commands import monitoring, subscriptions, watching
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command, core_command
from rlite.engine.errors import CommandError, printable
from rlite.engine.reply import OK, Reply, Simple
from rlite.engine.version import REDIS_VERSION


@command(
    "PING [message]", core=True, arity=-1, flags="fast", group="connection", since="1.0.0", complexity="O(1)",
    tips=["request_policy:all_shards", "response_policy:all_succeeded"],
    summary="Answers, so that one knows somebody is there.",
)  # fmt: skip
def ping(call: Call) -> Reply:
    """For a RESP2 client that listens: replies must look like messages."""
    return [b"pong", call.args[1] if len(call.args) == 2 else b""]


core_command(
    "ECHO message", arity=2, flags="fast loading stale", group="connection", since="1.0.0", complexity="O(1)",
    summary="Returns its argument.",
)  # fmt: skip


@command(
    "SELECT index", arity=2, flags="loading stale fast", group="connection", since="1.0.0", complexity="O(1)",
    summary="Chooses the database of this connection.",
)  # fmt: skip
def select(call: Call) -> Reply:
    index = call.int32(1)
    if not 0 <= index < call.server.keyspace.databases:
        raise CommandError(errors.DB_OUT_OF_RANGE)
    call.client.database = index
    return OK


def authenticate(call: Call, user: bytes, password: bytes) -> None:
    """Lets the client in as this user. Raises CommandError where name or password is wrong."""
    wanted = str(call.server.config["requirepass"]).encode("utf-8", "surrogateescape")
    if user != b"default" or (wanted and not hmac.compare_digest(wanted, password)):
        raise CommandError(errors.WRONG_PASS)
    call.client.lift("auth")


@command(
    "AUTH [username] password", arity=-2, flags="noscript loading stale fast no_auth allow_busy",
    group="connection",
    since="1.0.0", complexity="O(1)", summary="Proves who the client is.",
)  # fmt: skip
def auth(call: Call) -> Reply:
    if len(call.args) > 3:
        raise CommandError(errors.SYNTAX)
    if len(call.args) == 2:
        if not call.server.config["requirepass"]:
            raise CommandError(errors.NO_PASSWORD_SET)
        authenticate(call, b"default", call.args[1])
    else:
        authenticate(call, call.args[1], call.args[2])
    return OK


@command(
    "HELLO [protover [AUTH username password] [SETNAME clientname]]", arity=-1,
    flags="noscript loading stale fast no_auth allow_busy", group="connection", since="6.0.0",
    complexity="O(1)",
    summary="Agrees on the protocol, and may authenticate and name the client.",
)  # fmt: skip
def hello(call: Call) -> Reply:
    args, client = call.args, call.client
    version = 0
    if len(args) > 1:
        version = call.int(1, errors.PROTO_NOT_AN_INTEGER)
        if version not in (2, 3):
            raise CommandError(errors.NO_PROTO)
    i = 2
    name: bytes | None = None
    credentials: tuple[bytes, bytes] | None = None
    while i < len(args):
        word = call.word(i)
        if word == b"AUTH" and i + 2 < len(args):
            credentials = args[i + 1], args[i + 2]
            i += 3
        elif word == b"SETNAME" and i + 1 < len(args):
            name = valid_name(args[i + 1])
            i += 2
        else:
            raise CommandError(errors.HELLO_SYNTAX % printable(args[i]))
    if credentials is not None:
        authenticate(call, *credentials)
    if client.restricted("auth"):
        raise CommandError(errors.NO_AUTH_HELLO)
    if name is not None:
        client.name = name.decode()
    if version:
        client.resp = version
    return {
        b"server": b"redis", b"version": REDIS_VERSION.encode(), b"proto": client.resp, b"id": client.id,
        b"mode": b"standalone", b"role": b"replica" if call.server.follows else b"master", b"modules": [],
    }  # fmt: skip


def valid_name(raw: bytes, error: str = errors.CLIENT_NAME) -> bytes:
    """A client's name: printable ASCII without spaces. Raises CommandError(error)."""
    if any(not 0x21 <= byte <= 0x7E for byte in raw):
        raise CommandError(error)
    return raw


@command(
    "RESET", arity=1, flags="noscript loading stale fast no_auth allow_busy", group="connection",
    since="6.2.0",
    complexity="O(1)", summary="Puts the connection back to what it was when it was new.",
)  # fmt: skip
def reset(call: Call) -> Reply:
    client = call.client
    watching.abandon(call.server, client)
    client.lift("silenced")
    client.reply_mode = "on"
    client.database = 0
    client.resp = 2
    client.name = ""
    client.no_touch = False
    client.no_evict = False
    subscriptions.forget(call.server, client)
    monitoring.forget(call.server, client)
    client.user = "default"
    if call.server.config["requirepass"]:
        client.restrict("auth")
    return Simple("RESET")


@command(
    "QUIT", arity=-1, flags="allow_busy noscript loading stale fast no_auth", group="connection",
    since="1.0.0",
    complexity="O(1)", summary="Ends the connection.",
)  # fmt: skip
def quit_(call: Call) -> Reply:
    call.client.close_when_sent()
    return OK
