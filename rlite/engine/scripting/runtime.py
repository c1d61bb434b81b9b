"""The Lua runtime: compiled scripts by their SHA1, and running one of them.

Knows nothing of commands: whoever runs a script gives it a function to call them with. One script runs at a
time; the Lua of it runs without the GIL. Nothing here raises into Lua: an exception of Python would be an
object there that scripts can touch.
"""

import hashlib
import logging
from collections.abc import Iterable
from importlib import resources
from typing import Any, Protocol

from lupa import lua51

from rlite.engine.core.direct import Direct, Told, argument
from rlite.engine.errors import CommandError
from rlite.engine.reply import ErrorReply, Raw, Reply, RespSet, Simple
from rlite.engine.scripting.convert import Border
from rlite.engine.scripting.libraries import libraries
from rlite.engine.scripting.tables import A_PLACE, Tables
from rlite.engine.version import REDIS_VERSION

LOG = logging.getLogger("rlite.script")
LEVELS = {0: logging.DEBUG, 1: logging.INFO, 2: logging.INFO, 3: logging.WARNING}
NO_MEMORY = "ERR not enough memory"
FEW = 100  # keys and arguments that go to Lua one by one; more go as tables
ONLY_STRINGS = "ERR Lua redis lib command arguments must be strings or integers"
NO_ARGUMENTS = "ERR Please specify at least one argument for this redis lib call"


class Run(Protocol):
    """A running script, as whoever runs it defines it."""

    def call(self, words: list[bytes]) -> tuple[Reply, bool]:
        """A command that did not go the short way: (its reply, whether that is an error)."""

    def look(self) -> bool:
        """Called now and then, off the script's own time. True: it must end."""


