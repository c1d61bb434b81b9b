"""A TCP proxy between two servers of a test, which is told to do to their link what networks do to links.

One thread of the test's process serves all connections of a proxy. It forwards; on command it delays, holds
everything back without closing (a half-open link), cuts with a reset, cuts after so many bytes or once a
pattern has passed, or lets through no more than a rate. Knows nothing of what the bytes mean.

    with Proxy(master.address) as proxy:
        replica.command("REPLICAOF", *proxy.address)
        cut = proxy.cut_on("server", b"+CONTINUE", after=20)
        proxy.cut()
        cut.wait("the partial resync begins")
"""

import selectors
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

Side = Literal["client", "server"]  # whose bytes: the client connected to the proxy, the proxy to the server
CHUNK = 1 << 16
HELD = 1 << 20  # bytes of one direction in the proxy; then it reads no more, and TCP holds the sender back
RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class Cut:
    """A cut that is to come, once. after: bytes of that side, from the end of the pattern if there is one."""

    side: Side
    pattern: bytes
    after: int
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, what: str, *, seconds: float = 20.0) -> None:
        assert self.done.wait(seconds), f"not cut within {seconds} s: {what}"


@dataclass(slots=True, eq=False)
class _Way:
    """One direction of one link. held: what came, and when it may go on; passed: bytes sent on; tail: the
    last of them, where a pattern may have begun; armed: the cut that counts here, and bytes left to it.
    """

    side: Side
    source: socket.socket
    sink: socket.socket
    held: deque[tuple[float, bytes]] = field(default_factory=deque)
    size: int = 0
    passed: int = 0
    tail: bytes = b""
    armed: Cut | None = None
    left: int = -1
    ended: bool = False
    free_at: float = 0.0  # when the rate lets the next bytes go


@dataclass(slots=True, eq=False)
class _Link:
    ways: tuple[_Way, _Way]

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        return self.ways[0].source, self.ways[1].source


