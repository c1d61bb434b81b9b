"""aof-repair's engine: what is kept is good, whole and in order; what was there can be had back."""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from support.journals import named
from support.logs import HISTORY, Log, directory, kept, resp

from rlite.engine.persistence import layout, manifest
from rlite.engine.persistence.check import check
from rlite.engine.persistence.layout import LayoutError
from rlite.engine.persistence.manifest import Manifest
from rlite.engine.persistence.reading import Kind, Verdict
from rlite.engine.persistence.repair import Plan, RefusedError, Why, Wish, plan
from rlite.engine.persistence.segment import SIZE, read_header
from rlite.engine.persistence.surgery import ChangedError, Done, LiveError, carry_out

TRUNCATE = Wish()
SALVAGE = Wish(salvage=True)


def repaired(path: Path, wish: Wish = TRUNCATE) -> tuple[Plan, Done]:
    planned = plan(path, wish)
    return planned, carry_out(planned)


def files_of(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(place.iterdir())}


def undone(done: Done) -> None:
    subprocess.run(["/bin/sh", "-c", done.undo_command()], check=True)


def fine(path: Path) -> bool:
    (found,) = layout.find(path)
    report = check(path, found)
    return report.verdict is Verdict.FINE and not report.damage


def small() -> Log:
    log = Log(first=500).fill(12)
    log.add(resp("MULTI") + resp("SET", "a", 1) + resp("EXEC"))
    return log.fill(6, size=20)


def chain(count: int = 3, records: int = 10) -> list[Log]:
    logs: list[Log] = []
    for number in range(count):
        logs.append(Log(first=logs[-1].offset if logs else 0, salt=100 + number).fill(records))
    return logs


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that repair by the thousand: what is synced does not matter to them."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


# --- cut, at every byte ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_disk")
def test_a_log_cut_at_any_byte_keeps_exactly_the_records_before_the_cut(tmp_path: Path) -> None:
    log = small()
    for cut in range(SIZE, len(log.data) + 1):
        root = tmp_path / str(cut)
        place = directory(root, [log])
        path = place / "appendonly.1.aof"
        path.write_bytes(log.data[:cut])
        planned, done = repaired(place)
        whole = sum(bound <= cut for bound in log.bounds) - 1
        assert kept(path) == log.resps[:whole], cut
        assert path.read_bytes() == log.data[: log.bounds[whole]], cut
        assert planned.bytes_lost == cut - log.bounds[whole], cut
        if planned.changes:
            (lost,) = place.glob("*.lost-*")
            assert lost.read_bytes() == log.data[log.bounds[whole] : cut], cut
            assert done.after is not None
        assert fine(place), cut


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_a_log_with_any_byte_flipped_keeps_every_good_record_and_no_other(tmp_path: Path, flip: int) -> None:
    log = small()
    for at in range(len(log.data)):
        root = tmp_path / str(at)
        place = directory(root, [log])
        path = place / "appendonly.1.aof"
        path.write_bytes(log.data[:at] + bytes([log.data[at] ^ flip]) + log.data[at + 1 :])
        last = at >= log.bounds[-2]
        if not last:
            with pytest.raises(RefusedError) as refused:
                plan(place, TRUNCATE)
            assert refused.value.why is Why.NOT_BY_TRUNCATION, at
        repaired(place, TRUNCATE if last else SALVAGE)
        number = -1 if at < SIZE else max(n for n, bound in enumerate(log.bounds) if bound <= at)
        assert kept(path) == [content for n, content in enumerate(log.resps) if n != number], at
        assert fine(place), at
        if at < SIZE:
            header = read_header(path.read_bytes())
            assert (header.history, header.first, header.seed) == (HISTORY, 500, log.header.seed), at


# --- several files -----------------------------------------------------------------------------------------


def test_undo_brings_back_every_byte(tmp_path: Path) -> None:
    logs = chain()
    place = directory(tmp_path, logs)
    for name, at in (("appendonly.1.aof", 300), ("appendonly.2.aof", 20), ("appendonly.3.aof", 400)):
        data = bytearray((place / name).read_bytes())
        data[at] ^= 1
        (place / name).write_bytes(data)
    (place / "appendonly.manifest").unlink()
    before = files_of(place)
    _, done = repaired(place, SALVAGE)
    assert fine(place)
    undone(done)
    now = {name: data for name, data in files_of(place).items() if ".lost-" not in name}
    assert now == before


