"""Where a server is, as people write it: HOST PORT, HOST:PORT, or a URI with user and password.

Pure: values only, no look-up of names, no connection. May be imported by all; imports nothing of rlite.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

DEFAULT_PORT = 6379
HIGHEST_PORT = 65535
# What stands before :// and means plain Redis over TCP, over a socket file, and over TLS.
TCP_SCHEMES = ("redis", "valkey")
UNIX_SCHEMES = ("unix", "redis+unix")
TLS_SCHEMES = ("rediss", "valkeys")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_PORT = re.compile(r"[0-9]{1,10}", re.ASCII)


def host_port(host: str, port: int) -> str:
    """As people write it: HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone: localhost, or an address of its loopback, in brackets or not."""
    try:
        found = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


@dataclass(frozen=True, slots=True)
class Address:
    """A server's place. unix: path of its socket file, or "" where host and port count; user and password:
    None where nothing is said of them. The password is not part of what is printed of an Address.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    unix: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.unix:
            return self.unix
        return host_port(self.host, self.port)


def parse_address(words: Sequence[str]) -> Address:
    """An Address from `HOST PORT` (two words), `HOST:PORT`, `[IPV6]:PORT` or a URI (one word each).

    redis:// and valkey:// may carry [user][:password]@, unquoted from %XX, and leave out the port; a database
    behind the / is not looked at. Raises ValueError with what is wrong and what would be right; a password is
    never part of that text.
    """
    if len(words) == 2:
        return Address(_host(words[0]), parse_port(words[1]))
    if len(words) != 1 or not words[0]:
        raise ValueError("a host and a port are wanted: HOST PORT")
    if found := _URI.fullmatch(words[0]):
        return _of_uri(found[1].lower(), found[2])
    host, port = _split(words[0])
    if port is None:
        raise ValueError(f"the port is missing: {host} PORT")
    return Address(host, parse_port(port))


def parse_port(text: str) -> int:
    """A TCP port that somebody can listen on. Raises ValueError."""
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= HIGHEST_PORT:
        raise ValueError(f"{text!r} is no port: a whole number from 1 to {HIGHEST_PORT}")
    return int(text)


def _of_uri(scheme: str, rest: str) -> Address:
    if scheme in TLS_SCHEMES:
        raise ValueError(f"{scheme}:// asks for TLS, which rlite does not speak; put a TLS proxy in front")
    login, _, place = rest.rpartition("@")
    user, password = _login(login) if "@" in rest else (None, None)
    if scheme in UNIX_SCHEMES:
        path = unquote(place.partition("?")[0])
        if not path.startswith("/"):
            raise ValueError(f"{scheme}:// wants the whole path of a socket: {scheme}:///run/redis.sock")
        return Address(unix=path, user=user, password=password)
    if scheme not in TCP_SCHEMES:
        raise ValueError(f"{scheme}:// is not known: redis://[USER:PASSWORD@]HOST[:PORT]")
    host, port = _split(re.split(r"[/?#]", place, maxsplit=1)[0])
    return Address(host, DEFAULT_PORT if port is None else parse_port(port), "", user, password)


def _login(text: str) -> tuple[str | None, str | None]:
    """`user:password`; as redis-cli has it, what stands alone is the password."""
    user, colon, password = text.partition(":")
    if not colon:
        return None, unquote(user) or None
    return unquote(user) or None, unquote(password)


def _split(text: str) -> tuple[str, str | None]:
    """Host, and port where one is said."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is no address: [IPV6]:PORT")
        return _host(host), rest[1:] if rest else None
    if text.count(":") > 1:
        raise ValueError(f"{text!r} may be read in two ways: put the host in brackets, [IPV6]:PORT")
    host, colon, port = text.partition(":")
    return _host(host), port if colon else None


def _host(text: str) -> str:
    """A name or an address, which no line of a protocol or of a file may be broken with."""
    if not text:
        raise ValueError("the host is missing: HOST PORT")
    if not text.isprintable() or any(c.isspace() or c in "/@[]" for c in text):
        raise ValueError(f"{text!r} is no host: a name or an address is wanted")
    return text
