"""How long `rlite --version` takes, from fork to exit."""

import subprocess
import time

from support.servers import rlite_program

from bench.common import Options, Result, median

TIMES = 20


def measure(_: Options) -> Result:
    """Wall time of a whole process; the first one, which may compile and read from disk, is not counted."""
    argv = [*rlite_program(), "--version"]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    taken: list[float] = []
    for _turn in range(TIMES):
        started = time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        taken.append((time.perf_counter() - started) * 1000)
    row = ("rlite --version", f"{median(taken):.1f}", f"{min(taken):.1f}", f"{max(taken):.1f}")
    return Result("version", ("ms", "median", "least", "most"), [row], {"ms": taken})
