"""One server a directory: `rlite.lock` in it is locked by whoever writes there, and holds its process id.

The lock is the kernel's (flock): it goes with the process, however that ends, and a stale file means nothing.
A forked child lets go of its copy, so that it does not hold the directory when its parent has died.
"""

import contextlib
import fcntl
import os
import weakref
from pathlib import Path

from rlite.engine.errors import RliteError

NAME = "rlite.lock"


class LockedError(RliteError):
    """A live server has the directory. pid: its process id, 0: unknown."""

    def __init__(self, directory: Path, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{directory / NAME} is locked by {who}: a server is using this directory. "
            f"Stop it, or give this one another `dir`"
        )
        self.pid = pid


class DirectoryLock:
    """Holds a directory until `release`. Raises LockedError, OSError."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid_in(self._descriptor)
            os.close(self._descriptor)
            raise LockedError(directory, pid) from None
        except OSError:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        _held.add(self)

    def release(self) -> None:
        """Lets others have it. May be called again, to no effect."""
        _held.discard(self)
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # for a child that has just been forked as well
        self.forget()

    def forget(self) -> None:
        """Closes the descriptor; in a forked child the parent keeps the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_held: "weakref.WeakSet[DirectoryLock]" = weakref.WeakSet()


def forget_all() -> None:
    """In a forked child: the locks are the parent's."""
    for lock in list(_held):
        lock.forget()


os.register_at_fork(after_in_child=forget_all)


def holder(directory: Path) -> int | None:
    """The process id of the server that has a directory, 0 where it is unknown; None: nobody has it."""
    try:
        descriptor = os.open(directory / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in(descriptor)
    finally:
        os.close(descriptor)
    return None


def _pid_in(descriptor: int) -> int:
    with contextlib.suppress(ValueError, OSError):
        return int(os.pread(descriptor, 32, 0))
    return 0