class Runtime:
    """One Lua world. memory: bytes that it may take in all."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._lua = lua51.LuaRuntime(
            unpack_returned_tuples=True, register_eval=False, register_builtins=False, encoding=None,
            attribute_filter=self._no_attributes, max_memory=0,
        )  # fmt: skip
        self._border = Border(self._lua)
        self._run: Run | None = None
        tables = self._tables = Tables(self._lua, memory)
        self.direct = Direct(self._otherwise, self._told, self._lua.get_memory_used, tables.most)
        host: dict[bytes, Any] = {
            b"call": self.direct,
            b"look": self._look,
            b"relax": tables.relax,
            b"redis_log": self._log,
            b"redis_setresp": self._setresp,
            b"redis_sha1hex": self._sha1hex,
            b"version": REDIS_VERSION.encode(),
            b"version_number": version_number(REDIS_VERSION),
        }
        host |= libraries(tables)
        text = resources.files("rlite.engine.scripting").joinpath("sandbox.lua").read_bytes()
        sandbox = self._lua.execute(text, self._lua.table_from(host), name=b"@sandbox")
        tables.bind(sandbox[b"null"], sandbox[b"is_null"])
        self._compile, self._start = sandbox[b"compile"], sandbox[b"run"]
        self._start_many = sandbox[b"run_many"]
        self._functions: dict[bytes, Any] = {}
        tables.limit()

    @staticmethod
    def _no_attributes(_object: object, _name: object, _setting: bool) -> str:
        raise AttributeError("not for scripts")

    @property
    def memory_used(self) -> int:
        return int(self._lua.get_memory_used() or 0)

    def compiled(self, sha: bytes) -> bool:
        return sha in self._functions

    def compile(self, sha: bytes, body: bytes) -> None:
        """Compiles a script under its SHA1. Raises CommandError."""
        if sha in self._functions:
            return
        if not self._tables.room(2 * len(body) + A_PLACE):
            raise CommandError("ERR Error compiling script (new function): not enough memory")
        self._tables.limit()
        try:
            result = self._compile(body)
        except lua51.LuaMemoryError:
            raise CommandError("ERR Error compiling script (new function): not enough memory") from None
        function, fault = result if isinstance(result, tuple) else (result, None)
        if function is None:
            raise CommandError(f"ERR Error compiling script (new function): {shown(fault)}")
        self._functions[sha] = function

    def execute(self, sha: bytes, keys: list[bytes], values: list[bytes], run: Run) -> Reply:
        """Runs a compiled script. Raises CommandError where it fails."""
        many = len(keys) + len(values)
        if many and not self._tables.room(2 * A_PLACE * many + sum(map(len, keys)) + sum(map(len, values))):
            raise CommandError(self._out_of_memory())
        self._run = run
        self._speak(2)
        self._tables.limit()
        function = self._functions[sha]
        try:
            if many <= FEW:
                result = self._start(function, len(keys), *keys, *values)
            else:
                table = self._lua.table_from
                result = self._start_many(function, table(keys), table(values))
            ok, value = result[:2] if isinstance(result, tuple) else (result, None)
            if ok:
                return self._border.to_reply(value)
            text = explained(value, sha)
            if "not enough memory" in text:
                text += f" (script-memory-limit is {self._memory} bytes)"
            raise CommandError(text)
        except lua51.LuaMemoryError:
            raise CommandError(self._out_of_memory()) from None
        except lua51.LuaError as fault:
            raise CommandError(f"ERR Error running script: {fault}") from None
        finally:
            self._run = None

    def _out_of_memory(self) -> str:
        return f"ERR not enough memory (script-memory-limit is {self._memory} bytes)"

    # --- what scripts call ---

    def _otherwise(self, args: Iterable[object]) -> Told:
        """redis.call of what does not go the short way."""
        words: list[bytes] = []
        for arg in args:
            word = argument(arg)
            if word is None:
                return self._told(ErrorReply(ONLY_STRINGS), True)
            words.append(word)
        if not words:
            return self._told(ErrorReply(NO_ARGUMENTS), True)
        assert self._run is not None
        return self._told(*self._run.call(words))

    def _told(self, reply: Reply, failed: bool) -> Told:
        """A reply as the sandbox takes it."""
        if not self._tables.room(cost_of(reply)):
            failed, reply = True, ErrorReply(NO_MEMORY)
        if type(reply) is Raw and reply.data[0] in b"+-":
            return failed, reply.data[1:-2], True
        if type(reply) is ErrorReply or type(reply) is Simple:
            return failed, reply.text.encode("utf-8", "surrogateescape"), True
        return failed, self._border.to_lua(reply), False

    def _look(self) -> bool:
        run = self._run
        return run is not None and run.look()

    def _speak(self, resp: int) -> None:
        self._border.resp = self.direct.resp = resp

    @property
    def resp(self) -> int:
        """The protocol that the running script has chosen."""
        return self._border.resp

    def _setresp(self, *args: object) -> tuple[bool, Any]:
        if len(args) != 1:
            return False, b"redis.setresp() requires one argument."
        if args[0] not in (2, 3):
            return False, b"RESP version must be 2 or 3."
        self._speak(3 if args[0] == 3 else 2)
        return True, None

    @staticmethod
    def _log(*args: object) -> tuple[bool, Any]:
        if len(args) < 2:
            return False, b"redis.log() requires two arguments or more."
        if not isinstance(args[0], int | float):
            return False, b"First argument must be a number (log level)."
        level = LEVELS.get(int(args[0]))
        if level is None:
            return False, b"Invalid log level."
        words = [argument(arg) or b"" for arg in args[1:]]
        LOG.log(level, "%s", b" ".join(words).decode("utf-8", "replace"))
        return True, None

    @staticmethod
    def _sha1hex(*args: object) -> tuple[bool, Any]:
        if len(args) != 1:
            return False, b"wrong number of arguments"
        return True, hashlib.sha1(argument(args[0]) or b"", usedforsecurity=False).hexdigest().encode()


def cost_of(reply: Reply) -> int:
    """About what a reply takes as a value of Lua, in bytes; rather too much than too little."""
    if type(reply) is bytes:
        return A_PLACE + len(reply)
    match reply:
        case Raw(data):
            return A_PLACE * data.count(b"\n") + len(data)
        case list():
            return A_PLACE + sum(map(cost_of, reply))
        case dict():
            return A_PLACE + sum(cost_of(key) + cost_of(value) for key, value in reply.items())
        case RespSet(items):
            return A_PLACE + sum(map(cost_of, items))
        case _:
            return 2 * A_PLACE


def version_number(version: str) -> int:
    """7.4.1 as 0x00070401, as redis.REDIS_VERSION_NUM has it."""
    major, minor, patch = map(int, version.split("."))
    return major << 16 | minor << 8 | patch


def shown(fault: object) -> str:
    return fault.decode("utf-8", "replace") if isinstance(fault, bytes) else str(fault)


def explained(fault: Any, sha: bytes) -> str:
    """The error of a script that failed: what, in which script, and where in it."""
    if lua51.lua_type(fault) != "table":
        return f"ERR {shown(fault)}"
    text = fault[b"err"]
    if not isinstance(text, bytes):
        return "ERR unknown error"
    where = ""
    if fault[b"source"] is not None:
        line = "" if fault[b"line"] is None else f":{fault[b'line']}"
        where = f", on @{shown(fault[b'source'])}{line}."
    return f"{shown(text)} script: {sha.decode()}{where}".replace("\r", " ").replace("\n", " ")
