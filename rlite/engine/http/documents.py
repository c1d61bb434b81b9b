"""Bytes in JSON documents: as text where all strings of one are UTF-8, as base64 where one is not."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_from_bytes

from rlite.engine.http.problems import unprocessable

ENCODING = {"type": "string", "enum": ["utf-8", "base64"]}


def as_json(value: Any, form: Callable[[bytes], str]) -> Any:
    """A value with each of its byte strings made text by `form`; names of ours are text already."""
    if isinstance(value, bytes):
        return form(value)
    if isinstance(value, list):
        return [as_json(each, form) for each in value]
    if isinstance(value, dict):
        return {as_json(name, form): as_json(each, form) for name, each in value.items()}
    return value


def in_base64(raw: bytes) -> str:
    return b64encode(raw).decode()


def encoded(value: Any, wanted: str = "") -> tuple[Any, str]:
    """A value as JSON, and the encoding its strings have: base64 where that is wanted or needed."""
    if wanted != "base64":
        try:
            return as_json(value, bytes.decode), "utf-8"
        except UnicodeDecodeError:
            pass
    return as_json(value, in_base64), "base64"


def decoded(value: Any, encoding: str) -> Any:
    """The bytes that the strings of a document from outside say; names of an object's members as well.

    Raises ProblemError.
    """
    if isinstance(value, str):
        return from_text(value, encoding)
    if isinstance(value, list):
        return [decoded(each, encoding) for each in value]
    if isinstance(value, dict):
        return {from_text(name, encoding): decoded(each, encoding) for name, each in value.items()}
    return value


def from_text(text: str, encoding: str) -> bytes:
    try:
        return b64decode(text, validate=True) if encoding == "base64" else text.encode()
    except (binascii.Error, ValueError):
        raise unprocessable(f"{text[:64]!a} is no {encoding}") from None


def name_of(key: bytes) -> dict[str, str]:
    """How a document names a key."""
    shown, encoding = encoded(key)
    return {"key": shown, "key_encoding": encoding, "href": f"/api/keys/{quote_from_bytes(key, safe='')}"}
