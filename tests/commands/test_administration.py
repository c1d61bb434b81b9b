"""INFO, DEBUG, MEMORY, SLOWLOG, SHUTDOWN and COMMAND DOCS."""

import pytest
from support.in_process import InProcess, started
from support.servers import Server, wait_for
from support.wire import Array, Bulk, Err, Int, Null, Simple, Wire

from rlite.engine.commands.syntax import Argument, arguments
from rlite.engine.observe.rates import Rates


def _info(wire: Wire, *sections: str) -> str:
    reply = wire.command("INFO", *sections)
    assert isinstance(reply, Bulk)
    return reply.data.decode()


def _headings(text: str) -> list[str]:
    return [line[2:] for line in text.split("\r\n") if line.startswith("# ")]


def test_info_gives_the_sections_asked_for_in_its_own_order(engine: InProcess) -> None:
    wire = engine.wire()
    assert _headings(_info(wire, "keyspace", "SERVER")) == ["Server", "Keyspace"]
    default, everything = _headings(_info(wire)), _headings(_info(wire, "everything"))
    assert "Commandstats" not in default
    assert set(everything) - set(default) == {"Commandstats", "Latencystats"}
    assert _info(wire, "nosuch") == ""


def test_an_empty_database_has_no_line(engine: InProcess) -> None:
    wire = engine.wire()
    assert _info(wire, "keyspace") == "# Keyspace\r\n"
    wire.command("SET", "k", "v")
    assert "db0:keys=1,expires=0,avg_ttl=0" in _info(wire, "keyspace")


def test_operations_per_second_follow_the_load(engine: InProcess) -> None:
    wire = engine.wire()

    def busy() -> bool:
        for _ in range(200):
            wire.command("PING")
        return "instantaneous_ops_per_sec:0\r" not in _info(wire, "stats")

    wait_for(busy, "a rate above zero")


def test_rates_are_means_of_sixteen_samples() -> None:
    rates = Rates()
    assert rates.sample(0.0, {"x": 0}) == {}
    assert rates.sample(0.5, {"x": 10}) == {"x": 20.0}
    assert rates.sample(1.0, {"x": 10}) == {"x": 10.0}
    assert rates.sample(1.5, {"x": 3}) == {"x": pytest.approx(20 / 3)}  # reset meanwhile
    for i in range(16):
        smooth = rates.sample(2.5 + i, {"x": 3})
    assert smooth == {"x": 0.0}


@pytest.mark.parametrize("mode", ["no", "local", "yes"])
def test_debug_is_shut_unless_allowed(mode: str) -> None:
    running = started(enable_debug_command=mode)
    try:
        reply = running.wire().command("DEBUG", "SLEEP", 0)
        assert isinstance(reply, Err) == (mode == "no")
    finally:
        running.close()


def test_equal_data_have_the_digest_of_redis(engine: InProcess, redis_peer: Server) -> None:
    ours = engine.wire()
    with redis_peer.wire() as theirs:
        for step in (
            ("SET", "a", "1"), ("SET", "b", "x" * 100), ("SET", "c", "v", "EX", 1000), ("SELECT", 3),
            ("SET", "a", "other"),
        ):  # fmt: skip
            for wire in (ours, theirs):
                assert wire.command(*step) == Simple(b"OK")
            assert ours.command("DEBUG", "DIGEST") == theirs.command("DEBUG", "DIGEST")
        for wire in (ours, theirs):
            wire.command("SELECT", 0)
        values = ("DEBUG", "DIGEST-VALUE", "a", "b", "c", "missing")
        assert ours.command(*values) == theirs.command(*values)


def test_memory_usage_grows_with_the_value(engine: InProcess) -> None:
    wire = engine.wire()
    assert wire.command("MEMORY", "USAGE", "k") == Null(b"$")
    wire.command("SET", "k", "x" * 10)
    small = wire.command("MEMORY", "USAGE", "k")
    wire.command("SET", "k", "x" * 10000)
    large = wire.command("MEMORY", "USAGE", "k", "SAMPLES", 5)
    assert isinstance(small, Int)
    assert isinstance(large, Int)
    assert 10 < small.value < 200 < 10000 < large.value


def test_the_slow_log_tells_who_was_slow(engine: InProcess) -> None:
    wire = engine.wire()
    wire.command("CLIENT", "SETNAME", "sleepy")
    assert wire.command("DEBUG", "SLEEP", "0.02") == Simple(b"OK")
    reply = wire.command("SLOWLOG", "GET", 1)
    assert isinstance(reply, Array)
    (entry,) = reply.items
    assert isinstance(entry, Array)
    assert entry.items[3] == Array((Bulk(b"DEBUG"), Bulk(b"SLEEP"), Bulk(b"0.02")))
    assert entry.items[5] == Bulk(b"sleepy")
    assert wire.command("SLOWLOG", "RESET") == Simple(b"OK")
    assert wire.command("SLOWLOG", "LEN") == Int(0)
    assert wire.command("SLOWLOG", "GET", -2) == Err(b"ERR count should be greater than or equal to -1")


def test_shutdown_stops_a_server_that_lives_in_a_process(engine: InProcess) -> None:
    wire = engine.wire()
    wire.send("SHUTDOWN", "NOSAVE")
    assert wire.read_to_end() == b""
    assert engine.server.stopped.wait(10)


@pytest.mark.parametrize(
    ("syntax", "wanted"),
    [
        ("GET key", (Argument("key", "key"),)),
        ("MGET key [key ...]", (Argument("key", "key", multiple=True),)),
        ("X [COUNT count]", (Argument("count", "integer", "COUNT", optional=True),)),
        ("X [REPLACE]", (Argument("replace", "pure-token", "REPLACE", optional=True),)),
        (
            "X key value [key value ...]",
            (
                Argument(
                    "key_value", "block", multiple=True,
                    parts=(Argument("key", "key"), Argument("value", "string")),
                ),
            ),
        ),
        (
            "X [TYPE (A | B)]",
            (
                Argument(
                    "a_b", "oneof", "TYPE", optional=True,
                    parts=(Argument("a", "pure-token", "A"), Argument("b", "pure-token", "B")),
                ),
            ),
        ),
    ],
)  # fmt: skip
def test_a_syntax_is_read_into_arguments(syntax: str, wanted: tuple[Argument, ...]) -> None:
    assert arguments(syntax, syntax.split(maxsplit=1)[0]) == wanted


@pytest.mark.parametrize("syntax", ["X [a", "X a]", "X (a | b"])
def test_unbalanced_brackets_are_found(syntax: str) -> None:
    with pytest.raises(ValueError, match=r"bracket"):
        arguments(syntax, "X")
