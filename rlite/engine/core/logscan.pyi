from collections.abc import Mapping

STATES: dict[int, str]
REASONS: dict[int, str]
OTHERS: str

class Pass:
    """A file, a window on it, and the commands counted so far. Never made by itself."""

    @property
    def at(self) -> int:
        """Place in the file of the next record or command; after a fault, of the one that is wrong."""
    @property
    def commands(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def found(self) -> int: ...
    @property
    def wanted(self) -> int: ...
    @property
    def place(self) -> int: ...
    @property
    def why(self) -> str: ...
    @property
    def command(self) -> bytes: ...
    @property
    def size(self) -> int: ...
    @property
    def first_ms(self) -> int | None: ...
    @property
    def last_ms(self) -> int | None: ...
    @property
    def durable(self) -> int: ...
    @property
    def by_name(self) -> dict[bytes, int]: ...
    @property
    def transactions(self) -> int: ...
    def stop_behind(self, place: int | None, ms: int | None) -> None:
        """Has `run` stop ("until") before the first record that ends behind an offset of the history (of a
        file of Redis's: a place in it), or is later than a Unix time in ms. None: no limit.
        """
    def nonzero(self, at: int) -> int:
        """The first byte from `at` on that is not 0; the size where all are."""
    def heads(self, at: int, end: int) -> int:
        """How many commands seem to begin between two places: what damage there has cost."""
    def peek(self, at: int, count: int) -> bytes:
        """Some bytes of the file; at most 256 KiB."""
    def run(self, budget: int) -> str:
        """Goes on for about `budget` bytes: "more", or why it has stopped (a word of STATES), with `at` at
        what is wrong. Call `skip` or `find` then.
        """
    def skip(self) -> None:
        """Passes over what is whole but was objected to ("back", "resp" of LogScan, "command")."""
    def find(self, budget: int) -> bool | None:
        """Looks for the next good record or command behind `at`, for about `budget` bytes. True: `at` is
        there; None: call again; False: there is none, and `at` is the end.
        """

class LogScan(Pass):
    """One pass over the records of a segment of ours, from `at` on. seed: see segment.Header. least: no
    offset falls below it. arities: of declared commands, by name in upper case; deep: object to commands
    that are not declared, or disagree with it. The descriptor stays the caller's. Raises OSError where a
    read fails.
    """

    def __init__(
        self,
        fd: int,
        size: int,
        at: int,
        seed: int,
        least: int,
        arities: Mapping[bytes, int] | None = None,
        deep: bool = False,
        databases: int = ...,
    ) -> None: ...
    @property
    def least(self) -> int:
        """The offset at which the next record may begin."""
    @property
    def gaps(self) -> int: ...
    @property
    def gap_bytes(self) -> int: ...
    @property
    def first_gap(self) -> int: ...
    @property
    def resp_bytes(self) -> int: ...
    @property
    def end(self) -> int:
        """Of the record that was objected to."""
    @property
    def first_offset(self) -> int | None: ...
    @property
    def last_offset(self) -> int | None: ...
    def seed_at(self, at: int) -> tuple[int, int] | None:
        """(seed, size): the seed with which the bytes at a place would be a good record, and how many they
        are; None where they can be none. That they are one is known when the record behind gives the same
        seed, or the seed is known from elsewhere.
        """

class AofScan(Pass):
    """One pass over the bare commands of Redis's append-only file. arities, deep: as LogScan."""

    def __init__(
        self,
        fd: int,
        size: int,
        at: int,
        arities: Mapping[bytes, int] | None = None,
        deep: bool = False,
        databases: int = ...,
    ) -> None: ...
    @property
    def multi(self) -> int:
        """Where a transaction that is not ended began; -1."""
    @property
    def good(self) -> int:
        """Up to where all is whole: commands, and transactions."""
    @property
    def annotations(self) -> int: ...
    def chain(self, at: int, most: int) -> tuple[int, int]:
        """(commands, end): how many whole commands, `most` at most, follow each other at a place."""
