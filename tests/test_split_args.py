"""Words and quotes of inline commands and of redis.conf."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlite.engine.split_args import UnbalancedQuotes, quote_arg, split_args


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b"  \t ", []),
        (b"GET  key\r\n", [b"GET", b"key"]),
        (b'SET k "a b"', [b"SET", b"k", b"a b"]),
        (rb'"\x41\n\r\t\b\a\q\"\\"', [b'A\n\r\t\b\aq"\\']),
        (rb'"\xZZ"', [b"xZZ"]),
        (rb"'it\'s \n'", [rb"it's \n"]),
        (b"\"\" ''", [b"", b""]),
        (b'pre"fix ed" next', [b"prefix ed", b"next"]),
        (b"a\0b c", [b"a"]),
        (b"# no comment here", [b"#", b"no", b"comment", b"here"]),
    ],
)
def test_words(line: bytes, words: list[bytes]) -> None:
    assert split_args(line) == words


@pytest.mark.parametrize("line", [b'"open', b"'open", b'"a"b', b"'a'b", b'x "', b'"ends with \\"', b'"a\0"'])
def test_unbalanced(line: bytes) -> None:
    with pytest.raises(UnbalancedQuotes):
        split_args(line)


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_what_is_quoted_reads_back(words: list[bytes]) -> None:
    assert split_args(" ".join(map(quote_arg, words)).encode()) == words


@given(st.binary(max_size=60))
def test_any_line_splits_or_is_unbalanced(line: bytes) -> None:
    try:
        words = split_args(line)
    except UnbalancedQuotes:
        return
    assert split_args(" ".join(map(quote_arg, words)).encode()) == words
