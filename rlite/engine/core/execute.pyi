class CoreCommand:
    """One command of the core, callable with the GIL (the ordinary path)."""

    @property
    def name(self) -> str: ...

class CommandTable:
    """Commands by name, for the reactor. Filled once, before any thread reads it."""

    @property
    def names(self) -> list[str]: ...
    def add_counted(self, name: str) -> int: ...
    def add(
        self,
        name: str,
        arity: int,
        first_key: int,
        last_key: int,
        key_step: int,
        write: bool,
        denyoom: bool,
        core: CoreCommand | None = None,
    ) -> int: ...
