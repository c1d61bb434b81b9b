"""Values of directives: from words to what the server uses, and from there to what CONFIG GET shows.

A fault is a ValueError whose text is what Redis says of it. Pure; imports only the table and the texts.
"""

import os
import re
from collections.abc import Sequence

from rlite.engine import errors
from rlite.engine.addresses import parse_address
from rlite.engine.directives import INT64_MAX, Directive, Kind

UINT64_MAX = 2**64 - 1
UNITS = {
    "": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3,
}  # fmt: skip
MEMORY = re.compile(r"([0-9]+)([a-zA-Z]*)", re.ASCII)
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,19}", re.ASCII)
CLASSES = {"normal": "normal", "slave": "slave", "replica": "slave", "pubsub": "pubsub"}
Limits = dict[str, tuple[int, int, int]]


EVENT_CLASSES = "g$lshzxetd"  # those that `A` stands for


def parse_memory(text: str) -> int:
    """Bytes: `100`, `1k` (1000), `1kb` (1024), so with m and g; no sign, no fraction; nothing at all is 0, as
    Redis has it. Raises ValueError.
    """
    if not text:
        return 0
    found = MEMORY.fullmatch(text)
    if found is None or found[2].lower() not in UNITS or len(found[1]) > 120:
        raise ValueError(errors.CONFIG_NOT_MEMORY)
    return min(int(found[1]) * UNITS[found[2].lower()], UINT64_MAX)


