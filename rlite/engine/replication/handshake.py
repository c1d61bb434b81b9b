"""What a replica says to its master before the data come: who it is, and from where on it wants the stream.

The words are Redis's (PING, AUTH, REPLCONF, PSYNC); what the master answers decides between a transfer of
everything and going on. Knows nothing of the data.
"""

import logging
from dataclasses import dataclass

from rlite.engine.config import Config
from rlite.engine.errors import printable
from rlite.engine.replication.channel import Channel, LinkError

LOG = logging.getLogger("rlite.replication")
ID_LENGTH = 40
# Answers to PING of a master that wants a password first.
WANTS_LOGIN = (b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")
# Answers to PSYNC of a master that cannot yet.
LATER = (b"-NOMASTERLINK", b"-LOADING", b"-TRYAGAIN")


@dataclass(frozen=True, slots=True)
class Whole:
    """All data come first; the stream goes on behind `offset` of this history."""

    history: str
    offset: int


@dataclass(frozen=True, slots=True)
class Rest:
    """The stream goes on where it was asked for. history: its id from here on; "": the same."""

    history: str


def introduce(channel: Channel, config: Config, port: int) -> None:
    """Says who this server is. port: the one it listens on. Raises LinkError."""
    channel.send(("PING",))
    answer = channel.answer()
    if not answer.startswith((b"+", *WANTS_LOGIN)):
        raise refused(answer, "PING")
    login, facts = _login(config), _facts(config, port)
    channel.send(*login, *facts)  # in one go, as Redis does: their answers come in the same order
    for _ in login:
        answer = channel.answer()
        if not answer.startswith(b"+"):
            raise LinkError("auth", text_of(answer))
    for words in facts:
        answer = channel.answer()
        if answer.startswith((b"-NOAUTH", b"-NOPERM")):
            raise LinkError("auth", text_of(answer))
        if answer.startswith(b"-"):  # an old one may know no such option, and do without
            LOG.warning("the master does not take REPLCONF %s: %s", words[1], text_of(answer))


def _login(config: Config) -> list[tuple[bytes | str | int, ...]]:
    password, user = config.text("masterauth"), config.text("masteruser")
    if not password:
        return []
    return [("AUTH", user, password) if user else ("AUTH", password)]


def _facts(config: Config, port: int) -> list[tuple[bytes | str | int, ...]]:
    facts: list[tuple[bytes | str | int, ...]] = [
        ("REPLCONF", "listening-port", config.int("replica-announce-port") or port)
    ]
    if address := config.text("replica-announce-ip"):
        facts.append(("REPLCONF", "ip-address", address))
    return [*facts, ("REPLCONF", "capa", "eof", "capa", "psync2")]


def ask(channel: Channel, history: str, offset: int, *, takes_over: bool = False) -> Whole | Rest:
    """Asks for what is behind an offset of a history; history "": for everything. takes_over: the other end
    is asked to be the master from here on. Raises LinkError.
    """
    place: tuple[str | int, ...] = ("PSYNC", history, offset + 1) if history else ("PSYNC", "?", -1)
    channel.send((*place, "FAILOVER") if takes_over else place)
    answer = channel.answer()
    words = answer.split()
    if words[0] == b"+FULLRESYNC":
        if len(words) != 3 or len(words[1]) != ID_LENGTH or not words[2].isdigit():
            raise LinkError("protocol", f"the master answered PSYNC with {printable(answer)}")
        return Whole(words[1].decode("latin-1"), int(words[2]))
    if words[0] == b"+CONTINUE":
        given = words[1].decode("latin-1") if len(words) > 1 else ""
        if given and len(given) != ID_LENGTH:
            raise LinkError("protocol", f"the master answered PSYNC with {printable(answer)}")
        return Rest("" if given == history else given)
    if answer.startswith(LATER):
        raise LinkError("refused", f"not yet: {text_of(answer)}")
    raise refused(answer, "PSYNC")


def refused(answer: bytes, command: str) -> LinkError:
    """What an answer that does not let a replica in comes to."""
    if answer.startswith((b"-NOAUTH", b"-NOPERM", b"-WRONGPASS")):
        return LinkError("auth", text_of(answer))
    if answer.startswith(b"-"):
        return LinkError("refused", f"the master answered {command} with {text_of(answer)}")
    return LinkError("protocol", f"the master answered {command} with {printable(answer)}")


def text_of(answer: bytes) -> str:
    return printable(answer.removeprefix(b"-"))
