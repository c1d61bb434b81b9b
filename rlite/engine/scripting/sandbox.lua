-- The world of a script. Runs once, with the whole of Lua at hand; what it returns is all that Python keeps.
--
-- A script sees the names listed here and nothing else. Tables of libraries, and the globals themselves, are
-- shown through empty proxies, so that no script can leave anything behind for the next one. No Python object is
-- ever reachable: every function of the host is called through a Lua function that hides it.

local host = ...            -- a table of Python functions; each returns (true, value…) or (false, text of the error)

local error, getinfo, ipairs, loadstring, pairs, pcall, rawset, select, setfenv, sethook, setmetatable, sub, tostring,
    type, unpack, xpcall =
    error, debug.getinfo, ipairs, loadstring, pairs, pcall, rawset, select, setfenv, debug.sethook, setmetatable,
    string.sub, tostring, type, unpack, xpcall

local READONLY = "Attempt to modify a readonly table"
local locked = setmetatable({}, { __mode = "k" })      -- proxies: rawset must leave them alone too

-- The nearest line of the script itself, from a level of the stack on; after a tail call nobody knows it any more.
local function position(level)
    local where = getinfo(level, "Sl")
    while where do
        if where.short_src == "user_script" then
            return where.short_src, where.currentline
        end
        level = level + 1
        where = getinfo(level, "Sl")
    end
    return "user_script", nil
end

local function failure(text)
    return { err = text }
end

local function deny()
    error(READONLY, 2)
end

local function proxy(real, missing)
    local shown = setmetatable({}, {
        __index = missing and setmetatable(real, { __index = missing }) or real,
        __newindex = deny,
        __metatable = false,
    })
    locked[shown] = real
    return shown
end

local function copied(from, names)
    local made = {}
    for name in names:gmatch("%S+") do
        made[name] = from[name]
    end
    return made
end

-- what lies behind a function of the host: errors of Python become Lua errors here
local function called(ok, ...)
    if ok then
        return ...
    end
    error((...), 3)
end

local function hosted(names)
    local made = {}
    for name in names:gmatch("%S+") do
        local short = name:match("_(%w+)$")
        local behind = host[name]
        made[short] = function(...)
            return called(behind(...))
        end
    end
    return made
end

-- the base library, with what could break out of the sandbox left out or guarded

local globals = copied(_G, "assert collectgarbage error getmetatable ipairs next pairs pcall rawequal rawget "
    .. "select setmetatable tonumber tostring type unpack xpcall gcinfo _VERSION")

function globals.rawset(table, key, value)
    if locked[table] then
        error(READONLY, 2)
    end
    return rawset(table, key, value)
end

-- The error of a failed redis.call is told as its text, as scripts have come to expect.
local function told(ok, fault, ...)
    if not ok and type(fault) == "table" and fault.err then
        return false, fault.err
    end
    return ok, fault, ...
end

function globals.pcall(...)
    return told(pcall(...))
end

local next_real = next

function globals.next(table, key)
    return next_real(locked[table] or table, key)
end

function globals.pairs(table)
    if locked[table] then
        return globals.next, table, nil
    end
    return pairs(table)
end

local environment

function globals.loadstring(text, name)
    if type(text) == "string" and sub(text, 1, 1) == "\27" then
        return nil, "attempt to load bytecode, which is not allowed"
    end
    local chunk, fault = loadstring(text, name)
    if chunk then
        setfenv(chunk, environment)
    end
    return chunk, fault
end