def test_salvage_keeps_what_is_good_in_all_segments_with_the_offsets_it_had(tmp_path: Path) -> None:
    logs = chain()
    place = directory(tmp_path, logs)
    data = bytearray(logs[1].data)
    data[logs[1].bounds[2] : logs[1].bounds[5]] = os.urandom(logs[1].bounds[5] - logs[1].bounds[2])
    (place / "appendonly.2.aof").write_bytes(data)
    planned, done = repaired(place, SALVAGE)
    assert kept(place / "appendonly.1.aof") == logs[0].resps
    assert kept(place / "appendonly.2.aof") == logs[1].resps[:2] + logs[1].resps[5:]
    assert kept(place / "appendonly.3.aof") == logs[2].resps
    (hole,) = planned.before.damage
    assert (hole.at, hole.end) == (logs[1].bounds[2], logs[1].bounds[5])
    again = check(place, layout.find(place)[0])
    assert again.files[1].reading.offset_end == logs[1].offset
    assert done.after is not None
    assert done.after.verdict is Verdict.FINE


def test_a_torn_end_before_a_segment_without_records_is_cut_off(tmp_path: Path) -> None:
    logs = chain(1)
    place = directory(tmp_path, [*logs, Log(first=logs[0].offset, salt=7)])
    path = place / "appendonly.1.aof"
    path.write_bytes(path.read_bytes()[:-1])
    repaired(place)
    assert kept(path) == logs[0].resps[:-1]
    assert fine(place)


def test_a_last_segment_whose_header_was_cut_is_set_aside(tmp_path: Path) -> None:
    logs = chain(2)
    for size in (0, 1, 40, 83):
        place = directory(tmp_path / str(size), logs)
        path = place / "appendonly.2.aof"
        path.write_bytes(logs[1].data[:size])
        repaired(place)
        assert not path.exists()
        assert manifest.read(place / "appendonly.manifest").segments == ("appendonly.1.aof",)
        assert fine(place)


def test_what_a_power_cut_kept_behind_a_lost_block_is_cut_off_with_it(tmp_path: Path) -> None:
    log = Log().fill(3)
    synced = len(log.data)
    for number in range(6):
        log.add(resp("SET", f"late:{number}", number), synced=synced)
    place = directory(tmp_path, [log])
    path = place / "appendonly.1.aof"
    begin, end = log.bounds[4:6]
    path.write_bytes(log.data[:begin] + bytes(end - begin) + log.data[end:])
    planned, _ = repaired(place)
    assert kept(path) == log.resps[:4]
    assert planned.commands_lost == 4
    assert planned.kept.total("records") == 4
    assert fine(place)


def test_a_hole_between_segments_is_bridged_by_salvage(tmp_path: Path) -> None:
    logs = chain(2)
    place = directory(tmp_path, logs)
    path = place / "appendonly.1.aof"
    path.write_bytes(logs[0].data[: logs[0].bounds[-3]])
    assert {fault.kind for fault in check(place, layout.find(place)[0]).damage} == {Kind.HOLE}
    with pytest.raises(RefusedError):
        plan(place, TRUNCATE)
    repaired(place, SALVAGE)
    assert fine(place)
    assert kept(path) == logs[0].resps[:-2]
    assert kept(place / "appendonly.2.aof") == logs[1].resps
    assert read_header((place / "appendonly.2.aof").read_bytes()).first == logs[1].first - sum(
        map(len, logs[0].resps[-2:])
    )


def test_a_missing_segment_is_left_out_only_when_salvage_is_asked_for(tmp_path: Path) -> None:
    logs = chain()
    place = directory(tmp_path, logs)
    (place / "appendonly.2.aof").unlink()
    with pytest.raises(RefusedError):
        plan(place, TRUNCATE)
    repaired(place, SALVAGE)
    assert manifest.read(place / "appendonly.manifest").segments == ("appendonly.1.aof", "appendonly.3.aof")
    assert fine(place)


def test_a_segment_of_another_history_is_set_aside_by_salvage(tmp_path: Path) -> None:
    logs = chain()
    stranger = Log(history="e" * 40, first=logs[1].first, salt=5).fill(10)
    place = directory(tmp_path, [logs[0], stranger, logs[2]])
    repaired(place, SALVAGE)
    assert fine(place)
    (aside,) = place.glob("appendonly.2.aof.lost-*")
    assert aside.read_bytes() == stranger.data


def test_a_file_that_the_manifest_names_is_repaired_with_all_of_its_log(tmp_path: Path) -> None:
    logs = chain()
    place = directory(tmp_path, logs)
    path = place / "appendonly.2.aof"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RefusedError, match="good records stand behind"):
        plan(path, TRUNCATE)


