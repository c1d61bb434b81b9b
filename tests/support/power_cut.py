"""What a disk may hold after a power cut, from a record of what was done to its files.

`Disk` follows the events of a recorder one by one. At any of them `states` gives directories that a cut at
that moment may leave behind, as POSIX allows it and careless file systems do it: whatever no fsync has made
durable may be there or not. Of a file: any subset of the 4 KiB blocks written since its last fsync, each as
any of the writes to it left it, with the size from before or after any of them; where data is missing
within that size stand zeros or what another file had there. Of a directory: any subset of the names made,
renamed and removed since the directory's last fsync; a rename is there or is not. The plain cases (nothing
of it, all of it, only names, only data, sizes without data) come first.

Pure data: reads the directory once at the start, and writes only where `State.write_to` is told to.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from support.recorder import Call, Event

BLOCK = 4096
DIRECTORY = -1  # stands for an inode where a name is a directory's


@dataclass(frozen=True, slots=True)
class State:
    """A directory after a cut. files: path and content; directories: paths; told: which case it is."""

    files: dict[str, bytes]
    directories: tuple[str, ...]
    told: str

    def write_to(self, directory: Path) -> None:
        for name in self.directories:
            (directory / name).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (directory / name).write_bytes(content)


@dataclass(frozen=True, slots=True)
class Change:
    """Data that is not durable yet: bytes at an offset, or (data None) a new size. doomed: an fsync has
    failed, so the system may have dropped it, and no later fsync brings it back.
    """

    event: int
    at: int
    data: bytes | None
    doomed: bool = False


@dataclass(slots=True)
class File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def apply(self, change: Change, to: bytearray) -> None:
        if change.data is None:
            del to[change.at :]
            to.extend(bytes(change.at - len(to)))
            return
        end = change.at + len(change.data)
        to.extend(bytes(max(0, end - len(to))))
        to[change.at : end] = change.data

    def sync(self, begun: int) -> None:
        """What was pending when an fsync began is durable."""
        left = []
        for change in self.pending:
            if change.event < begun and not change.doomed:
                self.apply(change, self.durable)
            else:
                left.append(change)
        self.pending = left

    def fail(self, begun: int) -> None:
        """What was pending when an fsync began that failed is never sure again."""
        self.pending = [
            replace(change, doomed=True) if change.event < begun else change for change in self.pending
        ]

    def prefix(self, count: int, torn: int | None = None) -> bytes:
        """With the first `count` of the pending changes, and the first `torn` bytes of the next."""
        content = bytearray(self.durable)
        for change in self.pending[:count]:
            self.apply(change, content)
        if torn is not None and count < len(self.pending):
            change = self.pending[count]
            if change.data is not None:
                self.apply(Change(change.event, change.at, change.data[:torn]), content)
        return bytes(content)

    def sizes(self) -> list[int]:
        """The sizes it has had since it was durable, that one first."""
        found = [len(self.durable)]
        for change in self.pending:
            end = change.at if change.data is None else max(found[-1], change.at + len(change.data))
            found.append(end)
        return found

    def blocks(self, chance: random.Random, kept: float | None, filler: bytes, size: int) -> bytes:
        """Each block that was touched as one of the writes to it left it.

        kept: how likely that is the newest, None: no write left anything; filler: what stands where nothing
        was written, from the file's start on.
        """
        content = bytearray(self.durable[:size])
        if len(content) < size:
            content += filler[len(content) : size]
            content += bytes(size - len(content))
        touching: dict[int, list[Change]] = {}
        for change in self.pending:
            if change.data is not None:
                last = change.at + max(len(change.data), 1) - 1
                for block in range(change.at // BLOCK, last // BLOCK + 1):
                    touching.setdefault(block, []).append(change)
        for block, changes in touching.items():
            newest = len(changes)
            older = chance.randint(0, newest - 1)
            count = 0 if kept is None else newest if chance.random() < kept else older
            for change in changes[:count]:
                assert change.data is not None
                begin, end = (
                    max(change.at, block * BLOCK),
                    min(change.at + len(change.data), (block + 1) * BLOCK),
                )
                end = min(end, size)
                if begin < end:
                    content[begin:end] = change.data[begin - change.at : end - change.at]
        return bytes(content)


@dataclass(slots=True)
class Naming:
    """Names that are not durable yet: they come or go together. changes: path and inode, None: removed."""

    event: int
    changes: dict[str, int | None]


def parent(path: str) -> str:
    return path.rpartition("/")[0]


class Disk:
    """The files of a directory: what of them is durable, and what is on its way.

    Begins with what lies there, all of it durable.
    """

    def __init__(self, directory: Path) -> None:
        self.root = directory
        self.files: dict[int, File] = {}
        self.names: dict[str, int] = {}  # durable
        self.pending: list[Naming] = []
        self.events = 0
        self._begun: dict[int, tuple[Event, int]] = {}  # fsyncs under way, by thread
        self._stale: list[bytes] = []  # what removed files held
        for path in sorted(directory.rglob("*")):
            name = str(path.relative_to(directory))
            self.names[name] = DIRECTORY if path.is_dir() else path.stat().st_ino
            if path.is_file():
                self.files[path.stat().st_ino] = File(bytearray(path.read_bytes()))

    def current(self) -> dict[str, int]:
        """The names as a running program sees them."""
        return self._named(self.pending)

    def _named(self, chosen: Iterable[Naming]) -> dict[str, int]:
        names = dict(self.names)
        for naming in chosen:
            for path, inode in naming.changes.items():
                if inode is None:
                    names.pop(path, None)
                else:
                    names[path] = inode
        return names

    def follow(self, event: Event) -> None:
        """Takes the next event."""
        number = self.events
        self.events += 1
        match event.call:
            case Call.OPEN:
                if event.made:
                    self.files[event.inode] = File()
                    self.pending.append(Naming(number, {event.path: event.inode}))
                else:
                    self._file(event).pending.append(Change(number, 0, None))
            case Call.WRITE:
                self._file(event).pending.append(Change(number, event.at, event.data))
            case Call.TRUNCATE:
                self._file(event).pending.append(Change(number, event.size, None))
            case Call.RENAME:
                self._file(event)
                self._forgotten(event.second)
                self.pending.append(Naming(number, {event.path: None, event.second: event.inode}))
            case Call.LINK:
                self.pending.append(Naming(number, {event.second: event.inode}))
            case Call.UNLINK | Call.RMDIR:
                self._forgotten(event.path)
                self.pending.append(Naming(number, {event.path: None}))
            case Call.MKDIR:
                self.pending.append(Naming(number, {event.path: DIRECTORY}))
            case Call.FSYNC:
                self._begun[event.thread] = (event, number)
            case Call.SYNCED:
                begun, at = self._begun.pop(event.thread)
                assert begun.inode == event.inode
                if event.at:
                    self._sync_directory(event.path, at)
                else:
                    self._file(event).sync(at)
            case Call.FAILED:
                begun, at = self._begun.pop(event.thread)
                if not event.at:
                    self._file(event).fail(at)
            case Call.UNSUPPORTED:
                raise AssertionError(f"a call on {event.path!r} that the recorder cannot follow")
            case _:
                pass

    def _file(self, event: Event) -> File:
        """The file of an event. One whose making was not seen (written by stdio) counts as durable as it
        is.
        """
        if event.inode not in self.files:
            path = self.root / (event.second or event.path)
            same = path.exists() and path.stat().st_ino == event.inode
            self.files[event.inode] = File(bytearray(path.read_bytes() if same else b""))
        return self.files[event.inode]

    def _forgotten(self, path: str) -> None:
        inode = self.current().get(path)
        if inode is not None and inode in self.files:
            self._stale = [*self._stale[-3:], self.files[inode].prefix(len(self.files[inode].pending))]

    def _sync_directory(self, path: str, begun: int) -> None:
        left = []
        for naming in self.pending:
            if naming.event < begun:
                for name in [name for name in naming.changes if parent(name) == path]:
                    inode = naming.changes.pop(name)
                    if inode is None:
                        self.names.pop(name, None)
                    else:
                        self.names[name] = inode
            if naming.changes:
                left.append(naming)
        self.pending = left

    # --- states after a cut ---------------------------------------------------------------------------------

    def states(self, chance: random.Random, count: int) -> Iterator[State]:
        """The plain cases, then `count` by chance."""
        every, none = list(self.pending), list[Naming]()
        yield self._state(none, lambda file: bytes(file.durable), "nothing that was not synced")
        if not every and not any(file.pending for file in self.files.values()):
            return
        yield self._state(every, lambda file: file.prefix(len(file.pending)), "all of it")
        yield self._state(every, lambda file: bytes(file.durable), "all names, no data")
        yield self._state(none, lambda file: file.prefix(len(file.pending)), "all data, no names")
        yield self._state(
            every, lambda file: file.blocks(chance, None, b"", max(file.sizes())), "sizes without data: zeros"
        )
        for turn in range(count):
            yield self._by_chance(chance, turn)

    def _by_chance(self, chance: random.Random, turn: int) -> State:
        if chance.random() < 0.3:  # names in their order, as journals keep them
            chosen = self.pending[: chance.randint(0, len(self.pending))]
        else:
            likely = chance.choice((0.2, 0.5, 0.8))
            chosen = [naming for naming in self.pending if chance.random() < likely]
        kept = chance.choice((0.0, 0.3, 0.7, 0.95))
        filler = b"" if chance.random() < 0.6 else chance.choice([b"", *self._stale])

        def content(file: File) -> bytes:
            if not file.pending:
                return bytes(file.durable)
            cut = chance.randint(0, len(file.pending))
            truncated = any(change.data is None for change in file.pending)
            if truncated or chance.random() < 0.4:
                torn = chance.choice((None, 1, 512, BLOCK, chance.randint(0, 3 * BLOCK)))
                return file.prefix(cut, torn)
            sizes = file.sizes()
            size = chance.choice((sizes[0], sizes[-1], sizes[-1], sizes[cut]))
            return file.blocks(chance, kept, filler, size)

        return self._state(chosen, content, f"by chance, {turn}")

    def _state(self, chosen: list[Naming], content, told: str) -> State:
        names = self._named(chosen)

        def reachable(path: str) -> bool:
            above = parent(path)
            return above == "" or (names.get(above) == DIRECTORY and reachable(above))

        contents: dict[int, bytes] = {}
        files = {}
        for path, inode in sorted(names.items()):
            if inode != DIRECTORY and reachable(path):
                if inode not in contents:
                    contents[inode] = content(self.files[inode]) if inode in self.files else b""
                files[path] = contents[inode]
        directories = tuple(
            path for path, inode in sorted(names.items()) if inode == DIRECTORY and reachable(path)
        )
        return State(files, directories, told)
