"""`rlite serve`: the server in the foreground."""

import logging
import signal
import sys
from pathlib import Path

from rlite.engine.config import Config
from rlite.engine.errors import RliteError
from rlite.engine.server import Server


def serve(argv: list[str]) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit code."""
    options = dict(zip(argv[::2], argv[1::2], strict=False))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log = logging.getLogger("rlite")
    config = Config(port=int(options.get("--port", "6379")), io_threads=int(options.get("--io-threads", "1")))
    server = Server(config)
    done = server.asked_to_stop
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    sys.setswitchinterval(0.001)
    try:
        server.start()
    except RliteError as fault:
        log.error("%s", fault)
        return 3
    if "--port-file" in options:
        Path(options["--port-file"]).write_text(f"{server.port}\n")
    log.info("Ready to accept connections on port %d", server.port)
    while not done.wait(1):
        pass
    server.stop()
    log.info("bye")
    return 0