# --- back in time ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_disk")
def test_back_to_any_offset_keeps_the_records_that_end_by_then(tmp_path: Path) -> None:
    logs = chain(3, 4)
    ends, at = [], 0
    for content in (content for log in logs for content in log.resps):
        at += len(content)
        ends.append(at)
    everything = [content for log in logs for content in log.resps]
    for offset in range(0, at + 3, 7):
        place = directory(tmp_path / str(offset), logs)
        repaired(place, Wish(to_offset=offset))
        names = manifest.read(place / "appendonly.manifest").segments
        found = [content for name in names for content in kept(place / name)]
        assert found == everything[: sum(end <= offset for end in ends)], offset
        assert fine(place), offset


def test_back_to_a_time_keeps_what_was_written_by_then_and_can_be_undone(tmp_path: Path) -> None:
    log = Log()
    for number in range(10):
        log.add(resp("SET", "a", number), ms=1_700_000_000_000 + number * 1000)
    place = directory(tmp_path, [log])
    before = files_of(place)
    planned, done = repaired(place, Wish(to_ms=1_700_000_004_500))
    assert kept(place / "appendonly.1.aof") == log.resps[:5]
    assert planned.commands_lost == 5
    undone(done)
    assert {name: data for name, data in files_of(place).items() if ".lost-" not in name} == before


def test_damage_behind_the_time_gone_back_to_does_not_matter(tmp_path: Path) -> None:
    log = Log().fill(10)
    place = directory(tmp_path, [log])
    data = bytearray(log.data)
    data[log.bounds[7] + 30] ^= 1
    (place / "appendonly.1.aof").write_bytes(data)
    repaired(place, Wish(to_ms=log.header.made_ms + 5))
    assert kept(place / "appendonly.1.aof") == log.resps[:5]
    assert fine(place)


def test_going_back_to_an_older_history_makes_the_manifest_say_so(tmp_path: Path) -> None:
    logs = [Log(history="a" * 40).fill(3)]
    logs.append(Log(history="b" * 40, first=logs[0].offset, salt=2).fill(3))
    logs.append(Log(history="c" * 40, first=logs[1].offset, salt=3).fill(3))
    place = directory(tmp_path, logs)
    repaired(place, Wish(to_offset=logs[0].offset))
    assert fine(place)


def test_one_cannot_go_back_behind_the_snapshot(tmp_path: Path) -> None:
    log = Log(first=1000).fill(3)
    place = directory(tmp_path, [log])
    (place / "appendonly.1.rdb").write_bytes(EMPTY_RDB)
    manifest.write(
        place / "appendonly.manifest",
        Manifest(HISTORY, base="appendonly.1.rdb", base_offset=1000, segments=("appendonly.1.aof",)),
    )
    for wish in (Wish(to_offset=999), Wish(to_ms=log.header.made_ms - 1)):
        with pytest.raises(RefusedError, match="cannot go back behind"):
            plan(place, wish)


# --- guards ------------------------------------------------------------------------------------------------


def test_more_than_max_loss_is_refused_and_said(tmp_path: Path) -> None:
    log = Log().fill(10)
    place = directory(tmp_path, [log])
    (place / "appendonly.1.aof").write_bytes(log.data[:-5])
    size = log.bounds[-1] - log.bounds[-2] - 5
    with pytest.raises(RefusedError, match=str(size)) as refused:
        plan(place, Wish(max_loss=size - 1))
    assert refused.value.why is Why.TOO_MUCH
    assert plan(place, Wish(max_loss=size)).bytes_lost == size


def test_zeros_are_no_loss_and_a_terabyte_of_them_is_not_copied(tmp_path: Path) -> None:
    log = Log().fill(10)
    place = directory(tmp_path, [log])
    path = place / "appendonly.1.aof"
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    planned, _ = repaired(place, Wish(max_loss=0))
    assert planned.changes[0].zeros == (1 << 40) - len(log.data)
    assert path.read_bytes() == log.data
    assert not list(place.glob("*.lost-*"))


def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    log = Log().fill(10)
    place = directory(tmp_path, [log])
    (place / "appendonly.1.aof").write_bytes(log.data[:-5])
    before = files_of(place)
    assert plan(place, TRUNCATE).changes
    assert files_of(place) == before


