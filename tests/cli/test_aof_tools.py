"""`rlite aof-check` and `rlite aof-repair` as people run them: processes, pipes, Redis's own files."""

import csv
import fcntl
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.logs import Log, directory, kept, resp
from support.servers import rlite_program, running, start_redis, wait_for
from support.tools import ENVIRONMENT, rlite


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """The directory of a log whose last record is cut."""
    place = directory(tmp_path, [Log().fill(200)])
    path = place / "appendonly.1.aof"
    path.write_bytes(path.read_bytes()[:-5])
    return place


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """The directory of a log with a damaged record in the middle."""
    log = Log().fill(200)
    log.data[log.bounds[100] + 34] ^= 1
    return directory(tmp_path, [log])


# --- aof-check ---------------------------------------------------------------------------------------------


def test_the_exit_code_says_what_was_found(tmp_path: Path, torn: Path) -> None:
    whole = directory(tmp_path / "whole", [Log().fill(3)])
    log = Log().fill(9)
    log.data[log.bounds[3] + 34] ^= 1
    middle = directory(tmp_path / "middle", [log])
    assert rlite("aof-check", whole).returncode == 0
    assert rlite("aof-check", torn).returncode == 1
    assert rlite("aof-check", middle).returncode == 6
    assert rlite("aof-check", whole, torn, middle).returncode == 6
    assert rlite("aof-check").returncode == 2
    missing = rlite("aof-check", tmp_path / "nothing")
    assert missing.returncode == 3
    assert "No such file" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_checking_changes_nothing_and_needs_no_permission_to_write(torn: Path) -> None:
    before = [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(torn.iterdir())]
    for path in torn.iterdir():
        path.chmod(0o400)
    torn.chmod(0o500)
    try:
        assert rlite("aof-check", torn).returncode == 1
    finally:
        torn.chmod(0o700)
    assert [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(torn.iterdir())] == before


def test_json_has_a_schema_and_every_figure(damaged: Path) -> None:
    log = Log().fill(200)
    done = rlite("aof-check", "-o", "json", damaged)
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert (found["schema"], found["verdict"]) == ("rlite.aof-check/1", "damage-in-the-middle")
    (report,) = found["logs"]
    (fault,) = report["faults"]
    assert fault["kind"] == "bad-checksum"
    assert (fault["offset"], fault["end"]) == (log.bounds[100], log.bounds[101])
    assert (fault["record"], fault["commands_lost"]) == (101, 1)
    assert fault["bytes_lost"] == log.bounds[101] - log.bounds[100]
    assert fault["last_good_offset"] == log.bounds[100]
    assert fault["last_good_ms"] == log.header.made_ms + 100
    assert report["commands_by_name"] == {"SET": 199}
    assert (report["records"], report["commands"], report["live"]) == (199, 199, False)
    assert report["last_good"]["offset"] == log.bounds[100]
    assert any("--salvage" in line for line in report["advice"])
    assert (report["first_ms"], report["last_ms"]) == (log.header.made_ms + 1, log.ms)


def test_ndjson_is_a_line_a_fault_and_one_a_log_and_csv_a_row_a_fault(damaged: Path) -> None:
    lines = [json.loads(line) for line in rlite("aof-check", "-o", "ndjson", damaged).stdout.splitlines()]
    assert [line["type"] for line in lines] == ["fault", "log"]
    assert {line["schema"] for line in lines} == {"rlite.aof-check/1"}
    rows = list(csv.DictReader(io.StringIO(rlite("aof-check", "-o", "csv", damaged).stdout)))
    assert [row["kind"] for row in rows] == ["bad-checksum"]


def test_a_table_is_plain_text_without_a_terminal_and_names_the_command_to_run(torn: Path) -> None:
    done = rlite("aof-check", torn)
    assert "\x1b" not in done.stdout + done.stderr
    assert "torn-tail" in done.stdout
    assert f"rlite aof-repair {torn}" in done.stdout
    assert rlite("aof-check", "-q", torn).stdout.count("\n") == 1


def test_hostile_bytes_reach_no_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x9b31m"
    log = Log().fill(1)
    log.add(resp(evil, "\x1b[2J", b"\xff\x00"))
    log.fill(1)
    place = directory(tmp_path, [log], stem="a\x1b[31mb")
    for args in (("--deep",), ("--deep", "-o", "json"), ("-o", "csv", "--deep")):
        done = rlite("aof-check", *args, place)
        assert not {"\x1b", "\x07", "\x9b"} & set(done.stdout + done.stderr)
    dumped = rlite("aof-check", "--dump", str(log.bounds[1]), place / "a\x1b[31mb.1.aof")
    assert not {"\x1b", "\x07", "\x9b"} & set(dumped.stdout + dumped.stderr)
    assert "\\x1b[2J" in dumped.stdout


