"""CONFIG: looks at the configuration, changes it, writes it back; and sets the figures of INFO to nothing."""

from rlite.engine import errors, redisconf
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command, container
from rlite.engine.errors import CommandError
from rlite.engine.reply import OK, Reply, Simple

HELP = """CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
GET <pattern> [<pattern> ...]
    Directives whose names match, and their values.
SET <directive> <value> [<directive> <value> ...]
    Changes directives, all of them or none.
RESETSTAT
    Lets the figures of INFO begin anew.
REWRITE
    Writes what has changed into the configuration file.
HELP
    Shows this."""

container("CONFIG", since="2.0.0", summary="Commands about the server's configuration.")


@command(
    "CONFIG GET parameter [parameter ...]", arity=-3, flags="admin noscript loading stale", group="server",
    since="2.0.0", complexity="O(N) when N is the number of configuration parameters provided",
    summary="Shows directives and their values.",
)  # fmt: skip
def config_get(call: Call) -> Reply:
    found = call.server.config.match(call.args[2:])
    return {name.encode(): value.encode("utf-8", "surrogateescape") for name, value in found.items()}


@command(
    "CONFIG SET parameter value [parameter value ...]", arity=-4, flags="admin noscript loading stale",
    group="server", since="2.0.0",
    complexity="O(N) when N is the number of configuration parameters provided",
    summary="Changes directives while the server runs.",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
)  # fmt: skip
def config_set(call: Call) -> Reply:
    args, client = call.args, call.client
    if len(args) % 2:
        raise CommandError(errors.SYNTAX)
    local = client.is_unix or client.address.startswith(("127.", "[::1]"))
    call.server.config.set_many(list(zip(args[2::2], args[3::2], strict=True)), local=local)
    return OK


@command(
    "CONFIG RESETSTAT", arity=2, flags="admin noscript loading stale", group="server", since="2.0.0",
    complexity="O(1)", summary="Sets the figures of INFO back.",
)  # fmt: skip
def config_resetstat(call: Call) -> Reply:
    server = call.server
    for counters in server.all_counters():
        counters.reset()
    server.keyspace.reset_counters()
    server.errors.clear()
    server.connections_received = 0
    server.connections_rejected = 0
    return OK


@command(
    "CONFIG REWRITE", arity=2, flags="admin noscript loading stale", group="server", since="2.8.0",
    complexity="O(1)", summary="Writes the configuration into its file.",
)  # fmt: skip
def config_rewrite(call: Call) -> Reply:
    redisconf.rewrite(call.server.config)
    return OK


@command(
    "CONFIG HELP", arity=2, flags="loading stale", group="server", since="5.0.0", complexity="O(1)",
    summary="Lists the subcommands.",
)  # fmt: skip
def config_help(call: Call) -> Reply:  # noqa: ARG001 -- a handler's shape
    return [Simple(line) for line in HELP.splitlines()]
