"""Lua scripts: what they return, may do and may not, as on the real redis-server; and how they are ended."""

import hashlib
import random

import pytest
from support.differential import Pair
from support.programs import Step, each_program
from support.servers import Server
from support.wire import Bulk, Err, Int, Simple, Wire

PROGRAMS = r"""
== values become replies
EVAL "return 1" 0
EVAL "return 3.99" 0
EVAL "return -3.99" 0
EVAL "return 'text'" 0
EVAL "return true" 0
EVAL "return false" 0
EVAL "return nil" 0
EVAL "return" 0
EVAL "return {1, 2, {3, 'x'}, true, false}" 0
EVAL "return {1, nil, 3}" 0
EVAL "return {}" 0
EVAL "return {ok='fine'}" 0
EVAL "return {err='MY error'}" 0
EVAL "return {err='no code here'}" 0
EVAL "return {double=3.5}" 0
EVAL "return {map={a=1}}" 0
EVAL "return {set={a=true}}" 0
EVAL "return {big_number='123456789012345678901234567890'}" 0
EVAL "return {verbatim_string={string='text', format='txt'}}" 0
EVAL "return redis.status_reply('FINE')" 0
EVAL "return redis.error_reply('OOPS it broke')" 0
EVAL "return redis.error_reply('-OOPS it broke')" 0
EVAL "return redis.error_reply('oops')" 0
EVAL "redis.setresp(3) return true" 0
EVAL "redis.setresp(3) return false" 0

== keys and arguments
EVAL "return {KEYS[1], KEYS[2], ARGV[1], ARGV[2], #KEYS, #ARGV}" 2 a b c d
EVAL "return KEYS" 0 a
EVAL "return ARGV" 1 a
EVAL "return 1" 2 a
EVAL "return 1" -1 a
EVAL "return 1" x
EVAL "return 1"

== replies become values
SET n 10
SET s text
RPUSH l a b c
HSET h f v
ZADD z 1.5 m
EVAL "return type(redis.call('get', 'nosuch'))" 0
EVAL "return redis.call('get', 'nosuch') == false" 0
EVAL "return type(redis.call('incr', 'n'))" 0
EVAL "return redis.call('incrby', 'n', 5) + 1" 0
EVAL "return redis.call('set', 's', 'x').ok" 0
EVAL "return redis.call('lrange', 'l', 0, -1)" 0
EVAL "return #redis.call('lrange', 'l', 0, -1)" 0
EVAL "return redis.call('hgetall', 'h')" 0
EVAL "return redis.call('mget', 'n', 'nosuch', 's')" 0
EVAL "return redis.call('zscore', 'z', 'm')" 0
EVAL "redis.setresp(3) return redis.call('zscore', 'z', 'm')" 0
EVAL "redis.setresp(3) return redis.call('hgetall', 'h')" 0
EVAL "redis.setresp(3) return redis.call('hgetall', 'h').map.f" 0
EVAL "redis.setresp(3) return redis.call('get', 'nosuch') == nil" 0
EVAL "redis.setresp(3) return redis.call('zscore', 'z', 'm').double * 2" 0
EVAL "return redis.call('set', 'f', 1.5)" 0
GET f
EVAL "return redis.call('set', 'f', 100000000000000000000)" 0
GET f
EVAL "return redis.call('set', 'f', 3)" 0
GET f

== errors of commands
SET s text
EVAL "return redis.pcall('incr', 's')" 0
EVAL "local r = redis.pcall('incr', 's') return r.err" 0
EVAL "local ok, e = pcall(redis.call, 'incr', 's') return e.err" 0
EVAL "local r = redis.call('incr', 's') return r" 0
EVAL "local r = redis.call('nosuch') return r" 0
EVAL "local r = redis.call('get') return r" 0
EVAL "local r = redis.call() return r" 0
EVAL "local r = redis.call({}) return r" 0
EVAL "local r = redis.call('multi') return r" 0
EVAL "local r = redis.call('subscribe', 'x') return r" 0
EVAL "local r = redis.call('eval', 'return 1', 0) return r" 0
EVAL "error('boom')" 0
EVAL "error({err='MY boom'})" 0
EVAL "local x = nosuch" 0
EVAL "x = 1" 0
EVAL "local t = nil; return t.x" 0
EVAL "\n\nerror('third line')" 0
@code EVAL "not lua at all" 0

== the sandbox
EVAL "return tostring(io) .. tostring(os.execute)" 0
EVAL "local x = require" 0
EVAL "local x = dofile" 0
EVAL "local x = print" 0
EVAL "string.x = 1" 0
EVAL "redis.call = 1" 0
EVAL "_G.x = 1" 0
EVAL "return tostring(rawget(_G, 'debug'))" 0
EVAL "return loadstring('return 1 + 1')()" 0
EVAL "return type(loadstring(string.char(27) .. 'Lua'))" 0
EVAL "local t = {} t.x = 1 setmetatable(t, {__index = function() return 5 end}) return {t.x, t.y}" 0
EVAL "return select('#', unpack({1, 2, 3}))" 0
EVAL "local co = coroutine.wrap(function() coroutine.yield(1) return 2 end) return {co(), co()}" 0
EVAL "return {pcall(function() error('x', 0) end)}" 0
EVAL "return redis.sha1hex('text')" 0
EVAL "return redis.sha1hex(12)" 0
EVAL "return {redis.LOG_DEBUG, redis.LOG_WARNING, redis.REPL_ALL}" 0
EVAL "return redis.replicate_commands()" 0
EVAL "return math.floor(3.7) + math.max(1, 2)" 0
EVAL "local t = {3, 1, 2} table.sort(t) return t" 0
EVAL "return ('x'):rep(3)" 0

== cjson
EVAL "return cjson.encode({1, 2, 'x'})" 0
EVAL "return cjson.encode({a = {b = {1.5, true, cjson.null}}})" 0
EVAL "return cjson.encode({})" 0
EVAL "return cjson.encode('a\"b/c\\\\d')" 0
EVAL "return cjson.encode(0.1)" 0
EVAL "return cjson.encode(1/3)" 0
EVAL "return cjson.encode(1e20)" 0
EVAL "return cjson.encode(12345678901234)" 0
EVAL "return cjson.decode('[1, 2, {\"a\": [true, null, \"x\"]}]')[3].a[3]" 0
EVAL "return cjson.decode('{\"a\": 5}').a" 0
EVAL "return cjson.decode('null') == cjson.null" 0
EVAL "return cjson.encode(cjson.decode('[[], {}, [1.5]]'))" 0
EVAL "return tostring(cjson.decode('1e3'))" 0
@code EVAL "return cjson.decode('nonsense')" 0
@code EVAL "return cjson.encode(function() end)" 0
@code EVAL "local t = {} t[1] = 1 t[100] = 2 return cjson.encode(t)" 0

== cmsgpack
EVAL "return cmsgpack.pack({1, 2, 3})" 0
EVAL "return cmsgpack.pack({a = 1})" 0
EVAL "return cmsgpack.pack(1, -1, 127, 128, -33, 65536, -70000, 5000000000, 1.5, 0.1)" 0
EVAL "return cmsgpack.pack(true, false, nil, 'text', {})" 0
EVAL "return cmsgpack.pack(string.rep('x', 300))" 0
EVAL "return cmsgpack.unpack(cmsgpack.pack({1, {b = 'x'}, -5}))" 0
EVAL "return {cmsgpack.unpack(cmsgpack.pack(1, 'two', 3))}" 0
@code EVAL "return cmsgpack.unpack('\xc1')" 0
@code EVAL "return cmsgpack.pack()" 0

== struct
EVAL "return struct.pack('>I2', 258)" 0
EVAL "return struct.pack('<I4bBhH', 1, -1, 255, -2, 3)" 0
EVAL "return struct.pack('>d', 1.5)" 0
EVAL "return struct.pack('f', 0.5)" 0
EVAL "return struct.pack('s', 'text')" 0
EVAL "return struct.pack('c3', 'text')" 0
EVAL "return struct.pack('bxb', 1, 2)" 0
EVAL "return struct.pack('!4bi4', 1, 2)" 0
EVAL "return {struct.unpack('>I2h', struct.pack('>I2h', 1, -2))}" 0
EVAL "return {struct.unpack('bc0', struct.pack('bc0', 3, 'abc'))}" 0
EVAL "return {struct.unpack('s', 'abc\\0def')}" 0
EVAL "return struct.size('>I2i4b')" 0
@code EVAL "return struct.pack('q', 1)" 0
@code EVAL "return struct.unpack('I4', 'ab')" 0

== bit
EVAL "return {bit.band(0xff, 0x0f), bit.bor(1, 2, 4), bit.bxor(5, 1), bit.bnot(0)}" 0
EVAL "return {bit.lshift(1, 31), bit.rshift(-1, 28), bit.arshift(-16, 2)}" 0
EVAL "return {bit.rol(0x12345678, 8), bit.ror(1, 1)}" 0
EVAL "return {bit.tobit(0xffffffff), bit.tohex(255), bit.tohex(255, 4), bit.tohex(-1, -8), bit.bswap(1)}" 0

== scripts by their digest
@kind EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
SCRIPT LOAD "return {KEYS[1], ARGV[1]}"
EVALSHA fdf5f3a1a2c3d4e5f60718293a4b5c6d7e8f9001 0
SCRIPT LOAD "return 7"
EVALSHA E953EFA8D5EA16EA7B1F2A5F0C0B5F2F0A7C2C6D 0
SCRIPT EXISTS ffffffffffffffffffffffffffffffffffffffff
SCRIPT FLUSH SYNC
SCRIPT FLUSH nosuch
SCRIPT KILL
@code SCRIPT LOAD "not lua"
SCRIPT NOSUCH

== shebangs
EVAL "#!lua\nreturn 1" 0
EVAL "#!lua flags=no-writes\nreturn redis.call('get', 'x')" 0
EVAL "#!lua flags=no-writes\nlocal r = redis.call('set', 'x', 1) return r" 0
EVAL "#!lua flags=nosuch\nreturn 1" 0
EVAL "#!python\nreturn 1" 0
EVAL "#!lua name=x\nreturn 1" 0
EVAL "#!lua" 0
EVAL "#!lua\nerror('second line')" 0

== scripts that may not write
EVAL_RO "return redis.call('get', 'x')" 1 x
EVAL_RO "local r = redis.call('set', 'x', 1) return r" 1 x
EVAL_RO "return redis.pcall('del', 'x')" 1 x

== a script has a database of its own
EVAL "redis.call('select', 1) return redis.call('set', 'x', 'one')" 0
GET x
SELECT 1
GET x

== a script inside a transaction
MULTI
EVAL "return redis.call('incr', KEYS[1])" 1 n
INCR n
EVAL "local r = redis.call('lpush', 'n', 1) return r" 0
EXEC
GET n

== a blocking command in a script does not wait
EVAL "return redis.call('blmpop', 0, 1, 'nosuch', 'LEFT')" 0
EVAL "local r = redis.call('xread', 'BLOCK', 0, 'STREAMS', 'nosuch', '$') return r" 0

== what a script changes breaks a watch
b|SET w 1
a|WATCH w
b|EVAL "return redis.call('set', 'w', 2)" 0
a|MULTI
a|GET w
a|EXEC
"""


