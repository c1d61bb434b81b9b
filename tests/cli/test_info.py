"""`rlite info` as people run it, and what its reader makes of a server's words."""

import csv
import io
import json
from typing import Any

import pytest
from support.raw_replication import MasterLink, RawMaster
from support.servers import Server, free_port
from support.tools import rlite

from rlite.cli.info_text import flat, parts, sections, typed


def shown(server: Server, *args: str, code: int = 0) -> str:
    done = rlite("info", "-p", server.port, *args)
    assert done.returncode == code, done.stderr
    return done.stdout


def document(server: Server, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(server, *args, "-o", "json"))
    assert found["schema"] == "rlite.info/1"
    assert found["server"] == f"127.0.0.1:{server.port}"
    sections: dict[str, Any] = found["sections"]
    return sections


# --- the reader --------------------------------------------------------------------------------------------


def test_sections_and_their_fields_are_read_whatever_ends_the_lines() -> None:
    text = b"# Server\r\nredis_version:7.0.15\r\n\r\n# CPU\nused_cpu_sys:0.5\n# Empty\r\n"
    assert sections(text) == {
        "server": {"redis_version": "7.0.15"},
        "cpu": {"used_cpu_sys": "0.5"},
        "empty": {},
    }
    assert sections(b"a:1\r\n# B\r\nb:x:y\r\nnonsense\r\n") == {"": {"a": "1"}, "b": {"b": "x:y"}}
    assert flat(b"# A\r\na:1\r\n# B\r\nb:2") == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("used_memory", "1024", 1024),
        ("mem_fragmentation_ratio", "1.50", 1.5),
        ("second_repl_offset", "-1", -1),
        ("redis_version", "7.4", "7.4"),
        ("redis_git_sha1", "00000000", "00000000"),
        ("run_id", "1234", "1234"),
        ("process_id", "77", 77),
        ("master_host", "10", "10"),
        ("used_memory_peak_perc", "99.00%", "99.00%"),
        ("config_file", "", ""),
        ("executable", "/opt/a=b/redis", "/opt/a=b/redis"),
        ("total_system_memory", "99999999999999999999", "99999999999999999999"),
        ("db0", "keys=3,expires=0,avg_ttl=0", {"keys": 3, "expires": 0, "avg_ttl": 0}),
        ("cmdstat_get", "calls=1,usec_per_call=2.50", {"calls": 1, "usec_per_call": 2.5}),
        ("slave0", "ip=1.2.3.4,port=6380,state=online", {"ip": "1.2.3.4", "port": 6380, "state": "online"}),
        (
            "listener0",
            "name=tcp,bind=127.0.0.1,-::1,port=1",
            {"name": "tcp", "bind": "127.0.0.1,-::1", "port": 1},
        ),
    ],
)
def test_a_field_has_the_type_that_it_is_of(name: str, value: str, meant: object) -> None:
    found = typed(name, value)
    assert (type(found), found) == (type(meant), meant)


def test_what_is_no_list_of_parts_has_none() -> None:
    assert parts("tcp,port=1") == parts("") == parts("=,=") == {}


# --- the command -------------------------------------------------------------------------------------------


def test_the_document_holds_every_field_that_the_server_says(server: Server) -> None:
    found = document(server)
    with server.wire() as wire:
        wire.command("SET", "k", "v")
    assert found["server"]["tcp_port"] == server.port
    assert type(found["memory"]["used_memory"]) is int
    assert found["replication"]["role"] == "master"
    assert type(found["cpu"]["used_cpu_sys"]) is float
    assert document(server, "keyspace", "Replication").keys() == {"keyspace", "replication"}
    assert document(server, "keyspace")["keyspace"]["db0"]["keys"] == 1
    assert document(server, "everything")["commandstats"]["cmdstat_set"]["calls"] >= 1


def test_the_other_forms_hold_the_same(server: Server) -> None:
    fields = document(server, "replication")["replication"]
    lines = [json.loads(line) for line in shown(server, "replication", "-o", "ndjson").splitlines()]
    assert {line["name"]: line["value"] for line in lines} == fields
    assert {(line["schema"], line["section"]) for line in lines} == {("rlite.info.field/1", "replication")}
    rows = list(csv.DictReader(io.StringIO(shown(server, "replication", "-o", "csv"))))
    assert {row["name"]: row["value"] for row in rows} == {name: str(value) for name, value in fields.items()}
    table = shown(server, "replication").splitlines()
    assert table[0] == "replication"
    assert {line.split()[0] for line in table[1:]} == fields.keys()


def test_a_section_that_the_server_does_not_know_is_said_with_1(server: Server) -> None:
    done = rlite("info", "-p", server.port, "memory", "nosuch")
    assert done.returncode == 1
    assert done.stdout.startswith("memory\nused_memory ")
    assert done.stderr == f"rlite: 127.0.0.1:{server.port} says nothing of nosuch\n"


def test_a_server_that_is_not_there_is_said_with_3() -> None:
    done = rlite("info", "-p", free_port())
    assert (done.returncode, done.stdout) == (3, "")
    assert "could not connect" in done.stderr


def hostile(link: MasterLink) -> None:
    while link.command():
        text = b"# \x1b[31mBad\r\n\x07name:\x1b]0;x\x07\xff\r\n"
        link.send(b"$%d\r\n%s\r\n" % (len(text), text))


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv"])
def test_what_a_server_says_reaches_no_terminal_unescaped(form: str) -> None:
    with RawMaster(hostile) as fake:
        done = rlite("info", "-p", fake.address[1], "-o", form)
    assert done.returncode == 0, done.stderr
    assert not {"\x1b", "\x07"} & set(done.stdout)
