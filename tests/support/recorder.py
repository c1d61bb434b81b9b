"""What a server did to its files and told its clients, in order: records of recorder.c, and the faults it
injects.

    with Recorder(directory) as recorder:
        server = start_rlite(directory, ..., environment=recorder.environment)
        with recorder.fault(Call.FSYNC, errno.EIO): ...
        recorder.events()

Builds the C layer once with the machine's compiler. Knows nothing of what the files mean.
"""

import atexit
import ctypes
import enum
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

RULES = 8
FOREVER = -1


class Call(enum.IntFlag):
    """Kinds of calls, for faults and in records (the enum `op` of recorder.c)."""

    OPEN = 1  # as a record: made the file, or truncated it
    WRITE = 2
    TRUNCATE = 4
    FSYNC = 8  # as a record: has begun
    RENAME = 16
    UNLINK = 32
    MKDIR = 64
    LINK = 128
    RMDIR = 256
    SYNCED = 512  # records only: an fsync has ended well
    SEND = 1024
    UNSUPPORTED = 2048
    FAILED = 4096  # an fsync


class _Rule(ctypes.Structure):
    _fields_ = (
        ("ops", ctypes.c_uint32),
        ("hits", ctypes.c_uint32),
        ("skip", ctypes.c_int32),
        ("times", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("delay_us", ctypes.c_int32),
        ("bytes", ctypes.c_int64),
        ("path", ctypes.c_char * 64),
    )


class _Control(ctypes.Structure):
    _fields_ = (("holder", ctypes.c_uint32), ("rules", ctypes.c_uint32), ("rule", _Rule * RULES))


_RECORD = struct.Struct("<IIIIQQQqq")


@dataclass(frozen=True, slots=True)
class Event:
    """One call that succeeded. path: below the directory, "" for itself; inode: of the file; made: an OPEN
    that created it; at: offset of a WRITE; size: of the file after an OPEN or a TRUNCATE, of the data else;
    port: the client's, of a SEND; seconds: monotonic.
    """

    call: Call
    path: str
    second: str
    data: bytes
    inode: int
    seconds: float
    at: int
    size: int
    thread: int

    @property
    def made(self) -> bool:
        return self.call is Call.OPEN and self.at == 1

    @property
    def port(self) -> int:
        return self.at

    def __str__(self) -> str:
        where = f"{self.path} → {self.second}" if self.second else self.path or "."
        detail = f" {self.size} at {self.at}" if self.call in (Call.WRITE, Call.TRUNCATE, Call.SEND) else ""
        return f"{self.call.name} {where}{detail}"


class Fault:
    """An injected fault while it is on; `hits`: how many calls it has hit."""

    def __init__(self, rule: _Rule) -> None:
        self._rule = rule

    @property
    def hits(self) -> int:
        return int(self._rule.hits)

    def end(self) -> None:
        self._rule.times = 0


class NoCompilerError(Exception):
    """There is no cc on this machine."""


@cache
def library() -> Path:
    """The compiled recorder.c. Raises NoCompilerError."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompilerError("cc not found: apt-get install gcc libc6-dev")
    directory = tempfile.mkdtemp(prefix="rl-recorder-")
    atexit.register(shutil.rmtree, directory)
    built = Path(directory) / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    subprocess.run([compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", built, source], check=True)
    return built


class Recorder:
    """Records one directory. The servers that are recorded get `environment`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._place = Path(tempfile.mkdtemp(prefix="rl-record-"))
        self.records = self._place / "records"
        self.records.touch()
        control = self._place / "control"
        control.write_bytes(bytes(ctypes.sizeof(_Control)))
        with control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._control = _Control.from_buffer(self._map)
        self.environment = {
            "LD_PRELOAD": str(library()),
            "RECORDER_DIR": str(self.directory),
            "RECORDER_FILE": str(self.records),
            "RECORDER_CONTROL": str(control),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._place)

    def inject(
        self,
        calls: Call,
        error: int = 0,
        *,
        path: str = "",
        skip: int = 0,
        times: int = FOREVER,
        delay: float = 0,
        taken: int = -1,
    ) -> Fault:
        """Has calls on paths that hold `path` fail: `times` of them, after `skip` of them.

        error: an errno, 0: none; delay: seconds before; taken: bytes that a WRITE takes at most.
        """
        place = self._control.rules
        assert place < RULES, "too many faults"
        rule = self._control.rule[place]
        rule.ops, rule.hits, rule.skip, rule.times = calls, 0, skip, times
        rule.error, rule.delay_us, rule.bytes = error, int(delay * 1e6), taken
        rule.path = path.encode()
        self._control.rules = place + 1
        return Fault(rule)

    @contextmanager
    def fault(self, calls: Call, error: int = 0, **rest) -> Iterator[Fault]:
        """A fault for the length of a `with` block; see `inject`."""
        place = self._control.rules
        injected = self.inject(calls, error, **rest)
        try:
            yield injected
        finally:
            injected.end()
            if self._control.rules == place + 1:
                self._control.rules = place

    def events(self) -> list[Event]:
        """All records so far."""
        return list(parsed(self.records.read_bytes()))


def parsed(data: bytes) -> Iterator[Event]:
    """The events in a file of records; ends before one that is not whole."""
    at = 0
    while at + _RECORD.size <= len(data):
        op, path, second, thread, size, inode, ns, where, length = _RECORD.unpack_from(data, at)
        first = at + _RECORD.size
        end = first + path + second + size
        if end > len(data):
            return
        names = os.fsdecode(data[first : first + path]), os.fsdecode(data[first + path : end - size])
        yield Event(Call(op), *names, data[end - size : end], inode, ns / 1e9, where, length, thread)
        at = end
