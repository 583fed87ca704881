"""Strict YAML 1.2: plain values with their places, and validation errors that point at file, line and column."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from thinklab.errors import ThinklabError, did_you_mean

MAX_BYTES = 1_000_000
Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]


@dataclass
class Document:
    """The content of one YAML file."""

    source: str
    """The file's name, for messages."""
    data: Any
    places: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    """Line and column, from 1, of the key or item at each path."""

    def at(self, path: Path_) -> str:
        """``file:line:column`` of the nearest place on the way to ``path``."""
        while path and path not in self.places:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        return f"{self.source}:{line}:{column}"


def read(path: Path, error: type[ThinklabError]) -> Document:
    """Read a file.

    Raises:
        error: when it is missing, too large, not UTF-8 or not YAML.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise error(f"{path}:1:1: the file is larger than {MAX_BYTES:,} bytes")
        text = path.read_text("utf-8")
    except OSError as why:
        raise error(f"cannot read {path}: {why.strerror or why}") from why
    except UnicodeDecodeError as why:
        raise error(f"{path}:1:1: not UTF-8 text ({why.reason} at byte {why.start})") from why
    return parse(text, str(path), error)


def parse(text: str, source: str, error: type[ThinklabError]) -> Document:
    """Parse YAML text; nothing in it can run code, and a key may occur only once."""
    loader = YAML(typ="rt", pure=True)
    try:
        raw = loader.load(StringIO(text))
    except DuplicateKeyError as why:
        mark = why.problem_mark
        raise error(f"{source}:{mark.line + 1}:{mark.column + 1}: {str(why.problem).strip()}; keep one of them") from why
    except MarkedYAMLError as why:
        mark = why.problem_mark or why.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else f"{source}:1:1"
        raise error(f"{where}: not valid YAML: {why.problem or why.context}") from why
    except (YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError, RecursionError) as why:
        message = str(why).strip().split("\n")[0]          # ruamel's own crashes on hostile input end here too
        raise error(f"{source}:1:1: not valid YAML: {message or type(why).__name__}") from why
    document = Document(source, None)
    document.data = _plain(raw, (), document.places)
    return document


def _plain(node: Any, path: Path_, places: dict[Path_, tuple[int, int]]) -> Any:
    """Plain dicts, lists and scalars, noting where each was."""
    if isinstance(node, CommentedMap):
        out = {}
        for key, value in node.items():
            if key in (node.lc.data or {}):
                line, column = node.lc.data[key][:2]
                places[*path, key] = (line + 1, column + 1)
            out[key] = _plain(value, (*path, key), places)
        return out
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            if index in (node.lc.data or {}):
                line, column = node.lc.data[index][:2]
                places[*path, index] = (line + 1, column + 1)
        return [_plain(item, (*path, index), places) for index, item in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def validate(model: type[Model], document: Document, error: type[ThinklabError]) -> Model:
    """``document`` as a ``model``.

    Raises:
        error: with one line per fault, each ``file:line:column: key: what is wrong``.
    """
    if not isinstance(document.data, Mapping):
        raise error(f"{document.source}:1:1: expected keys and values, not {type(document.data).__name__}")
    try:
        return model.model_validate(document.data)
    except ValidationError as why:
        lines = [f"{document.at(tuple(e['loc']))}: {_explain(model, e)}" for e in why.errors()]
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
    shown = f", not {value!r}" if isinstance(value, str | int | float | bool) and kind != "value_error" else ""
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
