"""aof-check: megabytes a second and peak memory, for small records and large ones.

Makes segments of SETs (60-byte and 1-KiB records), and runs `rlite aof-check` on each as a process of its
own: the time is that of the whole command, its start included; the peak is VmHWM of that process.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.logs import Log, resp

from bench.common import Options, Result, median
from rlite.engine.core.records import sealed

SIZES = {"60 B": 60, "1 KiB": 1024}
BYTES = 256 << 20
EMPTY = 32  # bytes of a record around its RESP
PROGRAM = (
    "import sys\n"
    "from rlite.cli.main import run\n"
    "code = run(['aof-check', '-o', 'json', *sys.argv[1:]])\n"
    "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
    "print(status['VmHWM'].split()[0], file=sys.stderr)\n"
    "sys.exit(code)\n"
)


def measure(options: Options) -> Result:
    """The table: one row a size of records and a depth."""
    rows: list[tuple[str, ...]] = []
    data: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="rl-bench-") as directory:
        for name, size in SIZES.items():
            path = Path(directory) / f"bench.{size}.aof"
            written = _fill(path, size)
            for depth in ((), ("--deep",)):
                runs = [_run(path, depth) for _ in range(min(options.runs, 3))]
                speed = median(written / seconds / 1e6 for seconds, _ in runs)
                peak = max(kib for _, kib in runs)
                label = f"{name}{' --deep' if depth else ''}"
                rows.append((label, f"{written / 1e6:.0f}", f"{speed:.0f}", f"{peak / 1024:.0f}"))
                data[label] = {"bytes": written, "mb_per_second": speed, "peak_kib": peak, "runs": runs}
            path.unlink()
    return Result("checking", ("records", "MB", "MB/s", "peak MiB"), rows, data)


def _fill(path: Path, size: int) -> int:
    """A segment of records of about this size. Returns its bytes."""
    log = Log()
    seed, offset, number = log.header.seed, 0, 0
    value = b"v" * max(size - EMPTY - len(resp("SET", "k0000000", "")) - 2, 1)
    with path.open("wb") as file:
        file.write(log.data)
        while file.tell() < BYTES:
            parts = []
            for _ in range(10_000):
                command = b"*3\r\n$3\r\nSET\r\n$8\r\nk%07d\r\n$%d\r\n%b\r\n" % (number, len(value), value)
                parts.append(sealed(command, offset, log.ms, 0, seed))
                offset += len(command)
                number += 1
            file.write(b"".join(parts))
        os.fsync(file.fileno())
        return file.tell()


def _run(path: Path, depth: tuple[str, ...]) -> tuple[float, int]:
    """(seconds, peak KiB) of one check."""
    began = time.perf_counter()
    command = [sys.executable, "-P", "-c", PROGRAM, *depth, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, int(done.stderr.split()[-1])
