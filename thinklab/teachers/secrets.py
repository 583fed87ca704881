"""``Secret``: finds API keys (environment, Colab), redacts them from all output; ``checked_url``.

A key is read from the environment, then from Colab's secrets, then from a prompt without echo in an interactive session. It is
never an option: options end up in configs, run folders, and shell histories.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn
from urllib.parse import urlsplit

from thinklab.errors import ConfigError, TeacherError

LOOKS_LIKE_A_KEY = re.compile(
    r"\b(?:sk|pk|key)-[A-Za-z0-9_\-*.]{8,}|(?i:bearer)\s+[^\s\"',;]+"
    r"|\bya29\.[A-Za-z0-9_\-.]{8,}|\bAIza[A-Za-z0-9_\-]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"  # Google, Amazon
)
HIDDEN = "[key hidden]"
_unneeded: ContextVar[bool] = ContextVar("_unneeded", default=False)


class Secret:
    """A string that is visible only through ``reveal()``: not in repr, str, format, pickle or a traceback's locals."""

    __slots__ = ("_more", "_value")

    def __init__(self, value: str, *more: str) -> None:
        """
        Args:
            more: other keys that a reply or an error must not show.
        """
        self._value, self._more = value, more

    def reveal(self) -> str:
        return self._value

    def hide(self, text: str) -> str:
        """``text`` without this key."""
        for value in (self._value, *self._more):
            text = text.replace(value, HIDDEN) if value else text
        return text

    def redact(self, text: str) -> str:
        """``text`` without this key and anything that looks like a key; for messages, not for replies."""
        return LOOKS_LIKE_A_KEY.sub(HIDDEN, self.hide(text))

    def __repr__(self) -> str:
        return "Secret(set)" if self._value else "Secret(empty)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled or copied into a file")


@contextmanager
def without_key() -> Iterator[None]:
    """Inside this context no key is needed or requested: for a teacher that only estimates cost."""
    token = _unneeded.set(True)
    try:
        yield
    finally:
        _unneeded.reset(token)


def key_needed() -> bool:
    """False inside ``without_key``."""
    return not _unneeded.get()


def find_key(names: Sequence[str], service: str, required: bool = True) -> Secret:
    """The key of ``service``.

    Args:
        names: environment variables (and Colab secrets) to read; the first one that is set counts.
        required: prompt for a missing key and raise without one; otherwise return an empty ``Secret``.

    Raises:
        TeacherError: when there is no key, or it contains characters that are invalid in an HTTP header.
    """
    if _unneeded.get():
        return Secret("")
    value = _from_environment(names) or _from_colab(names)
    if not value and required and _somebody_there():
        value = getpass.getpass(f"{service} key (not shown, not stored): ")
    value = value.strip()
    if not value and required:
        raise TeacherError(
            f"no key for {service}: set the environment variable {names[0]}, or on Colab, add a secret of that name and grant "
            "this notebook access"
        )
    if not value.isascii() or any(c.isspace() for c in value):
        raise TeacherError(
            f"the key for {service} in {names[0]} contains a space, a line break, or a non-ASCII character; copy it again"
        )
    return Secret(value)


def checked_url(url: str) -> str:
    """``url`` if it is a valid service address without a key.

    Raises:
        ConfigError: if not; the message does not repeat a URL that may contain a key.
    """
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port >= 0
    except (ValueError, AttributeError, TypeError):
        parts, port_ok = None, False
    if parts is not None and (parts.username or parts.password or parts.query):
        raise ConfigError(
            "base_url must not contain a user and password or a '?': never put a key into a config. Put it into an environment "
            "variable and set key_env to its name"
        )
    if parts is None or not port_ok or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"base_url must be an address such as http://127.0.0.1:8000/v1, not {url!r}")
    return url


def at_home(url: str, host: str) -> bool:
    """Whether ``url`` is ``host`` itself or this machine: a key for ``host`` may be sent there without confirmation."""
    named = urlsplit(url).hostname or ""
    return named == host or named in ("localhost", "127.0.0.1", "::1")


def _from_environment(names: Sequence[str]) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name, "").strip()), "")


def _from_colab(names: Sequence[str]) -> str:
    if "google.colab" not in sys.modules:
        return ""
    from google.colab import userdata

    for name in names:
        try:
            value = userdata.get(name)
        except Exception:  # not set, or this notebook has no access: Colab has an exception for each
            continue
        if value and value.strip():
            return value
    return ""


def _somebody_there() -> bool:
    if "ipykernel" in sys.modules:
        from IPython import get_ipython

        kernel = getattr(get_ipython(), "kernel", None)
        return bool(getattr(kernel, "_allow_stdin", False))  # False under nbconvert, for instance
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
