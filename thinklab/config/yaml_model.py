"""A YAML file as a pydantic model, with errors that point at file, line and column. For configs; behaviors do more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from thinklab.config.strict_yaml import FileError, Place, clip, parse
from thinklab.errors import ThinklabError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]


class Spot(Protocol):
    """Where one value stands."""

    @property
    def place(self) -> Place: ...

    @property
    def key_place(self) -> Place | None: ...


class Places(Protocol):
    """Where the values of a file stand, by path: a ``Node`` of the strict parser, or what stands in for one."""

    def at(self, path: Path_) -> Spot | None:
        """None where nothing is written at ``path``."""
        ...

    def nearest(self, path: Path_) -> Spot:
        """The value at ``path``, or the innermost one that holds it."""
        ...


@dataclass
class Document:
    """The content of one file: ``data`` may be changed, ``node`` remembers where everything stood."""

    data: Any
    node: Places
    overrides: dict[Path_, str] = field(default_factory=dict)
    """What was set from outside the file, as it was written there."""

    def at(self, path: Path_) -> str:
        """``file:line:column`` of the key at ``path``, or of the innermost one around it; the override where one set it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                text = self.overrides[path[:length]]
                return text if text.startswith("--") else f"override {text!r}"
        node = self.node.nearest(path)
        return str(node.key_place or node.place)

    def place(self, fault: Mapping[str, Any]) -> str:
        """``at`` for one of pydantic's errors: where it names several keys, the first one that was overridden, else written."""
        keys = [(*fault["loc"], *key.split(".")) for key in getattr(fault.get("ctx", {}).get("error"), "keys", ())]
        by_override = (k for k in keys if any(k[:n] in self.overrides for n in range(1, len(k) + 1)))
        written = (k for k in keys if self.node.at(k) is not None)
        for key in (*by_override, *written):
            return self.at(key)
        return self.at(tuple(fault["loc"]))


class Fault(ValueError):
    """What a validator of a whole section or file raises, with the keys that it is about."""

    keys: tuple[str, ...] = ()


def fault(message: str, *keys: str) -> Fault:
    """A ``Fault`` about ``keys``: dotted, relative to the section that raises it, the likeliest culprit first."""
    error = Fault(message)
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
        error: with one line per fault, each ``file:line:column: key: what is wrong``.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as why:
        lines = [f"{document.place(e)}: {_explain(model, e)}" for e in why.errors()]
        raise error("\n".join(lines)) from None


def _explain(model: type[BaseModel], fault: Mapping[str, Any]) -> str:
    path, kind = fault["loc"], fault["type"]
    name = ".".join(map(str, path))
    if kind == "extra_forbidden":
        return f"unknown key {name!r}{did_you_mean(str(path[-1]), _fields_at(model, path[:-1]))}"
    if kind == "missing":
        return f"{name!r} is missing"
    message = fault["msg"].removeprefix("Value error, ")
    value = fault.get("input")
    shown = f", not {clip(value)}" if isinstance(value, str | int | float | bool) and kind != "value_error" else ""
    return f"{name}: {message[0].lower() + message[1:]}{shown}" if name else message


def _fields_at(model: type[BaseModel], path: tuple) -> list[str]:
    """Names of the fields that are known at ``path``."""
    for step in path:
        fields = getattr(model, "model_fields", {})
        if step not in fields:
            continue
        kinds = [fields[step].annotation, *getattr(fields[step].annotation, "__args__", ())]
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)
    return list(getattr(model, "model_fields", {}))
