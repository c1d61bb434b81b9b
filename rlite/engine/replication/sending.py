"""What one replica is sent once it has its data: the stream, from where it stands, for as long as it stays.

What memory no longer has comes from the log's files. Runs in a thread of the replica's own; holds no lock,
and the GIL only between two pieces.
"""

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rlite.engine.persistence.history import HistoryError, HistoryFiles
from rlite.engine.replication.replicas import Replica, State

if TYPE_CHECKING:
    from rlite.engine.replication.replicas import Replicas

LOG = logging.getLogger("rlite.replication")
LOOK_SECONDS = 0.1  # how soon a sender that waits for a socket sees that it is to stop


class LostError(Exception):
    """The replica cannot be sent anything any more; says why."""


def send(replica: Replica, data: "bytes | memoryview", patience: float) -> None:
    """Sends all of it. Raises LostError where the socket has ended, or has taken nothing for `patience`
    seconds.
    """
    view = memoryview(data)
    until = time.monotonic() + patience
    while view:
        if replica.gone:
            raise LostError("its connection has ended")
        try:
            view = view[os.write(replica.descriptor, view) :]
            until = time.monotonic() + patience
        except BlockingIOError:
            if time.monotonic() > until:
                raise LostError(f"it has taken nothing for {patience:g} seconds") from None
            poll = select.poll()
            poll.register(replica.descriptor, select.POLLOUT)
            poll.poll(LOOK_SECONDS * 1000)
        except OSError as fault:
            raise LostError(os.strerror(fault.errno or 0)) from None


def stream(
    replicas: "Replicas", replica: Replica, files: HistoryFiles | None, at: int, patience: float
) -> None:
    """Sends the stream from an offset on, until the connection ends. files: where it begins, if memory does
    not reach back so far; they are closed here. Raises LostError.
    """
    feed = replica.feed
    if files is not None:
        with files:
            catch_up(replicas, replica, files, at, patience)
    replica.state = State.ONLINE
    why = feed.run(replica.descriptor)
    if why == "overrun":
        raise LostError("it is further behind than client-output-buffer-limit replica allows")
    if why == "closed":
        raise LostError("its connection has ended")


def catch_up(replicas: "Replicas", replica: Replica, files: HistoryFiles, at: int, patience: float) -> None:
    """Sends from the files until memory has what comes next, which the feed then holds. Where they cannot be
    read on, nobody is led there again.
    """
    began, first = time.monotonic(), at
    try:
        files.seek(at)
        while not replica.feed.join(files.offset):
            data = files.read()
            if data:
                send(replica, data, patience)
            else:  # not written yet, and no longer in memory: the log will be, within its next look
                time.sleep(LOOK_SECONDS)
    except (HistoryError, OSError) as fault:
        replicas.unreadable_to = max(replicas.unreadable_to, files.offset)
        raise LostError(f"the log cannot be read: {fault}") from None
    LOG.info(
        "replica %s: %d bytes of the stream sent from the log's files in %.3f s",
        replica.name, files.offset - first, time.monotonic() - began,
    )  # fmt: skip


def serve(replicas: "Replicas", replica: Replica, do: Callable[[], bool]) -> None:
    """Has `do` run in a thread of the replica's own, and its connection end with it; but for False, which
    says that somebody else goes on with it.
    """
    replica.hold()

    def life() -> None:
        ends = True
        try:
            ends = do()
        except LostError as fault:
            if not replica.gone:
                LOG.warning("replica %s is let go: %s", replica.name, fault)
        except Exception:
            LOG.exception("internal error while a replica was served")
        finally:
            if ends:
                replica.feed.leave()
                replicas.drop(replica)
            replica.let_go()

    threading.Thread(target=life, name=f"replica-{replica.client.id}", daemon=True).start()
