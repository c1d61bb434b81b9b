"""The engine: everything but the command line. `Engine` is its face for programs in the same process."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlite.engine.engine import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> object:
    """Imports `Engine` when it is asked for: the tools need parts of this package, and need them fast."""
    if name == "Engine":
        from rlite.engine.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