function globals.load(reader, name)
    local parts = {}
    while true do
        local part = reader()
        if part == nil or part == "" then
            break
        end
        parts[#parts + 1] = part
    end
    return globals.loadstring(table.concat(parts), name)
end

globals.string = proxy(copied(string, "byte char find format gmatch gsub len lower match rep reverse sub upper"))
globals.table = proxy(copied(table, "concat foreach foreachi getn insert maxn remove sort"))
globals.math = proxy(copied(math, "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log "
    .. "log10 max min mod modf pi pow rad random randomseed sin sinh sqrt tan tanh"))
globals.os = proxy({ clock = os.clock })
local of_strings = getmetatable("")
of_strings.__index = globals.string
of_strings.__metatable = false

-- libraries of the host

local null = newproxy(false)        -- cjson.null: equal to nothing but itself
local cjson = hosted("cjson_encode cjson_decode")
cjson.null = null
globals.cjson = proxy(cjson)
globals.cmsgpack = proxy(hosted("cmsgpack_pack cmsgpack_unpack"))
globals.struct = proxy(hosted("struct_pack struct_unpack struct_size"))
globals.bit = proxy(hosted("bit_tobit bit_tohex bit_bnot bit_band bit_bor bit_bxor bit_lshift bit_rshift bit_arshift "
    .. "bit_rol bit_ror bit_bswap"))

-- redis

local redis = hosted("redis_log redis_setresp redis_sha1hex")
local run = host.call

-- A reply that is one line comes as its text, and is told as a table: `ok`, or `err` where the call failed, which is
-- raised unless the script asked to be told.
function redis.pcall(...)
    local failed, reply, line = run(...)
    if line then
        return failed and failure(reply) or { ok = reply }
    end
    return reply
end

function redis.call(...)
    local failed, reply, line = run(...)
    if failed then
        reply = failure(reply)
        reply.source, reply.line = position(3)
        error(reply, 0)
    end
    if line then
        return { ok = reply }
    end
    return reply
end

function redis.error_reply(text)
    if type(text) ~= "string" then
        return failure("ERR wrong number or type of arguments")
    end
    if sub(text, 1, 1) == "-" then
        return failure(sub(text, 2))
    end
    return failure(text:find(" ", 1, true) and text or "ERR " .. text)
end

function redis.status_reply(text)
    if type(text) ~= "string" then
        return failure("ERR wrong number or type of arguments")
    end
    return { ok = text }
end

function redis.replicate_commands()
    return true
end

function redis.set_repl()
end

function redis.breakpoint()
    return false
end

function redis.debug()
end

redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING = 0, 1, 2, 3
redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL = 0, 1, 2, 2, 3
redis.REDIS_VERSION, redis.REDIS_VERSION_NUM = host.version, host.version_number
globals.redis = proxy(redis)
globals.server = globals.redis

environment = proxy(globals, function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end)
globals._G = environment

-- running

-- Where an error came from, as the reply says it; tables made by redis.error_reply and redis.call pass as they are.
local function traced(fault)
    if type(fault) ~= "table" then
        fault = { err = "ERR " .. tostring(fault) }
    end
    if not fault.source then
        fault.source, fault.line = position(3)
    end
    return fault
end

-- Kills a script that nobody waits for any longer: from then on every instruction fails, so that no pcall saves it.
local EVERY = 100000
local look = host.look
local hurried = false
local function watch()
    if not look() then
        return
    end
    sethook(watch, "", 1)
    hurried = true
    if getinfo(2, "S").short_src == "user_script" then      -- not in the middle of what stands in this file
        error(failure("ERR Error running script: Script killed by user with SCRIPT KILL."), 0)
    end
end

-- A hook belongs to one coroutine: each new one gets it too, or a script could hide in it.
local routines = copied(coroutine, "resume running status yield")
local create, resume = coroutine.create, coroutine.resume

function routines.create(work)
    local made = create(work)
    sethook(made, watch, "", EVERY)
    return made
end

local function passed(ok, ...)
    if not ok then
        error((...), 0)
    end
    return ...
end

function routines.wrap(work)
    local made = routines.create(work)
    return function(...)
        return passed(resume(made, ...))
    end
end

globals.coroutine = proxy(routines)

local relax = host.relax
local function finish(ok, value)
    if hurried then
        sethook(watch, "", EVERY)
        hurried = false
    end
    if type(value) == "table" then
        relax()             -- what is returned must find room, whatever the script has left
    end
    return ok, value
end

sethook(watch, "", EVERY)

local function run_many(chunk, keys, values)
    globals.KEYS, globals.ARGV = keys, values
    return finish(xpcall(chunk, traced))
end

return {
    null = null,
    failure = failure,
    status = redis.status_reply,
    compile = function(text)
        if sub(text, 1, 1) == "\27" then
            return nil, "bytecode is not allowed"
        end
        local chunk, fault = loadstring(text, "@user_script")
        relax()             -- what is returned must find room
        if chunk then
            setfenv(chunk, environment)
        end
        return chunk, fault
    end,
    run_many = run_many,
    run = function(chunk, count, ...)       -- the keys, so many, and the arguments
        local keys, values = { ... }, {}
        for i = count + 1, #keys do
            values[i - count], keys[i] = keys[i], nil
        end
        return run_many(chunk, keys, values)
    end,
    is_null = function(value)
        return value == null
    end,
}
