from rlite.engine.core.execute import CoreCommand

COMMANDS: dict[str, CoreCommand]
