"""Scripts of one server: which it knows, and how one runs against the keyspace.

A script holds every stripe from its first command to its last, so nobody sees half of it, whatever keys it
names. While it is slow (SLOW_SECONDS) nobody waits in a lock for it: clients wait in their loops, and from
busy-reply-threshold on hear BUSY, so SCRIPT KILL always gets through. Runs with the GIL; Lua itself without.
"""

import hashlib
import logging
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rlite.engine import errors
from rlite.engine.core.connection import Client
from rlite.engine.core.direct import Direct
from rlite.engine.errors import CommandError
from rlite.engine.reply import WAIT, ErrorReply, Reply

if TYPE_CHECKING:
    from rlite.engine.commands.call import Call
    from rlite.engine.commands.context import Context
    from rlite.engine.commands.declare import Command
    from rlite.engine.scripting.runtime import Runtime

LOG = logging.getLogger("rlite.script")
SLOW_SECONDS = 0.02
FLAGS = {b"no-writes", b"allow-oom", b"allow-stale", b"no-cluster", b"allow-cross-slot-keys"}


@dataclass(slots=True, frozen=True)
class Script:
    """flags: None for a script without a shebang, to which older and laxer rules apply."""

    sha: bytes
    body: bytes
    flags: frozenset[bytes] | None


@dataclass(slots=True)
class Scripts:
    """client: whom scripts run their commands as."""

    known: dict[bytes, Script] = field(default_factory=dict)  # by SHA1
    bodies: dict[bytes, Script] = field(default_factory=dict)  # the same by their text
    runtime: "Runtime | None" = None
    client: Client = field(default_factory=Client)
    running: "Running | None" = None
    slow: bool = False  # the running one has come to be waited for
    told: bool = False  # those who wait have been told BUSY
    over: threading.Event = field(default_factory=threading.Event)

    text_bytes: int = 0  # what the texts of the known scripts take
    counted: int = 0  # bytes of Lua, and of texts, that the keyspace knows of

    def lua_bytes(self) -> int:
        return 0 if self.runtime is None else self.runtime.memory_used

    def count_memory(self, server: "Context") -> None:
        """Has what Lua and the texts take count as used memory."""
        now = self.lua_bytes() + self.text_bytes
        server.keyspace.book(now - self.counted)
        self.counted = now


def sha_of(body: bytes) -> bytes:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest().encode()


def parsed(body: bytes, sha: bytes) -> tuple[Script, bytes]:
    """A script and its Lua, behind `#!lua flags=a,b`. Raises CommandError for a bad shebang."""
    if not body.startswith(b"#!"):
        return Script(sha, body, None), body
    line, newline, rest = body.partition(b"\n")
    if not newline:
        raise CommandError(errors.SHEBANG_INVALID)
    engine, *options = line[2:].split()
    if engine.lower() != b"lua":
        raise CommandError(errors.SHEBANG_ENGINE % errors.printable(b"#!" + engine))
    flags: set[bytes] = set()
    for option in options:
        name, equals, value = option.partition(b"=")
        if name != b"flags" or not equals:
            raise CommandError(errors.SHEBANG_OPTION % errors.printable(option))
        for flag in filter(None, value.split(b",")):
            if flag not in FLAGS:
                raise CommandError(errors.SHEBANG_FLAG % errors.printable(flag))
            flags.add(flag)
    return Script(sha, body, frozenset(flags)), b"\n" + rest  # the newline keeps the numbers of the lines


def loaded(server: "Context", body: bytes) -> Script:
    """The script with this body, compiled. Every stripe is locked. Raises CommandError."""
    scripts = server.scripts
    known = scripts.bodies.get(body)
    if known is not None:
        return known
    sha = sha_of(body)
    script, lua = parsed(body, sha)
    if scripts.runtime is None:
        from rlite.engine.scripting.runtime import Runtime  # Lua is loaded when somebody needs it

        scripts.runtime = Runtime(server.config.int("script-memory-limit"))
        scripts.client.in_script = True
    scripts.runtime.compile(sha, lua)
    scripts.known[sha] = scripts.bodies[body] = script
    scripts.text_bytes += sys.getsizeof(body) + sys.getsizeof(sha)
    scripts.count_memory(server)
    return script


