"""INFO as values: numbers as numbers, `a=1,b=2` as an object; what is a name stays text.

Pure functions over the text of single fields, so that they serve for any server's INFO, ours or another's.
"""

import re
from collections.abc import Iterable, Mapping

Typed = str | int | float | dict[str, "Typed"]

INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
DECIMAL = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,18}")
PERCENT = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,18})?)%")
# Names and identifiers, which may happen to look like numbers.
TEXTS = frozenset({
    "redis_version", "rlite_version", "valkey_version", "server_version", "redis_git_sha1", "redis_build_id",
    "os", "gcc_version", "run_id", "master_replid", "master_replid2", "executable", "config_file",
    "master_host", "ip", "name", "bind", "state", "addr",
})  # fmt: skip
# Fields whose text is a list of name=value.
LISTS = re.compile(
    r"db[0-9]+|slave[0-9]+|listener[0-9]+|cmdstat_.+|errorstat_.+|latency_percentiles_usec_.+|module|.+_distrib"
)


def typed(field: str, text: str) -> Typed:
    """The value of one field.

    >>> typed("db0", "keys=2,expires=0,avg_ttl=0")
    {'keys': 2, 'expires': 0, 'avg_ttl': 0}
    >>> typed("used_memory_peak_perc", "98.50%"), typed("redis_version", "7.4")
    (98.5, '7.4')
    """
    if LISTS.fullmatch(field) and "=" in text:
        return {name: typed(name, value) for name, value in pairs(text).items()}
    if field in TEXTS:
        return text
    if INTEGER.fullmatch(text):
        return int(text)
    if DECIMAL.fullmatch(text):
        return float(text)
    if percent := PERCENT.fullmatch(text):
        return float(percent[1])
    return text


def pairs(text: str) -> dict[str, str]:
    """The parts of `a=1,b=2`. A part without an equals sign belongs to the value before it.

    >>> pairs("name=tcp,bind=127.0.0.1,::1,port=6379")
    {'name': 'tcp', 'bind': '127.0.0.1,::1', 'port': '6379'}
    """
    found: dict[str, str] = {}
    last = ""
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals:
            last = name
            found[name] = value
        elif last:
            found[last] += "," + part
    return found


def typed_section(fields: Mapping[str, object]) -> dict[str, Typed]:
    """The fields of one section."""
    return {name: typed(name, str(value)) for name, value in fields.items()}


def parsed(lines: Iterable[str]) -> dict[str, dict[str, Typed]]:
    """The text of INFO, line by line, as sections of fields; names of sections in lower case.

    >>> parsed(["# Clients", "connected_clients:3", ""])
    {'clients': {'connected_clients': 3}}
    """
    sections: dict[str, dict[str, Typed]] = {}
    fields: dict[str, Typed] = {}
    for line in map(str.strip, lines):
        name, colon, text = line.partition(":")
        if line.startswith("#"):
            fields = sections.setdefault(line[1:].strip().lower(), {})
        elif colon:
            fields[name] = typed(name, text)
    return sections
