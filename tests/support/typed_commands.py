"""The commands on values of each type, in the notation of grammar.py, with words for them that meet often."""

from support.grammar import choice

LONG = b"l" * 70  # beyond every *-max-listpack-value
WORDS = {
    "key": choice("a", "b", "c", "{d}e"),
    "value": choice("", "v", "w", "x", "10", "-5", "3.5", "0", "9223372036854775807", b"\x00\xff", LONG),
    "int": choice("0", "1", "-1", "2", "-2", "3", "5", "-100", "100", "x", "", "1.5", "9223372036854775807"),
    "small": choice("0", "1", "2", "3", "10"),
    "count": choice("1", "2", "3", "0", "-1", "100", "x"),
    "field": choice("f", "g", "h", "1", "", "-12", LONG),
    "float": choice("1", "0.1", "-0.3", "1e3", "3.0", "-1e-3", "nan", "inf", "-inf", "x", "", "1e20", "0"),
    "score": choice("0", "1", "2", "-1", "1.5", "1e300", "inf", "-inf", "0.1", "3", "nan", "x", "1e-5"),
    "low": choice("-inf", "0", "(0", "1", "(1", "-1.5", "x", "(", "nan", "+inf"),
    "high": choice("+inf", "inf", "2", "(2", "1", "(1.5", "3", "x", "(inf", "-inf"),
    "lexlow": choice("-", "[a", "(a", "[m", "(n", "a", "+", "[", "("),
    "lexhigh": choice("+", "[z", "(z", "[m", "(n", "z", "-", "["),
    "member": choice("m", "n", "o", "p", "1", "2", "", "zz", LONG),
    "pattern": choice("*", "m*", "?", "[fg]", "1*", "nosuch"),
}  # fmt: skip
GENERIC = """
SET key value
DEL key
UNLINK key
TYPE key
EXISTS key
RENAME key key
COPY key key [REPLACE]
EXPIRE key 1000
PERSIST key
MOVE key 1
MULTI
EXEC
"""
LISTS = """
(LPUSH|RPUSH) key value+
(LPUSH|RPUSH) key value+
(LPUSH|RPUSH) key value value value value value value value value value
(LPUSHX|RPUSHX) key value+
(LPOP|RPOP) key [count]
LLEN key
LRANGE key int int
LRANGE key 0 -1
LINDEX key int
LSET key int value
LINSERT key (BEFORE|AFTER) value value
LREM key int value
LTRIM key int int
LPOS key value [RANK int] [COUNT count] [MAXLEN count]
RPOPLPUSH key key
LMOVE key key (LEFT|RIGHT) (LEFT|RIGHT)
LMPOP small key+ (LEFT|RIGHT) [COUNT count]
LMPOP 1 key (LEFT|RIGHT) [COUNT count]
LMPOP 2 key key (LEFT|RIGHT) [COUNT count]
(BLPOP|BRPOP) key 0.001
BLMOVE key key (LEFT|RIGHT) (LEFT|RIGHT) 0.001
BLMPOP 0.001 1 key (LEFT|RIGHT) [COUNT count]
@encoding OBJECT ENCODING key
"""
HASHES = """
HSET key (field value)+
HSET key field value field value field value field value
HSETNX key field value
HMSET key (field value)+
HGET key field
HMGET key field+
@unordered HGETALL key
@unordered HKEYS key
@unordered HVALS key
HDEL key field+
HLEN key
HEXISTS key field
HSTRLEN key field
HINCRBY key field int
HINCRBYFLOAT key field float
@unordered HRANDFIELD key 100
@unordered HRANDFIELD key 100 WITHVALUES
@kind HRANDFIELD key count [WITHVALUES]
@unordered HSCAN key 0 [MATCH pattern] COUNT 1000
@encoding OBJECT ENCODING key
"""
SETS = """
SADD key member+
SADD key member member member member
SADD key (small|int)+
SREM key member+
SCARD key
SISMEMBER key member
SMISMEMBER key member+
@unordered SMEMBERS key
@unordered (SINTER|SUNION|SDIFF) key+
(SINTERSTORE|SUNIONSTORE|SDIFFSTORE) key key+
SINTERCARD small key+ [LIMIT count]
SINTERCARD 2 key key [LIMIT count]
SMOVE key key member
@unordered SPOP key 100
@unordered SRANDMEMBER key 100
@kind SRANDMEMBER key count
@unordered SSCAN key 0 [MATCH pattern] COUNT 1000
@encoding OBJECT ENCODING key
"""
SORTED_SETS = """
ZADD key (score member)+
ZADD key [NX|XX] [GT|LT] [CH] (score member)+
ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member
ZADD key 0 member 0 member 0 member 0 member
ZINCRBY key score member
ZREM key member+
ZCARD key
ZSCORE key member
ZMSCORE key member+
@code (ZRANK|ZREVRANK) key member
ZCOUNT key low high
(ZRANGE|ZREVRANGE) key int int [WITHSCORES]
ZRANGE key 0 -1 WITHSCORES
ZRANGE key low high BYSCORE [REV] [LIMIT int int] [WITHSCORES]
ZRANGE key high low BYSCORE REV [LIMIT int int] [WITHSCORES]
ZRANGEBYSCORE key low high [WITHSCORES] [LIMIT int int]
ZREVRANGEBYSCORE key high low [WITHSCORES] [LIMIT int int]
ZRANGESTORE key key int int [REV]
ZRANGESTORE key key low high BYSCORE [LIMIT int int]
ZREMRANGEBYRANK key int int
ZREMRANGEBYSCORE key low high
(ZPOPMIN|ZPOPMAX) key [count]
(BZPOPMIN|BZPOPMAX) key 0.001
ZMPOP 2 key key (MIN|MAX) [COUNT count]
BZMPOP 0.001 1 key (MIN|MAX) [COUNT count]
(ZUNION|ZINTER) 2 key key [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
(ZUNION|ZINTER) small key+ [WITHSCORES]
ZDIFF 2 key key [WITHSCORES]
(ZUNIONSTORE|ZINTERSTORE) key 2 key key [WEIGHTS score score] [AGGREGATE (SUM|MIN|MAX)]
(ZUNIONSTORE|ZINTERSTORE|ZDIFFSTORE) key small key+
ZINTERCARD 2 key key [LIMIT count]
@unordered ZRANDMEMBER key 100 [WITHSCORES]
@kind ZRANDMEMBER key count [WITHSCORES]
@unordered ZSCAN key 0 [MATCH pattern] COUNT 1000
SADD key member+
@encoding OBJECT ENCODING key
"""
# By name there is an order only among members of one score; what else comes out, Redis does not specify.
NAMES = """
ZADD key 0 member
ZADD key 0 member 0 member 0 member 0 member 0 member
ZREM key member
ZRANGE key 0 -1
ZLEXCOUNT key lexlow lexhigh
ZRANGE key lexlow lexhigh BYLEX [REV] [LIMIT int int]
ZRANGE key lexhigh lexlow BYLEX REV [LIMIT int int]
ZRANGEBYLEX key lexlow lexhigh [LIMIT int int]
ZREVRANGEBYLEX key lexhigh lexlow [LIMIT int int]
ZRANGESTORE key key lexlow lexhigh BYLEX [REV] [LIMIT int int]
ZREMRANGEBYLEX key lexlow lexhigh
"""
STREAMS = """
XADD key newid (field value)+
XADD key newid field value
XADD key newid field value
XADD key [NOMKSTREAM] [(MAXLEN|MINID) [=] count] newid (field value)+
XADD key (MAXLEN|MINID) = count [LIMIT count] newid field value
XLEN key
XRANGE key (low|-) (high|'+') [COUNT count]
XREVRANGE key (high|'+') (low|-) [COUNT count]
XRANGE key - '+'
XDEL key id+
XTRIM key (MAXLEN|MINID) [=] (count|id) [LIMIT count]
@code XREAD [COUNT count] STREAMS key id
@code XREAD [COUNT count] STREAMS key key (id|$) (id|$)
@code XREAD [COUNT count] BLOCK 1 STREAMS key key (id|$) (id|$)
@code XSETID key id [ENTRIESADDED count] [MAXDELETEDID id]
XGROUP CREATE key group (id|$) [MKSTREAM] [ENTRIESREAD count]
XGROUP CREATE key 'g' 0 MKSTREAM
XGROUP SETID key group (id|$) [ENTRIESREAD count]
XGROUP DESTROY key group
@kind XGROUP CREATECONSUMER key group consumer
XGROUP DELCONSUMER key group consumer
@code XREADGROUP GROUP group consumer [COUNT count] [NOACK] STREAMS key (id|>)
@code XREADGROUP GROUP 'g' consumer STREAMS key >
@code XREADGROUP GROUP 'g' consumer COUNT 1 STREAMS key >
XACK key group id+
XPENDING key group
@shape XPENDING key group [IDLE small] (low|-) (high|'+') count [consumer]
XCLAIM key group consumer 0 id+ [IDLE small] [RETRYCOUNT small] [FORCE] [JUSTID] [LASTID id]
XAUTOCLAIM key group consumer 0 (id|-) [COUNT count] [JUSTID]
@butconsumers XINFO GROUPS key
"""
STREAM_WORDS = {
    "newid": choice(
        "1-*", "2-*", "3-*", "4-*", "1-1", "2-5", "3", "0-1", "0-0", "x", "18446744073709551615-*"
    ),
    "id": choice("1-0", "1-1", "1-2", "2-0", "2-1", "2-5", "3-0", "0", "0-0", "2", "x", "-", "4-1"),
    "low": choice("1-0", "2", "(1-0", "(2-0", "3-1", "-", "x", "("),
    "high": choice("3", "2-1", "(2-1", "(3-0", "4", "+", "x", "(0-0"),
    "group": choice("g", "h"),
    "consumer": choice("alice", "bob"),
}
