"""Where a reader of a log has come to, and what it has missed. Pure: what is read comes as values."""

from dataclasses import dataclass

from rlite.cli.slowlog_reading import Batch, Logged


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries that have left the log before they were read. first, last: their ids; restarted: the process
    that had logged what came before is gone, with what it had logged since.
    """

    first: int
    last: int
    restarted: bool = False

    @property
    def missed(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True)
class Cursor:
    """run_id: of the process whose entries were read; after: the last id of them, -1: none yet."""

    run_id: str = ""
    after: int = -1

    def since(self, run_id: str) -> int:
        """The id to read behind, at a server of this run id."""
        return self.after if run_id == self.run_id else -1

    def advance(self, batch: Batch) -> tuple[tuple[Logged, ...], Gap | None]:
        """Moves on behind a batch, which was read from `since(batch.run_id)` on. Returns what is new, and
        what is missing before it.
        """
        began = not self.run_id
        restarted = not began and batch.run_id != self.run_id
        expected = 0 if restarted else self.after + 1
        there = batch.entries[0].id if batch.entries else max(batch.next_id, expected)
        self.run_id = batch.run_id
        self.after = max(batch.next_id - 1, expected - 1)
        if began or (there <= expected and not restarted):
            return batch.entries, None
        return batch.entries, Gap(expected, there - 1, restarted)
