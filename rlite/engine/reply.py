"""What a command's handler may return, and what it becomes on the wire.

None: null; bytes: bulk string; int: integer; float: double (RESP2: bulk string); bool: boolean (RESP2: 1 or
0); list: array; dict: map (RESP2: flat array). The classes here are the rest. The encoder is core/resp.pyx.
May be imported by all; imports nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Union


@dataclass(frozen=True, slots=True)
class Simple:
    """A status line such as OK. Must hold no line ends."""

    text: str


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error as a value: inside the array that EXEC returns, or from the dispatcher."""

    text: str


@dataclass(frozen=True, slots=True)
class Raw:
    """RESP that is encoded already."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RespSet:
    """A set of RESP3 (RESP2: array)."""

    items: Sequence["Reply"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map whose keys may come twice (RESP2: flat array)."""

    pairs: Sequence[tuple["Reply", "Reply"]]


@dataclass(frozen=True, slots=True)
class Push:
    """An out-of-band message of RESP3 (RESP2: array)."""

    items: Sequence["Reply"]


@dataclass(frozen=True, slots=True)
class Several:
    """Replies one after the other to one command, as SUBSCRIBE gives them."""

    replies: Sequence["Reply"]


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text with a three-letter format, `txt` or `mkd` (RESP2: bulk string)."""

    format: str
    data: bytes


@dataclass(frozen=True, slots=True)
class BigNumber:
    """A whole number beyond 64 bits, as digits (RESP2: bulk string)."""

    text: str


class Special(Enum):
    """Replies that are not values."""

    NULL_ARRAY = "a null where an array was expected: `*-1` in RESP2"
    NO_REPLY = "nothing is sent"
    BLOCK = "the client hears nothing until somebody answers it (commands/blocking.py)"
    WAIT = "the client waits: its command is run again when its loop is told to resume it"


NULL_ARRAY = Special.NULL_ARRAY
NO_REPLY = Special.NO_REPLY
BLOCK = Special.BLOCK
WAIT = Special.WAIT

OK = Simple("OK")
QUEUED = Simple("QUEUED")

Reply = Union[  # noqa: UP007 - a name in quotes cannot stand in a `|`
    None, bytes, int, float, bool, list["Reply"], dict["Reply", "Reply"],
    Simple, ErrorReply, Raw, RespSet, Pairs, Push, Several, Verbatim, BigNumber, Special,
]  # fmt: skip
