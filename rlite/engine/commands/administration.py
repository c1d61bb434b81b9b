"""Commands to whoever runs the server: TIME, ROLE, SHUTDOWN, LOLWUT. They touch no key."""

import time

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command
from rlite.engine.errors import CommandError
from rlite.engine.reply import NO_REPLY, Reply, Verbatim
from rlite.engine.version import REDIS_VERSION, RLITE_VERSION

WIDTH, HEIGHT = 64, 16
SHADES = " .:-=+*#%@"


@command(
    "TIME", arity=1, flags="loading stale fast", group="server", since="2.6.0", complexity="O(1)",
    tips=["nondeterministic_output"], summary="Returns the server's clock: Unix seconds, and microseconds.",
)  # fmt: skip
def time_(_call: Call) -> Reply:
    seconds, ns = divmod(time.time_ns(), 10**9)
    return [str(seconds).encode(), str(ns // 1000).encode()]


@command(
    "ROLE", arity=1, flags="noscript loading stale fast", group="server", since="2.8.12", complexity="O(1)",
    acl="admin dangerous",
    summary="Tells whether this is a master or a replica, and who is at the other end.",
)  # fmt: skip
def role(call: Call) -> Reply:
    replication = call.server.replication
    return [b"master", 0, []] if replication is None else replication.role()


@command(
    "SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", arity=-1,
    flags="admin noscript loading stale no_multi allow_busy", group="server", since="1.0.0",
    complexity="O(n) where n is the number of keys, when it saves", summary="Ends the server.",
)  # fmt: skip
def shutdown(call: Call) -> Reply:
    words = [word.upper() for word in call.args[1:]]
    if any(word not in (b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT") for word in words):
        raise CommandError(errors.SYNTAX)
    if (b"SAVE" in words and b"NOSAVE" in words) or (b"ABORT" in words and len(words) > 1):
        raise CommandError(errors.SYNTAX)
    if b"ABORT" in words:  # nothing that a shutdown waits for exists yet, so none is ever under way
        raise CommandError(errors.NO_SHUTDOWN)
    save = True if b"SAVE" in words else False if b"NOSAVE" in words else None
    if call.server.shutdown is None or not call.server.shutdown(save, b"FORCE" in words):
        raise CommandError(errors.SHUTDOWN_ERRORS)
    return NO_REPLY


def ripples(width: int, height: int) -> str:
    """A pond, seen from above, into which two stones have fallen."""
    rows = []
    for y in range(height):
        row = ""
        for x in range(width):
            near = ((x - width * 0.3) ** 2 + (2.2 * (y - height * 0.4)) ** 2) ** 0.5
            far = ((x - width * 0.75) ** 2 + (2.2 * (y - height * 0.7)) ** 2) ** 0.5
            wave = (1 - abs(near % 8 - 4) / 4) + (1 - abs(far % 6 - 3) / 3)
            row += SHADES[min(len(SHADES) - 1, int(wave / 2 * len(SHADES)))]
        rows.append(row.rstrip())
    return "\n".join(rows)


@command(
    "LOLWUT [VERSION version]", arity=-1, flags="readonly fast", group="server", since="5.0.0",
    complexity="O(1)", summary="Draws something, and names the version.",
)  # fmt: skip
def lolwut(call: Call) -> Reply:
    if len(call.args) >= 3 and call.word(1) == b"VERSION":
        call.int(2)
    text = f"{ripples(WIDTH, HEIGHT)}\n\nRedis ver. {REDIS_VERSION} (rlite {RLITE_VERSION})\n"
    return Verbatim("txt", text.encode())
