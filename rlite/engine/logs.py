"""The server's log lines: in the shape that log shippers know from Redis, as JSON, or as logfmt.

Set up once by whoever runs a server as a program; a server in process logs through the `rlite` logger and
leaves the rest to the program it is in. One event is one line in JSON and logfmt, whatever is in it.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

LEVELS = {"debug": logging.DEBUG, "verbose": 15, "notice": logging.INFO, "warning": logging.WARNING,
          "nothing": logging.CRITICAL + 1}  # fmt: skip
MARKS = {logging.DEBUG: ".", 15: "-", logging.INFO: "*"}
NAMES = {logging.DEBUG: "debug", 15: "verbose", logging.INFO: "notice", logging.WARNING: "warning"}
ROLES = {"M": "master", "S": "replica"}

Role = Callable[[], str]  # M or S, as Redis's lines have it


def a_master() -> str:
    return "M"


class RedisLines(logging.Formatter):
    """`31337:M 23 Nov 2026 18:07:05.123 * Ready to accept connections`"""

    def __init__(self, role: Role = a_master) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%d %b %Y %H:%M:%S", time.localtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        mark = MARKS.get(record.levelno, "#")
        return f"{os.getpid()}:{self.role()} {stamp}.{int(record.msecs):03d} {mark} {text}"


def facts(formatter: logging.Formatter, record: logging.LogRecord, role: Role) -> dict[str, str | int]:
    """The fields of an event; their names stay as they are. time: UTC; exception: its traceback."""
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    found: dict[str, str | int] = {
        "time": stamp.replace("+00:00", "Z"),
        "level": NAMES.get(record.levelno, "error"),
        "logger": record.name,
        "pid": os.getpid(),
        "role": ROLES.get(role(), "master"),
        "thread": record.threadName or "",
        "message": record.getMessage(),
    }
    if record.exc_info:
        found["exception"] = formatter.formatException(record.exc_info)
    return found


class JsonLines(logging.Formatter):
    """One JSON object a line, its fields those of `facts`. ASCII only, so that no line end of Unicode and no
    broken text can end or spoil a line.
    """

    def __init__(self, role: Role = a_master) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(facts(self, record, self.role), separators=(",", ":"))


class LogfmtLines(logging.Formatter):
    """`time=… level=notice … message="Ready to accept connections"`, its fields those of `facts`."""

    def __init__(self, role: Role = a_master) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        fields = facts(self, record, self.role)
        return " ".join(f"{name}={quoted(str(value))}" for name, value in fields.items())


def quoted(text: str) -> str:
    """A value of logfmt: in quotes, with escapes, unless it is a plain word.

    >>> quoted("notice"), quoted("two words"), quoted("")
    ('notice', '"two words"', '""')
    """
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(' "=\\')
    return text if plain else json.dumps(text)


FORMATS = {"redis": RedisLines, "json": JsonLines, "logfmt": LogfmtLines}


def set_up(level: str, path: str, form: str = "redis") -> None:
    """Sends the log to a file, or to standard error where `path` is empty. form: a word of FORMATS."""
    handler: logging.Handler = logging.FileHandler(path) if path else logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[form]())
    logger = logging.getLogger("rlite")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(LEVELS[level])


def follow_role(role: Role) -> None:
    """Has lines say from here on which role the server has. role: is asked for each line."""
    for handler in logging.getLogger("rlite").handlers:
        if isinstance(handler.formatter, RedisLines | JsonLines | LogfmtLines):
            handler.formatter.role = role
