"""The API's server: a thread with a loop and sockets of its own, and the threads its handlers run in.

What clients of RESP do goes on without it: it takes the interpreter's lock in turns as any thread does, four
threads of it at most, and lets in so many connections and no more. Slow senders and readers are cut off.
"""

import asyncio
import functools
import json
import logging
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rlite.engine.http import problems
from rlite.engine.http.api import Api
from rlite.engine.http.app import make_app
from rlite.engine.http.guarding import MAX_HEAD
from rlite.engine.http.problems import ProblemError
from rlite.engine.http.routes import Place

log = logging.getLogger("rlite")
MAX_CONNECTIONS = 64
HEAD_SECONDS = 10.0  # in which they must have come
KEEP_ALIVE_SECONDS = 75
READ_SECONDS = 30.0  # how long a peer may let its answer wait
LINGER_SECONDS = 1.0  # how long a connection that is refused is read from
COMMAND_THREADS = 2
START_SECONDS = 10.0
STOP_SECONDS = 2  # answers under way have so long when the server stops


class Connection(H11Protocol):
    """One connection, bounded in time."""

    def __init__(self, api: Api, **more: Any) -> None:
        super().__init__(**more)
        self._api = api
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None  # set once it is refused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._api.connections = len(self.connections)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(
                ProblemError(503, "TOO_MANY_CONNECTIONS", f"the API takes {MAX_CONNECTIONS} at a time")
            )
        else:
            self._time_head()

    def data_received(self, data: bytes) -> None:
        if self._end_timer is None:
            super().data_received(data)
            self._time_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.trailing_data[0]:  # the beginning of a further request has come with the one before
            self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._api.connections = len(self.connections)
        for timer in (self._head_timer, self._read_timer, self._end_timer):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_timer = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - says less than we do
        self._refuse(
            ProblemError(400, "BAD_REQUEST", f"this is no HTTP request, or its head exceeds {MAX_HEAD} bytes")
        )

    def _time_head(self) -> None:
        """A head is being waited for: it has its time."""
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self._head_timer is None and self.conn.our_state is h11.IDLE:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._late)
        elif not waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(ProblemError(408, "TOO_SLOW", f"no request came within {HEAD_SECONDS:g} s"))

    def _refuse(self, problem: ProblemError) -> None:
        """Says why, and ends the connection: a little later, so that what still comes in does not have the
        system throw away what is on its way to the peer.
        """
        if self.transport.is_closing() or self._end_timer is not None:
            return
        document = json.dumps(problem.document()).encode()
        head = (
            f"HTTP/1.1 {problem.status} {problem.document()['title']}\r\n"
            f"Content-Type: {problems.MEDIA_TYPE}\r\nContent-Length: {len(document)}\r\n"
            f"Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + document)
        self.transport.write_eof()
        self._end_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


class HttpServer:
    """The API of one server on these listening sockets. `start` returns when it answers; `stop` when its
    threads have ended. Raises RuntimeError from `start` where it does not come up.
    """

    def __init__(self, api: Api, listeners: Sequence[socket.socket]) -> None:
        self._listeners = list(listeners)
        self._executors = {
            Place.LOOKING: ThreadPoolExecutor(1, "http-looking"),
            Place.COMMANDS: ThreadPoolExecutor(COMMAND_THREADS, "http-commands"),
        }
        app = make_app(api, self._executors)
        settings = uvicorn.Config(
            app, http=functools.partial(Connection, api), ws="none", lifespan="off", log_config=None,  # type: ignore[arg-type]
            log_level="critical", access_log=False, server_header=False, proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=STOP_SECONDS,
            h11_max_incomplete_event_size=MAX_HEAD,
        )  # fmt: skip
        self._server = uvicorn.Server(settings)
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._started.wait(START_SECONDS)
        if not self._server.started:
            raise RuntimeError("the HTTP API did not start")

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        for executor in self._executors.values():
            executor.shutdown(cancel_futures=True)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        except Exception:
            log.exception("the HTTP API has ended by a fault")
        finally:
            self._started.set()

    async def _serve(self) -> None:
        serving = asyncio.ensure_future(self._server.serve(sockets=self._listeners))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.001)
        self._started.set()
        await serving
