"""`rlite snapshot convert`: RDB files, logs, RESP commands and NDJSON into each other."""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from rlite.cli.exits import Exit
from rlite.cli.options import SETTINGS, Progress, progress_option
from rlite.cli.output import escaped, note, path_text
from rlite.cli.snapshot_options import filter_options, followed, refuse_terminal
from rlite.engine.errors import RliteError
from rlite.engine.persistence import files, lock
from rlite.engine.persistence.byte_source import ByteSource
from rlite.engine.persistence.converting_from import (
    ConvertError,
    Form,
    Passing,
    form_of,
    of_log,
    of_ndjson,
    of_rdb,
    of_resp,
)
from rlite.engine.persistence.converting_to import (
    ToLog,
    ToNdjson,
    ToRdb,
    ToResp,
    Writer,
    notes,
    segment_path,
    write_manifest,
)
from rlite.engine.persistence.outcome import RecoveryError
from rlite.engine.persistence.rdb_shapes import type_of
from rlite.engine.persistence.segment import HeaderError
from rlite.engine.persistence.selecting import Wanted
from rlite.engine.persistence.snapshot_key import SnapshotKey
from rlite.engine.persistence.snapshot_reading import DamagedError, Function
from rlite.engine.types.rdb_string import RdbError

if TYPE_CHECKING:
    from rlite.engine.commands.context import Context

ENDINGS = {
    ".rdb": Form.RDB, ".ndjson": Form.NDJSON, ".jsonl": Form.NDJSON, ".resp": Form.RESP, ".aof": Form.RESP,
    ".log": Form.LOG,
}  # fmt: skip
FORM_NAMES = [form.value for form in Form]
SPOOLED = 8 << 20


@click.command(context_settings=SETTINGS)
@click.argument("source", metavar="IN", type=click.Path(exists=True, allow_dash=True))
@click.argument("target", metavar="OUT", type=click.Path(allow_dash=True))
@click.option("--from", "from_", type=click.Choice(FORM_NAMES), help="What IN is (default: as it begins).")
@click.option("--to", "to", type=click.Choice(FORM_NAMES), help="What OUT becomes (default: by its name).")
@click.option("--restore", is_flag=True, help="With resp and log: one RESTORE a key, not commands by type.")
@click.option("--replace", is_flag=True, help="With resp: each key replaces what is there.")
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
@click.option(
    "--databases",
    "count",
    type=click.IntRange(1, 10_000),
    default=16,
    show_default=True,
    help="How many databases there are when commands are run.",
)
@filter_options
@progress_option
def convert(
    source: str, target: str, *, from_: str | None, to: str | None, restore: bool, replace: bool, force: bool,
    count: int, wanted: Wanted, progress: bool | None,
) -> int:  # fmt: skip
    """Turns a snapshot into another form, without loss: type, value and deadline of each key.

    \b
      rdb     a dump.rdb, for rlite, Redis 7.0 and Valkey
      log     rlite's log: a directory with a manifest and a segment
      resp    commands that make the keys, for redis-cli --pipe; also read: Redis's append-only files
      ndjson  one key a line, as JSON

    \b
    Examples:
      rlite snapshot convert dump.rdb dump.ndjson
      rlite snapshot convert dump.rdb - --to resp --match 'user:*' | redis-cli --pipe
      rlite snapshot convert appendonlydir dump.rdb
      rlite snapshot convert dump.rdb data/appendonlydir --to log && rlite serve --dir data

    An RDB and NDJSON pass key by key. The commands of a log or of RESP are run, so that all of their data is
    in memory. A log is read and never changed. Keys past their deadline pass like others (--not-expired).

    Exit code 0: OUT is whole and on disk; 1: IN is damaged; 3: it could not be done; 4: OUT exists; 5: IN is
    in use by a live server. But for 0, OUT is as it was before.
    """
    refuse_terminal(source)
    form = Form(to) if to else form_named(target)
    if form is None:
        raise click.UsageError(
            "what OUT shall be is not clear from its name: give --to rdb, log, resp or ndjson"
        )
    if form is Form.LOG and target == "-":
        raise click.UsageError("a log is a directory, and cannot go to standard output")
    if target != "-" and os.path.lexists(target) and not Path(target).is_dir() and not Path(target).is_file():
        raise click.UsageError("OUT is neither a file nor a directory; - is standard output")
    if (restore and form not in (Form.RESP, Form.LOG)) or (replace and form is not Form.RESP):
        raise click.UsageError("--restore belongs to resp and log, --replace to resp")
    if target != "-" and os.path.lexists(target) and not force:
        note(f"rlite: {path_text(target)} exists; --force replaces it")
        return Exit.UNCONFIRMED
    where = "" if source == "-" else f"{path_text(source)}: "
    try:
        with opened(source, from_, count, progress) as items:
            writer = write(chosen(items, wanted), Path(target), form, restore=restore, replace=replace)
    except BrokenPipeError:
        raise
    except lock.LockedError as fault:
        note(f"rlite: {fault}")
        return Exit.LOCKED
    except DamagedError as fault:
        note(f"rlite: {where}damaged at offset {fault.offset}: {escaped(fault.what)}")
        return Exit.NOT_SO
    except (ConvertError, RecoveryError, HeaderError) as fault:
        note(f"rlite: {'' if isinstance(fault, RecoveryError) else where}{escaped(str(fault))}")
        return Exit.NOT_SO
    except OSError as fault:
        note(f"rlite: {path_text(fault.filename or target)}: {fault.strerror or fault}")
        return Exit.FAILED
    for text in notes(writer):
        note(f"rlite: {text}")
    if target != "-":
        note(f"{writer.keys:,} keys written to {path_text(target)} ({form})")
    return Exit.FINE