def test_dump_shows_the_records_around_a_place(damaged: Path) -> None:
    log = Log().fill(200)
    path = damaged / "appendonly.1.aof"
    done = rlite("aof-check", "--dump", str(log.bounds[100] + 3), path)
    assert done.returncode == 0
    (marked,) = [line for line in done.stdout.splitlines() if line.startswith(">")]
    assert "no record (crc)" in marked
    assert '"SET" "key:99" "vvv"' in done.stdout
    assert '"SET" "key:101" "vvv"' in done.stdout
    found = json.loads(rlite("aof-check", "-o", "json", "--dump", str(log.bounds[100]), path).stdout)
    assert found["schema"] == "rlite.aof-dump/1"
    assert [piece["offset"] for piece in found["pieces"] if not piece["good"]] == [log.bounds[100]]
    assert rlite("aof-check", "--dump", "0", damaged).returncode == 2


def test_a_live_server_s_log_is_checked_as_it_was_at_the_start(torn: Path) -> None:
    lock = torn.parent / "rlite.lock"
    lock.write_text("4711\n")
    with lock.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = rlite("aof-check", torn)
        assert done.returncode == 0
        assert "process 4711 is writing" in done.stdout
        report = json.loads(rlite("aof-check", "-o", "json", torn).stdout)["logs"][0]
        assert (report["live"], report["live_pid"]) == (True, 4711)
        assert [fault["kind"] for fault in report["faults"]] == ["live-tail"]
    assert rlite("aof-check", torn).returncode == 1


