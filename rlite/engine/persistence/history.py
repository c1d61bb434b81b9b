"""The log's files as a backlog: what the replication stream held from an offset on, read back from segments.

For replicas that were away for longer than memory reaches back, and after their master's restart. The bytes
are those that were sent then; where no record holds them (what is sent but not logged counts in the offset
too), they are "\\n", which a replica passes over and counts. Only reads, in the thread of whoever asks.

Offsets here count from 0: that of a replica is how many bytes it has, one less than what it asks PSYNC for.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rlite.engine.core.history import SegmentStream
from rlite.engine.errors import RliteError
from rlite.engine.persistence import segment
from rlite.engine.persistence.segment import Header, HeaderError

if TYPE_CHECKING:
    from rlite.engine.persistence.journal import Journal

CHUNK = 256 * 1024  # bytes at a time: what is checked is still in the processor's cache when it is sent


class HistoryError(RliteError):
    """The files do not hold what they should, or no longer; says where. Who reads needs all data anew."""


@dataclass(frozen=True, slots=True)
class _Segment:
    path: Path
    descriptor: int
    header: Header

    def has_records(self) -> bool:
        return os.fstat(self.descriptor).st_size > segment.SIZE

    def first_offset(self) -> int | None:
        """Where its first record begins, as that says; None: it has none."""
        head = os.pread(self.descriptor, 12, segment.SIZE)
        return int.from_bytes(head[4:], "little") if len(head) == 12 else None


class HistoryFiles:
    """The segments of a log, open: neither a rewrite nor what follows it takes them away. One thread's.

    `seek`, then `read` again and again; `close` at the end, or `with`. offset: of the next byte that is read.
    """

    def __init__(self, journal: "Journal") -> None:
        """Raises OSError, HistoryError."""
        self._journal = journal
        self._segments: list[_Segment] = []
        self._place = 0  # of the segment that is being read
        self._stream: SegmentStream | None = None
        self._gone = ""  # why there is nothing to read any more
        self._start = 0
        self._ends: dict[str, int | None] = {}
        with journal.changing:
            journal.readers.add(self)
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def _open(self) -> None:
        journal = self._journal
        said = journal.manifest
        if not journal.readable:
            self.end("there is no whole log")
            return
        self.follow()
        if self._gone:
            raise HistoryError(self._gone)
        self._start = said.base_offset if said.base is not None else self._segments[0].header.first
        for one, behind in zip(self._segments, self._segments[1:], strict=False):
            if one.header.history != behind.header.history:
                self._ends[one.header.history] = behind.header.first
        if said.previous:
            self._ends[said.previous] = said.previous_end
        self._ends[said.history] = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._journal.changing:
            self._journal.readers.discard(self)
            for each in self._segments:
                os.close(each.descriptor)
            self._segments.clear()
            self._stream = None
            self._gone = self._gone or "it was closed"

    # --- what the journal tells, which holds `changing` ---

    def follow(self) -> None:
        """The manifest is a new one: opens the segments that have come."""
        known = {each.path.name for each in self._segments}
        for name in self._journal.manifest.segments:
            if name in known:
                continue
            path = self._journal.path(name)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as fault:
                self._gone = f"{path}: {os.strerror(fault.errno or 0)}"
                return
            try:
                header = segment.read_header(os.pread(descriptor, segment.SIZE, 0))
            except (OSError, HeaderError) as fault:
                os.close(descriptor)
                self._gone = f"{path}: {fault}"
                return
            self._segments.append(_Segment(path, descriptor, header))

    def end(self, why: str) -> None:
        """What comes does not continue what was there."""
        self._gone = self._gone or why

    # --- what there is ---

    @property
    def start(self) -> int:
        """The offset from which on all is there."""
        return self._start

    def covers(self, replication_id: str, offset: int) -> bool:
        """Whether who has `offset` bytes of that history has nothing else, and the files what follows."""
        if self._gone or replication_id not in self._ends:
            return False
        end = self._ends[replication_id]
        return self._start <= offset <= (self._journal.log.offset if end is None else end)

    # --- reading ---

    @property
    def offset(self) -> int:
        assert self._stream is not None, "seek comes first"
        return self._stream.offset

    def seek(self, offset: int) -> None:
        """Has `read` begin there: an offset that is covered, in the middle of a record as well."""
        place = len(self._segments) - 1
        while place > 0 and not self._begins_by(place, offset):
            place -= 1
        self._place = place
        first = self._segments[place]
        before = self._start if place == 0 else first.header.first
        self._stream = SegmentStream(first.descriptor, segment.SIZE, first.header.seed, before, offset)

    def _begins_by(self, place: int, offset: int) -> bool:
        """Whether a segment's first record begins at an offset or before. (Its header may say less.)"""
        first = self._segments[place].first_offset()
        return first is not None and first <= offset

    def read(self, most: int = CHUNK) -> bytes:
        """Up to `most` bytes of what comes next; empty: no more is written yet.

        What was sent behind the last record comes when another record has followed. May take some seconds
        where much has to be passed over first. Raises HistoryError, OSError.
        """
        while True:
            if self._gone:
                raise HistoryError(self._gone)
            stream = self._stream
            assert stream is not None, "seek comes first"
            data, why = stream.read(most)
            following = self._following() if not data and why in ("end", "short") else None
            if following is not None:
                data, why = stream.read(most)  # what it was given before anything went to the next
            if data:
                return data
            if why == "damaged" or (following is not None and why == "short"):
                raise self._damaged()
            if why == "end" and following is not None:
                self._go_on(following)
            elif why != "given":
                return b""

    def _following(self) -> int | None:
        """The place of the next segment that was written to: the one that is being read is complete then."""
        for _ in range(2):  # one before it may have been written to, and ended, after it was looked at
            found = None
            for place in range(self._place + 1, len(self._segments)):
                if self._segments[place].has_records():
                    found = place
                    break
            if found is None:
                return None
        return found

    def _go_on(self, place: int) -> None:
        stream, behind = self._stream, self._segments[place]
        assert stream is not None
        if behind.header.first > stream.behind:
            missing = behind.header.first - stream.behind
            raise HistoryError(
                f"{behind.path}: it goes on at offset {behind.header.first}, and what is before it ends at "
                f"{stream.behind}: {missing} bytes are missing"
            )
        self._stream = SegmentStream(
            behind.descriptor, segment.SIZE, behind.header.seed, stream.behind, stream.offset
        )
        self._place = place

    def _damaged(self) -> HistoryError:
        assert self._stream is not None
        path = self._segments[self._place].path
        return HistoryError(f"{path}: byte {self._stream.place}: no record that continues what is before it")


def opened(journal: "Journal | None") -> HistoryFiles | None:
    """The files of a log, where there is one to read. Whoever gets them closes them."""
    if journal is None:
        return None
    with contextlib.suppress(OSError, HistoryError):
        return HistoryFiles(journal)
    return None
