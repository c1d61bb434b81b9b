"""Threads straight on the table, 80 % reads: sixteen stripes against one, and two threads against one.

The driver is compiled against the installed package when it is needed (tablethreads.pyx).
"""

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from bench.common import Options, Result, median
from rlite.engine.core.database import Database
from rlite.engine.core.keyspace import Keyspace

KEYS = 100_000
OPERATIONS = 4_000_000
CASES = {"1 stripe, 1 thread": (1, 1), "1 stripe, 2 threads": (1, 2), "16 stripes, 1 thread": (16, 1),
         "16 stripes, 2 threads": (16, 2)}  # fmt: skip

BUILD = """
from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["-O3", "-pthread"]
driver = Extension("tablethreads", [{source!r}], include_dirs=[{include!r}], extra_compile_args=flags)
setup(ext_modules=cythonize([driver], include_path=[{root!r}], quiet=True))
"""


def _driver() -> ModuleType:
    import rlite.engine.core

    directory = Path(tempfile.mkdtemp(prefix="rl-threads-"))
    source = shutil.copy(Path(__file__).with_name("tablethreads.pyx"), directory)
    include = str(Path(rlite.engine.core.__file__).parent)
    root = str(Path(rlite.engine.core.__file__).parents[3])
    (directory / "build.py").write_text(BUILD.format(source=str(source), include=include, root=root))
    build = [sys.executable, "build.py", "-q", "build_ext", "--inplace"]
    subprocess.run(build, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    (built,) = directory.glob("*.so")
    spec = spec_from_file_location("tablethreads", built)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rate(driver: ModuleType, stripes: int, threads: int) -> float:
    """Million operations a second of all threads together."""
    keyspace = Keyspace(1, stripes)
    db = Database(keyspace, 0)
    for n in range(KEYS):
        db.set(b"key:%d" % n, b"v" * 32)
    workers = [
        threading.Thread(target=driver.run, args=(keyspace, KEYS, OPERATIONS, 7919 * (n + 1)))
        for n in range(threads)
    ]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * OPERATIONS / (time.perf_counter() - started) / 1e6


def measure(options: Options) -> Result:
    """Medians of the rates, and of the ratios run by run."""
    driver = _driver()
    runs = [{name: _rate(driver, *case) for name, case in CASES.items()} for _ in range(options.runs)]
    rows = [(name, f"{median(run[name] for run in runs):.2f}") for name in CASES]
    two = "16 stripes, 2 threads"
    ratios = {
        "16 stripes to 1, two threads": [run[two] / run["1 stripe, 2 threads"] for run in runs],
        "two threads to one, 16 stripes": [run[two] / run["16 stripes, 1 thread"] for run in runs],
    }
    rows += [(name, f"{median(values):.2f} x") for name, values in ratios.items()]
    return Result(
        "threads", ("straight on the table, 80 % reads", "M/s"), rows, {"runs": runs, "ratios": ratios}
    )