def test_a_reader_that_goes_away_ends_it_with_141(tmp_path: Path) -> None:
    log = Log()
    for number in range(4000):
        log.add(resp("NOSUCH", number))
        log.fill(1)
    place = directory(tmp_path, [log])
    command = [*rlite_program(), "aof-check", "--deep", "-o", "ndjson", str(place)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141


def test_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    path = tmp_path / "big.1.aof"
    log = Log().fill(10)
    path.write_bytes(log.data)
    unit = os.urandom(1 << 20)
    with path.open("ab") as file:
        for _ in range(300):
            file.write(unit)
    command = [*rlite_program(), "aof-check", "--progress", str(path), str(path), str(path), str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        wait_for(lambda: reading(process.pid, path), "it reads the file")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def reading(process: int, path: Path) -> bool:
    """Whether a process has a file open."""
    try:
        return any(link.resolve() == path.resolve() for link in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


def test_progress_is_drawn_on_a_terminal_only(tmp_path: Path) -> None:
    path = tmp_path / "big.1.aof"
    log = Log().fill(10)
    path.write_bytes(bytes(log.data) + os.urandom(120 << 20))
    assert rlite("aof-check", path).stderr == ""
    main, other = pty.openpty()
    try:
        command = [*rlite_program(), "aof-check", "-o", "json", str(path), str(path), str(path)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=other, timeout=60, check=False, env=ENVIRONMENT
        )
        shown = os.read(main, 65536).decode()
    finally:
        os.close(main)
        os.close(other)
    assert json.loads(done.stdout)["logs"]
    assert "B/s" in shown
    assert shown.endswith("\r\x1b[K")


# --- aof-repair --------------------------------------------------------------------------------------------


def test_without_a_terminal_and_without_yes_it_names_the_command_and_does_nothing(torn: Path) -> None:
    before = {path.name: path.read_bytes() for path in torn.iterdir()}
    done = rlite("aof-repair", "--max-loss", "1kb", torn, given="y\n")
    assert done.returncode == 4
    assert f"rlite aof-repair --yes --max-loss 1024 {torn}" in done.stderr
    assert {path.name: path.read_bytes() for path in torn.iterdir()} == before
    assert rlite("aof-repair", "--dry-run", torn).returncode == 0
    assert {path.name: path.read_bytes() for path in torn.iterdir()} == before


def test_the_command_that_it_names_works_and_the_one_that_undoes_it_too(torn: Path) -> None:
    path = torn / "appendonly.1.aof"
    cut = path.read_bytes()
    named = rlite("aof-repair", torn).stderr.strip().splitlines()[-1].strip()
    words = named.removeprefix("rlite ").split()
    done = rlite(*words)
    assert done.returncode == 0
    assert kept(path) == Log().fill(199).resps
    assert rlite("aof-check", torn).returncode == 0
    undo = done.stdout.strip().splitlines()[-1].strip()
    subprocess.run(["/bin/sh", "-c", undo], check=True, cwd="/")
    assert path.read_bytes() == cut
    assert rlite("aof-check", torn).returncode == 1


def test_on_a_terminal_it_asks_and_takes_no_for_an_answer(torn: Path) -> None:
    before = (torn / "appendonly.1.aof").read_bytes()
    for answer, code in ((b"n\n", 4), (b"\n", 4), (b"y\n", 0)):
        main, other = pty.openpty()
        try:
            with subprocess.Popen(
                [*rlite_program(), "aof-repair", str(torn)],
                stdin=other, stdout=other, stderr=other, env=ENVIRONMENT,
            ) as process:  # fmt: skip
                seen = b""
                while b"[y/N]" not in seen:
                    seen += os.read(main, 4096)
                os.write(main, answer)
                assert process.wait(30) == code
        finally:
            os.close(main)
            os.close(other)
        assert ((torn / "appendonly.1.aof").read_bytes() == before) is (code == 4)


def test_damage_in_the_middle_needs_salvage(damaged: Path) -> None:
    refused = rlite("aof-repair", "--yes", damaged)
    assert refused.returncode == 6
    assert "--salvage" in refused.stderr
    done = rlite("aof-repair", "--yes", "--salvage", "-o", "json", damaged)
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["schema"], found["done"], found["after"]) == ("rlite.aof-repair/1", True, "fine")
    assert found["commands_lost"] == 1
    assert kept(damaged / "appendonly.1.aof") == [
        content for number, content in enumerate(Log().fill(200).resps) if number != 100
    ]


def test_max_loss_refuses_with_1_and_a_live_directory_with_5(torn: Path) -> None:
    refused = rlite("aof-repair", "--yes", "--max-loss", "10", torn)
    assert refused.returncode == 1
    assert "would be lost" in refused.stderr
    assert rlite("aof-repair", "--max-loss", "much", torn).returncode == 2
    with (torn.parent / "rlite.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert rlite("aof-repair", "--yes", torn).returncode == 5
        assert rlite("aof-repair", "--dry-run", torn).returncode == 5
    assert rlite("aof-repair", "--yes", torn).returncode == 0


def test_times_are_taken_in_seconds_milliseconds_and_iso(tmp_path: Path) -> None:
    for number, moment in enumerate(
        ("1700000002", "1700000002000", "2023-11-14T22:13:22Z", "2023-11-14T23:13:22+01:00")
    ):
        log = Log()
        for second in range(5):
            log.add(resp("SET", "a", second), ms=1_700_000_000_000 + second * 1000)
        place = directory(tmp_path / str(number), [log])
        assert rlite("aof-repair", "--yes", "--to-timestamp", moment, place).returncode == 0
        assert len(kept(place / "appendonly.1.aof")) == 3
    assert rlite("aof-repair", "--to-timestamp", "yesterday", tmp_path / "0").returncode == 2


def test_a_full_disk_is_said_and_leaves_everything_as_it_was(torn: Path) -> None:
    import resource

    path = torn / "appendonly.1.aof"
    before = {each.name: each.read_bytes() for each in torn.iterdir()}

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [*rlite_program(), "aof-repair", "--yes", str(torn)], capture_output=True, text=True, timeout=60,
        check=False, env=ENVIRONMENT, preexec_fn=small_files,
    )  # fmt: skip
    assert path.stat().st_size > 1000
    assert done.returncode == 3
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert {each.name: each.read_bytes() for each in torn.iterdir()} == before


def test_an_interrupted_repair_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    log = Log().fill(50)
    whole = bytes(log.data)
    source = (
        "import os, signal, sys\n"
        "from rlite.engine.persistence import files\n"
        "calls = [0]\n"
        "real = os.fsync\n"
        "def fsync(descriptor):\n"
        "    calls[0] += 1\n"
        "    if calls[0] == int(sys.argv[1]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(descriptor)\n"
        "os.fsync = fsync\n"
        "from rlite.cli.main import run\n"
        "sys.exit(run(['aof-repair', '--yes', sys.argv[2]]))\n"
    )
    for number in range(1, 20):
        place = directory(tmp_path / str(number), [log])
        path = place / "appendonly.1.aof"
        path.write_bytes(whole[:-3])
        done = subprocess.run(
            [sys.executable, "-P", "-c", source, str(number), str(place)],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert path.read_bytes() in (whole[:-3], whole[: log.bounds[-2]]), number
        assert rlite("aof-repair", "--yes", place).returncode == 0
        assert path.read_bytes() == whole[: log.bounds[-2]]
        if done.returncode == 0:
            break
    else:
        pytest.fail("it never came to its end")


# --- Redis's own files -------------------------------------------------------------------------------------


@contextmanager
def redis_files(**directives: str) -> Iterator[Path]:
    """The directory of a redis-server that has logged some changes and has ended."""
    with running(start_redis, {"appendonly": "yes", "save": "", **directives}) as server:
        with server.wire() as wire:
            for number in range(50):
                wire.command("SET", f"key:{number}", "x" * number)
            wire.command("MULTI")
            wire.command("INCR", "n")
            wire.command("LPUSH", "l", "a", "b")
            wire.command("EXEC")
            wire.command("BGREWRITEAOF")
            wait_for(
                lambda: "aof_rewrite_in_progress:0" in info(wire) and "aof_rewrite_scheduled:0" in info(wire),
                "the rewrite is over",
            )
            for number in range(50):
                wire.command("SET", f"late:{number}", "y")
        yield server.directory


def info(wire: object) -> str:
    reply = wire.command("INFO", "persistence")  # type: ignore[attr-defined]
    return str(getattr(reply, "data", reply))


@pytest.mark.peer("redis-server")
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_what_redis_has_written_is_fine_cut_is_torn_and_repaired_is_what_redis_would_keep(
    preamble: str, tmp_path: Path
) -> None:
    with redis_files(**{"aof-use-rdb-preamble": preamble, "aof-timestamp-enabled": "yes"}) as root:
        copy = tmp_path / "copy"
        subprocess.run(["cp", "-r", str(root), str(copy)], check=True)
    place = copy / "appendonlydir"
    done = rlite("aof-check", "--deep", "-o", "json", place)
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)["logs"][0]
    assert report["form"] == "redis-multi-part"
    increment = next(place.glob("*.incr.aof"))
    increment.write_bytes(increment.read_bytes()[:-4])
    assert rlite("aof-check", place).returncode == 1
    theirs = tmp_path / "theirs"
    subprocess.run(["cp", "-r", str(place), str(theirs)], check=True)
    manifest = next(theirs.glob("*.manifest"))
    subprocess.run(["redis-check-aof", "--fix", str(manifest)], input=b"y\n", check=True, capture_output=True)
    assert rlite("aof-repair", "--yes", place).returncode == 0
    assert increment.read_bytes() == (theirs / increment.name).read_bytes()
    subprocess.run(["redis-check-aof", str(place / manifest.name)], check=True, capture_output=True)


@pytest.mark.peer("redis-server")
def test_a_preamble_file_is_read_to_the_end_of_its_snapshot_and_beyond(tmp_path: Path) -> None:
    with redis_files() as root:
        place = root / "appendonlydir"
        base, increment = (
            next(place.glob("*.base.rdb")).read_bytes(),
            next(place.glob("*.incr.aof")).read_bytes(),
        )
    path = tmp_path / "appendonly.aof"
    path.write_bytes(base + increment)
    report = json.loads(rlite("aof-check", "-o", "json", path).stdout)["logs"][0]
    assert (report["form"], report["verdict"]) == ("redis-aof", "fine")
    assert report["commands_by_name"]["SET"] == 50
    path.write_bytes(base + increment[:-1])
    assert rlite("aof-repair", "--yes", path).returncode == 0
    assert path.read_bytes().startswith(base)
    assert rlite("aof-check", path).returncode == 0
    spoiled = bytearray(base + increment)
    spoiled[len(base) // 2] ^= 0xFF
    path.write_bytes(spoiled)
    assert rlite("aof-check", path).returncode == 6
    refused = rlite("aof-repair", "--yes", "--salvage", path)
    assert refused.returncode == 6
    assert "snapshot" in refused.stderr
    assert path.read_bytes() == spoiled


@pytest.mark.peer("redis-server")
def test_a_running_redis_is_seen_by_the_file_that_it_holds(tmp_path: Path) -> None:
    with running(start_redis, {"appendonly": "yes"}) as server:
        with server.wire() as wire:
            wire.command("SET", "a", 1)
        place = server.directory / "appendonlydir"
        assert rlite("aof-repair", "--yes", place).returncode == 5
        report = json.loads(rlite("aof-check", "-o", "json", place).stdout)["logs"][0]
        assert report["live_pid"] == server.process.pid


def test_the_memory_it_takes_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Run in a process of its own, whose peak is read when it has ended."""
    source = (
        "import sys\n"
        "from rlite.cli.main import run\n"
        "code = run(['aof-check', '-o', 'json', sys.argv[1]])\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(status['VmHWM'].split()[0], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    peaks = []
    for size in (1, 200):
        log = Log()
        value = b"v" * 100_000
        for number in range(size * 10):
            log.add(resp("SET", number, value))
        path = tmp_path / f"a.{size}.aof"
        path.write_bytes(log.data)
        done = subprocess.run(
            [sys.executable, "-P", "-c", source, str(path)], capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["logs"][0]["records"] == size * 10
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] - peaks[0] < 4096, peaks  # KiB; the file grew by 199 MB


def test_help_is_quick_and_names_the_exit_codes() -> None:
    began = time.monotonic()
    done = rlite("aof-repair", "--help")
    assert done.returncode == 0
    assert "Exit codes" in done.stdout
    assert time.monotonic() - began < 5
