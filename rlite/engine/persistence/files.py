"""Files that must survive a power cut: the few steps that make a name and its content durable.

All that the engine writes in Python goes through here (the log's own appends are in core/log). Every function
raises OSError and leaves what was there before.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MODE = 0o600  # data files are their owner's alone


def sync_directory(path: Path) -> None:
    """Has the names in a directory reach the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Has what a file holds reach the disk, whoever wrote it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A new file, whole and on disk when the block ends; gone when it fails. Its name is not yet durable."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def put_in_place(part: Path, path: Path) -> None:
    """Gives a file that is on disk its name, in the place of what was there; that is durable afterwards."""
    part.rename(path)
    sync_directory(path.parent)


def part_of(path: Path, pid: int) -> Path:
    """What a child writes until it is whole: a name of its own, for a child may outlive its parent."""
    return path.with_name(f"{path.name}.part-{pid}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes a path's place, whole and on disk, when the block ends; not when it fails."""
    beside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with writing(beside) as file:
        yield file
    try:
        put_in_place(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def replace(path: Path, content: bytes) -> None:
    """Writes a small file whole, in the place of what was there."""
    with replacing(path) as file:
        file.write(content)