class Proxy:
    """target: where connections lead; may be set anew, for those that come later. delay: seconds that bytes
    take in each direction; rate: bytes a second that a direction lets through, None without limit.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.delay = 0.0
        self.rate: float | None = None
        self.accepted = 0  # connections so far
        self._refusing = self._frozen = False
        self._links: list[_Link] = []
        self._cuts: list[Cut] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._alarm, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._ending = False
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        return self.address[1]

    @property
    def links(self) -> int:
        """How many connections there are now."""
        with self._lock:
            return len(self._links)

    @property
    def passed(self) -> int:
        """Bytes that have gone through the connections of now, from the servers."""
        with self._lock:
            return sum(link.ways[1].passed for link in self._links)

    def cut(self) -> int:
        """Resets all connections; returns how many."""
        with self._lock:
            found = list(self._links)
            for link in found:
                self._reset(link)
            return len(found)

    def cut_after(self, side: Side, count: int) -> Cut:
        """Resets a connection when so many more bytes of one side have passed: exactly so many arrive."""
        return self._arm(Cut(side, b"", count))

    def cut_on(self, side: Side, pattern: bytes, *, after: int = 0) -> Cut:
        """Resets a connection when a pattern has passed whole, and so many bytes more."""
        return self._arm(Cut(side, pattern, after))

    def disarm(self, cut: Cut) -> None:
        """Forgets a cut that has not come."""
        with self._lock:
            if cut in self._cuts:
                self._forget(cut)

    def freeze(self) -> None:
        """Forwards nothing more, and closes nothing: neither side hears of it."""
        with self._lock:
            self._frozen = True

    def thaw(self) -> None:
        """Goes on where `freeze` left off; nothing is lost."""
        with self._lock:
            self._frozen = False
        self._wake()

    def refuse(self) -> None:
        """Cuts, and resets every new connection until `admit`."""
        with self._lock:
            self._refusing = True
        self.cut()

    def admit(self) -> None:
        with self._lock:
            self._refusing = False

    def close(self) -> None:
        self._ending = True
        self._wake()
        self._thread.join()
        self.cut()
        for each in (self._listener, self._alarm, self._woken):
            each.close()

    # --- below: on the proxy's thread, or under its lock ---

    def _arm(self, cut: Cut) -> Cut:
        with self._lock:
            self._cuts.append(cut)
            for link in self._links:
                self._take_cuts(link)
        self._wake()
        return cut

    def _take_cuts(self, link: _Link) -> None:
        for cut in self._cuts:
            for way in link.ways:
                if way.side == cut.side and way.armed is not cut:
                    assert way.armed is None, "one cut at a time for a side"
                    way.armed, way.left, way.tail = cut, (-1 if cut.pattern else cut.after), b""

    def _wake(self) -> None:
        self._alarm.send(b"!")

    def _serve(self) -> None:
        while not self._ending:
            with self._lock:
                selector, wait = self._interests()
            with selector:
                events = selector.select(wait)
            with self._lock:
                for key, mask in events:
                    if key.data is None:
                        self._accept(key.fd)
                    elif mask & selectors.EVENT_READ:
                        link, way = key.data
                        if link in self._links:
                            self._read(link, way)
                for link in list(self._links):
                    for way in link.ways:
                        if link in self._links:
                            self._write(link, way)

    def _interests(self) -> tuple[selectors.BaseSelector, float | None]:
        """What to wait for, and how long at most. A few sockets: made anew for each wait."""
        selector = selectors.DefaultSelector()
        selector.register(self._woken, selectors.EVENT_READ)
        selector.register(self._listener, selectors.EVENT_READ)
        wait: float | None = None
        if self._frozen:
            return selector, wait
        now = time.monotonic()
        for link in self._links:
            for way, back in (link.ways, link.ways[::-1]):
                due = max(way.held[0][0], way.free_at) if way.held else None
                events = selectors.EVENT_READ if way.size < HELD and not way.ended else 0
                if back.held and max(back.held[0][0], back.free_at) <= now:
                    events |= selectors.EVENT_WRITE  # the source here is the sink of the way back
                if events:
                    selector.register(way.source, events, (link, way))
                if due is not None and due > now:
                    wait = min(due - now, wait) if wait is not None else due - now
        return selector, wait

    def _accept(self, fd: int) -> None:
        if fd == self._woken.fileno():
            with suppress(BlockingIOError):
                self._woken.recv(CHUNK)
            return
        with suppress(BlockingIOError):
            client, _ = self._listener.accept()
            if self._refusing:
                _reset(client)
                return
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                _reset(client)
                return
            for each in (client, server):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link((_Way("client", client, server), _Way("server", server, client)))
            self._links.append(link)
            self.accepted += 1
            self._take_cuts(link)

    def _read(self, link: _Link, way: _Way) -> None:
        try:
            data = way.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._reset(link)
            return
        if not data:
            way.ended = True
            return
        way.held.append((time.monotonic() + self.delay, data))
        way.size += len(data)

    def _write(self, link: _Link, way: _Way) -> None:
        now = time.monotonic()
        while way.held and not self._frozen and max(way.held[0][0], way.free_at) <= now:
            due, data = way.held[0]
            if self.rate is not None:
                data = data[: max(1, int(self.rate / 50))]  # fifty steps a second
            data, cut = self._up_to_cut(way, data)
            try:
                sent = way.sink.send(data) if data else 0
            except BlockingIOError:
                return
            except OSError:
                self._reset(link)
                return
            self._count(way, data[:sent])
            rest = way.held[0][1][sent:]
            way.held.popleft()
            if rest:
                way.held.appendleft((due, rest))
            if self.rate is not None:
                way.free_at = now + sent / self.rate
            if cut and sent == len(data):
                self._fire(link, way)
                return
        if way.ended and not way.held:
            self._finish(link, way)

    def _up_to_cut(self, way: _Way, data: bytes) -> tuple[bytes, bool]:
        """What may be sent of some bytes, and whether the link is cut behind them."""
        cut = way.armed
        if cut is None:
            return data, False
        if way.left < 0:
            at = (way.tail + data).find(cut.pattern)
            if at < 0:
                return data, False
            # What follows the pattern is counted when it has gone.
            left = at + len(cut.pattern) - len(way.tail) + cut.after
        else:
            left = way.left
        return data[:left], left <= len(data)

    def _count(self, way: _Way, sent: bytes) -> None:
        way.passed += len(sent)
        way.size -= len(sent)
        cut = way.armed
        if cut is None:
            return
        if way.left >= 0:
            way.left -= len(sent)
            return
        seen = way.tail + sent
        at = seen.find(cut.pattern)
        if at >= 0:
            way.left = cut.after - (len(seen) - at - len(cut.pattern))
        way.tail = seen[-(len(cut.pattern) - 1) :] if len(cut.pattern) > 1 else b""

    def _fire(self, link: _Link, way: _Way) -> None:
        cut = way.armed
        assert cut is not None
        self._forget(cut)
        self._reset(link)
        cut.done.set()

    def _forget(self, cut: Cut) -> None:
        self._cuts.remove(cut)
        for link in self._links:
            for way in link.ways:
                if way.armed is cut:
                    way.armed, way.left = None, -1

    def _finish(self, link: _Link, way: _Way) -> None:
        with suppress(OSError):
            way.sink.shutdown(socket.SHUT_WR)
        if all(each.ended and not each.held for each in link.ways):
            self._links.remove(link)
            for each in link.sockets():
                each.close()

    def _reset(self, link: _Link) -> None:
        self._links.remove(link)
        for each in link.sockets():
            _reset(each)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()
