"""``Explainer``: validation errors of pydantic, each as one sentence that names the key and suggests a fix.

Shared by configs and behavior files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from thinklab.config.strict_yaml import clip
from thinklab.errors import did_you_mean

Keys = tuple[str | int, ...]
_BRANCH = re.compile(r"(?:list|dict|tuple|literal|function-\w+)\[|constrained-str|(?:str|int|float|bool)\Z")
"""What pydantic puts into the path of an error for one branch of a union, such as "a text or a list of texts"."""


@dataclass(frozen=True)
class Problem:
    """One error in a file."""

    path: Keys
    """Keys from the top of the file."""
    text: str
    of_key: bool = False
    """The key is wrong, not its value."""
    missing: bool = False
    others: tuple[Keys, ...] = ()
    """The keys that a validator names, the likeliest culprit first."""


class Explainer:
    """Turns the errors of one model into sentences. Subclasses override the wording for their kind of file.

    Args:
        model: what the file should have been.
        data: what it holds, as plain Python values.
        source: how the scalar at a path is written in the file; empty where that is not known.
    """

    whole = ""
    """The subject of an error about the whole file; empty: the sentence has no subject."""
    tags: frozenset[str] = frozenset()
    """Tags of discriminated unions, which occur in pydantic's paths but not in files."""

    def __init__(self, model: type[BaseModel], data: Any, source: Callable[[Keys], str] = lambda path: ""):
        self.model, self.data, self.source = model, data, source

    def problems(self, error: ValidationError) -> list[Problem]:
        """All validation errors; missing keys come last, because they are often present under a misspelled name."""
        kept: list[tuple[Any, Keys]] = []
        branches: dict[Keys, list[tuple[Any, Keys, bool]]] = {}
        for one in error.errors(include_url=False):
            path, branch, stem = self._keys_of(one["loc"])
            if branch:
                branches.setdefault(stem, []).append((one, path, self._nobody_wrote(branch, path)))
            else:
                kept.append((one, path))
        for found in branches.values():
            kept += [(one, path) for one, path, other in found if not other] or [found[-1][:2]]
        return sorted((self._problem(one, path) for one, path in kept), key=lambda problem: problem.missing)

    def at(self, path: Keys) -> Any:
        """The value at ``path``; raises LookupError where there is none."""
        value: Any = self.data
        for part in path:
            if not ((isinstance(value, Mapping) and part in value) or (isinstance(value, list) and isinstance(part, int))):
                raise LookupError(path)
            value = value[part]  # type: ignore[index]
        return value

    def written(self, path: Keys) -> bool:
        try:
            self.at(path)
        except LookupError:
            return False
        return True

    # ---- wording that a kind of file may override ----------------------------------------------------------------

    def unknown(self, path: Keys) -> str:
        return f"unknown key {_dotted(path)!r}{did_you_mean(str(path[-1]), self.known(path[:-1]))}"

    def missing(self, path: Keys) -> str:
        return f"{_dotted(path)!r} is missing"

    def about(self, kind: str, path: Keys) -> Keys:
        """The keys that an error is about, when a whole-file validator reports only the error type."""
        return path

    def own(self, kind: str, path: Keys, value: Any, message: str) -> str | None:
        """The sentence for an error specific to this kind of file; None for any other."""
        return None

    def show(self, value: Any) -> str:
        """``", not VALUE"``; only scalars, because a section may contain secrets that must not reach a log."""
        return f", not {clip(value)}" if isinstance(value, str | int | float | bool) else ""

    def known(self, path: Keys) -> list[str]:
        """The keys allowed in the mapping at ``path``."""
        model = self.model
        for part in path:
            if isinstance(part, str) and part in model.model_fields:
                model = next(_models(model.model_fields[part].annotation), model)
        return [field.alias or key for key, field in model.model_fields.items()]

    # ---- the rules ---------------------------------------------------------------------------------------------------

    def _keys_of(self, loc: tuple[Any, ...]) -> tuple[Keys, str, Keys]:
        """pydantic's path as keys of the file, the branch of a union that it went through, and the path of that union."""
        path: Keys = ()
        branch, stem = "", path
        for part in loc:
            there = self.written((*path, part))
            if _BRANCH.match(str(part)) and not there:
                branch, stem = str(part), path
            elif part not in self.tags or there:
                path = (*path, part)
        return path, branch, stem

    def _nobody_wrote(self, branch: str, path: Keys) -> bool:
        """Whether an error belongs to a branch that the file does not use."""
        if branch in ("int", "float", "bool"):  # one of several scalar types is enough: the text
            return True
        path = path[:-1] if isinstance(path[-1], int) else path
        return branch != "str" and branch.startswith("list[") != (self.written(path) and isinstance(self.at(path), list))

    def _problem(self, error: Any, path: Keys) -> Problem:
        kind, keys = error["type"], getattr(error.get("ctx", {}).get("error"), "keys", ())
        path = self.about(kind, path)
        if kind == "extra_forbidden":
            return Problem(path, self.unknown(path), of_key=True)
        if kind == "missing":
            return Problem(path, self.missing(path), missing=True)
        text = self._sentence(error, path)
        return Problem(path, text, others=tuple((*path, *_steps(key)) for key in keys))

    def _sentence(self, error: Any, path: Keys) -> str:
        kind, message = error["type"], error["msg"].removeprefix("Value error, ")
        value = self.at(path) if self.written(path) else error.get("input")
        name = _dotted(path) or self.whole
        head = f"{name}: " if name else ""
        if kind == "value_error":  # our own message; it says what to do
            return head + message
        if (own := self.own(kind, path, value, message)) is not None:
            return head + own
        for noun, ours in (("Input", ""), ("String", "the text "), ("List", "the list ")):
            message = message.replace(f"{noun} should ", f"{ours}must ")
        text = head + re.sub(r"a valid dictionary.*", "keys and values", message)
        if kind == "string_type" and isinstance(value, int | float | bool | None):
            return f'{text}; write "{self.source(path) or value}" in quotes for a text'
        text += self.show(value)
        if kind == "literal_error" and isinstance(value, str):
            text += did_you_mean(value, re.findall(r"'([^']+)'", message))
        if kind == "string_type" and isinstance(value, dict):
            text += "; quote a text that contains braces or ': '"
        elif kind == "list_type":
            text += "; begin each entry of a list with `- `" if isinstance(value, dict) else "; write it as `[...]`"
        elif kind in ("bool_type", "int_type", "float_type") and isinstance(value, str) and _plain_word(value, kind):
            text += f"; write {value} without quotes"
        return text


def _steps(key: str) -> Keys:
    """``functions.0`` is the first entry of the list."""
    return tuple(int(step) if step.isdigit() else step for step in key.split("."))


def _dotted(path: Keys) -> str:
    return ".".join(map(str, path))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that ``annotation`` mentions: itself, or inside lists, unions and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _plain_word(text: str, kind: str) -> bool:
    return text in ("true", "false") if kind == "bool_type" else bool(re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]+)?", text))
