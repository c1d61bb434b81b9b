"""Random programs of everything that changes data, for the oracle of tests/commands/test_effects.py."""

from collections.abc import Sequence

from hypothesis import strategies as st

from support.grammar import choice, commands
from support.programs import Step
from support.typed_commands import (
    GENERIC,
    HASHES,
    LISTS,
    NAMES,
    SETS,
    SORTED_SETS,
    STREAM_WORDS,
    STREAMS,
    WORDS,
)

AGING = """
(EXPIRE|PEXPIRE) key (1000|1000000|0|'-1') [NX|XX|GT|LT]
(EXPIREAT|PEXPIREAT) key (4102444800|1) [NX|XX|GT|LT]
PERSIST key
RENAMENX key key
GETDEL key
"""
MORE = {
    "hashes": """
        HSET key (field value)+
        (HEXPIRE|HPEXPIRE) key 1000000 [NX|XX|GT|LT] FIELDS 1 field
        (HEXPIRE|HPEXPIRE) key (1000000|2000000|0) [NX|XX|GT|LT] FIELDS 2 field field
        (HEXPIREAT|HPEXPIREAT) key (4102444800|1) [NX|XX|GT|LT] FIELDS 2 field field
        HPERSIST key FIELDS 1 field
        HINCRBYFLOAT key field float
        """,
    "sets": """
        SPOP key [count]
        SADD key member member member member
        SORT key (BY 'w_*' | BY 'nosort') [ALPHA] [LIMIT 0 3] STORE key
        SORT key ALPHA [DESC] [GET 'w_*'] STORE key
        """,
    "streams": """
        XADD key newid field value
        XADD key [NOMKSTREAM] [(MAXLEN|MINID) ('='|~) count] ('*'|newid) field value
        XADD key (MAXLEN|MINID) ~ (count|id) LIMIT count ('*'|newid) field value
        XTRIM key (MAXLEN|MINID) ~ (count|id) [LIMIT count]
        XREADGROUP GROUP 'g' consumer [COUNT count] [NOACK] STREAMS key key (id|>) (id|>)
        XREADGROUP GROUP 'g' consumer [COUNT count] [NOACK] STREAMS key >
        XCLAIM key 'g' consumer 0 id+ [FORCE] [JUSTID] [LASTID id]
        XAUTOCLAIM key 'g' consumer 0 0 [COUNT count]
        """,
}
BYTES = """
SET key value
SET key value [NX|XX] [GET] (EX 1000 | PX 1000000 | EXAT 4102444800 | PXAT 4102444800000 | KEEPTTL)
(SETEX|PSETEX) key 1000000 value
GETEX key (EX 1000 | PX 1000000 | EXAT 4102444800 | EXAT 1 | PERSIST)
SET key float
INCRBYFLOAT key float
GETSET key value
APPEND key value
SETRANGE key small value
SETBIT key small (0|1)
BITOP (AND|OR|XOR) key key key
BITOP NOT key key
BITFIELD key [OVERFLOW FAIL] (SET 'u8' small int | INCRBY 'i5' small int)
BITFIELD key [OVERFLOW (SAT|FAIL|WRAP)] (INCRBY 'u2' small int)+
PFADD key member+
PFADD key member
PFCOUNT key
PFCOUNT key key
PFMERGE key key+
PFDEBUG (TODENSE|GETREG) key
GEOADD key [NX|XX] [CH] lon lat member
GEOADD key (lon lat member)+
GEORADIUS key lon lat 500 KM [COUNT 2 [ANY]] [ASC|DESC] (STORE|STOREDIST) key
GEOSEARCHSTORE key key FROMLONLAT lon lat BYBOX 500 500 KM [COUNT 2 [ANY]] [STOREDIST]
RPUSH key value+
SORT key [ALPHA] [BY 'nosort'] STORE key
INCRBY key int
DECR key
RESTORE key (0|100000) payload [REPLACE] [ABSTTL] [(IDLETIME|FREQ) small]
RESTORE key (4102444800000|1) payload REPLACE ABSTTL
MULTI
EXEC
SWAPDB 0 1
SELECT (0|1)
"""
SHORT_LIVES = """
SET key value PX (1|2|3)
PEXPIRE key (1|2)
EXPIREAT key 1
HSET key (field value)+
(HPEXPIRE) key (1|2) FIELDS 2 field field
HGET key field
HSET key field value
HDEL key field
HINCRBYFLOAT key field 1
HPERSIST key FIELDS 1 field
RESTORE key (1|2) payload REPLACE
DEBUG SLEEP 0.001
DEBUG SLEEP 0.002
RPUSH key value value
SADD key member member
SINTERSTORE key key key
SUNIONSTORE key key key
ZADD key score member
ZUNIONSTORE key 2 key key
SORT key ALPHA STORE key
COPY key key [DB 1] [REPLACE]
MOVE key 1
RENAME key key
APPEND key value
INCR key
SETNX key value
LMOVE key key LEFT RIGHT
SPOP key [count]
GETEX key PX 1
EXISTS key
"""
SCRIPTS = """
SADD key member member member member
RPUSH key value value
EVAL script 2 key key value
EVAL script 2 key key value
EVAL_RO script 2 key key value
CONFIG SET 'notify-keyspace-events' classes
GETSET key value
"""
TEXTS = choice(
    "redis.call('SET',KEYS[1],ARGV[1],'EX',1000) return redis.call('INCR',KEYS[2])",
    "redis.call('SPOP',KEYS[1]) redis.call('SPOP',KEYS[1],2) redis.call('XADD',KEYS[2],'*','f','v')",
    "redis.call('SELECT',1) redis.call('RPUSH',KEYS[1],ARGV[1]) redis.call('SELECT',0)",
    "redis.call('RPUSH',KEYS[1],'1','2') redis.call('BLPOP',KEYS[1],0) error('x')",
    "redis.pcall('HINCRBYFLOAT',KEYS[1],'f','0.1') return redis.pcall('GETEX',KEYS[2],'EX',1000)",
    "redis.call('HSET',KEYS[1],'f','1') redis.call('HEXPIRE',KEYS[1],1000,'FIELDS',1,'f')",
    "redis.call('LMOVE',KEYS[1],KEYS[2],'LEFT','RIGHT') redis.call('PEXPIRE',KEYS[1],1000000)",
)
WAITING = """
(BLPOP|BRPOP) key [key] 0
BLMOVE key key (LEFT|RIGHT) (LEFT|RIGHT) 0
BRPOPLPUSH key key 0
BLMPOP 0 2 key key (LEFT|RIGHT) [COUNT count]
(BZPOPMIN|BZPOPMAX) key [key] 0
BZMPOP 0 2 key key (MIN|MAX) [COUNT count]
XREADGROUP GROUP 'g' consumer [COUNT count] BLOCK 0 [NOACK] STREAMS key >
XREADGROUP GROUP 'g' consumer [COUNT count] BLOCK 0 [NOACK] STREAMS key key > >
"""
SERVING = """
(LPUSH|RPUSH) key value+
LPUSH key value
ZADD key (score member)+
XADD key newid field value
XGROUP CREATE key 'g' 0 MKSTREAM
XGROUP DELCONSUMER key 'g' consumer
XGROUP DESTROY key 'g'
XDEL key id
DEL key
MULTI
EXEC
RENAME key key
COPY key key REPLACE
"""
GROUPS = {
    "lists": LISTS,
    "hashes": HASHES + MORE["hashes"],
    "sets": SETS + MORE["sets"],
    "sorted-sets": SORTED_SETS,
    "names": NAMES,
    "streams": STREAMS + MORE["streams"] * 3,
    "bytes": BYTES,
    "short-lives": SHORT_LIVES,
    "scripts": SCRIPTS,
}


def vocabulary(payloads: Sequence[bytes], *, streams: bool) -> dict[str, st.SearchStrategy[bytes]]:
    """What words stand for. payloads: what RESTORE takes; streams: whether `low` and `high` are ids."""
    return {
        **WORDS,
        **(STREAM_WORDS if streams else {}),
        "lon": choice("13.3", "13.4", "15", "181"),
        "lat": choice("52.5", "38.1", "37.5", "x"),
        "payload": st.sampled_from(payloads),
        "script": TEXTS,
        "classes": choice("KEA", ""),
    }


def program_of(group: str, payloads: Sequence[bytes]) -> st.SearchStrategy[Step]:
    """One command of a group."""
    words = vocabulary(payloads, streams=group == "streams")
    return commands(GROUPS[group] * 2 + GENERIC + AGING, words)


def waiting(payloads: Sequence[bytes]) -> st.SearchStrategy[Step]:
    """One command of clients that wait, or of the one that serves them."""
    words = vocabulary(payloads, streams=True)
    waits = st.tuples(commands(WAITING, words), st.sampled_from("bcd"))
    return st.one_of(
        waits.map(lambda drawn: Step(drawn[0].args, "exact", drawn[1])), commands(SERVING, words)
    )
