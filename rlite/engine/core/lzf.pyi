def compress(data: bytes) -> bytes:
    """The data as LZF items; may come out longer than it went in."""

def decompress(data: bytes, size: int) -> bytes:
    """The `size` bytes that were compressed. Raises ValueError for data that is damaged or does not give just
    so many.
    """