def flush(server: "Context") -> None:
    """Forgets every script, and the Lua world with them. Every stripe is locked."""
    server.scripts.known.clear()
    server.scripts.bodies.clear()
    server.scripts.runtime = None
    server.scripts.text_bytes = 0
    server.scripts.count_memory(server)


# --- running -----------------------------------------------------------------------------------------------


def run_script(call: "Call", script: Script, *, readonly: bool) -> Reply:
    """EVAL and its kind, from `numkeys` on: argument 2. Raises CommandError."""
    server, scripts = call.server, call.server.scripts
    count = call.int(2)
    if count > len(call.args) - 3:
        raise CommandError(errors.NUMKEYS_TOO_MANY)
    if count < 0:
        raise CommandError(errors.NUMKEYS_NEGATIVE)
    flags = script.flags
    check_role(call, flags)
    limit = server.config.int("maxmemory")
    full = bool(limit) and server.keyspace.used_memory() > limit and not ignores_limit(server)
    if full and flags is not None and not flags & {b"allow-oom", b"no-writes"}:
        raise CommandError(errors.SCRIPT_WITHOUT_ALLOW_OOM)
    readonly = readonly or (flags is not None and b"no-writes" in flags)
    runtime = scripts.runtime
    assert runtime is not None
    tight = full and flags is None
    run = Running(call, runtime.direct, readonly, tight)
    if server.monitors or server.notify_classes or server.stale:
        runtime.direct.end()  # whoever wants to hear of each command hears of it on the ordinary way
    else:
        may_write = not (readonly or is_refused(call) or (server.saves and server.saves.refusing))
        runtime.direct.begin(
            call.db, server.table, server.counters, may_write, not tight, server.slow_ns, run.note
        )
    scripts.client.database = call.client.database
    scripts.client.user = call.client.user
    scripts.running, scripts.told = run, False
    keys, values = call.args[3 : 3 + count], call.args[3 + count :]
    try:
        return runtime.execute(script.sha, keys, values, run)
    finally:
        scripts.running = None
        runtime.direct.end()
        scripts.count_memory(server)
        if scripts.slow:
            end_of_slow(server)


def ignores_limit(server: "Context") -> bool:
    """Whether it leaves maxmemory to its master."""
    return server.follows and server.config.flag("replica-ignore-maxmemory")


def is_refused(call: "Call") -> bool:
    """Whether this is a replica that does not take writes from who runs the script."""
    return call.server.read_only and call.client.peer != "master"


def check_role(call: "Call", flags: frozenset[bytes] | None) -> None:
    """Raises CommandError for a script that a replica does not run. flags: None: it names none."""
    if call.server.stale and (flags is None or b"allow-stale" not in flags):
        raise CommandError(errors.MASTER_DOWN if flags is None else errors.SCRIPT_MASTER_DOWN)
    if flags is not None and b"no-writes" not in flags and is_refused(call):
        raise CommandError(errors.SCRIPT_READ_ONLY_REPLICA)


class Running:
    """A script that runs for a client (a Run of scripting/runtime.py). killed: it ends at its next look;
    wrote: a command that did not go the short way has written.
    """

    __slots__ = ("_direct", "_for", "_full", "_readonly", "killed", "started", "wrote")

    def __init__(self, call: "Call", direct: Direct, readonly: bool, full: bool) -> None:
        self._for, self._direct, self._readonly, self._full = call, direct, readonly, full
        self.started = time.monotonic()
        self.killed = self.wrote = False

    def call(self, words: list[bytes]) -> tuple[Reply, bool]:
        server = self._for.server
        try:
            reply = run_command(self, self._for, words, readonly=self._readonly, full=self._full)
        except CommandError as fault:
            reply = ErrorReply(fault.text)
        if server.scripts.client.database != self._for.db.index:
            self._direct.end()  # it knows no other database than that of the caller
        return reply, failed(reply)

    def look(self) -> bool:
        return look(self._for.server, self, self._for.client)

    @property
    def caller(self) -> Client:
        """Whom it runs for."""
        return self._for.client

    def note(self, words: list[bytes], ns: int, reply: int) -> None:
        """A command that went the short way took long; reply: bytes."""
        from rlite.engine.commands import dispatch

        server = self._for.server
        command = dispatch.find(server, words)
        if command is not None:
            dispatch.judge(server, server.scripts.client, command, words, ns=ns, request=-1, reply=reply)

    @property
    def has_written(self) -> bool:
        return self.wrote or self._direct.wrote


