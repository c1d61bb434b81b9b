"""One call of a command, as its handler sees it: arguments, the database, the client, the server; and the
readers of arguments that handlers share. Runs with the GIL and, where the declaration names keys, with their
stripes locked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.commands.notifying import Event
from rlite.engine.core.views import parse_score
from rlite.engine.errors import CommandError

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context
    from rlite.engine.commands.declare import Command
    from rlite.engine.core.connection import Client
    from rlite.engine.core.database import Database

Integer = int  # `int` is a method of Call below
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


def parse_int(raw: bytes) -> int | None:
    """A signed 64-bit number in its one canonical form: no plus, no leading zero, no space; None
    otherwise.
    """
    if not raw or len(raw) > 20:
        return None
    digits = raw[1:] if raw[:1] == b"-" else raw
    if not digits.isdigit() or (digits[:1] == b"0" and len(raw) > 1):
        return None
    value = int(raw)
    return value if INT64_MIN <= value <= INT64_MAX else None


@dataclass(slots=True)
class Call:
    """args: the command as sent, its name first; dirty: changes made, counted by the handler."""

    command: "Command"
    args: list[bytes]
    db: "Database"
    client: "Client"
    server: "Context"
    dirty: int = 0
    hits: int = 0
    misses: int = 0
    may_not_block: bool = False  # in a transaction or a script
    events: list[Event] = field(default_factory=list)  # to be published when the handler is done
    effects: list[tuple[Integer, list[bytes]]] | None = (
        None  # (database, command) for the log; None: as it came
    )

    @property
    def logged(self) -> bool:
        """Whether anybody reads the log; where nobody does, a handler need not say what goes into it."""
        return self.server.journal is not None

    def log_as(self, *words: bytes, database: Integer | None = None) -> None:
        """Has the log hold this command in place of the one that came: what runs again later must come to the
        same, so dates stand there for times to live, and what was drawn for what draws. Several calls, in the
        order in which they are to run, make one transaction.
        """
        if self.server.journal is None:
            return
        if self.effects is None:
            self.effects = []
        if words:
            self.effects.append((self.db.index if database is None else database, list(words)))

    def log_deletion(self, keys: Sequence[bytes]) -> None:
        """Has the log hold that these keys went, as whoever deletes them here would delete them."""
        lazy = self.server.config.flag("lazyfree-lazy-server-del")
        self.log_as(b"UNLINK" if lazy else b"DEL", *keys)

    def log_nothing(self) -> None:
        """Keeps the command out of the log, though it counts as a change."""
        self.effects = self.effects or []

    def notify(self, kind: str, event: str, key: bytes, database: Integer | None = None) -> None:
        """Publishes a keyspace event of class `kind` (a letter of the directive), if anybody asks."""
        if self.server.notify_classes:
            self.events.append((kind, event, key, self.db.index if database is None else database))

    def changed(self, times: int = 1) -> None:
        """Counts changes to the data set; what is not counted is neither logged nor seen by WATCH."""
        self.dirty += times

    def looked_up(self, found: bool) -> None:
        """Counts a look-up by a reading command as a hit or a miss."""
        if found:
            self.hits += 1
        else:
            self.misses += 1
            if "m" in self.server.notify_classes:
                for at in self.command.key_positions(self.args):
                    if not self.db.exists(self.args[at]):
                        self.notify("m", "keymiss", self.args[at])

    def int(self, index: Integer, error: str = errors.NOT_AN_INTEGER) -> Integer:
        """Argument `index` as a signed 64-bit number. Raises CommandError(error)."""
        value = parse_int(self.args[index])
        if value is None:
            raise CommandError(error)
        return value

    def int_in(
        self, index: Integer, low: Integer, high: Integer, error: str = errors.OUT_OF_RANGE
    ) -> Integer:
        """Argument `index` as a number from low to high. Raises CommandError(error) for one beyond them."""
        value = self.int(index)
        if not low <= value <= high:
            raise CommandError(error)
        return value

    def int32(self, index: Integer) -> Integer:
        """Argument `index` as a C int, as Redis takes the numbers of databases."""
        return self.int_in(index, -(2**31), 2**31 - 1, errors.OUT_OF_INT)

    def count_of_keys(self, index: Integer) -> Integer:
        """Argument `index` as `numkeys`: positive, and no more than there are arguments behind it."""
        count = self.int(index, errors.NUMKEYS_POSITIVE)
        if count < 1:
            raise CommandError(errors.NUMKEYS_POSITIVE)
        if count > len(self.args) - index - 1:
            raise CommandError(errors.SYNTAX)
        return count

    def seconds(self, index: Integer) -> float:
        """Argument `index` as the timeout of a blocking command, in seconds."""
        value = parse_score(self.args[index])
        if value is None or not math.isfinite(value):
            raise CommandError(errors.TIMEOUT_NOT_A_FLOAT)
        if value < 0:
            raise CommandError(errors.TIMEOUT_NEGATIVE)
        if value * 1000 > INT64_MAX:
            raise CommandError(errors.TIMEOUT_OUT_OF_RANGE)
        return value

    def word(self, index: Integer) -> bytes:
        """Argument `index` in upper case, for comparing with an option's name."""
        return self.args[index].upper()
