"""The benchmarks, by one command: `python tests/bench/run.py [NAME ...] [--json FILE]`.

Starts our server and the machine's redis-server on loopback, measures them in turn, and prints tables of
medians; `--json` keeps every run. `--ours redis` measures redis-server against itself: the machine's noise.
"""

import sys

sys.path.pop(0)  # this folder: its types.py would be taken for Python's own

import argparse
import importlib
import json
import platform
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# One module each, imported when it is asked for; its first lines say what it measures, and how.
BENCHMARKS = (
    "throughput",
    "datatypes",
    "latency",
    "memory",
    "typememory",
    "expiry",
    "notifications",
    "fill",
    "loading",
    "threads",
    "snapshots",
    "durability",
    "version",
    "checking",
    "replication",
)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Benchmarks of rlite beside the machine's redis-server.")
    parser.add_argument("name", nargs="*", default=["all"], choices=[*BENCHMARKS, "all"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to this file")
    parser.add_argument("--ours", default="rlite", choices=["rlite", "redis"])
    parser.add_argument("--theirs", default="redis", choices=["rlite", "redis"])
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs (memory and fill: 3 at most)")
    parser.add_argument("--seconds", type=float, default=3.0, help="throughput: about how long one run takes")
    parser.add_argument("--pipelines", type=_numbers, default=(1, 16, 64), metavar="1,16,64")
    parser.add_argument("--tests", type=_words, default=("get", "set", "incr", "mset"), metavar="get,set,...")
    parser.add_argument("--keys", type=int, default=1_000_000, help="memory, expiry, ...: how many keys")
    parser.add_argument("--rate", type=int, default=100_000, help="replication: writes a second for the lag")
    parser.add_argument("--fill", type=int, default=10_000_000, help="fill: how many keys")
    parser.add_argument("--requests", type=int, default=1_000_000, help="latency: requests a run")
    parser.add_argument(
        "--cap", type=float, default=60.0, help="expiry: seconds until late keys are given up"
    )
    return parser


def main() -> None:
    """Run what was asked for, one after the other."""
    arguments = vars(_parser().parse_args())
    names, out = arguments.pop("name"), arguments.pop("json")
    sys.path.insert(0, str(TESTS))
    from bench.common import Options

    options = Options(**arguments)
    machine = {"system": platform.platform(), "python": platform.python_version(), "options": arguments}
    report: dict[str, object] = {"schema": "rlite-bench/1", "machine": machine}
    for name in BENCHMARKS if "all" in names else names:
        result = importlib.import_module(f"bench.{name}").measure(options)
        print(result.text(), flush=True)
        report[name] = result.data
        if out is not None:
            # After each benchmark, so that an interrupted run keeps what it has.
            out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
