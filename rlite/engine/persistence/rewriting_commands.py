"""BGREWRITEAOF: has the log written anew (rewriting.py). Touches no key; runs with the GIL."""

import logging
import os

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply, Simple


@command(
    "BGREWRITEAOF", arity=1, flags="admin noscript no_async_loading", group="server", since="1.0.0",
    complexity="O(1)", summary="Writes the append only file anew, in the background.",
)  # fmt: skip
def bgrewriteaof(call: Call) -> Reply:
    if call.server.rewriter is None:
        raise CommandError(errors.REWRITE_WITHOUT_LOG)
    try:
        begun = call.server.rewriter.ask()
    except OSError as fault:
        logging.getLogger("rlite.log").warning(
            "the log cannot be rewritten: %s", os.strerror(fault.errno or 0)
        )
        raise CommandError(errors.REWRITE_FAILED) from None
    return Simple(f"Background append only file rewriting {'started' if begun else 'scheduled'}")
