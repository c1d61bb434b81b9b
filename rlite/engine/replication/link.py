"""The link to the master: one thread that connects, gets the data, and then lives on the stream.

It runs until another master is named, this server becomes one, or stops; what goes wrong in between is told
(INFO, log) and tried again. It holds no lock but while the data are exchanged or a command is applied.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING

from rlite.engine.commands.holding import everything_held
from rlite.engine.core.connection import Client
from rlite.engine.replication import adopting, handshake
from rlite.engine.replication.acknowledging import Acknowledging
from rlite.engine.replication.applying import Applying
from rlite.engine.replication.channel import Channel, EndedError, LinkError, connected
from rlite.engine.replication.handshake import Rest, Whole
from rlite.engine.replication.receiving import Transfer, receive

if TYPE_CHECKING:
    from rlite.engine.replication.following import Following, Master

LOG = logging.getLogger("rlite.replication")
CHUNK = 1 << 20  # bytes of the stream received at a time
ACK_SECONDS = 1.0
FIRST_RETRY_SECONDS = 0.1  # then twice as long after each try in vain, up to
RETRY_SECONDS = 1.0
# Between tries that cost the master a transfer: a file that cannot be used will mostly be so again.
LONGEST_RETRY_SECONDS = 8.0
COSTLY = frozenset({"data", "version", "disk"})


class State(Enum):
    """Where a link is, in the words of ROLE."""

    CONNECT = "connect"  # it is to connect
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    SYNC = "sync"  # the data come, or are being loaded
    CONNECTED = "connected"


class Link:
    """A link to one master. `start` after the one before it (if any) was told to end; `end` from any thread.

    down_since: Unix seconds, 0: it was never up; fault: why it is down, "" while it is up and before the
    first try; transfer: while data come; client: stands for the master in CLIENT LIST while it is connected.
    """

    def __init__(self, following: "Following", master: "Master") -> None:
        self.master = master
        self.state = State.CONNECT
        self.fault = ""
        self.down_since = 0.0
        self.transfer: Transfer | None = None
        self.loading = False
        self.client: Client | None = None
        self._following = following
        self._server = following.server
        self._channel: Channel | None = None
        self._applying: Applying | None = None
        self._acks: Acknowledging | None = None
        self._ended = threading.Event()
        self._woken, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._before: Link | None = None
        self._broken_at = -1  # the offset at which the stream made no sense, when it last did
        self._vain = 0  # tries in a row that brought nothing
        self._costly = 0  # tries in a row that failed after a transfer

    # --- for every thread ---

    def start(self, before: "Link | None" = None) -> None:
        """Begins, once `before` has ended."""
        self._before = before
        self._thread.start()

    def end(self) -> None:
        """Tells it to end, without waiting. What it has not applied by now it never will, if every lock is
        held by who calls this.
        """
        self._ended.set()
        applying = self._applying
        if applying is not None:
            applying.follower.end()
        with contextlib.suppress(OSError):  # it has ended meanwhile, and closed them
            self._wake.send(b"!")

    def _break(self) -> None:
        """Breaks the connection, if there is one."""
        channel = self._channel
        if channel is not None:
            channel.shut()

    def join(self, seconds: float | None = None) -> bool:
        """Waits for its end. False: it has not ended in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    @property
    def is_up(self) -> bool:
        return self.state is State.CONNECTED

    @property
    def last_io(self) -> float:
        """Monotonic seconds of the last byte of the stream; 0.0 while the link is down."""
        channel = self._channel
        return 0.0 if channel is None or not self.is_up else channel.last_io

    @property
    def read(self) -> int | None:
        """The offset behind what has come; None while the link is down."""
        applying = self._applying
        return None if applying is None else applying.follower.read

    # --- the thread ---

    def _run(self) -> None:
        if self._before is not None:
            self._before.join()
            self._before = None
        wait = 0.0
        try:
            while not self._ended.wait(wait):
                wait = self._try()
        except EndedError:
            pass
        finally:
            self._woken.close()
            self._wake.close()

    def _try(self) -> float:
        """Connects and follows until that breaks. Returns the seconds to wait before the next try."""
        began, offset = 0.0, self._server.log.offset
        try:
            self._mind_the_disk()
            self.state = State.CONNECTING
            with self._connected() as channel:
                self._channel = channel
                self.state = State.HANDSHAKE
                handshake.introduce(channel, self._server.config, self._server.port)
                takes_over = self._following.taking_over is not None
                answer = handshake.ask(channel, *self._asked(), takes_over=takes_over)
                self._following.answered("")
                self._begin(channel, answer)
                began = time.monotonic()
                self._costly = 0
                self._stream(channel)
        except LinkError as fault:
            self._tell(fault)
            self._following.answered(str(fault))
            if fault.word in COSTLY:
                return self._later()
        except EndedError:
            raise
        except Exception:
            LOG.exception("internal error in the link to the master %s", self.master)
            self.fault = "internal: an error of rlite; its log has the details"
            self._following.forget()
            return self._later()
        finally:
            self._go_down()
        if began:  # it was up: if it has lived for a while, or has brought anything, it is made again at once
            self._vain = 0
            useful = time.monotonic() - began > RETRY_SECONDS or self._server.log.offset > offset
            return 0.0 if useful else FIRST_RETRY_SECONDS
        self._vain += 1
        return float(min(RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(self._vain - 1, 8)))

    def _later(self) -> float:
        """Seconds to wait after a try that was in vain and cost much, twice as long after each in a row."""
        self._costly += 1
        return float(min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2 ** min(self._costly, 8)))

    def _connected(self) -> Channel:
        config = self._server.config
        timeout = config.int("repl-timeout")
        peer = connected(
            self.master.host, self.master.port, self._woken.fileno(), source=config.text("bind-source-addr"),
            seconds=timeout,
        )  # fmt: skip
        return Channel(peer, self._woken.fileno(), lambda: config.int("repl-timeout"))

    def _tell(self, fault: LinkError) -> None:
        """Says it once, not at each try."""
        if str(fault) != self.fault:
            LOG.warning("the link to the master %s is down: %s", self.master, fault)
        self.fault = str(fault)

    def _go_down(self) -> None:
        was_up, self.state = self.is_up, State.CONNECT
        if was_up:
            self.down_since = time.time()
            self._following.changed()
        self.transfer = None
        self.loading = False
        self._channel = self._applying = None
        client, self.client = self.client, None
        if client is not None:
            self._server.clients.pop(client.id, None)

    def _begin(self, channel: Channel, answer: Whole | Rest) -> None:
        """Has the data, as far as the stream goes on from."""
        if isinstance(answer, Whole):
            self._sync(channel, answer)
        else:
            self._go_on(answer)
        self._become_client(channel)
        self._applying = Applying(self._server, self._standing_in())
        if self.ended:  # before it could be told so
            raise EndedError
        self._acks = Acknowledging(self._server)
        self._acknowledge(channel)
        self.fault = ""
        self.state = State.CONNECTED
        self.transfer = None
        self._following.changed()

    def _go_on(self, answer: Rest) -> None:
        with everything_held(self._server):
            if self.ended:
                raise EndedError
            self._following.goes_on(answer)
        LOG.info("partial resync with %s, from offset %d", self.master, self._server.log.offset)

    def _asked(self) -> tuple[str, int]:
        """Where the data stand: once whoever gave this server its role has let go of the locks."""
        with everything_held(self._server):
            return self._following.asked()

    def _standing_in(self) -> Client:
        assert self.client is not None
        return self.client

    def _become_client(self, channel: Channel) -> None:
        client = Client()
        client.peer = "master"
        client.mailbox = self._mail
        client.address, client.local_address = channel.address, channel.local_address
        client.database = max(0, self._server.log.selected)
        self.client = client
        self._server.clients[client.id] = client

    def _mail(self, what: str, _client: Client, _argument: object = None) -> None:
        """What others want of the link as a client. CLIENT KILL breaks the connection; it comes back."""
        if what == "close":
            self._break()

    def _sync(self, channel: Channel, whole: Whole) -> None:
        self.state = State.SYNC
        self.transfer = transfer = Transfer()
        LOG.info("full resync from %s: history %s, offset %d", self.master, whole.history, whole.offset)
        try:
            with adopting.place_for(self._server.config.text("dir")) as file:
                try:
                    receive(channel, file.fileno(), transfer)
                finally:
                    self._following.received += transfer.read
                self.loading = True
                adopting.adopt(
                    self._server, file, whole, breathe=lambda: channel.offer(b"\n"),
                    ended=self._ended.is_set, begin=self._following.begins,
                )  # fmt: skip
        except OSError as fault:
            raise LinkError("disk", f"{fault.strerror or fault}") from None
        except MemoryError:
            raise LinkError("data", "there is not enough memory for the master's data") from None

    def _stream(self, channel: Channel) -> None:
        """Applies what comes, until the connection breaks."""
        applying = self._applying
        assert applying is not None
        buffer = memoryview(bytearray(CHUNK))
        due = time.monotonic() + ACK_SECONDS
        while True:
            limit = channel.last_io + self._server.config.int("repl-timeout")
            if channel.ready(min(due, limit)):
                n = channel.take(buffer)
                self._following.received += n
                try:
                    applying.feed(buffer[:n])
                except LinkError as fault:
                    self._judge_break(fault)
                    raise
                self._log_it()
            elif time.monotonic() >= limit:
                raise LinkError("timeout", "nothing came from the master for repl-timeout seconds")
            if applying.follower.asked or time.monotonic() >= due:
                applying.follower.asked = False
                self._acknowledge(channel)
                due = time.monotonic() + ACK_SECONDS

    def _judge_break(self, fault: LinkError) -> None:
        """The stream cannot be gone on with: what came before is kept, but where it breaks a second time all
        is asked for.
        """
        offset = self._server.log.offset
        if fault.word == "data" or offset == self._broken_at:
            self._following.forget()
        self._broken_at = offset

    def _log_it(self) -> None:
        """Has the log write what has just been applied; replicas of this server are sent it then."""
        log = self._server.log
        if not log.settle():
            self._mind_the_disk()
        assert self._acks is not None
        self._acks.note()

    def _mind_the_disk(self) -> None:
        """Raises LinkError while the log takes no more, and that is to stop this replica."""
        error = self._server.log.refusing
        if error and not self._server.config.flag("replica-ignore-disk-write-errors"):
            raise LinkError("disk", f"the log cannot be written: {os.strerror(error)}")

    def _acknowledge(self, channel: Channel) -> None:
        assert self._acks is not None
        channel.offer(self._acks.words(self._server.log.offset))