def test_a_live_log_is_refused_and_untouched(tmp_path: Path) -> None:
    log = Log().fill(10)
    place = directory(tmp_path, [log])
    (place / "appendonly.1.aof").write_bytes(log.data[:-5])
    planned = plan(place, TRUNCATE)
    before = files_of(place)
    with (tmp_path / "rlite.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LiveError):
            carry_out(planned)
    assert files_of(place) == before
    carry_out(planned)


def test_files_that_changed_after_the_plan_are_left_alone(tmp_path: Path) -> None:
    log = Log().fill(10)
    place = directory(tmp_path, [log])
    path = place / "appendonly.1.aof"
    path.write_bytes(log.data[:-5])
    planned = plan(place, TRUNCATE)
    path.write_bytes(log.data[:-6])
    before = files_of(place)
    with pytest.raises(ChangedError):
        carry_out(planned)
    assert files_of(place) == before


def test_mode_and_owner_stay(tmp_path: Path) -> None:
    log = Log().fill(10)
    place = directory(tmp_path, [log])
    path = place / "appendonly.1.aof"
    path.write_bytes(log.data[:-5])
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    before = path.stat()
    repaired(place)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_whole_log_is_left_as_it_is(tmp_path: Path) -> None:
    place = directory(tmp_path, chain())
    before = files_of(place)
    assert plan(place, TRUNCATE).changes == ()
    assert files_of(place) == before


def test_two_logs_in_one_directory_must_be_told_apart(tmp_path: Path) -> None:
    place = directory(tmp_path, chain(1))
    directory(tmp_path, chain(1), stem="other")
    with pytest.raises(LayoutError, match="more than one"):
        plan(place, TRUNCATE)
    assert plan(place / "other.manifest", TRUNCATE).changes == ()


# --- manifests ---------------------------------------------------------------------------------------------

EMPTY_RDB = b"REDIS0010\xff"


def with_checksum(content: bytes) -> bytes:
    from rlite.engine.core.crc64 import crc64

    return content + crc64(content).to_bytes(8, "little")


EMPTY_RDB = with_checksum(EMPTY_RDB)


def test_a_lost_or_damaged_manifest_is_made_anew_from_the_headers(tmp_path: Path) -> None:
    logs = [Log(history="a" * 40).fill(3)]
    logs.append(Log(history="b" * 40, first=logs[0].offset, salt=2).fill(3))
    for number, spoiled in enumerate((None, b"", b"rlite-log 1\nrubbish\n")):
        place = directory(tmp_path / str(number), logs)
        path = place / "appendonly.manifest"
        path.unlink() if spoiled is None else path.write_bytes(spoiled)
        repaired(place)
        assert manifest.read(path) == Manifest(
            "b" * 40, segments=("appendonly.1.aof", "appendonly.2.aof"), previous="a" * 40,
            previous_end=logs[1].first,
        )  # fmt: skip
        assert fine(place)


def test_a_manifest_made_anew_begins_with_the_newest_snapshot_that_is_whole(tmp_path: Path) -> None:
    logs = chain(3)
    for broken, expected in ((False, 3), (True, 2)):
        place = directory(tmp_path / str(broken), logs)
        (place / "appendonly.manifest").unlink()
        (place / "appendonly.2.rdb").write_bytes(EMPTY_RDB)
        (place / "appendonly.3.rdb").write_bytes(EMPTY_RDB[:-1] if broken else EMPTY_RDB)
        repaired(place)
        found = manifest.read(place / "appendonly.manifest")
        assert found.base == f"appendonly.{expected}.rdb"
        assert found.base_offset == logs[expected - 1].first
        assert found.segments == tuple(f"appendonly.{number}.aof" for number in range(expected, 4))
        assert fine(place)


def test_segments_whose_snapshot_is_lost_with_the_manifest_are_not_taken_for_all(tmp_path: Path) -> None:
    logs = chain(2)
    place = directory(tmp_path, logs, first=5)
    (place / "appendonly.5.aof").write_bytes(Log(first=900).fill(2).data)
    (place / "appendonly.6.aof").unlink()
    (place / "appendonly.manifest").unlink()
    with pytest.raises(RefusedError, match="snapshot"):
        plan(place, TRUNCATE)
    repaired(place, SALVAGE)
    assert fine(place)


def test_a_manifest_is_made_anew_when_that_is_asked_for(tmp_path: Path) -> None:
    logs = chain(3)
    place = directory(tmp_path, logs)
    manifest.write(
        place / "appendonly.manifest", Manifest(HISTORY, segments=("appendonly.1.aof", "appendonly.2.aof"))
    )
    repaired(place, Wish(rebuild=True))
    assert len(manifest.read(place / "appendonly.manifest").segments) == 3
    assert fine(place)


def test_a_damaged_or_missing_snapshot_is_not_repaired_away(tmp_path: Path) -> None:
    for content in (None, b"REDIS0010rubbish"):
        place = directory(tmp_path / str(content), [Log(first=10).fill(3)])
        if content is not None:
            (place / "appendonly.1.rdb").write_bytes(content)
        manifest.write(
            place / "appendonly.manifest",
            Manifest(HISTORY, base="appendonly.1.rdb", base_offset=10, segments=("appendonly.1.aof",)),
        )
        before = files_of(place)
        with pytest.raises(RefusedError) as refused:
            plan(place, SALVAGE)
        assert refused.value.why is Why.IMPOSSIBLE
        assert files_of(place) == before


# --- Redis's own -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_disk")
def test_redis_file_cut_at_any_byte_keeps_its_whole_commands_and_transactions(tmp_path: Path) -> None:
    units = [resp("SELECT", 0), resp("SET", "a", 1)]
    units += [resp("MULTI") + resp("INCR", "a") + resp("EXEC"), resp("SET", "b", "2")]
    whole, bounds = b"".join(units), [0]
    for unit in units:
        bounds.append(bounds[-1] + len(unit))
    for cut in range(len(whole) + 1):
        path = tmp_path / str(cut) / "appendonly.aof"
        path.parent.mkdir()
        path.write_bytes(whole[:cut])
        repaired(path)
        assert path.read_bytes() == whole[: max(bound for bound in bounds if bound <= cut)], cut


@pytest.mark.usefixtures("quick_disk")
def test_salvage_of_redis_commands_leaves_out_a_damaged_transaction_whole(tmp_path: Path) -> None:
    before, damaged, behind = (
        resp("SET", "a", 1),
        resp("MULTI") + resp("INCR", "a") + resp("EXEC"),
        resp("SET", "b", 2),
    )
    for at in range(len(damaged)):
        if chr(damaged[at]) not in "*$\r\n":
            continue
        path = tmp_path / str(at) / "appendonly.aof"
        path.parent.mkdir()
        path.write_bytes(before + damaged[:at] + b"?" + damaged[at + 1 :] + behind * 3)
        planned, done = repaired(path, SALVAGE)
        assert path.read_bytes() == before + behind * 3, at
        digest = hashlib.sha256(b"".join(p.read_bytes() for p in path.parent.glob("*.lost-*"))).digest()
        assert digest == hashlib.sha256(damaged[:at] + b"?" + damaged[at + 1 :]).digest(), at
        assert Kind.GAP not in {fault.kind for fault in planned.before.faults}
        undone(done)
        assert path.read_bytes().startswith(before + damaged[:at] + b"?"), at


def test_redis_log_goes_back_to_a_time_by_its_annotations(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    early, late = resp("SET", "a", 1), resp("SET", "a", 2)
    path.write_bytes(b"#TS:1700000000\r\n" + early + b"#TS:1700000005\r\n" + late)
    repaired(path, Wish(to_ms=1_700_000_004_999))
    assert path.read_bytes() == b"#TS:1700000000\r\n" + early
    bare = tmp_path / "bare.aof"
    bare.write_bytes(early)
    with pytest.raises(RefusedError, match="no times"):
        plan(bare, Wish(to_ms=5))


@pytest.mark.parametrize("damage", ["cut between records", "a damaged record", "a missing segment"])
def test_what_was_salvaged_is_loaded_by_a_server(tmp_path: Path, damage: str) -> None:
    """Recovery refuses a log with a hole between its segments; a repaired one must not look like that."""
    from support.recovering import load

    logs = chain()
    place = directory(tmp_path, logs)
    path = place / "appendonly.2.aof"
    match damage:
        case "cut between records":
            path.write_bytes(logs[1].data[: logs[1].bounds[-2]])
        case "a damaged record":
            path.write_bytes(bytes(logs[1].data[:-1]) + b"?")
        case _:
            path.unlink()
    repaired(place, SALVAGE)
    assert fine(place)
    assert load(tmp_path).result.commands == (20 if damage == "a missing segment" else 29)


def test_who_has_what_salvage_gave_up_cannot_go_on_from_there(tmp_path: Path) -> None:
    """A replica that holds the lost record would keep it for ever; one before it is given the rest."""
    logs: list[Log] = []
    for letter in "abc":
        first = logs[-1].offset if logs else 0
        logs.append(Log(history=letter * 40, first=first, salt=ord(letter)).fill(3))
    place = directory(tmp_path, logs)
    path = place / "appendonly.2.aof"
    broken = bytearray(path.read_bytes())
    broken[logs[1].bounds[1] + 40] ^= 1
    path.write_bytes(broken)
    repaired(place, SALVAGE)
    assert fine(place)
    found = [read_header((place / f"appendonly.{n}.aof").read_bytes()).history for n in (1, 2, 3)]
    assert found[0] == "a" * 40
    assert found[1] == found[2]
    assert found[1] not in ("a" * 40, "b" * 40, "c" * 40)
    assert named(tmp_path).history == found[1]
