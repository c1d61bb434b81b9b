"""The part of JSON Schema that the API's declarations use: they document a body and check it at once."""

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
INTEGER = re.compile(r"-?[0-9]{1,19}")


class InvalidError(ValueError):
    """Says where a value is not what its schema asks for, and what it asks for."""


def check(value: object, schema: Schema, where: str = "the body") -> None:
    """Raises InvalidError for a value that does not obey.

    >>> check({"ttl_ms": 5}, {"type": "object", "properties": {"ttl_ms": {"type": "integer", "minimum": 1}}})
    """
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if kinds and not any(is_a(value, kind) for kind in kinds):
        raise InvalidError(f"{where} must be {' or '.join(kinds)}")
    if "enum" in schema and value not in schema["enum"]:
        raise InvalidError(f"{where} must be one of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            raise InvalidError(f"{where} must be from {low} to {high}")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            raise InvalidError(f"{where} must have at least {schema['minItems']} items")
        for i, item in enumerate(value):
            check(item, schema.get("items", {}), f"{where}[{i}]")
    if isinstance(value, dict):
        check_members(value, schema, where)


def check_members(value: Mapping[str, object], schema: Schema, where: str) -> None:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise InvalidError(f"{where} must have a member {name}")
    for name, item in value.items():
        if name in known:
            check(item, known[name], f"{where}: {name}")
        elif schema.get("additionalProperties", True) is False:
            raise InvalidError(f"{where} has a member {name[:64]!r}; it may have {', '.join(known)}")


def is_a(value: object, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def from_text(text: str, schema: Schema, where: str) -> object:
    """The value of a parameter of a query. Raises InvalidError."""
    value: object = text
    if schema["type"] == "integer":
        if not INTEGER.fullmatch(text):
            raise InvalidError(f"{where} must be a whole number")
        value = int(text)
    check(value, schema, where)
    return value
