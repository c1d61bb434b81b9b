"""Random commands from a short notation, for differential programs.

One command a line: `ZADD key [NX|XX] [CH] (score member)+`. A word in capitals, in digits or in quotes
stands for itself; a word in lower case is drawn from the vocabulary given; `[ ]` may be left out, `( )`
groups, `|` chooses, `+` repeats one to four times. A line may begin with `@unordered` and so
on, the way its replies must agree.
Now and then a command is spoiled by a word too many or too few, for errors have to agree as well.
"""

import re
from collections.abc import Mapping

from hypothesis import strategies as st

from support.programs import Step

Words = tuple[bytes, ...]
Strategy = st.SearchStrategy[Words]

_TOKEN = re.compile(r"'[^']+'|[\[\]()|+]|[^\s\[\]()|+]+")
_SPOILERS = [b"x", b"1", b"-1", b"NX", b"COUNT", b"LIMIT", b"WITHSCORES", b""]
TRANSACTIONS = {b"MULTI": True, b"EXEC": False, b"DISCARD": False}


def _joined(parts: list[Strategy]) -> Strategy:
    return st.tuples(*parts).map(lambda found: tuple(word for part in found for word in part))


class _Parser:
    """Recursive descent over the tokens of one line."""

    def __init__(self, text: str, vocabulary: Mapping[str, st.SearchStrategy[bytes]]) -> None:
        self.tokens = _TOKEN.findall(text)
        self.at = 0
        self.vocabulary = vocabulary

    def choice(self) -> Strategy:
        options = [self.sequence()]
        while self.at < len(self.tokens) and self.tokens[self.at] == "|":
            self.at += 1
            options.append(self.sequence())
        return options[0] if len(options) == 1 else st.one_of(options)

    def sequence(self) -> Strategy:
        parts: list[Strategy] = []
        while self.at < len(self.tokens) and self.tokens[self.at] not in ("|", ")", "]"):
            part = self.item()
            if self.at < len(self.tokens) and self.tokens[self.at] == "+":
                self.at += 1
                part = st.lists(part, min_size=1, max_size=4).map(
                    lambda found: tuple(word for words in found for word in words)
                )
            parts.append(part)
        return _joined(parts)

    def item(self) -> Strategy:
        token = self.tokens[self.at]
        self.at += 1
        if token in ("(", "["):
            inner = self.choice()
            assert self.tokens[self.at] == {"(": ")", "[": "]"}[token], f"unbalanced in {self.tokens}"
            self.at += 1
            return inner if token == "(" else st.one_of(st.just(()), inner)
        if token in self.vocabulary:
            return self.vocabulary[token].map(lambda word: (word,))
        assert token == token.upper() or token[0] == "'", f"no vocabulary for {token!r}"
        return st.just((token.strip("'").encode(),))


def commands(text: str, vocabulary: Mapping[str, st.SearchStrategy[bytes]]) -> st.SearchStrategy[Step]:
    """One of the commands of a text, one a line, as a step."""
    found: list[st.SearchStrategy[Step]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        agreement = "exact"
        if line.startswith("@"):
            agreement = line[1:].split()[0]
        parser = _Parser(line.removeprefix(f"@{agreement}"), vocabulary)
        words = parser.choice()
        assert parser.at == len(parser.tokens), f"unbalanced: {line}"
        found.append(
            st.builds(_step, words, st.just(agreement), st.integers(0, 60), st.sampled_from(_SPOILERS))
        )
    return st.one_of(found)


def _step(words: Words, agreement: str, luck: int, spoiler: bytes) -> Step:
    if luck == 60:
        words = (*words, spoiler)
    elif luck == 59 and agreement == "exact":  # what is random with fewer words stays whole
        words = words[:-1] or words
    return Step(words, agreement)


def coherent(steps: list[Step]) -> list[Step]:
    """The steps without those that can not be compared where they stand: what may differ in a transaction."""
    kept: list[Step] = []
    queued = False
    for step in steps:
        if queued and step.agreement != "exact":
            continue
        queued = TRANSACTIONS.get(step.args[0], queued)
        kept.append(step)
    return kept


def choice(*words: str | bytes) -> st.SearchStrategy[bytes]:
    """One of these words."""
    return st.sampled_from([word.encode() if isinstance(word, str) else word for word in words])
