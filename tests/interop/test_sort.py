"""SORT answers, and stores, as the real redis-server."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.differential import Pair
from support.grammar import choice, coherent, commands
from support.programs import Step, each_program


@each_program(r"""
== SORT of lists, sets and sorted sets
RPUSH l 3 1 2 10 -5 1.5
SORT l
SORT l DESC
SORT l ALPHA
SORT l ALPHA DESC
SORT l LIMIT 1 2
SORT l LIMIT -5 2
SORT l LIMIT 2 -1
SORT l LIMIT 2 0
SORT l LIMIT 100 2
SORT l LIMIT x 2
SORT l LIMIT 1
SORT l ASC DESC
SORT l NOSUCH
SORT l BY nosort
SORT l BY nosort DESC
SORT missing
SORT missing STORE d
SADD s b a c
SORT s
SORT s ALPHA
SORT s BY nosort STORE d
LRANGE d 0 -1
EVAL "return redis.call('SORT', 's', 'BY', 'nosort')" 1 s
ZADD z 1 c 2 b 3 a 1 d
SORT z ALPHA
SORT z BY nosort
SORT z BY nosort DESC
SORT z BY nosort LIMIT 1 2
SORT z BY nosort DESC LIMIT 1 2
SORT z BY nosort LIMIT 3 20
SORT_RO z BY nosort LIMIT -1 -1
SET str x
SORT str
HSET h f v
SORT h
SORT_RO l STORE d
SORT_RO l DESC
RPUSH words one two
SORT words
RPUSH numbers nan
SORT numbers
RPUSH blank "" 1
SORT blank

== SORT BY and GET
RPUSH l 1 2 3 4
MSET w_1 4 w_2 3 w_3 2 v_1 one v_2 two v_3 three
HSET h_1 weight 2 name uno
HSET h_2 weight 1 name due
SORT l BY w_*
SORT l BY w_* DESC
SORT l BY w_* GET v_*
SORT l BY w_* GET # GET v_* GET h_*->name
SORT l BY h_*->weight
SORT l BY h_*->nosuch
SORT l BY w_*->weight
SORT l BY v_* ALPHA
SORT l BY v_* ALPHA DESC
SORT l BY v_*
SORT l GET v_
SORT l GET h_*
SORT l GET h_*->
SORT l GET *_*->name
SORT l GET v_*->
SORT l BY w_* GET v_* STORE d
LRANGE d 0 -1
SORT l GET # GET v_* STORE d
LRANGE d 0 -1
SORT l BY w_* STORE l
LRANGE l 0 -1
SORT missing GET v_* STORE d
EXISTS d
SORT l GET v_* DESC LIMIT 0 2
COMMAND GETKEYS SORT l BY w_* GET STORE STORE d
COMMAND GETKEYS SORT l STORE d STORE e
COMMAND GETKEYS SORT l

== SORT in a transaction, and a watched target
RPUSH l 2 1
WATCH d
SORT l STORE d
MULTI
SORT l
EXEC
MULTI
SORT l DESC STORE d
LRANGE d 0 -1
EXEC
""")
def test_replies(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.same(steps, **mode)


COMMANDS = """
RPUSH list element+
SADD set element+
ZADD sorted number element
SET weight number
HSET hash field number
SORT (list|set|sorted) BY weights [LIMIT small small] [ASC|DESC]
SORT (list|sorted) BY constant [LIMIT small small] [ASC|DESC]
SORT (list|set|sorted) [ALPHA] [ASC|DESC] [LIMIT small small] (GET pattern)+
SORT (list|set|sorted) ALPHA [ASC|DESC] STORE (list|set|sorted)
SORT (list|set|sorted) BY weights GET pattern STORE list
LRANGE list 0 -1
DEL list
"""


def test_random_programs(pair: Pair) -> None:
    words = {
        "list": choice("l", "m"),
        "set": choice("s"),
        "sorted": choice("z"),
        "element": choice("1", "2", "3", "10", "-1", "1.5", "a"),
        "number": choice("1", "2", "-3", "1e3", "0.5", "7"),
        "weight": choice("w_1", "w_2", "w_3", "w_10", "x_1"),
        "hash": choice("h_1", "h_2", "h_3"),
        "field": choice("f", "g"),
        "pattern": choice("w_*", "h_*->f", "h_*->g", "#", "x_*", "*"),
        "weights": choice("w_*", "h_*->f", "h_*->g", "x_*", "*"),
        "constant": choice("c", "w_1"),
        "small": choice("0", "1", "2", "5", "-1"),
    }

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(commands(COMMANDS, words), min_size=4, max_size=25))
    def program(steps: list[Step]) -> None:
        pair.same(coherent(steps))

    program()
