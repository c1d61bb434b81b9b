from typing_extensions import Buffer

def crc64(data: Buffer, crc: int = 0) -> int:
    """The CRC-64 of bytes; `crc`: of those before them."""
