"""Lines of words with quotes, as inline commands and redis.conf have them. Pure; may be imported by all.

Inside double quotes a backslash begins `\\n \\r \\t \\b \\a`, `\\xHH` (one byte), or stands before a
character meant literally; inside single quotes only `\\'` is special. A NUL ends the line.
"""

BLANK = b" \t\n\v\f\r"
ENDS_WORD = b" \t\n\r"
ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
NAMED = {10: "\\n", 13: "\\r", 9: "\\t", 8: "\\b", 7: "\\a", ord('"'): '\\"', ord("\\"): "\\\\"}
HEX = b"0123456789abcdefABCDEF"
PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b"\"'\\")


class UnbalancedQuotes(ValueError):  # noqa: N818 -- the fault is named by what is wrong
    """A quote that is not closed, or is closed in the middle of a word."""


def split_args(line: bytes) -> list[bytes]:
    """The words of a line, quotes taken off. Raises UnbalancedQuotes."""
    line = line.partition(b"\0")[0]
    words: list[bytes] = []
    at, end = 0, len(line)
    while True:
        while at < end and line[at] in BLANK:
            at += 1
        if at == end:
            return words
        word = bytearray()
        while at < end and line[at] not in ENDS_WORD:
            if line[at] in b"\"'":
                at = _quoted(line, at, word)
                break
            word.append(line[at])
            at += 1
        words.append(bytes(word))


def _quoted(line: bytes, start: int, word: bytearray) -> int:
    """Adds a quoted run to `word`; returns the place behind its closing quote, which must end the word."""
    quote, at, end = line[start], start + 1, len(line)
    while at < end:
        byte = line[at]
        if byte == quote:
            if at + 1 < end and line[at + 1] not in BLANK:
                raise UnbalancedQuotes("a closing quote must end its word")
            return at + 1
        if byte == ord("\\") and at + 1 < end:
            follower = line[at + 1]
            digits = line[at + 2 : at + 4]
            if quote == ord("'"):
                if follower == quote:
                    at += 1
                    byte = quote
            elif follower == ord("x") and len(digits) == 2 and all(digit in HEX for digit in digits):
                byte = int(digits, 16)
                at += 3
            else:
                byte = ESCAPES.get(follower, follower)
                at += 1
        word.append(byte)
        at += 1
    raise UnbalancedQuotes("a quote is not closed")


def quote_arg(value: bytes) -> str:
    """One word that `split_args` reads back as this value: plain where it can be, else in double quotes."""
    if value and all(byte in PLAIN for byte in value):
        return value.decode("ascii")
    return (
        '"'
        + "".join(
            NAMED.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in value
        )
        + '"'
    )
