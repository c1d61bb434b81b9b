"""The log holds changes in the order in which they happened, whoever makes them, on whichever path."""

import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.effects import Logged, logged
from support.programs import words
from support.wire import Wire, encode

CLIENTS, ROUNDS, DEPTH = 4, 40, 25
KEYS = ("a", "b", "c", "d")
# Each kind of value has keys of its own, or nearly every command would be refused.
COMMANDS = """
INCR n:KEY
APPEND n:s:KEY x
SET n:KEY 5
SET n:KEY 5 PX 3
GETEX n:KEY PX 2
INCRBYFLOAT n:f:KEY 0.1
GETDEL n:KEY
MSET n:KEY 1 n:OTHER 2
RENAME n:KEY n:OTHER
COPY n:KEY n:OTHER REPLACE
LPUSH l:KEY x y
RPUSH l:KEY z
LPOP l:KEY
LMOVE l:KEY l:OTHER LEFT RIGHT
BLPOP l:KEY l:OTHER 0.001
BLMOVE l:KEY l:OTHER LEFT LEFT 0.001
LTRIM l:KEY 0 20
SORT l:KEY ALPHA STORE l:OTHER
SADD s:KEY a b c d
SPOP s:KEY
SPOP s:KEY 2
SMOVE s:KEY s:OTHER a
SUNIONSTORE s:KEY s:KEY s:OTHER
PEXPIRE s:KEY 2
HSET h:KEY f 1 g 2
HINCRBYFLOAT h:KEY f 0.1
HPEXPIRE h:KEY 2 FIELDS 1 f
HDEL h:KEY g
ZADD z:KEY 1 a 2 b
ZINCRBY z:KEY 0.1 a
ZPOPMIN z:KEY
BZPOPMAX z:KEY z:OTHER 0.001
ZUNIONSTORE z:KEY 2 z:KEY z:OTHER
XADD x:KEY * f v
XADD x:KEY MAXLEN ~ 5 * f v
XGROUP CREATE x:KEY g 0 MKSTREAM
XREADGROUP GROUP g KEY COUNT 2 STREAMS x:KEY >
XREADGROUP GROUP g KEY BLOCK 1 STREAMS x:KEY >
XAUTOCLAIM x:KEY g KEY 0 0 COUNT 2
PFADD p:KEY a b
PFCOUNT p:KEY
DEL n:KEY l:KEY s:KEY
EVAL "redis.call('SPOP',KEYS[1]) return redis.call('LPUSH',KEYS[2],ARGV[1])" 2 s:KEY l:OTHER v
MULTI; INCR n:KEY; SPOP s:OTHER; XADD x:KEY * f v; EXEC
SELECT 1; SET n:KEY 1; MOVE n:KEY 0; SELECT 0
SWAPDB 1 2
FLUSHDB
"""


def program(seed: int) -> list[bytes]:
    """Requests of one client, a packet each."""
    dice = random.Random(seed)
    lines = COMMANDS.strip().splitlines()
    weights = [1 if line.startswith(("FLUSH", "SWAPDB")) else 20 for line in lines]
    packets: list[bytes] = []
    for _ in range(ROUNDS):
        packet = b""
        for line in dice.choices(lines, weights, k=DEPTH):
            text = line.replace("OTHER", dice.choice(KEYS))
            text = re.sub(r"KEY\b", dice.choice(KEYS), text)  # not the KEYS of a script
            for command in text.split(";"):
                packet += encode(*words(command.encode()))
        packets.append(packet)
    return packets


def talk(server: Logged, seed: int) -> None:
    with Wire(("127.0.0.1", server.server.port)) as wire:
        for packet in program(seed):
            wire.send_raw(packet)
            wire.send_raw(encode(b"ECHO", b"done"))
            while wire.read_raw_reply() != b"$4\r\ndone\r\n":
                pass


@pytest.mark.parametrize("seed", range(3))
def test_clients_at_once_leave_a_log_that_makes_the_same_data(seed: int) -> None:
    with logged(listening=True, io_threads=2) as first, logged() as second:
        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(talk, first, seed * CLIENTS + i) for i in range(CLIENTS)]:
                done.result()
        state = first.state()
        second.replay(first.journal.data)
        assert len(state) > 1
        assert second.state() == state
