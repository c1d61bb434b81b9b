"""CLIENT: listing, killing, pausing and silencing, as seen from other connections."""

import pytest
from support.in_process import InProcess
from support.wire import Bulk, Err, Int, Null, Simple, Wire

FIELDS = (
    "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs "
    "rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver"
)


def _id(wire: Wire) -> int:
    reply = wire.command("CLIENT", "ID")
    assert isinstance(reply, Int)
    return reply.value


def _fields(wire: Wire) -> dict[str, str]:
    reply = wire.command("CLIENT", "INFO")
    assert isinstance(reply, Bulk)
    return dict(word.split("=", 1) for word in reply.data.decode().split())


def test_a_line_has_the_fields_of_redis_7_4_in_order(engine: InProcess) -> None:
    assert list(_fields(engine.wire())) == FIELDS.split()


def test_a_line_follows_what_the_client_does(engine: InProcess) -> None:
    wire, other = engine.wire(), engine.wire()
    wire.command("CLIENT", "SETNAME", "me")
    wire.command("WATCH", "k")
    wire.command("MULTI")
    wire.command("GET", "k")
    listed = other.command("CLIENT", "LIST", "ID", _id_of(other, "me"))
    assert isinstance(listed, Bulk)
    fields = dict(word.split("=", 1) for word in listed.data.decode().split())
    assert (fields["flags"], fields["multi"], fields["watch"], fields["name"]) == ("x", "1", "1", "me")


def _id_of(wire: Wire, name: str) -> int:
    reply = wire.command("CLIENT", "LIST")
    assert isinstance(reply, Bulk)
    (line,) = (line for line in reply.data.decode().splitlines() if f" name={name} " in line)
    return int(line.split()[0].removeprefix("id="))


def test_a_killed_client_runs_nothing_more(engine: InProcess) -> None:
    killer, victim = engine.wire(), engine.wire()
    number = _id(victim)
    assert killer.command("CLIENT", "KILL", "ID", number) == Int(1)
    victim.send("SET", "k", "v")
    assert victim.is_closed()
    assert killer.command("EXISTS", "k") == Int(0)


def test_kill_by_age_spares_the_young(engine: InProcess) -> None:
    killer, young = engine.wire(), engine.wire()
    assert killer.command("CLIENT", "KILL", "MAXAGE", 1000) == Int(0)
    assert killer.command("CLIENT", "KILL", "MAXAGE", 0) == Err(b"ERR maxage should be greater than 0")
    assert young.command("PING") == Simple(b"PONG")


def test_a_pause_holds_writers_until_it_is_ended(engine: InProcess) -> None:
    master, writer, reader = engine.wire(), engine.wire(), engine.wire()
    assert master.command("CLIENT", "PAUSE", 60000, "WRITE") == Simple(b"OK")
    writer.send("SET", "k", "v")
    assert reader.command("GET", "k") == Null(b"$")
    assert master.command("CLIENT", "UNPAUSE") == Simple(b"OK")
    assert writer.read_reply() == Simple(b"OK")
    assert reader.command("GET", "k") == Bulk(b"v")


def test_a_second_pause_never_shortens_nor_loosens_the_first(engine: InProcess) -> None:
    wire = engine.wire()
    wire.command("CLIENT", "PAUSE", 60000, "ALL")
    first = engine.server.context.pause
    assert first is not None
    assert wire.command("CLIENT", "PAUSE", 1, "WRITE") == Simple(b"OK")
    assert engine.server.context.pause == first
    assert wire.command("CLIENT", "UNPAUSE") == Simple(b"OK")
    assert engine.server.context.pause is None


def test_a_silenced_client_still_writes(engine: InProcess) -> None:
    wire = engine.wire()
    wire.send("CLIENT", "REPLY", "OFF")
    wire.send("SET", "k", "v")
    assert wire.command("CLIENT", "REPLY", "ON") == Simple(b"OK")
    assert wire.command("GET", "k") == Bulk(b"v")


@pytest.mark.parametrize("value", ["a b", "a\n", "\x7f"])
def test_library_names_are_plain_words(engine: InProcess, value: str) -> None:
    wanted = Err(b"ERR lib-name cannot contain spaces, newlines or special characters.")
    assert engine.wire().command("CLIENT", "SETINFO", "LIB-NAME", value) == wanted