@each_program(PROGRAMS)
def test_scripts(pair: Pair, steps: tuple[Step, ...], mode: dict[str, int]) -> None:
    pair.same(steps, **mode)


def test_a_script_is_known_by_its_digest(rlite: Server) -> None:
    body = "return {KEYS[1], ARGV[1], redis.call('incr', KEYS[1])}"
    sha = hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()
    with rlite.wire() as wire:
        assert wire.command("SCRIPT", "EXISTS", sha) == wire.command("SCRIPT", "EXISTS", "0" * 40)
        first = wire.command("EVAL", body, 1, "n", "x")
        second = wire.command("EVALSHA", sha.upper(), 1, "n", "x")
        assert str(first)[:20] == str(second)[:20]
        assert wire.command("GET", "n") == wire.command("EVAL", "return '2'", 0)


ENDLESS = {
    "a loop": "while true do end",
    "a loop that catches every error": "while true do pcall(function() while true do end end) end",
    "a loop in a coroutine": "coroutine.wrap(function() while true do end end)()",
    "a loop of calls": "while true do redis.call('ping') end",
}


def busy_reply(wire: Wire) -> Err:
    """What a client hears once a script sent before has run for long; at first it may come before it."""
    for _ in range(1000):
        reply = wire.command("GET", "x")
        if isinstance(reply, Err):
            return reply
    raise AssertionError("the script never got in the way")