def failed(reply: Reply) -> bool:
    if isinstance(reply, ErrorReply):
        return True
    data = getattr(reply, "data", None)
    return isinstance(data, bytes) and data[:1] == b"-"


def run_command(run: Running, call: "Call", words: list[bytes], *, readonly: bool, full: bool) -> Reply:
    """One redis.call. Raises CommandError for what a script must not do."""
    from rlite.engine.commands import dispatch

    scripts = call.server.scripts
    command: Command | None = dispatch.find(call.server, words)
    if command is None:
        raise CommandError(errors.SCRIPT_UNKNOWN_COMMAND)
    if command.is_container or not command.accepts(len(words)):
        raise CommandError(errors.SCRIPT_WRONG_ARITY)
    flags = command.flags
    if "noscript" in flags:
        raise CommandError(errors.SCRIPT_NOT_ALLOWED)
    if call.server.stale and "stale" not in flags:
        raise CommandError(errors.SCRIPT_STALE_COMMAND)
    if "write" in flags:
        if readonly:
            raise CommandError(errors.SCRIPT_READ_ONLY)
        if is_refused(call):
            raise CommandError(errors.READ_ONLY)
        dispatch.check_log(call.server, scripts.client, command)
        dispatch.check_saves(call.server, scripts.client, command)
        run.wrote = True
    if full and "denyoom" in flags:
        raise CommandError(errors.OUT_OF_MEMORY)
    assert scripts.runtime is not None
    scripts.client.resp = scripts.runtime.resp
    return dispatch.run(call.server, scripts.client, command, words, call.db)


# --- slow scripts ------------------------------------------------------------------------------------------


def look(server: "Context", run: Running, client: Client) -> bool:
    """Called now and then while a script runs for a client. True: it must end."""
    scripts = server.scripts
    took = time.monotonic() - run.started
    if not scripts.slow and took > SLOW_SECONDS:
        scripts.over.clear()
        scripts.slow = True
        server.gate.close()
        server.keyspace.set_busy(True)
    if not scripts.told and took * 1000 > server.config.int("busy-reply-threshold"):
        scripts.told = True
        LOG.warning("a script has run for %d ms; others hear BUSY. SCRIPT KILL ends it", took * 1000)
        server.resume_all()
    if scripts.slow and client.loop is not None:  # the script holds up this thread, but not those it serves
        client.loop.attend(client)
    return run.killed


def end_of_slow(server: "Context") -> None:
    scripts = server.scripts
    scripts.slow = False
    server.keyspace.set_busy(False)
    server.gate.open()
    scripts.over.set()
    server.resume_all()


def in_the_way(server: "Context", client: Client, command: "Command") -> Reply:
    """What a client hears whose command meets a slow script: BUSY, or WAIT; None: it may run."""
    scripts = server.scripts
    if not scripts.slow or client is scripts.client or "allow_busy" in command.flags:
        return None
    if scripts.told:
        raise CommandError(errors.BUSY_SCRIPT)
    return WAIT


def kill(server: "Context") -> None:
    """Ends the running script. Raises CommandError where there is none, or it has written."""
    run = server.scripts.running
    if run is None:
        raise CommandError(errors.NOT_BUSY)
    if run.has_written:
        raise CommandError(errors.UNKILLABLE)
    run.killed = True