def form_named(target: str) -> Form | None:
    """The form that a name says."""
    path = Path(target)
    if target.endswith("/") or path.is_dir() or path.name == "appendonlydir":
        return Form.LOG
    return ENDINGS.get(path.suffix.lower())


# --- reading -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(
    source: str, from_: str | None, databases: int, progress: bool | None
) -> Iterator[Iterator[Passing]]:
    """The keys of the input. Raises UsageError where nobody can say what it is, RliteError, OSError."""
    path = Path(source)
    if source != "-" and path.is_dir():
        if from_ not in (None, Form.LOG):
            raise click.UsageError(f"{path_text(source)} is a directory: a log, and nothing else")
        with logged(path, databases) as items:
            yield items
        return
    with ByteSource(source) as file:
        bar = Progress("reading", file.total, wanted=progress)
        pieces = followed(file, bar)
        try:
            head = next(pieces, b"")
            while 0 < len(head) < 16 and (more := next(pieces, b"")):
                head += more
        except RliteError as fault:
            raise DamagedError(str(fault), 0) from None
        form = Form(from_) if from_ else form_of(head)
        if form is None:
            what = "is empty" if not head else "begins like nothing that is known"
            raise ConvertError(f"it {what}; --from says what it is")
        if form is Form.LOG:
            if source == "-" or file.gzip:
                raise click.UsageError("a log must be a directory or a file, and not packed")
            with logged(path, databases) as items:
                yield items
            return
        whole = unpacked(head, pieces)
        if form is Form.RESP:
            yield of_resp(whole, server(databases))
        else:
            rdb = form is Form.RDB
            yield of_rdb(whole, lambda: file.plain_size) if rdb else of_ndjson(whole)
        bar.done()


def unpacked(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The whole input again, of which the head was looked at."""
    return chain([head] if head else [], pieces)


@contextlib.contextmanager
def logged(path: Path, databases: int) -> Iterator[Iterator[Passing]]:
    """The keys of a log that no live server writes to."""
    from rlite.engine.commands.context import Loading

    with idle(path):
        yield of_log(path, server(databases), Loading())


@contextlib.contextmanager
def idle(path: Path) -> Iterator[None]:
    """Keeps servers away from a log while it is read, and leaves no trace. Raises LockedError."""
    directory = path if path.is_dir() else path.parent
    with contextlib.ExitStack() as stack:
        for each in (directory, directory.parent):
            name = each / lock.NAME
            if not name.exists():
                continue
            file = stack.enter_context(name.open("rb"))
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = file.read(20).strip()
                raise lock.LockedError(each, int(pid) if pid.isdigit() else 0) from None
        yield


def server(databases: int) -> "Context":
    """A server that serves nobody and keeps nothing: commands are run in its keyspace."""
    from rlite.engine.config import Config
    from rlite.engine.server import Server

    return Server(Config(databases=databases, save="", appendonly="no", proto_max_bulk_len="4gb")).context


def chosen(items: Iterator[Passing], wanted: Wanted) -> Iterator[SnapshotKey | Function]:
    """What was asked for. Functions pass where no key is left out. A module's own data passes nowhere."""
    test = wanted.test()
    for item in items:
        if isinstance(item, SnapshotKey):
            size = item.size or len(item.raw) + len(item.key)
            if test(item.db, item.key, type_of(item.kind), size, item.deadline):
                yield item
        elif isinstance(item, Function):
            if wanted.everything:
                yield item
        else:
            note(f"rlite: left out: what a module saved beside the keys, at offset {item.offset}")


# --- writing -----------------------------------------------------------------------------------------------


def write(
    items: Iterator[SnapshotKey | Function], target: Path, form: Form, *, restore: bool, replace: bool
) -> Writer:
    """Writes all of it, so that the target is whole or as it was. Raises RliteError, OSError."""
    if form is Form.LOG:
        return write_log(items, target, restore=restore)
    if str(target) == "-":
        if form is not Form.RDB:
            return fill(items, to_file(sys.stdout.buffer, form, restore=restore, replace=replace))
        with tempfile.SpooledTemporaryFile(SPOOLED) as spool:  # its first bytes are known last
            writer = fill(items, ToRdb(spool))  # type: ignore[arg-type]
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        return writer
    with files.replacing(target) as file:
        return fill(items, to_file(file, form, restore=restore, replace=replace))


def to_file(file: BinaryIO, form: Form, *, restore: bool, replace: bool) -> Writer:
    if form is Form.RDB:
        return ToRdb(file)
    if form is Form.RESP:
        return ToResp(file, restore=restore, replace=replace)
    return ToNdjson(file)


def fill(items: Iterator[SnapshotKey | Function], writer: Writer) -> Writer:
    for item in items:
        if isinstance(item, Function):
            writer.function(item)
            continue
        try:
            writer.key(item)
        except RdbError as fault:
            name = item.key.decode("utf-8", "surrogateescape")
            raise ConvertError(
                f"the value of {name} (database {item.db}, offset {item.offset}): {fault}"
            ) from None
    writer.finish()
    return writer


def write_log(items: Iterator[SnapshotKey | Function], target: Path, *, restore: bool) -> Writer:
    """Makes the directory beside its place, and moves it there when all of it is on disk; what was there
    before stays beside it.
    """
    target = target.absolute()
    beside = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    beside.mkdir(0o700)
    try:
        with files.replacing(segment_path(beside)) as file:
            writer = ToLog(file, restore=restore)
            fill(items, writer)
        write_manifest(beside, writer.header.history)
        if os.path.lexists(target):
            kept = target.with_name(f"{target.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
            target.rename(kept)
            note(f"what was at {path_text(target)} is now {path_text(kept)}")
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    files.sync_directory(target.parent)
    return writer
