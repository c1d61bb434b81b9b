from rlite.engine.core.execute import CoreCommand

COMMANDS: dict[str, CoreCommand]

def sum_of_floats(a: bytes, b: bytes) -> bytes | None: ...
