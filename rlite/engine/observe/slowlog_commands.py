"""SLOWLOG: reads and empties the log of slow calls (slowlog.py). Touches no key; runs with the GIL."""

from itertools import islice
from typing import TYPE_CHECKING, cast

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command, container
from rlite.engine.commands.helping import declare_help, subcommand_syntax
from rlite.engine.errors import CommandError
from rlite.engine.reply import OK, Reply

if TYPE_CHECKING:
    from rlite.engine.observe.slowlog import SlowLog

DEFAULT_COUNT = 10

container("SLOWLOG", since="2.2.12", summary="The log of slow calls.")


@command(
    "SLOWLOG GET [count]", arity=-2, flags="admin loading stale", group="server", since="2.2.12",
    complexity="O(n) where n is the number of entries returned",
    tips=["request_policy:all_nodes", "nondeterministic_output"],
    summary="Returns the latest slow calls, the newest first; a count of -1 returns them all.",
)  # fmt: skip
def slowlog_get(call: Call) -> Reply:
    if len(call.args) > 3:
        raise subcommand_syntax(call)
    count = DEFAULT_COUNT
    if len(call.args) == 3:
        count = call.int(2, errors.SLOWLOG_COUNT)
        if count < -1:
            raise CommandError(errors.SLOWLOG_COUNT)
    entries = cast("SlowLog", call.server.slow_log).entries
    return [
        [each.id, each.when, each.took, list(each.args), each.address.encode(), each.name.encode()]
        for each in islice(reversed(list(entries)), len(entries) if count == -1 else count)
    ]


@command(
    "SLOWLOG LEN", arity=2, flags="admin loading stale", group="server", since="2.2.12", complexity="O(1)",
    tips=["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    summary="Returns how many slow calls are kept.",
)  # fmt: skip
def slowlog_len(call: Call) -> Reply:
    return len(cast("SlowLog", call.server.slow_log).entries)


@command(
    "SLOWLOG RESET", arity=2, flags="admin loading stale", group="server", since="2.2.12",
    complexity="O(n) where n is the number of entries",
    tips=["request_policy:all_nodes", "response_policy:all_succeeded"], summary="Forgets all slow calls.",
)  # fmt: skip
def slowlog_reset(call: Call) -> Reply:
    cast("SlowLog", call.server.slow_log).entries.clear()
    return OK


declare_help("SLOWLOG", since="6.2.0", group="server")
