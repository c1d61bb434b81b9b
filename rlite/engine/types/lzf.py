"""LZF, the compression of strings in RDB files (format by Marc Lehmann, liblzf).

A block is a run of items. Control byte below 32: so many bytes and one follow as they are. Otherwise the top
three bits are a length less two (7: one more byte adds to it), and the low five with the next byte a distance
less one: copy that many bytes from so far back.
"""

HASH_BITS = 14
MAX_LITERAL = 32
MAX_DISTANCE = 1 << 13
MAX_MATCH = 264


def compress(data: bytes) -> bytes:
    """The data as LZF items; may come out longer than it went in."""
    out = bytearray()
    seen: dict[bytes, int] = {}
    literal = at = 0
    size = len(data)
    while at < size - 2:
        key = data[at : at + 3]
        before = seen.get(key, -1)
        seen[key] = at
        if before < 0 or at - before > MAX_DISTANCE:
            at += 1
            continue
        length = 3
        limit = min(MAX_MATCH, size - at)
        while length < limit and data[before + length] == data[at + length]:
            length += 1
        put_literals(out, data[literal:at])
        distance = at - before - 1
        if length - 2 < 7:
            out.append((length - 2) << 5 | distance >> 8)
        else:
            out.append(7 << 5 | distance >> 8)
            out.append(length - 2 - 7)
        out.append(distance & 0xFF)
        at += length
        literal = at
    put_literals(out, data[literal:])
    return bytes(out)


def put_literals(out: bytearray, data: bytes) -> None:
    """Adds bytes as they are, in items of at most 32."""
    for at in range(0, len(data), MAX_LITERAL):
        part = data[at : at + MAX_LITERAL]
        out.append(len(part) - 1)
        out += part


def decompress(data: bytes, size: int) -> bytes:
    """The `size` bytes that were compressed. Raises ValueError for data that is damaged or does not give just
    so many.
    """
    out = bytearray()
    at = 0
    try:
        while at < len(data):
            control = data[at]
            at += 1
            if control < MAX_LITERAL:
                part = data[at : at + control + 1]
                if len(part) != control + 1:
                    raise ValueError("LZF: a literal is cut short")
                out += part
                at += control + 1
            else:
                length = control >> 5
                if length == 7:
                    length += data[at]
                    at += 1
                length += 2
                start = len(out) - ((control & 0x1F) << 8) - data[at] - 1
                at += 1
                if start < 0:
                    raise ValueError("LZF: a distance reaches before the start")
                # A source that overlaps its own copy repeats.
                pattern = bytes(out[start : start + length])
                out += (pattern * (length // len(pattern) + 1))[:length]
            if len(out) > size:
                raise ValueError("LZF: more data than announced")
    except IndexError:
        raise ValueError("LZF: an item is cut short") from None
    if len(out) != size:
        raise ValueError("LZF: less data than announced")
    return bytes(out)
