"""Random programs over few keys and edge values answer as on the real redis-server.

Only what is fixed by the program may decide a reply: deadlines are far away or long past, and NX/XX/GT/LT
compare absolute times, since the two servers do not run a command in the same millisecond.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.differential import Pair
from support.programs import Step

Words = tuple[bytes, ...]

KEYS = st.sampled_from([b"a", b"b", b"c", b""])
PLAIN = [b"v", b"", b"1", b"-1", b"0", b"10", b"3.5", b"1e2", b"abc", b"\x00\xff", b"01", b" 1", b"1 ", b"-0"]
EDGES = [b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"-9223372036854775809"]
VALUES = st.sampled_from([*PLAIN, *EDGES, b"x" * 45, b"foobar\x0f\xf0", b"ohmytext"])
SMALL = [
    b"0",
    b"1",
    b"-1",
    b"2",
    b"7",
    b"-3",
    b"100",
    b"-100",
    b"abc",
    b"",
    b"1.5",
    b"4294967295",
    b"4294967296",
]
INTEGERS = st.sampled_from([*SMALL, *EDGES])
# Small enough that the strings they make stay small.
OFFSETS = st.sampled_from(
    [b"0", b"1", b"5", b"7", b"8", b"63", b"100", b"-1", b"abc", b"9223372036854775807"]
)
FLOATS = st.sampled_from(
    [b"1", b"0.1", b"-0.3", b"1e3", b"3.0", b"-1e-3", b"nan", b"inf", b"x", b"", b"1e20"]
)
BITS = st.sampled_from([b"0", b"1", b"2", b"-1", b"x"])
RELATIVE = st.sampled_from([b"100", b"5000", b"0", b"-1", b"abc", b"9223372036854775807"])
ABSOLUTE = st.sampled_from([b"4000000000", b"4100000000", b"1", b"0", b"-1", b"4000000000000", b"x"])
DATABASES = st.sampled_from([b"0", b"1", b"16", b"-1", b"x"])
WIDTHS = st.sampled_from([b"u8", b"i8", b"u1", b"i5", b"u63", b"i64", b"u64", b"x"])
PLACES = st.sampled_from([b"0", b"#0", b"#1", b"3", b"100", b"-1", b"#x"])

SET_OPTIONS = st.lists(
    st.one_of(
        st.sampled_from([(b"NX",), (b"XX",), (b"GET",), (b"KEEPTTL",), (b"get",), (b"nosuch",), (b"EX",)]),
        st.tuples(st.sampled_from([b"EX", b"PX"]), RELATIVE),
        st.tuples(st.sampled_from([b"EXAT", b"PXAT"]), ABSOLUTE),
    ),
    max_size=3,
).map(lambda parts: tuple(word for part in parts for word in part))
GETEX_OPTIONS = st.one_of(
    st.just(()),
    st.just((b"PERSIST",)),
    st.tuples(st.sampled_from([b"EX", b"px"]), RELATIVE),
    st.tuples(st.sampled_from([b"EXAT", b"PXAT"]), ABSOLUTE),
    st.just((b"EX",)),
)
CONDITIONS = st.lists(st.sampled_from([b"NX", b"XX", b"GT", b"LT", b"nosuch"]), max_size=2).map(tuple)
# Since 7.2 a range is checked though the key is missing; the peer of 7.0 does not: only good ones are
# compared.
NUMBER = st.integers(-20, 20).map(lambda n: b"%d" % n)
GOOD_RANGE = st.one_of(
    st.just(()), st.tuples(NUMBER), st.tuples(NUMBER, NUMBER),
    st.tuples(NUMBER, NUMBER, st.sampled_from([b"BIT", b"byte"])),
)  # fmt: skip
FIELDS = st.lists(
    st.one_of(
        st.tuples(st.just(b"GET"), WIDTHS, PLACES),
        st.tuples(st.sampled_from([b"SET", b"INCRBY"]), WIDTHS, PLACES, INTEGERS),
        st.tuples(st.just(b"OVERFLOW"), st.sampled_from([b"WRAP", b"SAT", b"FAIL", b"x"])),
    ),
    max_size=4,
).map(lambda parts: tuple(word for part in parts for word in part))


def command(
    name: bytes, *parts: st.SearchStrategy[bytes] | st.SearchStrategy[Words]
) -> st.SearchStrategy[Words]:
    """A command of this name; each part gives one argument, or several as a tuple."""
    return st.tuples(*parts).map(
        lambda given: (
            name,
            *(word for part in given for word in ([part] if isinstance(part, bytes) else part)),
        )
    )


MANY_KEYS = st.lists(KEYS, min_size=1, max_size=3).map(tuple)
MANY_PAIRS = st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=3).map(
    lambda pairs: tuple(word for pair in pairs for word in pair)
)
COPY_OPTIONS = st.lists(
    st.one_of(st.just((b"REPLACE",)), st.tuples(st.just(b"DB"), DATABASES)), max_size=2
).map(lambda parts: tuple(word for part in parts for word in part))

STRINGS = st.one_of(
    command(b"SET", KEYS, VALUES),
    command(b"GET", KEYS),
    command(b"SET", KEYS, VALUES, SET_OPTIONS),
    *(command(name, KEYS) for name in (b"STRLEN", b"INCR", b"DECR", b"GETDEL")),
    *(command(name, KEYS, INTEGERS) for name in (b"INCRBY", b"DECRBY")),
    command(b"INCRBYFLOAT", KEYS, FLOATS),
    *(command(name, KEYS, VALUES) for name in (b"APPEND", b"SETNX", b"GETSET")),
    command(b"SETRANGE", KEYS, OFFSETS, VALUES),
    *(command(name, KEYS, INTEGERS, INTEGERS) for name in (b"GETRANGE", b"SUBSTR")),
    *(command(name, KEYS, RELATIVE, VALUES) for name in (b"SETEX", b"PSETEX")),
    command(b"GETEX", KEYS, GETEX_OPTIONS),
    command(b"MGET", MANY_KEYS),
    *(command(name, MANY_PAIRS) for name in (b"MSET", b"MSETNX")),
    command(b"LCS", KEYS, KEYS, st.sampled_from([(), (b"LEN",), (b"IDX",), (b"IDX", b"WITHMATCHLEN")])),
)
BITMAPS = st.one_of(
    command(b"SETBIT", KEYS, OFFSETS, BITS),
    command(b"GETBIT", KEYS, OFFSETS),
    command(b"BITPOS", KEYS, st.sampled_from([b"0", b"1"]), GOOD_RANGE),
    command(b"BITOP", st.sampled_from([b"AND", b"OR", b"XOR", b"NOT"]), KEYS, MANY_KEYS),
    command(b"BITFIELD", KEYS, FIELDS),
    command(b"BITFIELD_RO", KEYS, FIELDS),
)
GENERIC = st.one_of(
    *(command(name, MANY_KEYS) for name in (b"DEL", b"UNLINK", b"EXISTS", b"TOUCH")),
    *(command(name, KEYS) for name in (b"TYPE", b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"PERSIST")),
    *(command(name, KEYS, RELATIVE) for name in (b"EXPIRE", b"PEXPIRE")),
    *(command(name, KEYS, ABSOLUTE, CONDITIONS) for name in (b"EXPIREAT", b"PEXPIREAT")),
    *(command(name, KEYS, KEYS) for name in (b"RENAME", b"RENAMENX")),
    command(b"COPY", KEYS, KEYS, COPY_OPTIONS),
    command(b"MOVE", KEYS, DATABASES),
    command(b"SELECT", DATABASES),
    command(b"SWAPDB", DATABASES, DATABASES),
    command(b"OBJECT", st.just(b"ENCODING"), KEYS),
    command(b"DUMP", KEYS),
    command(b"KEYS", st.sampled_from([b"*", b"a", b"[ab]", b"?"])),
    *(st.just((name,)) for name in (b"DBSIZE", b"FLUSHDB", b"MULTI", b"EXEC", b"DISCARD", b"UNWATCH")),
    command(b"WATCH", MANY_KEYS),
)
COMMANDS = st.one_of(STRINGS, BITMAPS, GENERIC)
AGREEMENT = {b"TTL": "about", b"PTTL": "about", b"EXPIRETIME": "about", b"PEXPIRETIME": "about"}
AGREEMENT |= {b"KEYS": "unordered", b"DUMP": "dump"}


def steps_of(commands: list[Words]) -> list[Step]:
    """A program of these commands; inside a transaction, what can not be equal is left out."""
    steps: list[Step] = []
    in_multi = False
    for words in commands:
        agreement = AGREEMENT.get(words[0], "exact")
        if in_multi and agreement != "exact":
            continue
        in_multi = (in_multi or words[0] == b"MULTI") and words[0] not in (b"EXEC", b"DISCARD")
        steps.append(Step(words, agreement))
    return steps


BITCOUNTS = st.one_of(command(b"SET", KEYS, VALUES), command(b"BITCOUNT", KEYS))
# The servers are the session's, and each program empties them first: no state passes between examples.
SETTINGS = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SETTINGS
@given(st.lists(st.one_of(STRINGS, BITCOUNTS), min_size=1, max_size=12), st.booleans())
def test_random_string_programs(pair: Pair, commands: list[Words], pipelined: bool) -> None:
    pair.same(steps_of(commands), pipelined=pipelined)


@SETTINGS
@given(st.lists(st.one_of(BITMAPS, STRINGS), min_size=1, max_size=10))
def test_random_bitmap_programs(pair: Pair, commands: list[Words]) -> None:
    pair.same(steps_of(commands), pipelined=True)


@SETTINGS
@given(st.lists(COMMANDS, min_size=1, max_size=20), st.booleans(), st.sampled_from([2, 3]))
def test_random_programs_of_everything(
    pair: Pair, commands: list[Words], pipelined: bool, protocol: int
) -> None:
    pair.same(steps_of(commands), protocol=protocol, pipelined=pipelined)
