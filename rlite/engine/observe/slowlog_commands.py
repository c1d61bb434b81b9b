"""SLOWLOG and COMMANDLOG: read and empty the logs of calls that were slow or large (slowlog.py).

Touch no key; run with the GIL.
"""

from typing import TYPE_CHECKING, cast

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command, container
from rlite.engine.commands.helping import declare_help, subcommand_syntax
from rlite.engine.errors import CommandError
from rlite.engine.observe.slowlog import Entry, Kind, SlowLog
from rlite.engine.reply import OK, Reply

if TYPE_CHECKING:
    from rlite.engine.observe.slowlog import CommandLog

DEFAULT_COUNT = 10

container("SLOWLOG", since="2.2.12", summary="The log of slow calls.")


def log_of(call: Call, kind: Kind) -> SlowLog:
    return cast("CommandLog", call.server.command_log).kinds[kind]


def count_at(call: Call, index: int) -> int:
    """Argument `index` as a number of entries; -1 for all."""
    count = call.int(index, errors.SLOWLOG_COUNT)
    if count < -1:
        raise CommandError(errors.SLOWLOG_COUNT)
    return count


def kind_at(call: Call, index: int) -> Kind:
    try:
        return Kind(call.args[index].decode("latin-1").lower())
    except ValueError:
        raise CommandError(errors.COMMANDLOG_TYPE) from None


def shown(entry: Entry) -> Reply:
    """An entry as SLOWLOG GET has it."""
    return [
        entry.id, entry.when, entry.value, list(entry.args), entry.address.encode(), entry.name.encode(),
    ]  # fmt: skip


@command(
    "SLOWLOG GET [count]", arity=-2, flags="admin loading stale", group="server", since="2.2.12",
    complexity="O(n) where n is the number of entries returned",
    tips=["request_policy:all_nodes", "nondeterministic_output"],
    summary="Returns the latest slow calls, the newest first; a count of -1 returns them all.",
)  # fmt: skip
def slowlog_get(call: Call) -> Reply:
    if len(call.args) > 3:
        raise subcommand_syntax(call)
    count = count_at(call, 2) if len(call.args) == 3 else DEFAULT_COUNT
    return [shown(each) for each in log_of(call, Kind.SLOW).newest(count)]


@command(
    "SLOWLOG LEN", arity=2, flags="admin loading stale", group="server", since="2.2.12", complexity="O(1)",
    tips=["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    summary="Returns how many slow calls are kept.",
)  # fmt: skip
def slowlog_len(call: Call) -> Reply:
    return len(log_of(call, Kind.SLOW).entries)


@command(
    "SLOWLOG RESET", arity=2, flags="admin loading stale", group="server", since="2.2.12",
    complexity="O(n) where n is the number of entries",
    tips=["request_policy:all_nodes", "response_policy:all_succeeded"], summary="Forgets all slow calls.",
)  # fmt: skip
def slowlog_reset(call: Call) -> Reply:
    log_of(call, Kind.SLOW).entries.clear()
    return OK


declare_help("SLOWLOG", since="6.2.0", group="server")

container("COMMANDLOG", since="8.1.0", summary="The logs of calls that were slow or large.")
TYPES = "slow | large-request | large-reply"


@command(
    f"COMMANDLOG GET count ({TYPES})", arity=4, flags="admin loading stale", group="server", since="8.1.0",
    complexity="O(n) where n is the number of entries returned",
    tips=["request_policy:all_nodes", "nondeterministic_output"],
    summary="Returns the latest calls of one log, the newest first; a count of -1 returns them all.",
)  # fmt: skip
def commandlog_get(call: Call) -> Reply:
    kind = kind_at(call, 3)
    return [shown(each) for each in log_of(call, kind).newest(count_at(call, 2))]


@command(
    f"COMMANDLOG LEN ({TYPES})", arity=3, flags="admin loading stale", group="server", since="8.1.0",
    complexity="O(1)",
    tips=["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    summary="Returns how many calls one log keeps.",
)  # fmt: skip
def commandlog_len(call: Call) -> Reply:
    return len(log_of(call, kind_at(call, 2)).entries)


@command(
    f"COMMANDLOG RESET ({TYPES})", arity=3, flags="admin loading stale", group="server", since="8.1.0",
    complexity="O(n) where n is the number of entries",
    tips=["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary="Forgets all calls of one log.",
)  # fmt: skip
def commandlog_reset(call: Call) -> Reply:
    log_of(call, kind_at(call, 2)).entries.clear()
    return OK


@command(
    f"COMMANDLOG ENTRIES ({TYPES}) [AFTER id] [COUNT count]", arity=-3, flags="admin loading stale",
    group="server", since="8.1.0", complexity="O(n) where n is the number of entries kept",
    tips=["request_policy:all_nodes", "nondeterministic_output"],
    summary="Returns what one log keeps with all it knows, the oldest first: for readers that come again.",
)  # fmt: skip
def commandlog_entries(call: Call) -> Reply:
    """Rlite's own. AFTER: only ids beyond this one; COUNT: only the newest so many of them.

    The reply is a map: run-id, next-id, threshold and max-len of the log, and entries, each a map.
    """
    log, after, count = log_of(call, kind_at(call, 2)), -1, -1
    at = 3
    while at < len(call.args):
        if at + 1 == len(call.args) or call.word(at) not in (b"AFTER", b"COUNT"):
            raise CommandError(errors.SYNTAX)
        if call.word(at) == b"AFTER":
            after = call.int(at + 1)
        else:
            count = count_at(call, at + 1)
        at += 2
    next_id = log.next_id
    found = [each for each in log.newest(count) if after < each.id < next_id]
    return {
        b"run-id": call.server.run_id.encode(),
        b"next-id": next_id,
        b"threshold": log.threshold,
        b"max-len": log.length,
        b"entries": [described(each) for each in reversed(found)],
    }


def described(entry: Entry) -> Reply:
    """An entry as COMMANDLOG ENTRIES has it."""
    return {
        b"id": entry.id,
        b"time-ms": int(entry.at * 1000),
        b"value": entry.value,
        b"command": entry.command.encode(),
        b"args": list(entry.args),
        b"args-cut": int(entry.args_cut),
        b"client": entry.address.encode(),
        b"client-name": entry.name.encode(),
        b"user": entry.user.encode(),
        b"db": entry.database,
        b"key": entry.key,
        b"duration-us": entry.microseconds,
        b"request-bytes": entry.request_bytes,
        b"reply-bytes": entry.reply_bytes,
    }


declare_help("COMMANDLOG", since="8.1.0", group="server")