@pytest.mark.parametrize("script", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_script_is_killed(rlite_proc, script: str) -> None:  # type: ignore[no-untyped-def]
    server = rlite_proc({"busy-reply-threshold": "200", "io-threads": "2"})
    with server.wire() as victim, server.wire() as other, server.wire() as third:
        assert other.command("SET", "x", "1") == Simple(b"OK")
        victim.send("EVAL", script, 0)
        busy = busy_reply(other)
        assert busy.text.startswith(b"BUSY ")
        assert isinstance(third.command("PING"), Err)
        assert other.command("SCRIPT", "KILL") == Simple(b"OK")
        killed = victim.read_reply()
        assert isinstance(killed, Err)
        assert b"Script killed by user" in killed.text
        assert other.command("INCR", "x") == Int(2)
        assert third.command("PING") == Simple(b"PONG")


def test_a_script_that_has_written_is_not_killed(rlite_proc) -> None:  # type: ignore[no-untyped-def]
    server = rlite_proc({"busy-reply-threshold": "100"})
    script = "redis.call('set', 'x', 1) local t = os.clock() while os.clock() - t < 1 do end return 'done'"
    with server.wire() as victim, server.wire() as other:
        victim.send("EVAL", script, 0)
        busy_reply(other)
        reply = other.command("SCRIPT", "KILL")
        assert isinstance(reply, Err)
        assert reply.text.startswith(b"UNKILLABLE ")
        victim.read_reply()
        assert other.command("INCR", "x") == Int(2)


def test_those_who_wait_for_a_slow_script_are_served(rlite_proc) -> None:  # type: ignore[no-untyped-def]
    server = rlite_proc({"busy-reply-threshold": "10000"})
    script = "local t = os.clock() while os.clock() - t < 0.3 do end return redis.call('set', 'x', 5)"
    with server.wire() as slow, server.wire() as one, server.wire() as two:
        slow.send("EVAL", script, 0)
        one.send("INCR", "x")
        two.send("MULTI")
        two.send("INCR", "x")
        two.send("EXEC")
        slow.read_reply()
        one.read_reply()
        for _ in range(3):
            two.read_reply()
        assert one.command("GET", "x") == one.command("EVAL", "return '7'", 0)


def test_a_scripts_memory_is_limited(rlite_proc) -> None:  # type: ignore[no-untyped-def]
    server = rlite_proc({"script-memory-limit": "8mb"})
    with server.wire() as wire:
        reply = wire.command("EVAL", "local t = {} for i = 1, 1e8 do t[i] = ('x'):rep(100) .. i end", 0)
        assert isinstance(reply, Err)
        assert b"script-memory-limit is 8388608 bytes" in reply.text
        assert wire.command("EVAL", "return 5", 0) == Int(5)


def test_scripts_count_as_used_memory(rlite: Server) -> None:
    def figures(wire: Wire) -> dict[bytes, bytes]:
        info = wire.command("INFO", "memory")
        assert isinstance(info, Bulk)
        return dict(line.split(b":", 1) for line in info.data.splitlines() if b":" in line)

    with rlite.wire() as wire:
        wire.command("SCRIPT", "FLUSH")
        empty = figures(wire)
        assert empty[b"number_of_cached_scripts"] == empty[b"used_memory_scripts"] == b"0"
        wire.command("SCRIPT", "LOAD", "return 1 --" + "x" * 1_000_000)
        full = figures(wire)
        assert full[b"number_of_cached_scripts"] == b"1"
        assert int(full[b"used_memory_scripts"]) > 1_000_000
        assert int(full[b"used_memory_vm_eval"]) > 0
        assert int(full[b"used_memory"]) - int(empty[b"used_memory"]) > 1_000_000
        wire.command("SCRIPT", "FLUSH")
        assert int(figures(wire)[b"used_memory"]) - int(empty[b"used_memory"]) < 100_000


def test_scripts_of_many_clients_run_one_at_a_time(rlite: Server) -> None:
    script = "local n = tonumber(redis.call('get', 'n') or '0') redis.call('set', 'n', n + 1) return n"
    wires = [rlite.wire() for _ in range(4)]
    for wire in wires:
        wire.send_raw(
            b"".join(
                b"*3\r\n$4\r\nEVAL\r\n$%d\r\n%s\r\n$1\r\n0\r\n" % (len(script), script.encode())
                for _ in range(200)
            )
        )
    seen = sorted(
        reply.value for wire in wires for _ in range(200) if isinstance(reply := wire.read_reply(), Int)
    )
    assert seen == list(range(800))


def test_a_script_does_not_see_python(rlite: Server) -> None:
    """Whatever a script can get hold of, none of it is an object of the host."""
    script = """
    local seen, found = {}, {}
    local function walk(value, path)
        if type(value) == 'userdata' and value ~= cjson.null then found[#found + 1] = path end
        if type(value) ~= 'table' or seen[value] then return end
        seen[value] = true
        for k, v in pairs(value) do walk(v, path .. '.' .. tostring(k)) end
        local meta = getmetatable(value)
        if type(meta) == 'table' then walk(meta, path .. ':meta') end
    end
    walk(_G, '_G')
    local _, fault = pcall(cjson.encode, function() end)
    walk(fault, 'error')
    local _, other = pcall(redis.call, 'get')
    walk(other, 'failure')
    return found
    """
    with rlite.wire() as wire:
        assert wire.command("EVAL", script, 0) == wire.command("EVAL", "return {}", 0)
        for text in ("return getfenv", "return newproxy", "return setfenv", "return string.dump or nosuch"):
            assert isinstance(wire.command("EVAL", text, 0), Err)


def test_monitor_shows_the_calls_of_a_script(rlite: Server) -> None:
    with rlite.wire() as watcher, rlite.wire() as wire:
        assert watcher.command("MONITOR") == Simple(b"OK")
        wire.command("EVAL", "return redis.call('set', 'x', '1')", 0)
        first, second = watcher.read_reply(), watcher.read_reply()
        assert any('lua] "set" "x" "1"' in str(line) for line in (first, second))


def test_nothing_at_the_limit_of_memory_ends_the_server(rlite_proc) -> None:  # type: ignore[no-untyped-def]
    """Lua's error for want of memory must be caught wherever it is raised: it would end the process."""
    server = rlite_proc({"script-memory-limit": "4mb"})
    dice = random.Random(7)
    grow = "local t = {} for i = 1, %d do t[i] = ('x'):rep(%d) .. i end "
    endings = [
        "return #t", "return t", "return t[1]", "error(t[1])", "error({err = t[1]})", "return {err = t[1]}",
        "return redis.call('GET', 'big')", "return {redis.call('MGET', 'big', 'big')}", "return {t, t}",
        "return redis.call('SET', 'k', t[1])", "return redis.pcall('NOSUCH', t[1])", "return cjson.encode(t)",
        "return redis.sha1hex(t[1])", "return coroutine.wrap(function() return t end)()",
        "return ('x'):rep(2 ^ 21)",
    ]  # fmt: skip
    with server.wire(timeout=30) as wire:
        wire.command("SET", "big", "y" * 300_000)
        for turn in range(600):
            body = grow % (dice.choice([1, 100, 3000, 30_000]), dice.choice([1, 30, 1000]))
            body += dice.choice(endings)
            if turn % 5 == 0:  # a long text of its own, which takes a multiple of itself to compile
                body += f" --{turn}" + "x" * dice.choice([0, 1000, 200_000])
                body = "local c = {" + f"'{turn}'," * dice.choice([1, 1000, 20_000]) + "} " + body
            words = ["z" * dice.choice([1, 1000, 100_000])] * dice.choice([0, 1, 10, 150])
            wire.command("EVAL", body, 0, *words)
            if turn % 100 == 99:
                wire.command("SCRIPT", "FLUSH")
        assert wire.command("EVAL", "return 1", 0) == Int(1)
    assert server.is_running()
