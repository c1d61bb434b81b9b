"""LCS: what two strings have in common, in order. The table is filled by the core, without the GIL."""

from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import command
from rlite.engine.core.lcs import length, matches
from rlite.engine.errors import CommandError
from rlite.engine.reply import Reply

if TYPE_CHECKING:
    from rlite.engine.core.lcs import Run


@command(
    "LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]", arity=-3, flags="readonly",
    keys=(1, 2, 1), access="RO access", group="string", since="7.0.0",
    complexity="O(n*m) where n and m are the lengths of the strings",
    summary="Finds the longest sequence of bytes that two strings share.",
)  # fmt: skip
def lcs(call: Call) -> Reply:
    try:
        a, b = ((call.db.get(key) or b"") for key in call.args[1:3])
    except CommandError:
        raise CommandError(errors.LCS_NOT_STRINGS) from None
    want_length = want_runs = with_lengths = False
    shortest = 0
    i = 3
    while i < len(call.args):
        word = call.word(i)
        if word == b"LEN":
            want_length = True
        elif word == b"IDX":
            want_runs = True
        elif word == b"WITHMATCHLEN":
            with_lengths = True
        elif word == b"MINMATCHLEN" and i + 1 < len(call.args):
            i += 1
            shortest = max(0, call.int(i))
        else:
            raise CommandError(errors.SYNTAX)
        i += 1
    if want_length and want_runs:
        raise CommandError(errors.LCS_BOTH)
    if want_length:
        return length(a, b)
    if 4 * (len(a) + 1) * (len(b) + 1) > call.server.config.int("proto-max-bulk-len"):
        raise CommandError(errors.LCS_TOO_LARGE)
    text, runs = matches(a, b)
    if not want_runs:
        return text
    kept = [shown(run, with_lengths) for run in runs if run[0][1] - run[0][0] + 1 >= shortest]
    return {b"matches": kept, b"len": len(text)}


def shown(run: "Run", with_length: bool) -> Reply:
    """A run as the reply has it: its place in both strings, and perhaps its length."""
    places: list[Reply] = [list[Reply](run[0]), list[Reply](run[1])]
    return [*places, run[0][1] - run[0][0] + 1] if with_length else places
