"""Power cuts and kills while the log turns to another history, or begins anew for one.

Whatever is on the disk then, the server starts from it, and the history that it says it has is the one that
its data are of: under the former id, nothing that came behind the turn.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from support.power_cut import Disk
from support.recorder import Call, NoCompilerError, Recorder, library
from support.recovering import load

STATES = 4  # by chance, a cut
DRIVER = """
import json, sys, time
from rlite.engine import Engine
from rlite.engine.core.database import Database
from rlite.engine.persistence import manifest
from pathlib import Path

where, what = sys.argv[1:]
engine = Engine(dir=where, appendonly=True, appendfsync="always", auto_aof_rewrite_percentage=0)
context, disk = engine._server.context, engine._server.disk
ids = [[context.replication_id, 0]]
for number in range(1, 6):
    engine.execute("SET", "n", number)
if what == "turn":
    for name in ("b" * 40, "c" * 40):
        ids.append([name, context.log.offset])
        disk.turn_history(name)
        for number in range(number + 1, number + 4):
            engine.execute("SET", "n", number)
else:
    db = Database(context.keyspace, 0)
    db.lock_all()
    db.flush(everything=True)
    db.set(b"n", b"1000")
    ids.append(["b" * 40, 5000])
    disk.restart_log("b" * 40, 5000)
    db.unlock()
    for number in range(1001, 1004):
        engine.execute("SET", "n", number)
    path = Path(where) / "appendonlydir" / "appendonly.manifest"
    while manifest.read(path).history != "b" * 40 or disk.forks.current is not None:
        time.sleep(0.01)
    for number in range(1004, 1007):
        engine.execute("SET", "n", number)
print(json.dumps(ids), flush=True)
engine.close()
"""


@pytest.fixture(autouse=True)
def _compiler() -> None:
    try:
        library()
    except NoCompilerError as fault:
        pytest.skip(str(fault))


@pytest.mark.parametrize("what", ["turn", "restart"])
def test_the_history_that_is_found_after_a_cut_is_the_one_that_the_data_are_of(
    tmp_path: Path, what: str
) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    disk = Disk(directory)
    with Recorder(directory) as recorder:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(directory), what], check=True, stdout=subprocess.PIPE,
            env={**os.environ, **recorder.environment}, timeout=60, text=True, cwd=tmp_path,
        )  # fmt: skip
        events = recorder.events()
    ids = json.loads(done.stdout)
    chance = random.Random(7)
    changes = Call.OPEN | Call.RENAME | Call.UNLINK | Call.SYNCED | Call.WRITE | Call.TRUNCATE
    seen: set[str] = set()
    for number, event in enumerate(events):
        disk.follow(event)
        if not event.call & changes:
            continue
        for turn, state in enumerate(disk.states(chance, STATES)):
            place = tmp_path / f"{number}-{turn}"
            place.mkdir()
            state.write_to(place)
            found = load(place)
            name, offset = found.result.previous, found.result.offset
            value = int(found.get("n") or 0)
            where = f"cut behind event {number} ({event}): {state.told}: {name} {offset} {value}"
            if name:
                seen.add(name)
                place_in = [each for each, _ in ids].index(name)
                begins = ids[place_in][1]
                ends = ids[place_in + 1][1] if place_in + 1 < len(ids) and what == "turn" else 1 << 62
                assert begins <= offset <= ends, where
                assert (value >= 1000) == (what == "restart" and name == "b" * 40), where
            else:
                assert value == 0, where
    assert seen == {name for name, _ in ids}
