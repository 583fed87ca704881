"""``checked_headers``, ``checked_query``, ``checked_body``: what a config adds to each request; never a key."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

from thinklab.errors import ConfigError
from thinklab.teachers.secrets import LOOKS_LIKE_A_KEY

_SECRET_NAME = re.compile(r"auth|key|secret|token|cookie|passw|credential|\bsig(nature)?\b|\bcode\b", re.IGNORECASE)
_SECRET_FIELD = re.compile(r"authori[sz]ation|api[-_]?key|secret|passw|credential", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = ("host", "content-type", "content-length", "transfer-encoding", "connection", "accept")
_NEVER = "never put a key into a config. Put it into an environment variable and set key_env to its name"


def checked_headers(given: Mapping[str, Any] | None) -> dict[str, str]:
    """Headers to send with each request.

    Raises:
        ConfigError: for one that carries a key, that the HTTP client sets itself, or that is no header.
    """
    found = _texts("headers", given)
    for name, value in found.items():
        if name.lower() in _OURS:
            raise ConfigError(f"teacher option headers: {name} is set by the HTTP client; leave it out")
        if not _HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise ConfigError(f"teacher option headers: {name!r} and its value must be printable ASCII on one line")
    return found


def checked_query(given: Mapping[str, Any] | None) -> dict[str, str]:
    """Query strings to send with each request, such as Azure's ``api-version``.

    Raises:
        ConfigError: for one that carries a key.
    """
    return _texts("query", given)


def checked_body(given: Mapping[str, Any] | None, reserved: Mapping[str, str]) -> dict[str, Any]:
    """Fields to add to the body of each request.

    Args:
        reserved: fields that the backend writes, each with what to use instead.

    Raises:
        ConfigError: for one of those, or one that carries a key.
    """
    for name in given or {}:
        if name in reserved:
            raise ConfigError(f"teacher option extra_body: {name} belongs to thinklab; {reserved[name]}")
    for name, value in _walk(given or {}):
        if _SECRET_FIELD.search(name) or (isinstance(value, str) and LOOKS_LIKE_A_KEY.search(value)):
            raise ConfigError(f"teacher option extra_body: {name} looks like a key: {_NEVER}")
    return dict(given or {})


def _texts(option: str, given: Mapping[str, Any] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in (given or {}).items():
        if _SECRET_NAME.search(str(name)) or (isinstance(value, str) and LOOKS_LIKE_A_KEY.search(value)):
            raise ConfigError(f"teacher option {option}: {name} looks like a key: {_NEVER}")
        if isinstance(value, bool) or not isinstance(value, str | int | float | datetime.date):
            raise ConfigError(f"teacher option {option}: {name} must be a text, not {value!r}")
        found[str(name)] = str(value)  # YAML reads 2024-10-21 as a date
    return found


def _walk(body: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of every field, however deep."""
    if isinstance(body, Mapping):
        for name, value in body.items():
            yield str(name), value
            yield from _walk(value)
    elif isinstance(body, list):
        for value in body:
            yield "a list entry", value
            yield from _walk(value)
