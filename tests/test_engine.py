"""The engine in process, and the pytest plugin, as a program would use them."""

import doctest
import threading

import pytest

import rlite.engine.engine
from rlite.engine import Engine
from rlite.engine.config import ConfigErrors
from rlite.engine.errors import CommandError

pytest_plugins = ["pytester"]


def test_the_examples_of_its_docstrings() -> None:
    assert doctest.testmod(rlite.engine.engine).failed == 0


def test_the_common_commands() -> None:
    with Engine() as engine:
        assert engine.get("k") is None
        assert engine.set("k", "v", ex=100)
        assert not engine.set("k", "w", nx=True)
        assert engine.get(b"k") == b"v"
        assert 99 <= engine.ttl("k") <= 100
        assert engine.persist("k")
        assert engine.ttl("k") == -1
        assert engine.append("k", "al") == 3
        assert engine.strlen("k") == 3
        assert engine.getdel("k") == b"val"
        assert engine.incr("n", 5) == 5
        assert engine.decr("n") == 4
        engine.mset({"a": 1, "b": 2.5})
        assert engine.mget("a", "b", "none") == [b"1", b"2.5", None]
        assert engine.exists("a", "b", "none") == 2
        assert engine.type("a") == "string"
        assert sorted(engine.scan_iter()) == [b"a", b"b", b"n"]
        assert engine.expire("a", 10)
        assert engine.pexpire("b", 10_000)
        assert engine.pttl("b") > 9000
        assert engine.delete("a", "b") == 2
        assert engine.dbsize() == 1
        engine.flushall()
        assert engine.dbsize() == 0


def test_any_command_and_its_errors() -> None:
    with Engine() as engine:
        assert engine.execute("PING") == "PONG"
        assert engine.execute("SET", "k", "text") == "OK"
        with pytest.raises(CommandError, match="not an integer"):
            engine.execute("INCR", "k")
        with pytest.raises(CommandError, match="unknown command"):
            engine.execute("NOSUCH")
        with pytest.raises(TypeError, match="bytes, str, int or float"):
            engine.execute("GET", None)  # type: ignore[arg-type]
        assert engine.execute("MULTI") == "OK"
        assert engine.execute("INCR", "k") == "QUEUED"
        assert engine.execute("GET", "k") == "QUEUED"
        error, value = engine.execute("EXEC")  # type: ignore[misc]
        assert isinstance(error, CommandError)
        assert value == b"text"


def test_directives_are_checked() -> None:
    with pytest.raises(ConfigErrors, match="maxmemory"):
        Engine(maxmemory="lots")
    with pytest.raises(ConfigErrors, match="nosuch"):
        Engine(nosuch=1)


def test_threads_share_the_data_and_not_their_transactions() -> None:
    with Engine() as engine:

        def work() -> None:
            for _ in range(200):
                engine.execute("MULTI")
                engine.execute("INCR", "n")
                engine.execute("EXEC")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.get("n") == b"800"


def test_a_deadline_passes_without_a_look() -> None:
    with Engine() as engine:
        engine.set("k", "v", px=20)
        gone = threading.Event()
        for _ in range(500):
            if engine.dbsize() == 0:
                gone.set()
                break
            gone.wait(0.01)
        assert gone.is_set()


def test_the_fixture_gives_each_test_an_empty_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import redis

        @pytest.mark.parametrize("turn", range(3))
        def test_empty(rlite_server, turn):
            client = redis.Redis(host=rlite_server.host, port=rlite_server.port)
            assert client.dbsize() == 0
            client.set("k", "v")

        @pytest.mark.rlite(maxmemory="1mb", databases=2)
        def test_directives(rlite_server):
            client = redis.Redis.from_url(rlite_server.url)
            assert client.config_get("maxmemory")["maxmemory"] == "1048576"
            with pytest.raises(redis.ResponseError):
                client.execute_command("SELECT", 2)
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)
