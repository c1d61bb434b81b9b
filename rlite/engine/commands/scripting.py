"""EVAL and its kind, and SCRIPT. What they do is in scripts.py."""

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, Locks, command, container
from rlite.engine.commands.helping import declare_help, subcommand_syntax
from rlite.engine.commands.scripts import Script, flush, kill, loaded, run_script
from rlite.engine.errors import CommandError
from rlite.engine.reply import OK, Reply

EVERY_WAY = Keys(counted=2, access=("RW", "access", "update"))
READ = Keys(counted=2, access=("RO", "access"))
WRITING = "noscript stale skip_monitor no_mandatory_keys movablekeys may_replicate"
READING = "noscript readonly stale skip_monitor no_mandatory_keys movablekeys"


def known(call: Call) -> Script:
    script = call.server.scripts.known.get(call.args[1].lower())
    if script is None:
        raise CommandError(errors.NO_SCRIPT)
    return script


@command(
    "EVAL script numkeys [key ...] [arg ...]", arity=-3, flags=WRITING, keys=EVERY_WAY,
    locks=Locks.EVERYTHING, group="scripting", since="2.6.0", complexity="That of the script",
    summary="Runs a Lua script.",
)  # fmt: skip
def eval_(call: Call) -> Reply:
    return run_script(call, loaded(call.server, call.args[1]), readonly=False)


@command(
    "EVALSHA sha1 numkeys [key ...] [arg ...]", arity=-3, flags=WRITING, keys=EVERY_WAY,
    locks=Locks.EVERYTHING, group="scripting", since="2.6.0", complexity="That of the script",
    summary="Runs a Lua script that the server knows by its SHA1.",
)  # fmt: skip
def evalsha(call: Call) -> Reply:
    return run_script(call, known(call), readonly=False)


@command(
    "EVAL_RO script numkeys [key ...] [arg ...]", arity=-3, flags=READING, keys=READ,
    locks=Locks.EVERYTHING, group="scripting", since="7.0.0", complexity="That of the script",
    summary="Runs a Lua script that may not write.",
)  # fmt: skip
def eval_ro(call: Call) -> Reply:
    return run_script(call, loaded(call.server, call.args[1]), readonly=True)


@command(
    "EVALSHA_RO sha1 numkeys [key ...] [arg ...]", arity=-3, flags=READING, keys=READ,
    locks=Locks.EVERYTHING, group="scripting", since="7.0.0", complexity="That of the script",
    summary="Runs a Lua script that the server knows, and that may not write.",
)  # fmt: skip
def evalsha_ro(call: Call) -> Reply:
    return run_script(call, known(call), readonly=True)


container("SCRIPT", since="2.6.0", group="scripting", summary="Commands about Lua scripts.")


@command(
    "SCRIPT LOAD script", arity=3, flags="noscript stale", group="scripting", since="2.6.0",
    locks=Locks.EVERYTHING, tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
    complexity="O(n) where n is the length of the script", summary="Teaches the server a script.",
)  # fmt: skip
def script_load(call: Call) -> Reply:
    return loaded(call.server, call.args[2]).sha


@command(
    "SCRIPT EXISTS sha1 [sha1 ...]", arity=-3, flags="noscript", group="scripting", since="2.6.0",
    tips=("request_policy:all_shards", "response_policy:agg_logical_and"),
    complexity="O(n) where n is the number of scripts asked for", summary="Tells which scripts are known.",
)  # fmt: skip
def script_exists(call: Call) -> Reply:
    return [int(sha.lower() in call.server.scripts.known) for sha in call.args[2:]]


@command(
    "SCRIPT FLUSH [ASYNC | SYNC]", arity=-2, flags="noscript", group="scripting", since="2.6.0",
    locks=Locks.EVERYTHING, tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
    complexity="O(n) where n is the number of scripts", summary="Forgets every script.",
)  # fmt: skip
def script_flush(call: Call) -> Reply:
    if len(call.args) > 3 or (len(call.args) == 3 and call.word(2) not in (b"SYNC", b"ASYNC")):
        raise CommandError(errors.SCRIPT_FLUSH_SYNTAX)
    flush(call.server)
    return OK


@command(
    "SCRIPT KILL", arity=2, flags="noscript allow_busy", group="scripting", since="2.6.0",
    tips=("request_policy:all_shards", "response_policy:one_succeeded"), complexity="O(1)",
    summary="Ends the script that runs, if it has not written.",
)  # fmt: skip
def script_kill(call: Call) -> Reply:
    kill(call.server)
    return OK


@command(
    "SCRIPT DEBUG (YES | SYNC | NO)", arity=3, flags="noscript", group="scripting", since="3.2.0",
    complexity="O(1)", summary="Refused: there is no debugger for scripts.",
)  # fmt: skip
def script_debug(call: Call) -> Reply:
    if call.word(2) not in (b"YES", b"SYNC", b"NO"):
        raise subcommand_syntax(call)
    if call.word(2) != b"NO":
        raise CommandError(errors.NO_SCRIPT_DEBUGGER)
    return OK


declare_help("SCRIPT", since="5.0.0", group="scripting", flags="loading stale")
