"""The configuration of one server: a typed value for every directive, where each came from, and its changes.

Reads are those of a mapping and never wait; changes are made whole or not at all. Files, flags and variables
are read by redisconf.py, which fills one of these.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rlite.engine import errors, values
from rlite.engine.core.glob import matches
from rlite.engine.directives import BY_NAME, DIRECTIVES, Directive, Kind, Support
from rlite.engine.errors import CommandError, RliteError, printable
from rlite.engine.values import parse_memory

__all__ = ["Config", "ConfigErrors", "ConfigProblem", "parse_memory", "unknown_directive"]

Callback = Callable[[object], None]


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong. where: `file:line`, a flag or a variable; allowed: what may stand there."""

    where: str
    directive: str
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.directive}: {self.message}" + (
            f" ({self.allowed})" if self.allowed else ""
        )


class ConfigErrors(RliteError):  # noqa: N818 -- it holds several
    """Everything that is wrong with a configuration, found in one reading."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


def unknown_directive(where: str, name: str) -> ConfigProblem:
    """A problem that says which directive was perhaps meant."""
    near = get_close_matches(name.lower(), BY_NAME, 1, 0.7)
    return ConfigProblem(where, name, "no such directive", f"did you mean {near[0]}?" if near else "")


def refusal(row: Directive, value: object) -> str:
    """Why rlite cannot have this value; empty where it can."""
    if row.support is not Support.REFUSED or (
        row.harmless is not None and values.show(row, value) == row.harmless
    ):
        return ""
    return row.reason


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _words_of(value: object) -> list[str]:
    """A value from a program, as words."""
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, (list, tuple)):
        return [str(word) for word in value]
    return [str(value)]


class Config(Mapping[str, object]):
    """Typed values by directive: `config["maxmemory"]`. Keyword arguments are directives with `_` for `-`.

    file: the redis.conf it came from, or "" ; warnings: what is odd and harmless. Raises ConfigErrors.
    """

    def __init__(self, **given: object) -> None:
        self._lock = threading.RLock()
        self._callbacks: defaultdict[str, list[Callback]] = defaultdict(list)
        self._values = {name: values.default(row) for name, row in DIRECTIVES.items()}
        self._origins: dict[str, str] = {}
        self.file = ""
        self.warnings: list[str] = []
        problems: list[ConfigProblem] = []
        for keyword, value in given.items():
            row = BY_NAME.get(keyword) or BY_NAME.get(keyword.replace("_", "-"))
            if row is None:
                problems.append(unknown_directive("argument", keyword))
                continue
            words = _words_of(value)
            if row.many and isinstance(value, str):
                words = value.split() or [""]
            problem = self.put(row, words, "argument")
            if problem is not None:
                problems.append(problem)
        problems += self.refusals()
        if problems:
            raise ConfigErrors(problems)

    # --- filling: before the server starts ---

    def put(
        self, row: Directive, words: Sequence[str], origin: str, *, adding: bool = False
    ) -> ConfigProblem | None:
        """Sets a directive as a line of a file does. adding: the same source said something of it before."""
        current = self._values[row.name] if adding or row.kind is Kind.LIMITS else None
        try:
            value = values.parse(row, words, current)
        except ValueError as fault:
            return ConfigProblem(origin, row.name, str(fault), row.allowed)
        self._values[row.name] = value
        self._origins[row.name] = origin
        return None

    def refusals(self) -> list[ConfigProblem]:
        """What of all this rlite cannot do. Asked when all sources are read: a later one may undo it."""
        return [
            ConfigProblem(self.origin(name), name, reason, f"allowed: {row.harmless or 'nothing'}")
            for name, row in DIRECTIVES.items()
            if name in self._origins and (reason := refusal(row, self._values[name]))
        ]

    # --- reading ---

    def __getitem__(self, name: str) -> object:
        value = self._values[BY_NAME[name].name]
        return value or _state_directory() if name == "dir" else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def text(self, name: str) -> str:
        """A value as CONFIG GET shows it."""
        return values.show(BY_NAME[name], self[name])

    def flag(self, name: str) -> bool:
        """The value of a yes-or-no directive."""
        value = self[name]
        assert isinstance(value, bool), name
        return value

    def words(self, name: str) -> list[str]:
        """The value of a directive of several words."""
        value = self[name]
        assert isinstance(value, list), name
        return value

    def master(self) -> tuple[str, int] | None:
        """Host and port of the server that this one is a replica of (`replicaof`); None: it is a master."""
        value = self["replicaof"]
        assert value is None or isinstance(value, tuple)
        return value

    def origin(self, name: str) -> str:
        """Where a value came from: `default`, `file:line`, a flag, a variable, `CONFIG SET`."""
        return self._origins.get(BY_NAME[name].name, "default")

    def is_default(self, name: str) -> bool:
        row = BY_NAME[name]
        return self._values[row.name] == values.default(row)

    @property
    def notes(self) -> list[str]:
        """Directives that are set to something and have no effect, as `name value`; secrets by name only,
        for this goes to the log.
        """
        return [
            name if row.sensitive else f"{name} {self.text(name)}"
            for name, row in DIRECTIVES.items()
            if row.support is Support.INERT and not self.is_default(name)
        ]

    def match(self, patterns: Sequence[bytes]) -> dict[str, str]:
        """CONFIG GET: what any of these globs names; what is no glob is shown as it was asked."""
        found: dict[str, str] = {}
        for pattern in patterns:
            if any(byte in b"*?[" for byte in pattern):
                names = [name for name in BY_NAME if matches(pattern, name.encode(), True)]
            else:
                names = [name for name in (_text(pattern).lower(),) if name in BY_NAME]
                found.update((name, _text(pattern)) for name in names if name not in found)
            for name in names:
                if BY_NAME[name].listed:
                    found.setdefault(name, name)
        return {said: self.text(name) for name, said in found.items() if BY_NAME[name].listed}

    # --- changing ---

    def subscribe(self, name: str, callback: Callback) -> None:
        """Has `callback(value)` called after each change; one that raises CommandError has it undone."""
        with self._lock:
            self._callbacks[BY_NAME[name].name].append(callback)

    def set_many(self, pairs: Sequence[tuple[bytes, bytes]], *, local: bool = True) -> None:
        """CONFIG SET: all or nothing. local: whether the client is on this machine. Raises CommandError."""
        with self._lock:
            before = dict(self._values)
            changed: dict[str, str] = {}
            for name, row, value in [self._checked(pairs, at, local) for at in range(len(pairs))]:
                try:
                    self._values = {**self._values, row.name: self._parsed(row, value)}
                    if row.name == "dir" and not Path(str(self._values["dir"])).is_dir():
                        raise ValueError(errors.CONFIG_NO_DIR)
                    if reason := refusal(row, self._values[row.name]):
                        raise ValueError(reason)
                except ValueError as fault:
                    self._values = before
                    raise CommandError(errors.CONFIG_SET_FAILED % (name, fault)) from None
                changed[row.name] = name
            self._apply(before, changed)
            self._origins.update(dict.fromkeys(changed, "CONFIG SET"))

    def set_master(self, master: tuple[str, int] | None) -> None:
        """REPLICAOF: what CONFIG GET replicaof shows and CONFIG REWRITE writes from now on. CONFIG SET cannot
        change it, so nobody is told; whoever calls does the rest.
        """
        with self._lock:
            self._values = {**self._values, "replicaof": master}
            self._origins["replicaof"] = "REPLICAOF"

    def _checked(
        self, pairs: Sequence[tuple[bytes, bytes]], at: int, local: bool
    ) -> tuple[str, Directive, bytes]:
        name = _text(pairs[at][0]).lower()
        row = BY_NAME.get(name)
        if row is None or not row.listed:
            raise CommandError(errors.CONFIG_UNKNOWN % printable(pairs[at][0]))
        protection = self["enable-protected-configs"]
        fault = ""
        if not row.mutable:
            fault = errors.CONFIG_IMMUTABLE
        elif row.protected and not (protection == "yes" or (protection == "local" and local)):
            fault = errors.CONFIG_PROTECTED
        elif any(name == _text(earlier).lower() for earlier, _ in pairs[:at]):
            fault = errors.CONFIG_DUPLICATE
        if fault:
            raise CommandError(errors.CONFIG_SET_FAILED % (name, fault))
        return name, row, pairs[at][1]

    def _parsed(self, row: Directive, raw: bytes) -> object:
        if not row.many:
            return values.parse(row, [_text(raw)])
        words = _text(raw).split(" ")  # as Redis does: here quotes mean nothing
        # A list of times is replaced, limits are changed class by class.
        current = self._values[row.name] if row.kind is Kind.LIMITS else None
        return values.parse(row, words, current)

    def _apply(self, before: dict[str, object], changed: dict[str, str]) -> None:
        told: list[tuple[Callback, str]] = []
        for name, said in changed.items():
            for callback in self._callbacks[name]:
                try:
                    callback(self[name])
                except CommandError as fault:
                    self._values = before
                    for earlier, its_name in reversed(told):
                        earlier(self[its_name])
                    detail = fault.text.removeprefix("ERR ")
                    raise CommandError(errors.CONFIG_SET_FAILED % (said, detail)) from None
                told.append((callback, name))

    def int(self, name: str) -> int:
        """The value of a directive that is a number."""
        value = self[name]
        assert type(value) is int, name
        return value


def _state_directory() -> str:
    from platformdirs import user_state_dir

    return user_state_dir("rlite")
