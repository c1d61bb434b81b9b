"""rlite: a Redis-compatible data engine that installs with pip, and the command-line tools around it.

The engine is `rlite.engine` (start with `from rlite.engine import Engine`), the tools are `rlite.cli`.
"""
