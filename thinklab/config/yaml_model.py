"""Validates a YAML ``Document`` against a pydantic model: where each key stands, and ``fault`` for wrong combinations.

For configs; behavior files have their own loader.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from thinklab.config.explain import Explainer, Keys, Problem
from thinklab.config.strict_yaml import FileError, Place, parse
from thinklab.errors import ThinklabError

Model = TypeVar("Model", bound=BaseModel)


class Placed(Protocol):
    """One value of a file, with its place; the strict parser's ``Node`` is one."""

    @property
    def place(self) -> Place: ...

    @property
    def key_place(self) -> Place | None: ...

    @property
    def source(self) -> str: ...


class Places(Protocol):
    """Positions in a file."""

    def at(self, path: Keys) -> Placed | None:
        """The value at ``path``, or None."""
        ...

    def nearest(self, path: Keys) -> Placed:
        """The value at ``path``, or the innermost one that holds it."""
        ...


@dataclass
class Document:
    """The content of one file: ``data`` may be changed, ``node`` keeps the original positions."""

    data: Any
    node: Places
    overrides: dict[Keys, str] = field(default_factory=dict)
    """Overrides from outside the file, as given by the user."""

    def at(self, path: Keys) -> str:
        """``file:line:column`` of the key at ``path``, or of the innermost key around it; the override if one set it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                text = self.overrides[path[:length]]
                return text if text.startswith("--") else f"override {text!r}"
        node = self.node.nearest(path)
        return str(node.key_place or node.place)

    def place(self, problem: Problem) -> str:
        """``at`` for one problem: if it is about several keys, the first one that was overridden, else the first in the file."""
        by_override = (k for k in problem.others if any(k[:n] in self.overrides for n in range(1, len(k) + 1)))
        written = (k for k in problem.others if self.node.at(k) is not None)
        return self.at(next(chain(by_override, written), problem.path))

    def source(self, path: Keys) -> str:
        """The scalar at ``path`` as written in the file; empty if an override set it, or if it is absent."""
        if any(path[:n] in self.overrides for n in range(1, len(path) + 1)):
            return ""
        return self.node.nearest(path).source


class KeyFault(ValueError):
    """Raised by validators of a whole section or file, with the keys involved."""

    keys: tuple[str, ...] = ()


def fault(message: str, *keys: str) -> KeyFault:
    """A ``KeyFault`` about ``keys``: dotted, relative to the section that raises it, the likeliest culprit first."""
    error = KeyFault(message)
    error.keys = keys
    return error


def read(path: Path, error: type[ThinklabError]) -> Document:
    """Read a mapping.

    Raises:
        error: when the file is missing, not UTF-8, not plain YAML, or holds no keys and values.
    """
    try:
        node = parse(path.read_text("utf-8"), str(path), "config")
    except OSError as why:
        raise error(f"cannot read {path}: {why.strerror or why}") from why
    except UnicodeDecodeError as why:
        raise error(f"{path}:1:1: not UTF-8 text ({why.reason} at byte {why.start})") from why
    except FileError as why:
        raise error(str(why)) from None
    if not isinstance(node.value, dict):
        raise error(f"{node.place}: expected keys and values")
    return Document(node.plain(), node)


def validate(model: type[Model], document: Document, error: type[ThinklabError]) -> Model:
    """``document`` as a ``model``.

    Raises:
        error: with one line per error, each ``file:line:column: key: what is wrong``.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as why:
        explainer = Explainer(model, document.data, document.source)
        lines = [f"{document.place(problem)}: {problem.text}" for problem in explainer.problems(why)]
        raise error("\n".join(lines)) from None
