class SegmentStream:
    """The stream from `offset` on, as far as a segment holds it. The descriptor stays the caller's.

    at: place in the file of a record; before: an offset at or below which that record begins; seed: see
    segment.Header.
    """

    def __init__(self, fd: int, at: int, seed: int, before: int, offset: int) -> None: ...
    @property
    def offset(self) -> int:
        """Of the next byte that is given."""
    @property
    def place(self) -> int:
        """In the file, of the record that comes next."""
    @property
    def behind(self) -> int:
        """The offset behind the last record that was read: nothing that comes begins before that."""
    def read(self, most: int) -> tuple[bytes, str]:
        """(bytes, why it gave no more): up to `most` bytes of the stream, "\\n" where no record holds them.
        "given": there may be more (of none, too); "end": no more is written; "short": there is a part of a
        record behind them; "damaged": what stands at `place` is no record that could come there. Raises
        OSError where a read fails.
        """
