"""The server's own log: its three forms, and who it says the server is."""

import json
import logging
import re
import shlex
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.servers import start_rlite

from rlite.engine.logs import FORMATS, JsonLines, LogfmtLines, RedisLines

FIELDS = ["time", "level", "logger", "pid", "role", "thread", "message"]


def record(text: str, level: int = logging.INFO, *, fault: bool = False) -> logging.LogRecord:
    info = None
    if fault:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord("rlite", level, __file__, 1, "%s", (text,), info)


@given(st.text())
def test_an_event_is_one_line_of_json_whatever_is_in_it(text: str) -> None:
    line = JsonLines().format(record(text))
    assert len(line.splitlines()) == 1
    document = json.loads(line)
    assert list(document) == FIELDS
    assert document["message"] == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_an_event_is_one_line_of_logfmt_whatever_is_in_it(text: str) -> None:
    line = LogfmtLines().format(record(text))
    assert len(line.splitlines()) == 1
    value = line.partition(" message=")[2]
    assert (json.loads(value) if value.startswith('"') else value) == text


def test_a_traceback_is_a_field_of_its_own() -> None:
    document = json.loads(JsonLines().format(record("it broke", logging.ERROR, fault=True)))
    assert list(document) == [*FIELDS, "exception"]
    assert document["level"] == "error"
    assert document["exception"].startswith("Traceback")
    assert document["exception"].endswith("ValueError: two\nlines")
    assert "\n" not in LogfmtLines().format(record("it broke", fault=True))


@pytest.mark.parametrize(
    ("level", "name"),
    [(logging.DEBUG, "debug"), (15, "verbose"), (logging.INFO, "notice"), (logging.WARNING, "warning")],
)
def test_levels_have_the_names_of_the_directive(level: int, name: str) -> None:
    assert json.loads(JsonLines().format(record("text", level)))["level"] == name


def test_times_are_of_utc_and_to_the_millisecond() -> None:
    event = record("text")
    stamp = json.loads(JsonLines().format(event))["time"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert abs(datetime.fromisoformat(stamp).timestamp() - event.created) < 0.002


@pytest.mark.parametrize("form", FORMATS)
def test_a_line_says_which_role_the_server_has(form: str) -> None:
    line = FORMATS[form](lambda: "S").format(record("text"))
    assert {"redis": ":S ", "json": '"role":"replica"', "logfmt": " role=replica "}[form] in line


def test_redis_lines_are_redis_lines() -> None:
    line = RedisLines().format(record("Ready to accept connections", logging.WARNING))
    assert re.fullmatch(r"\d+:M \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} # Ready to accept connections", line)


def test_a_server_logs_json_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    server = start_rlite(tmp_path, {"log-format": "json"})
    wire = server.wire()
    wire.command("REPLICAOF", "127.0.0.1", "1")
    assert server.stop() == 0
    events = [json.loads(line) for line in server.log().splitlines()]
    assert events[0]["role"] == "master"
    assert events[-1]["message"] == "bye"
    assert events[-1]["role"] == "replica"
    assert all(each["pid"] == server.pid for each in events)


def test_a_server_logs_logfmt(tmp_path: Path) -> None:
    server = start_rlite(tmp_path, {"log-format": "logfmt"})
    server.stop()
    for line in server.log().splitlines():
        fields = dict(word.split("=", 1) for word in shlex.split(line))
        assert list(fields) == FIELDS