def auto_threads() -> int:
    """Half the cores, 1 to 8."""
    return max(1, min(8, (os.cpu_count() or 2) // 2))


def parse(row: Directive, words: Sequence[str], current: object = None) -> object:
    """The typed value of a directive. `current` is what it adds to, for those that add. Raises ValueError."""
    if not row.many and len(words) != 1:
        raise ValueError(errors.CONFIG_WORD_COUNT)
    match row.kind:
        case Kind.BOOL:
            if words[0].lower() not in ("yes", "no"):
                raise ValueError(errors.CONFIG_NOT_BOOL)
            return words[0].lower() == "yes"
        case Kind.INT | Kind.STRIPES:
            return _integer(row, words[0])
        case Kind.THREADS:
            return auto_threads() if words[0].lower() == "auto" else _integer(row, words[0])
        case Kind.OCTAL:
            if not re.fullmatch("[0-7]{1,20}", words[0]):
                raise ValueError(errors.CONFIG_NOT_OCTAL)
            return _within(int(words[0], 8), row, "o")
        case Kind.MEMORY:
            return _within(parse_memory(words[0]), row)
        case Kind.PERCENT:
            return _percent(words[0])
        case Kind.CHOICE:
            if words[0].lower() not in row.choices:
                raise ValueError(errors.CONFIG_CHOICE % ", ".join(row.choices))
            return words[0].lower()
        case Kind.TEXT:
            return words[0]
        case Kind.NAME:
            if "/" in words[0] or words[0] in ("", ".", ".."):
                raise ValueError(errors.CONFIG_NOT_A_NAME % row.name)
            return words[0]
        case Kind.EVENTS:
            return _events(words[0])
        case Kind.WORDS:
            return [word for word in words if word]
        case Kind.RENAME:
            if len(words) != 2:
                raise ValueError(errors.CONFIG_WORD_COUNT)
            return [*(current if isinstance(current, list) else []), (words[0], words[1])]
        case Kind.SAVE:
            return _save(words, current)
        case Kind.LIMITS:
            return _limits(words, current)
        case Kind.PERCENTILES:
            return _percentiles(words)
        case Kind.SCORES:
            return _scores(words)
        case Kind.MASTER:
            return _master(words)


def _events(letters: str) -> str:
    """Classes of keyspace events in the order in which Redis shows them; all of them are `A`."""
    if set(letters) - set(EVENT_CLASSES + "AKEmn"):
        raise ValueError(errors.CONFIG_EVENTS)
    on = EVENT_CLASSES if "A" in letters else "".join(c for c in EVENT_CLASSES if c in letters)
    shown = "A" if on == EVENT_CLASSES else on
    return shown + "".join(c for c in "nKEm" if c in letters)


def default(row: Directive) -> object:
    """The typed value a directive has when nobody says anything."""
    if row.kind is Kind.RENAME:
        return []
    return parse(row, row.default.split() if row.many else [row.default])


def show(row: Directive, value: object) -> str:
    """A typed value as CONFIG GET shows it."""
    match row.kind:
        case Kind.BOOL:
            return "yes" if value else "no"
        case Kind.OCTAL:
            return f"{value:o}"
        case (
            Kind.RENAME | Kind.WORDS | Kind.SAVE | Kind.LIMITS | Kind.PERCENTILES | Kind.SCORES | Kind.MASTER
        ):
            return " ".join(word for line in lines(row, value) for word in line)
    return str(value)


def lines(row: Directive, value: object) -> list[list[str]]:
    """The words of each line by which a configuration file says a value."""
    match row.kind:
        case Kind.SAVE:
            assert isinstance(value, list)
            return [[str(number) for pair in value for number in pair] or [""]]
        case Kind.LIMITS:
            assert isinstance(value, dict)
            return [[name, *map(str, numbers)] for name, numbers in value.items()]
        case Kind.RENAME:
            assert isinstance(value, list)
            return [list(pair) for pair in value]
        case Kind.WORDS:
            assert isinstance(value, list)
            return [value or [""]]
        case Kind.PERCENTILES | Kind.SCORES:
            assert isinstance(value, list)
            return [
                [f"{number:.17g}" if number != round(number, 6) else f"{number:g}" for number in value]
                or [""]
            ]
        case Kind.MASTER:
            if value is None:
                return []  # as in Redis, whose file has no line then
            assert isinstance(value, tuple)
            return [[str(word) for word in value]]
    return [[show(row, value)]]


def _within(value: int, row: Directive, form: str = "d") -> int:
    if not row.low <= value <= row.high:
        raise ValueError(errors.CONFIG_RANGE % (format(row.low, form), format(row.high, form)))
    return value


def _integer(row: Directive, text: str) -> int:
    if not INTEGER.fullmatch(text) or not -INT64_MAX - 1 <= int(text) <= INT64_MAX:
        raise ValueError(errors.CONFIG_NOT_INTEGER)
    value = _within(int(text), row)
    if row.kind is Kind.STRIPES and value & (value - 1):
        raise ValueError(errors.CONFIG_POWER_OF_TWO % (row.low, row.high))
    return max(1, min(500, value)) if row.name == "hz" else value  # Redis takes any hz, and bends it


def _percent(text: str) -> str:
    if not text.endswith("%"):
        try:
            return str(parse_memory(text))
        except ValueError:
            raise ValueError(errors.CONFIG_NOT_PERCENT) from None
    if not INTEGER.fullmatch(text[:-1]) or text[0] == "-":
        raise ValueError(errors.CONFIG_NOT_PERCENT)
    if int(text[:-1]) > 100:
        raise ValueError(errors.CONFIG_PERCENT_RANGE)
    return text


def _save(words: Sequence[str], current: object) -> list[tuple[int, int]]:
    if not words or list(words) == [""]:
        return []
    if len(words) % 2 or not all(re.fullmatch("[0-9]{1,18}", word) for word in words):
        raise ValueError(errors.CONFIG_SAVE)
    numbers = [int(word) for word in words]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if any(seconds < 1 for seconds, _ in pairs):
        raise ValueError(errors.CONFIG_SAVE)
    return [*(current if isinstance(current, list) else []), *pairs]


def _limits(words: Sequence[str], current: object) -> Limits:
    if not words or len(words) % 4:
        raise ValueError(errors.CONFIG_LIMIT_COUNT)
    limits: Limits = (
        dict(current) if isinstance(current, dict) else dict.fromkeys(CLASSES.values(), (0, 0, 0))
    )
    for i in range(0, len(words), 4):
        name = CLASSES.get(words[i].lower())
        if name is None:
            raise ValueError(errors.CONFIG_LIMIT_CLASS)
        try:
            hard, soft = parse_memory(words[i + 1]), parse_memory(words[i + 2])
        except ValueError:
            raise ValueError(errors.CONFIG_LIMIT_VALUE) from None
        if not re.fullmatch("[0-9]{1,18}", words[i + 3]):
            raise ValueError(errors.CONFIG_LIMIT_VALUE)
        limits[name] = (hard, soft, int(words[i + 3]))
    return limits


def _percentiles(words: Sequence[str]) -> list[float]:
    if list(words) == [""]:
        return []
    found: list[float] = []
    for word in words:
        try:
            number = float(word)
        except ValueError:
            raise ValueError(errors.CONFIG_PERCENTILES) from None
        if not 0.0 <= number <= 100.0:
            raise ValueError(errors.CONFIG_PERCENTILE_RANGE)
        found.append(number)
    return found


def _master(words: Sequence[str]) -> tuple[str, int] | None:
    """(host, port); None for `no one`, and for nothing at all."""
    if [word.lower() for word in words] in (["no", "one"], [""], []):
        return None
    address = parse_address(words)
    if address.unix:
        raise ValueError("a replica reaches its master by TCP: HOST PORT")
    if address.user is not None or address.password is not None:
        raise ValueError("a user and a password are said by masteruser and masterauth")
    return address.host, address.port


def _scores(words: Sequence[str]) -> list[int]:
    if len(words) != 3:
        raise ValueError(errors.CONFIG_WORD_COUNT)
    if not all(INTEGER.fullmatch(word) and -2000 <= int(word) <= 2000 for word in words):
        raise ValueError(errors.CONFIG_SCORES)
    return [int(word) for word in words]
