"""The Lua runtime: compiled scripts by their SHA1, and running one of them.

Knows nothing of commands: whoever runs a script gives it a function to call them with. One script runs at a
time; the Lua of it runs without the GIL. Nothing here raises into Lua: an exception of Python would be an
object there that scripts can touch.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from lupa import lua51

from rlite.engine.reply import ErrorReply, Raw, Reply, RespSet
from rlite.engine.scripting.convert import Border, argument
from rlite.engine.scripting.libraries import libraries
from rlite.engine.scripting.tables import A_PLACE, Tables
from rlite.engine.version import REDIS_VERSION

LOG = logging.getLogger("rlite.script")
LEVELS = {0: logging.DEBUG, 1: logging.INFO, 2: logging.INFO, 3: logging.WARNING}
NO_MEMORY = "ERR not enough memory"
ONLY_STRINGS = "ERR Lua redis lib command arguments must be strings or integers"
NO_ARGUMENTS = "ERR Please specify at least one argument for this redis lib call"

Caller = Callable[[list[bytes]], tuple[bool, Reply]]  # a command -> (whether it failed, its reply)


class ScriptError(Exception):
    """A script that does not compile, or that failed. text: the whole error as a client sees it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(slots=True)
class Run:
    """A running script. look: called now and then, off the script's own time; True: it must end."""

    call: Caller
    look: Callable[["Run"], bool]
    started: float = field(default_factory=time.monotonic)
    killed: bool = False


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
        host: dict[bytes, Any] = {
            b"call": self._call,
            b"look": self._look,
            b"relax": self._relax,
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
        self._functions: dict[bytes, Any] = {}

    @staticmethod
    def _no_attributes(_object: object, _name: object, _setting: bool) -> str:
        raise AttributeError("not for scripts")

    @property
    def memory_used(self) -> int:
        return int(self._lua.get_memory_used() or 0)

    def compiled(self, sha: bytes) -> bool:
        return sha in self._functions

    def compile(self, sha: bytes, body: bytes) -> None:
        """Compiles a script under its SHA1. Raises ScriptError."""
        if sha in self._functions:
            return
        try:
            result = self._compile(body)
        except lua51.LuaMemoryError:
            raise ScriptError("ERR Error compiling script (new function): not enough memory") from None
        function, fault = result if isinstance(result, tuple) else (result, None)
        if function is None:
            raise ScriptError(f"ERR Error compiling script (new function): {shown(fault)}")
        self._functions[sha] = function

    def execute(self, sha: bytes, keys: Iterable[bytes], values: Iterable[bytes], run: Run) -> Reply:
        """Runs a compiled script. Raises ScriptError where it fails."""
        self._run = run
        self._border.resp = 2
        table = self._lua.table_from
        try:
            arguments = table(list(keys)), table(list(values))
            self._lua.set_max_memory(self._memory)
            result = self._start(self._functions[sha], *arguments)
            ok, value = result[:2] if isinstance(result, tuple) else (result, None)
            if ok:
                return self._border.to_reply(value)
            text = explained(value, sha)
            if "not enough memory" in text:
                text += f" (script-memory-limit is {self._memory} bytes)"
            raise ScriptError(text)
        except lua51.LuaMemoryError:
            raise ScriptError(
                f"ERR not enough memory (script-memory-limit is {self._memory} bytes)"
            ) from None
        except lua51.LuaError as fault:
            raise ScriptError(f"ERR Error running script: {fault}") from None
        finally:
            self._relax()
            self._run = None

    # --- what scripts call ---

    def _call(self, *args: object) -> tuple[bool, Any]:
        """redis.call: (whether it failed, the reply)."""
        words: list[bytes] = []
        for arg in args:
            word = argument(arg)
            if word is None:
                return True, self._lua.table_from({b"err": ONLY_STRINGS.encode()})
            words.append(word)
        if not words:
            return True, self._lua.table_from({b"err": NO_ARGUMENTS.encode()})
        assert self._run is not None
        failed, reply = self._run.call(words)
        if not self._tables.room(cost_of(reply)):
            failed, reply = True, ErrorReply(NO_MEMORY)
        return failed, self._border.to_lua(reply)

    def _relax(self) -> None:
        """Outside a script nothing may fail for want of memory: Lua would have nowhere to jump to."""
        self._lua.set_max_memory(0)

    def _look(self) -> bool:
        run = self._run
        return run is not None and run.look(run)

    @property
    def resp(self) -> int:
        """The protocol that the running script has chosen."""
        return self._border.resp

    def _setresp(self, *args: object) -> tuple[bool, Any]:
        if len(args) != 1:
            return False, b"redis.setresp() requires one argument."
        if args[0] not in (2, 3):
            return False, b"RESP version must be 2 or 3."
        self._border.resp = int(args[0] == 3) + 2
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
    match reply:
        case Raw(data):
            return A_PLACE * data.count(b"\n") + len(data)
        case bytes():
            return A_PLACE + len(reply)
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
