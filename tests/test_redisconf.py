"""Files, variables and flags; what is wrong with them; and CONFIG REWRITE."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.servers import Server as Process

from rlite.engine import errors
from rlite.engine.config import Config, ConfigErrors
from rlite.engine.errors import CommandError
from rlite.engine.redisconf import SIGNATURE, load, parse_serve_args, rewrite

# The file Debian installs.
STOCK = Path("/etc/redis/redis.conf")


def written(folder: Path, text: str, name: str = "r.conf") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def problems(path: Path | None = None, flags: list[tuple[str, list[str]]] = [], **environ: str) -> list[str]:  # noqa: B006
    with pytest.raises(ConfigErrors) as caught:
        load(path, flags, environ)
    assert all("\n" not in str(problem) for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


# --- sources ---


def test_a_flag_wins_over_a_variable_over_a_file_over_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, "timeout 1\nhz 20\nmaxclients 7\n")
    config = load(path, [("timeout", ["3"])], {"RLITE_TIMEOUT": "2", "RLITE_HZ": "30"})
    assert [config["timeout"], config["hz"], config["maxclients"], config["databases"]] == [3, 30, 7, 16]
    assert [config.origin(name) for name in ("timeout", "hz", "maxclients", "databases")] == [
        "--timeout", "RLITE_HZ", f"{path}:3", "default",
    ]  # fmt: skip


def test_a_file_is_read_as_redis_reads_it(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '# comment\n\n  TIMEOUT 5  \r\nrequirepass "a \\x41"\nbind "127.0.0.1 -::1"\nbind 127.0.0.2\n'
        "hash-max-ziplist-entries 9\nmaxmemory 100mb\n",
    )
    config = load(path, environ={})
    assert config["timeout"] == 5
    assert config["requirepass"] == "a A"
    assert config["bind"] == ["127.0.0.2"]
    assert config["hash-max-listpack-entries"] == 9
    assert config["maxmemory"] == 100 << 20
    assert config.file == str(path)


def test_some_directives_add_up(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "save 60 1\nsave 30 2\nclient-output-buffer-limit normal 1 2 3\n"
        "client-output-buffer-limit pubsub 4 5 6\n"
        'rename-command FLUSHALL ""\nrename-command GET fetch\n',
    )
    config = load(path, environ={})
    assert config.text("save") == "60 1 30 2"
    assert (
        config.text("client-output-buffer-limit") == "normal 1 2 3 slave 268435456 67108864 60 pubsub 4 5 6"
    )
    assert config["rename-command"] == [("FLUSHALL", ""), ("GET", "fetch")]
    assert load(path, [("save", ["1", "1"])], {}).text("save") == "1 1"
    assert load(written(tmp_path, 'save 60 1\nsave ""\n'), environ={}).text("save") == ""


def test_include(tmp_path: Path) -> None:
    written(tmp_path, "timeout 2\nhz 50\n", "a.conf")
    path = written(tmp_path, f"timeout 1\ninclude {tmp_path}/a.co*\nhz 60\n")
    config = load(path, environ={})
    assert (config["timeout"], config["hz"]) == (2, 60)
    assert config.origin("timeout") == f"{tmp_path}/a.conf:1"


def test_a_loop_of_includes_ends(tmp_path: Path) -> None:
    other = written(tmp_path, f"include {tmp_path}/r.conf\n", "b.conf")
    path = written(tmp_path, f"include {other}\n")
    assert problems(path) == [f"{other}:1: include: {path} includes itself (files without a loop)"]


def test_secrets_may_stand_in_files(tmp_path: Path) -> None:
    secret = written(tmp_path, "pass word\n", "secret")
    assert load(None, [], {"RLITE_REQUIREPASS_FILE": str(secret)})["requirepass"] == "pass word"
    assert problems(None, [], RLITE_REQUIREPASS_FILE=str(tmp_path / "none")) == [
        f"RLITE_REQUIREPASS_FILE: requirepass: cannot read {tmp_path}/none: No such file or directory"
    ]


def test_a_variable_nobody_knows_is_warned_of() -> None:
    config = load(None, [], {"RLITE_MAXMEMRY": "1mb", "OTHER": "x", "RLITE_BIND": "127.0.0.1 ::1"})
    assert config.warnings == ["RLITE_MAXMEMRY is not a variable of rlite; did you mean RLITE_MAXMEMORY?"]
    assert config["bind"] == ["127.0.0.1", "::1"]


# --- what is wrong ---


def test_all_problems_of_all_sources_are_told(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'timeout abc\nmaxmemry 1\nport 70000\nhz\nrequirepass "open\ncluster-enabled yes\nloadmodule x.so\n'
        "user a on\nreplicaof host\nappendonly yes\ndir /no/such/place\nport 1 2\n",
    )
    told = problems(path, [("loglevel", ["loud"])], RLITE_MAXCLIENTS="0")
    starts = [
        ":1: timeout:", ":2: maxmemry: no such directive (did you mean maxmemory?)", ":3: port:",
        ":4: hz: has no value", ":5: requirepass:", ":9: replicaof: the port is missing: host PORT",
        ":11: dir:", ":12: port: wrong number",
    ]  # fmt: skip
    for line, start in zip(told, starts, strict=False):
        assert line.startswith(f"{path}{start}"), line
    assert told[8] == (
        "RLITE_MAXCLIENTS: maxclients: argument must be between 1 and 4294967295 inclusive "
        "(a whole number from 1 to 4294967295)"
    )
    assert told[9].startswith("--loglevel: loglevel: argument(s) must be one of")
    assert sorted(line.split(": ")[1] for line in told[10:]) == [
        "cluster-enabled",
        "loadmodule",
        "user",
    ]


def test_what_is_refused_may_be_undone_by_a_later_source(tmp_path: Path) -> None:
    path = written(tmp_path, "cluster-enabled yes\naclfile users.acl\n")
    assert len(problems(path)) == 2
    assert load(path, [("cluster-enabled", ["no"]), ("aclfile", [""])], {}).flag("cluster-enabled") is False


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert problems(tmp_path / "none") == [
        f"command line: file: cannot read {tmp_path}/none: No such file or directory"
    ]


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=60)
def test_garbage_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.conf"
    path.write_bytes(raw)
    try:
        config = load(path, environ={})
    except ConfigErrors:
        return
    assert config.file == str(path)


# --- arguments ---


@pytest.mark.parametrize(
    ("argv", "path", "flags"),
    [
        ([], None, []),
        (["r.conf"], "r.conf", []),
        (["-"], "-", []),
        (["--port", "1", "-"], "-", [("port", ["1"])]),
        (["r.conf", "--port", "1", "--bind", "a", "-b"], "r.conf", [("port", ["1"]), ("bind", ["a", "-b"])]),
        (["--port=1", "--requirepass=--x", "--save", ""], None,
         [("port", ["1"]), ("requirepass", ["--x"]), ("save", [""])]),
        (["--port 1", "--slowlog-log-slower-than", "-1"], None,
         [("port", ["1"]), ("slowlog-log-slower-than", ["-1"])]),
    ],
)  # fmt: skip
def test_arguments(argv: list[str], path: str | None, flags: list[tuple[str, list[str]]]) -> None:
    assert parse_serve_args(argv) == (path, flags)


def test_a_stray_argument() -> None:
    with pytest.raises(ConfigErrors):
        parse_serve_args(["a.conf", "b.conf"])


# --- CONFIG REWRITE ---


def test_rewriting_keeps_what_it_can(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "# mine\ntimeout 5\n" + "\n# size\nmaxmemory 1mb\nsave 60 1\nsave 30 2\nrename-command GET x\n",
    )
    path.chmod(0o640)
    config = load(path, environ={})
    config.set_many([(b"timeout", b"9"), (b"requirepass", b"a b"), (b"save", b"1 1")])
    rewrite(config)
    assert path.read_text() == (
        f"# mine\ntimeout 9\n\n# size\nmaxmemory 1mb\nsave 1 1\nrename-command GET x\n"
        f'{SIGNATURE}\nrequirepass "a b"\n'
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["r.conf"]
    before = path.read_text()
    rewrite(load(path, environ={}))
    assert path.read_text() == before


def test_what_was_set_back_to_its_default_stays_so(tmp_path: Path) -> None:
    other = written(tmp_path, "timeout 3\n", "other.conf")
    path = written(tmp_path, f"include {other}\ntimeout 5\n")
    config = load(path, environ={})
    config.set_many([(b"timeout", b"0")])
    rewrite(config)
    assert path.read_text() == f"include {other}\ntimeout 0\n"
    assert load(path, environ={})["timeout"] == 0


def test_rewriting_without_a_file() -> None:
    with pytest.raises(CommandError, match=errors.CONFIG_NO_FILE):
        rewrite(Config())


def test_rewriting_where_one_may_not(tmp_path: Path) -> None:
    config = load(written(tmp_path, "timeout 1\n"), environ={})
    config.file = str(tmp_path / "gone" / "r.conf")
    with pytest.raises(CommandError, match="Rewriting config file: No such file or directory"):
        rewrite(config)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.integers(0, 2**31 - 1).map(str),
        "maxmemory": st.integers(0, 2**60).map(str),
        "requirepass": st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
        ),
        "maxmemory-policy": st.sampled_from(["noeviction", "allkeys-lru"]),
        "save": st.sampled_from(["", "1 2", "1 2 3 4", "3600 1 300 100 60 10000"]),
        "lazyfree-lazy-expire": st.sampled_from(["yes", "no"]),
        "client-output-buffer-limit": st.sampled_from(["normal 1 2 3", "replica 1kb 1k 0 pubsub 0 0 0"]),
        "latency-tracking-info-percentiles": st.sampled_from(["", "50 99.9"]),
    },
)


@given(
    CHANGES,
    st.sampled_from(
        ["", "timeout 3\nsave 9 9\n", "# a\nrequirepass x\nmaxmemory 5gb\ntimeout 1\ntimeout 2\n"]
    ),
)
@settings(deadline=None, max_examples=60)
def test_what_is_rewritten_reads_back(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, str], text: str
) -> None:
    path = written(tmp_path_factory.getbasetemp(), text, "rewritten.conf")
    config = load(path, environ={})
    if changes:
        config.set_many([(name.encode(), value.encode()) for name, value in changes.items()])
    rewrite(config)
    again = load(path, environ={})
    assert dict(again) == dict(config)


# --- the real files ---


@pytest.mark.peer("redis-server")
def test_the_stock_file_loads() -> None:
    if not (STOCK.exists() and os.access(STOCK, os.R_OK) and Path("/var/lib/redis").is_dir()):
        pytest.skip(
            "redis-server's redis.conf is not readable here: apt-get install redis-server, run as root"
        )
    config = load(STOCK, [], {})
    assert config.text("bind") == "127.0.0.1 -::1"
    assert config.text("dir") == "/var/lib/redis"
    assert config.notes == ["daemonize yes"]


@pytest.mark.peer("redis-server")
def test_what_the_real_server_says_reads_back(redis_peer: Process, tmp_path: Path) -> None:
    items = getattr(redis_peer.wire().command("CONFIG", "GET", "*"), "items", [])
    theirs = {
        name.data.decode(): value.data.decode() for name, value in zip(items[::2], items[1::2], strict=True)
    }
    lines = [f'{name} "{value}"\n' for name, value in theirs.items()]
    config = load(written(tmp_path, "".join(lines)), environ={})
    assert {name: config.text(name) for name in theirs} == theirs


# --- replicaof ---


@pytest.mark.parametrize(
    ("words", "master"),
    [
        (["db.example", "6380"], ("db.example", 6380)),
        (["db.example 6380"], ("db.example", 6380)),
        (["db.example:6380"], ("db.example", 6380)),
        (["::1", "6380"], ("::1", 6380)),
        (["[::1]:6380"], ("::1", 6380)),
        (["redis://db.example:6380/0"], ("db.example", 6380)),
        (["valkey://db.example"], ("db.example", 6379)),
        (["NO", "one"], None),
        ([""], None),
    ],
)
def test_a_master_is_said_in_any_usual_form(words: list[str], master: tuple[str, int] | None) -> None:
    assert load(None, [("replicaof", words)], {}).master() == master
    assert load(None, [], {"RLITE_REPLICAOF": " ".join(words)}).master() == master


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["host"], "the port is missing: host PORT"),
        (["host", "0"], "'0' is no port: a whole number from 1 to 65535"),
        (["host", "65536"], "'65536' is no port: a whole number from 1 to 65535"),
        (["host", "http"], "'http' is no port: a whole number from 1 to 65535"),
        (["host:"], "'' is no port: a whole number from 1 to 65535"),
        (["", "6379"], "the host is missing: HOST PORT"),
        (["a", "1", "2"], "a host and a port are wanted: HOST PORT"),
        (["::1"], "'::1' may be read in two ways: put the host in brackets, [IPV6]:PORT"),
        (["h\nport", "1"], "'h\\nport' is no host: a name or an address is wanted"),
        (["redis://:secret@host:1"], "a user and a password are said by masteruser and masterauth"),
        (["rediss://host:1"], "rediss:// asks for TLS, which rlite does not speak; put a TLS proxy in front"),
        (["http://host:1"], "http:// is not known: redis://[USER:PASSWORD@]HOST[:PORT]"),
        (["unix:///run/s"], "a replica reaches its master by TCP: HOST PORT"),
    ],
)
def test_what_is_no_master_is_refused_with_what_would_be_one(words: list[str], fault: str) -> None:
    assert problems(None, [("replicaof", words)]) == [
        f"--replicaof: replicaof: {fault} (HOST PORT, HOST:PORT, or no one)"
    ]


def test_redis_two_words_and_its_old_name_stand_in_a_file(tmp_path: Path) -> None:
    config = load(written(tmp_path, "slaveof db.example 6380\n"), [], {})
    assert config.master() == ("db.example", 6380)
    assert config.text("slaveof") == config.text("replicaof") == "db.example 6380"
    assert config.match([b"replicaof", b"slaveof"]) == dict.fromkeys(
        ("replicaof", "slaveof"), "db.example 6380"
    )


def test_a_rewrite_follows_the_master_and_leaves_no_line_without_one(tmp_path: Path) -> None:
    path = written(tmp_path, "# mine\nreplicaof db.example 6380\nhz 20\n")
    config = load(path, [], {})
    config.set_master(("::1", 7000))
    rewrite(config)
    assert path.read_text() == "# mine\nreplicaof ::1 7000\nhz 20\n"
    config.set_master(None)
    rewrite(config)
    assert path.read_text() == "# mine\nhz 20\n"
    config.set_master(("::1", 7000))
    rewrite(config)
    assert load(path, [], {}).master() == ("::1", 7000)


def test_a_rewrite_leaves_no_included_file_the_last_word_on_the_master(tmp_path: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text("replicaof db.example 6380\n")
    path = written(tmp_path, f"include {other}\nreplicaof db.example 6381\n")
    config = load(path, [], {})
    config.set_master(None)
    rewrite(config)
    assert load(path, [], {}).master() is None
