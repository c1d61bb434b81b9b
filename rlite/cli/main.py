"""The `rlite` entry point: finds the subcommand and imports it only then, so that `--version` stays fast."""

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from rlite.engine.version import REDIS_VERSION, RLITE_VERSION

        print(f"rlite {RLITE_VERSION} (Redis {REDIS_VERSION} compatible)")
        return
    from rlite.cli.serve import serve

    sys.exit(serve(sys.argv[2:]))
