"""What each command says to the log, as a table: the same rows hold for our log and for Redis's AOF.

A row: commands that come before, `;` between them, then `>>` and the command in question, `->` and what
stands in the log for it (nothing, or some commands, `;` between them). `*` stands for any word, and `$NAME`
for what SHORT says. A row goes on where a line begins with `|`. Rows under a line `-- ours` say what only we
can be asked: what Redis 7.0 does not have, or does in another way.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from support.programs import words


@dataclass(frozen=True, slots=True)
class Case:
    before: tuple[str, ...]
    command: str
    effects: tuple[str, ...]
    ours_only: bool

    def __str__(self) -> str:
        return " / ".join([*self.before, self.command])


SHORT = {
    "PAYLOAD": r'"\x00\x01v\n\x00\x91\x08\xce\xb2\x198\x8a\xce"',  # DUMP of the string v
    "READ": "$GROUP; XREADGROUP GROUP g c STREAMS x >",
    "GROUP": "XADD x 1-1 f v; XGROUP CREATE x g 0",
    "FORCED": "FORCE JUSTID LASTID",
    "BLOCKS": "CONFIG SET stream-node-max-entries 2; XADD x 1-1 f v; XADD x 2-1 f v",
}


def cases(text: str) -> list[Case]:
    found: list[Case] = []
    ours_only = False
    for name, meaning in SHORT.items():
        text = text.replace(f"${name}", meaning)
    for line in filter(None, map(str.strip, text.replace("\n|", " ").splitlines())):
        if line.startswith("--"):
            ours_only = line.startswith("-- ours")
            continue
        call, arrow, effects = line.partition("->")
        assert arrow, f"no -> in {line!r}"
        before, _, command = call.rpartition(">>")
        found.append(Case(parts(before), command.strip(), parts(effects), ours_only))
    return found


def parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())


def fits(effect: str, wanted: str) -> bool:
    """Whether an effect is what a row says; names of commands and options in any case."""
    got, due = words(effect.encode()), words(wanted.encode())
    return len(got) == len(due) and all(
        fnmatchcase(word.lower(), want.lower()) for word, want in zip(got, due, strict=True)
    )


TEXT = """
-- both
>> SET k v -> SET k v
>> GET k ->
>> SET k v EX 100 -> SET k v PXAT *
>> SET k v EXAT 4102444800 -> SET k v PXAT 4102444800000
>> SET k v PXAT 4102444800000 -> SET k v PXAT 4102444800000
>> SET k v NX -> SET k v NX
SET k v >> SET k w NX ->
SET k v PX 100000 >> SET k w KEEPTTL -> SET k w KEEPTTL
>> SETEX k 100 v -> SET k v PXAT *
>> PSETEX k 100000 v -> SET k v PXAT *
SET k v >> GETDEL k -> DEL k
SET k v >> GETEX k ->
SET k v >> GETEX k EX 100 -> PEXPIREAT k *
SET k v >> GETEX k EXAT 4102444800 -> PEXPIREAT k 4102444800000
SET k v >> GETEX k PXAT 1 -> DEL k
SET k v EX 100 >> GETEX k PERSIST -> PERSIST k
SET k v >> GETEX k PERSIST ->
SET k v >> EXPIRE k 100 -> PEXPIREAT k *
SET k v >> PEXPIRE k 100000 -> PEXPIREAT k *
SET k v >> EXPIREAT k 4102444800 -> PEXPIREAT k 4102444800000
SET k v >> PEXPIREAT k 4102444800000 -> PEXPIREAT k 4102444800000
SET k v >> EXPIRE k -1 -> DEL k
SET k v >> PEXPIREAT k 1 -> DEL k
SET k v >> EXPIRE k 100 XX ->
>> EXPIRE k 100 ->
SET k v EX 100 >> PERSIST k -> PERSIST k
SET k v >> PERSIST k ->
>> SETNX k v -> SETNX k v
SET k v >> SETNX k v ->
>> MSET k v l w -> MSET k v l w
>> MSETNX k v l w -> MSETNX k v l w
SET k v >> MSETNX k v l w ->
>> INCR k -> INCR k
>> DECR k -> DECR k
>> INCRBY k 5 -> INCRBY k 5
>> DECRBY k 5 -> DECRBY k 5
>> INCRBYFLOAT k 1.50 -> SET k 1.5 KEEPTTL
>> APPEND k v -> APPEND k v
>> SETRANGE k 3 v -> SETRANGE k 3 v
>> SETRANGE k 3 "" ->
SET k v >> DEL k l -> DEL k l
>> DEL k ->
SET k v >> UNLINK k -> UNLINK k
>> LPUSH l a b -> LPUSH l a b
>> RPUSH l a b -> RPUSH l a b
>> LPUSHX l a ->
RPUSH l a >> LPUSHX l b -> LPUSHX l b
RPUSH l a >> RPUSHX l b -> RPUSHX l b
RPUSH l a >> RPOP l -> RPOP l
>> SADD s a b -> SADD s a b
SADD s a >> SADD s a ->
SADD s a b >> SREM s a z -> SREM s a z
SADD s a >> SREM s z ->
SADD s a b >> SPOP s -> SREM s *
>> HSET h f v -> HSET h f v
>> HMSET h f v -> HMSET h f v
>> HSETNX h f v -> HSETNX h f v
HSET h f v >> HSETNX h f w ->
HSET h f v g w >> HDEL h f x -> HDEL h f x
>> HINCRBY h f 3 -> HINCRBY h f 3
>> ZADD z 1 a -> ZADD z 1 a
>> ZADD z CH INCR 1.5 a -> ZADD z CH INCR 1.5 a
ZADD z 1 a >> ZADD z 1 a ->
>> ZINCRBY z 0.1 a -> ZINCRBY z 0.1 a
ZADD z 1 a >> ZREM z a b -> ZREM z a b
ZADD z 1 a 2 b >> ZPOPMIN z -> ZPOPMIN z
ZADD z 1 a 2 b >> ZPOPMAX z 5 -> ZPOPMAX z 5
>> ZPOPMIN z ->
>> XADD x 1-1 f v -> XADD x 1-1 f v
>> XADD x 5 f v -> XADD x 5 f v
>> XADD x NOMKSTREAM 1-1 f v ->
XADD x 1-1 f v >> XADD x MAXLEN 1 2-1 f v -> XADD x MAXLEN 1 2-1 f v
RPUSH l a b c >> LPOP l 2 -> LPOP l 2
RPUSH l a b c >> LSET l 0 x -> LSET l 0 x
RPUSH l a b c >> LINSERT l BEFORE b x -> LINSERT l BEFORE b x
RPUSH l a b c >> LINSERT l BEFORE z x ->
RPUSH l a b c >> LREM l 0 b -> LREM l 0 b
RPUSH l a b c >> LREM l 0 z ->
RPUSH l a b c >> LTRIM l 1 -1 -> LTRIM l 1 -1
RPUSH l a b c >> LTRIM l 0 -1 ->
RPUSH l a b >> RPOPLPUSH l m -> RPOPLPUSH l m
RPUSH l a b >> LMOVE l m LEFT RIGHT -> LMOVE l m LEFT RIGHT
>> RPOPLPUSH l m ->
RPUSH l a b >> BLPOP l 0 -> LPOP l
RPUSH l a b >> BLPOP nosuch l 0 -> LPOP l
RPUSH l a >> BRPOP l 0 -> RPOP l
>> BRPOP l 0.01 ->
RPUSH l a b >> BLMOVE l m LEFT RIGHT 0 -> LMOVE l m LEFT RIGHT
RPUSH l a b >> BRPOPLPUSH l m 0 -> RPOPLPUSH l m
RPUSH l a b c >> LMPOP 2 nosuch l LEFT COUNT 2 -> LPOP l 2
RPUSH l a b c >> LMPOP 1 l RIGHT -> RPOP l 1
RPUSH l a b c >> BLMPOP 0 1 l LEFT COUNT 10 -> LPOP l 3
>> LMPOP 1 nosuch LEFT ->
SADD s a b c >> SPOP s 3 -> DEL s
SADD s a b c >> SPOP s 4 -> DEL s
SADD s a b c >> SPOP s 0 ->
SADD s a b c >> SRANDMEMBER s 2 ->
SADD s a b c >> SMOVE s t a -> SMOVE s t a
SADD s a b c >> SMOVE s t z ->
SADD s a b c; SADD t b >> SINTERSTORE d s t -> SINTERSTORE d s t
SADD d x >> SINTERSTORE d s t -> SINTERSTORE d s t
>> SINTERSTORE d s t ->
SADD s a b c >> SUNIONSTORE d s t -> SUNIONSTORE d s t
SADD s a b c >> SDIFFSTORE d s t -> SDIFFSTORE d s t
HSET h f 1.5 >> HINCRBYFLOAT h f 0.25 -> HSET h f 1.75
>> HINCRBYFLOAT h f 0.1 -> HSET h f 0.1
HSET h f x >> HINCRBYFLOAT h f 0.1 ->
HSET h f v >> HRANDFIELD h 1 ->
ZADD z 1 a 2 b 3 c >> BZPOPMIN z 0 -> ZPOPMIN z
ZADD z 1 a 2 b 3 c >> BZPOPMAX nosuch z 0 -> ZPOPMAX z
>> BZPOPMAX z 0.01 ->
ZADD z 1 a 2 b 3 c >> ZMPOP 1 z MIN COUNT 2 -> ZPOPMIN z 2
ZADD z 1 a 2 b 3 c >> BZMPOP 0 1 z MAX COUNT 9 -> ZPOPMAX z 3
ZADD z 1 a 2 b 3 c >> ZREMRANGEBYSCORE z 2 inf -> ZREMRANGEBYSCORE z 2 inf
ZADD z 1 a 2 b 3 c >> ZREMRANGEBYRANK z 0 0 -> ZREMRANGEBYRANK z 0 0
ZADD z 0 a 0 b >> ZREMRANGEBYLEX z [a [a -> ZREMRANGEBYLEX z [a [a
ZADD z 1 a >> ZREMRANGEBYSCORE z 2 3 ->
ZADD z 1 a; ZADD y 2 a >> ZUNIONSTORE d 2 z y WEIGHTS 2 3 -> ZUNIONSTORE d 2 z y WEIGHTS 2 3
ZADD z 1 a; ZADD y 2 a >> ZINTERSTORE d 2 z y AGGREGATE MAX -> ZINTERSTORE d 2 z y AGGREGATE MAX
ZADD z 1 a >> ZDIFFSTORE d 2 z y -> ZDIFFSTORE d 2 z y
ZADD z 1 a 2 b >> ZRANGESTORE d z 0 0 -> ZRANGESTORE d z 0 0
>> ZRANGESTORE d z 0 0 ->
>> GEOADD g 13.361389 38.115556 a -> ZADD g 3479099956230698 a
>> GEOADD g NX CH 13.361389 38.115556 a -> ZADD g NX CH 3479099956230698 a
GEOADD g 13 38 a >> GEOADD g 13 38 a ->
GEOADD g 13 38 a >> GEORADIUS g 13 38 5 KM STORE d -> GEORADIUS g 13 38 5 KM STORE d
GEOADD g 13 38 a >> GEORADIUS g 13 38 5 KM ->
GEOADD g 13 38 a >> GEORADIUSBYMEMBER g a 5 KM STOREDIST d -> GEORADIUSBYMEMBER g a 5 KM STOREDIST d
GEOADD g 13 38 a >> GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 5 KM
| -> GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 5 KM
RPUSH l 2 1 3 >> SORT l STORE d -> SORT l STORE d
RPUSH l 2 1 3 >> SORT l ->
RPUSH d x >> SORT l STORE d -> SORT l STORE d
>> SORT l STORE d ->
>> PFADD p a b -> PFADD p a b
PFADD p a b >> PFADD p a ->
PFADD p a b >> PFCOUNT p -> PFCOUNT p
PFADD p a b; PFCOUNT p >> PFCOUNT p ->
PFADD p a; PFADD q b >> PFCOUNT p q ->
PFADD p a; PFADD q b >> PFMERGE p q -> PFMERGE p q
PFADD p a >> PFDEBUG TODENSE p -> PFDEBUG TODENSE p
>> SETBIT b 3 1 -> SETBIT b 3 1
SET b a >> BITOP NOT c b -> BITOP NOT c b
SET c a >> BITOP AND c b -> BITOP AND c b
>> BITOP AND c b ->
>> BITFIELD b SET u8 0 7 -> BITFIELD b SET u8 0 7
SET b a >> BITFIELD b GET u8 0 ->
SET k v >> RENAME k l -> RENAME k l
SET k v >> RENAME k k ->
SET k v; SET l w >> RENAMENX k l ->
SET k v >> RENAMENX k l -> RENAMENX k l
SET k v >> COPY k l -> COPY k l
SET k v >> COPY k l DB 1 -> COPY k l DB 1
SET k v >> MOVE k 1 -> MOVE k 1
SET k v >> FLUSHDB -> FLUSHDB
SET k v >> FLUSHALL ASYNC -> FLUSHALL ASYNC
SET k v >> SWAPDB 0 1 -> SWAPDB 0 1
>> FLUSHALL -> FLUSHALL
>> RESTORE k 0 $PAYLOAD -> RESTORE k 0 *
>> RESTORE k 0 $PAYLOAD IDLETIME 5 -> RESTORE k 0 * IDLETIME 5
>> RESTORE k 90000 $PAYLOAD REPLACE -> RESTORE k * * REPLACE ABSTTL
>> RESTORE k 4102444800000 $PAYLOAD ABSTTL -> RESTORE k 4102444800000 * ABSTTL
SET k w >> RESTORE k 1 $PAYLOAD ABSTTL REPLACE -> DEL k
>> RESTORE k 1 $PAYLOAD ABSTTL ->
SET k w >> RESTORE k 0 $PAYLOAD ->
XADD x 1-1 f v; XADD x 2-1 f v >> XDEL x 1-1 9-9 -> XDEL x 1-1 9-9
XADD x 1-1 f v >> XDEL x 9-9 ->
XADD x 1-1 f v; XADD x 2-1 f v >> XTRIM x MAXLEN 1 -> XTRIM x MAXLEN 1
XADD x 1-1 f v >> XTRIM x MAXLEN ~ 1 ->
XADD x 1-1 f v >> XSETID x 5-1 -> XSETID x 5-1
>> XGROUP CREATE x g $ MKSTREAM -> XGROUP CREATE x g $ MKSTREAM
XGROUP CREATE x g 0 MKSTREAM >> XGROUP SETID x g 5 ENTRIESREAD 2 -> XGROUP SETID x g 5 ENTRIESREAD 2
XGROUP CREATE x g 0 MKSTREAM >> XGROUP CREATECONSUMER x g c -> XGROUP CREATECONSUMER x g c
XGROUP CREATE x g 0 MKSTREAM; XGROUP CREATECONSUMER x g c >> XGROUP CREATECONSUMER x g c ->
XGROUP CREATE x g 0 MKSTREAM; XGROUP CREATECONSUMER x g c >> XGROUP DELCONSUMER x g c
| -> XGROUP DELCONSUMER x g c
XGROUP CREATE x g 0 MKSTREAM >> XGROUP DESTROY x g -> XGROUP DESTROY x g
$GROUP >> XREADGROUP GROUP g c NOACK STREAMS x >
| -> XGROUP CREATECONSUMER x g c; XGROUP SETID x g 1-1 ENTRIESREAD 1
$READ >> XACK x g 1-1 -> XACK x g 1-1
$READ >> XACK x g 1-2 ->
$READ >> XCLAIM x g d 0 1-1 -> XCLAIM x g d 0 1-1 TIME * RETRYCOUNT 2 $FORCED 1-1
$READ >> XCLAIM x g d 0 1-1 JUSTID TIME 5 LASTID 3-0 -> XCLAIM x g d 0 1-1 TIME 5 RETRYCOUNT 1 $FORCED 3-0
$READ >> XCLAIM x g c 100000 1-1 ->
$READ; XDEL x 1-1 >> XCLAIM x g c 0 1-1 -> XCLAIM x g c 0 1-1 TIME * RETRYCOUNT 1 $FORCED 1-1
$READ >> XAUTOCLAIM x g d 0 0 -> XCLAIM x g d 0 1-1 TIME * RETRYCOUNT 2 $FORCED 1-1
$READ; XDEL x 1-1 >> XAUTOCLAIM x g c 0 0 -> XCLAIM x g c 0 1-1 TIME * RETRYCOUNT 1 $FORCED 1-1
$GROUP; XGROUP CREATECONSUMER x g c >> XCLAIM x g c 0 7-7 LASTID 1-1 -> XGROUP SETID x g 1-1 ENTRIESREAD *
$BLOCKS; XADD x 3-1 f v >> XTRIM x MINID ~ 3 -> XTRIM x MINID = 3-1
$BLOCKS; XADD x 3-1 f v >> XTRIM x MAXLEN ~ 1 -> XTRIM x MAXLEN = 1
>> PUBLISH c m ->
>> SCRIPT LOAD "return 1" ->
>> SCRIPT FLUSH ->
>> EVAL "return 1" 0 ->
>> DEBUG SET-ACTIVE-EXPIRE 1 ->
MULTI; INCR k >> EXEC -> INCR k
-- ours, and Redis 7.4's: one SREM, UNLINK, entries-read behind XCLAIM
SADD s a b c >> SPOP s 2 -> SREM s * *
CONFIG SET lazyfree-lazy-server-del yes; SADD s a b c >> SPOP s 4 -> UNLINK s
$GROUP >> XREADGROUP GROUP g c STREAMS x >
| -> XCLAIM x g c 0 1-1 TIME * RETRYCOUNT 1 $FORCED 1-1; XGROUP SETID x g 1-1 ENTRIESREAD 1
$GROUP >> XREADGROUP GROUP g c BLOCK 0 STREAMS x >
| -> XCLAIM x g c 0 1-1 TIME * RETRYCOUNT 1 $FORCED 1-1; XGROUP SETID x g 1-1 ENTRIESREAD 1
XADD x 1-1 f v; XADD x 2-1 f v; XDEL x 1-1; XGROUP CREATE x g 0 >> XREADGROUP GROUP g c COUNT 1 STREAMS x >
| -> XCLAIM x g c 0 2-1 TIME * RETRYCOUNT 1 $FORCED 2-1; XGROUP SETID x g 2-1 ENTRIESREAD 2
-- ours
SET k v >> SET k w XX GET -> SET k w XX GET
SET k v >> GETSET k w -> GETSET k w
>> XADD x * f v -> XADD x *-* f v
>> XADD x 7-* f v -> XADD x 7-0 f v
XADD x 1-1 f v >> XADD x MAXLEN = 1 * f v -> XADD x MAXLEN = 1 *-* f v
$BLOCKS; XADD x 3-1 f v >> XADD x MAXLEN ~ 1 4-1 f v -> XADD x MAXLEN = 2 4-1 f v
CONFIG SET notify-keyspace-events KEA >> EVAL "redis.call('RPUSH','l','a','b') redis.call('BLPOP','l',0)" 0
| -> RPUSH l a b; LPOP l
HSET h f v >> HEXPIRE h 100 FIELDS 1 f -> HPEXPIREAT h * FIELDS 1 f
HSET h f v g w >> HPEXPIRE h 100000 FIELDS 3 f nosuch g -> HPEXPIREAT h * FIELDS 2 f g
HSET h f v >> HEXPIREAT h 4102444800 NX FIELDS 1 f -> HPEXPIREAT h 4102444800000 FIELDS 1 f
HSET h f v >> HPEXPIREAT h 4102444800000 FIELDS 1 f -> HPEXPIREAT h 4102444800000 FIELDS 1 f
HSET h f v >> HEXPIRE h 100 XX FIELDS 1 f ->
HSET h f v g w >> HEXPIRE h 0 FIELDS 2 f x -> HDEL h f
HSET h f v >> HPEXPIREAT h 1 FIELDS 1 f -> HDEL h f
HSET h f v; HEXPIREAT h 4102444800 FIELDS 1 f >> HPERSIST h FIELDS 1 f -> HPERSIST h FIELDS 1 f
HSET h f v >> HPERSIST h FIELDS 1 f ->
HSET h f 1; HEXPIREAT h 4102444800 FIELDS 1 f >> HINCRBYFLOAT h f 1.5
| -> HSET h f 2.5; HPEXPIREAT h 4102444800000 FIELDS 1 f
>> BITFIELD b OVERFLOW FAIL INCRBY u2 10 9 -> BITFIELD b OVERFLOW FAIL INCRBY u2 10 9
$BLOCKS; XADD x 3-1 f v >> XTRIM x MAXLEN ~ 1 LIMIT 2 -> XTRIM x MAXLEN = 1
$BLOCKS >> XTRIM x MINID ~ 3 -> XTRIM x MAXLEN = 0
XGROUP CREATE x g 0 MKSTREAM >> XREADGROUP GROUP g c STREAMS x > -> XGROUP CREATECONSUMER x g c
XGROUP CREATE x g 0 MKSTREAM >> XREADGROUP GROUP g c BLOCK 10 STREAMS x > -> XGROUP CREATECONSUMER x g c
XGROUP CREATE x g 0 MKSTREAM >> XREADGROUP GROUP g c STREAMS x 0 -> XGROUP CREATECONSUMER x g c
XGROUP CREATE x g 0 MKSTREAM >> XCLAIM x g c 0 1-1 -> XGROUP CREATECONSUMER x g c
XGROUP CREATE x g 0 MKSTREAM >> XAUTOCLAIM x g c 0 0 -> XGROUP CREATECONSUMER x g c
XADD x 1-1 f v; XADD x 2-1 f v; XGROUP CREATE x g 0 >> XREADGROUP GROUP g c STREAMS x >
| -> XCLAIM x g c 0 1-1 2-1 TIME * RETRYCOUNT 1 $FORCED 2-1; XGROUP SETID x g 2-1 ENTRIESREAD 2
$READ >> XREADGROUP GROUP g c STREAMS x 0 -> XCLAIM x g c 0 1-1 TIME * RETRYCOUNT 2 $FORCED 1-1
"""
CASES = cases(TEXT)
