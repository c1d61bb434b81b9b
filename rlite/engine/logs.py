"""The server's log lines, in the shape that log shippers know from Redis: `pid:M date * text`.

Set up once by whoever runs a server as a program; a server in process logs through the `rlite` logger and
leaves the rest to the program it is in.
"""

import logging
import os
import sys
import time

LEVELS = {"debug": logging.DEBUG, "verbose": 15, "notice": logging.INFO, "warning": logging.WARNING,
          "nothing": logging.CRITICAL + 1}  # fmt: skip
MARKS = {logging.DEBUG: ".", 15: "-", logging.INFO: "*"}


class RedisLines(logging.Formatter):
    """`31337:M 23 Nov 2026 18:07:05.123 * Ready to accept connections`"""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%d %b %Y %H:%M:%S", time.localtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{os.getpid()}:M {stamp}.{int(record.msecs):03d} {MARKS.get(record.levelno, '#')} {text}"


def set_up(level: str, path: str) -> None:
    """Sends the log to a file, or to standard error where `path` is empty."""
    handler: logging.Handler = logging.FileHandler(path) if path else logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedisLines())
    logger = logging.getLogger("rlite")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(LEVELS[level])
