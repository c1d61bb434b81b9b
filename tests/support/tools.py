"""The command-line tools as people run them: the real program in pipes, or on a terminal of its own."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.servers import rlite_program

# Without what a developer may have set for the tools, on a terminal that knows how to clear a line.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("RLITE_YES", "RLITE_URL", "REDISCLI_AUTH")
} | {"TERM": "xterm"}
ESCAPES = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")


def rlite(
    *args: str | Path | int,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """One command line to its end, in pipes."""
    return subprocess.run(
        [*rlite_program(), *map(str, args)], capture_output=True, text=True, input=given, timeout=seconds,
        check=False, env={**ENVIRONMENT, **(environment or {})},
    )  # fmt: skip


@dataclass(slots=True, eq=False)
class Terminal:
    """A program on a terminal. shown: all that it has drawn so far, with the codes that move and colour."""

    process: subprocess.Popen[bytes]
    _main: int
    shown: bytes = b""

    def type(self, keys: bytes) -> None:
        os.write(self._main, keys)

    def wait_for(self, text: bytes, *, seconds: float = 20.0) -> None:
        """Reads until a text has been drawn."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} was not shown, only {self.shown[-2000:]!r}")

    def end(self, *, seconds: float = 60.0) -> int:
        """Reads to the end. Returns the exit code."""
        deadline = time.monotonic() + seconds
        while self._read(max(0.0, deadline - time.monotonic())):
            assert time.monotonic() < deadline, f"it has not ended: {self.shown[-2000:]!r}"
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    @property
    def text(self) -> str:
        """What it has drawn, without the codes."""
        return ESCAPES.sub(b"", self.shown).decode(errors="replace")

    def _read(self, seconds: float) -> bool:
        """Whether there may be more."""
        if not select.select([self._main], [], [], seconds)[0]:
            return False
        with suppress(OSError):  # Linux's way of telling that the program is gone
            data = os.read(self._main, 1 << 16)
            self.shown += data
            return bool(data)
        return False


@contextmanager
def on_terminal(
    *args: str | Path | int, environment: Mapping[str, str] | None = None, program: list[str] | None = None
) -> Iterator[Terminal]:
    """The program with a terminal for all three of its streams, gone at the end of the block."""
    main, other = pty.openpty()
    process = subprocess.Popen(
        [*(program or rlite_program()), *map(str, args)], stdin=other, stdout=other, stderr=other,
        env={**ENVIRONMENT, **(environment or {})}, start_new_session=True,
    )  # fmt: skip
    os.close(other)
    try:
        yield Terminal(process, main)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(main)
