"""OBJECT: how a value is held, and when and how often it was used. Looking leaves the order of access
alone.
"""

from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command, container
from rlite.engine.commands.helping import declare_help
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

if TYPE_CHECKING:
    from rlite.engine.core.database import Facts

container("OBJECT", since="2.2.3", summary="Tells how the value of a key is held.", group="generic")


def inspected(call: Call) -> "Facts | None":
    facts = call.db.inspect(call.args[2])
    call.looked_up(facts is not None)
    return facts


def under_lfu(call: Call) -> bool:
    return call.server.config.text("maxmemory-policy").endswith("-lfu")


@command(
    "OBJECT ENCODING key", arity=3, flags="readonly", keys=(2, 2, 1), access="RO", group="generic",
    since="2.2.3",
    tips=("nondeterministic_output",), complexity="O(1)", summary="Names the form in which a value is held.",
)  # fmt: skip
def encoding(call: Call) -> Reply:
    facts = inspected(call)
    return None if facts is None else facts["encoding"].encode()


@command(
    "OBJECT REFCOUNT key", arity=3, flags="readonly", keys=(2, 2, 1), access="RO", group="generic",
    since="2.2.3",
    tips=("nondeterministic_output",), complexity="O(1)",
    summary="Counts the references to a value: one, here.",
)  # fmt: skip
def refcount(call: Call) -> Reply:
    return None if inspected(call) is None else 1


@command(
    "OBJECT IDLETIME key", arity=3, flags="readonly", keys=(2, 2, 1), access="RO", group="generic",
    since="2.2.3",
    tips=("nondeterministic_output",), complexity="O(1)",
    summary="Tells for how many seconds a key has not been used.",
)  # fmt: skip
def idletime(call: Call) -> Reply:
    facts = inspected(call)
    if facts is None:
        return None
    if under_lfu(call):
        raise CommandError(errors.IDLE_UNDER_LFU)
    return facts["idle_ms"] // 1000


@command(
    "OBJECT FREQ key", arity=3, flags="readonly", keys=(2, 2, 1), access="RO", group="generic", since="4.0.0",
    tips=("nondeterministic_output",), complexity="O(1)", summary="Tells the access counter of a key.",
)  # fmt: skip
def freq(call: Call) -> Reply:
    facts = inspected(call)
    if facts is None:
        return None
    if not under_lfu(call):
        raise CommandError(errors.FREQ_WITHOUT_LFU)
    return facts["frequency"]


declare_help("OBJECT", since="6.2.0", group="generic")
