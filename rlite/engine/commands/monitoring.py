"""MONITOR: every command that runs, shown to whoever watches.

While somebody does, the gate is closed: every command comes through the dispatcher, which calls `feed`.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Command, command
from rlite.engine.commands.secret import without_secrets
from rlite.engine.reply import OK, Reply

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.core.connection import Client

ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x07: "\\a", 0x08: "\\b"}


def quoted(raw: bytes) -> str:
    """Bytes between double quotes, with escapes for what does not print (Redis's form)."""
    shown = (ESCAPES.get(c) or (chr(c) if 0x20 <= c < 0x7F else f"\\x{c:02x}") for c in raw)
    return '"' + "".join(shown) + '"'


@command(
    "MONITOR", arity=1, flags="admin noscript loading stale", group="server", since="1.0.0",
    complexity="O(1)", summary="Shows every command that the server runs, as it runs.",
)  # fmt: skip
def monitor(call: Call) -> Reply:
    if call.client not in call.server.monitors and call.client.mailbox is not None:
        call.server.monitors[call.client] = None
        call.server.gate.close()
    return OK


def forget(server: "Context", client: "Client") -> None:
    """The client watches no more."""
    if server.monitors.pop(client, 0) is None:
        server.gate.open()


def feed(
    server: "Context", client: "Client", declared: Command, args: Sequence[bytes], database: int
) -> None:
    """Shows one command to all monitors; what is secret, or too dangerous to be copied, it does not show."""
    if "admin" in declared.flags or ("skip_monitor" in declared.flags and declared.group != "scripting"):
        return
    where = "lua" if client.in_script else f"unix:{client.address}" if client.is_unix else client.address
    shown = " ".join(map(quoted, without_secrets(declared, args)))
    line = f"+{time.time():.6f} [{database} {where}] {shown}\r\n".encode()
    for each in list(server.monitors):
        if each is client:
            each.write_now(line)
        elif each.mailbox is not None:
            each.mailbox("send", each, line)
