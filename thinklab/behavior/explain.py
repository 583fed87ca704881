"""What is wrong with a behavior file, in one sentence for each fault."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from thinklab.behavior.detector_spec import DETECTORS, KINDS, TAG_NAMES
from thinklab.behavior.spec import BehaviorSpec
from thinklab.config.strict_yaml import FileError, Node, clip
from thinklab.errors import did_you_mean


def model_problems(node: Node, err: ValidationError) -> list[FileError]:
    """Everything that the models refuse, in the order of the file."""
    # what is missing comes last: more often than not it is there, under a name that is not known
    found = [
        (one["type"] == "missing", _problem(node, one))
        for one in err.errors(include_url=False)
        if not _other_branch(node, one["loc"])
    ]
    return [problem for _, problem in sorted(found, key=lambda item: (item[0], item[1].place.line, item[1].place.column))]


_BRANCH = re.compile(r"list\[|constrained-str|(?:str|int|float|bool)\Z")


def _keys_of(root: Node, loc: tuple[Any, ...]) -> tuple[tuple[str | int, ...], str]:
    """pydantic's path as keys of the file, and the branch of "a text or a list of texts" that it went through, if any."""
    path: tuple[str | int, ...] = ()
    branch = ""
    for part in loc:
        if _BRANCH.match(str(part)) and root.at((*path, part)) is None:
            branch = str(part)
        elif part not in TAG_NAMES or root.at((*path, part)) is not None:  # the tag of a detector is in no file
            path = (*path, part)
    return path, branch


def _other_branch(root: Node, loc: tuple[Any, ...]) -> bool:
    """Whether the error is from the branch that nobody wrote."""
    path, branch = _keys_of(root, loc)
    written = root.at(path if not branch or not isinstance(path[-1], int) else path[:-1])
    if branch in ("int", "float", "bool"):  # the options of a python detector: one of four is enough
        return True
    return branch not in ("", "str") and branch.startswith("list[") != isinstance(written.value if written else None, list)


def name_hint(name: str) -> str:
    """``"; 'my-name' would do"`` for a name that cannot be used, where there is one like it."""
    close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return f"; {close!r} would do" if close else ""


def _problem(root: Node, error: Any) -> FileError:
    """One pydantic error as a sentence with a place and, where possible, a suggestion."""
    path, _ = _keys_of(root, error["loc"])
    if error["type"] == "judge_in_reward":
        path = ("reward", "bonus")
    kind, spot = error["type"], root.nearest(path)
    shown = ".".join(str(part) for part in path) or "the file"
    if kind == "extra_forbidden":
        known = _known_keys(root, path[:-1])
        place = spot.key_place or spot.place
        return FileError(
            place,
            f"unknown key {str(path[-1])[:60]!r}{did_you_mean(str(path[-1]), known)}; "
            f"{'.'.join(map(str, path[:-1])) or 'a behavior'} knows {', '.join(known)}",
        )
    if kind == "missing":
        return FileError(spot.place, f"{shown} is missing; `thinklab behaviors new NAME` shows where it goes")
    if kind == "detector_kind":
        return FileError(spot.place, f"{shown}: {error['msg']}, not {_no_detector(spot)}")
    text = f"{shown}: {_sentence(error)}"
    if kind == "value_error" or kind == "judge_in_reward":  # our own words; they say what to do
        return FileError(spot.place, text)
    if kind == "string_pattern_mismatch" and path[-1:] in (("name",), ("same_as",), ("extends",)):
        return FileError(spot.place, f"{shown}: lower case with hyphens, not {clip(spot)}{name_hint(str(spot.value))}")
    if kind == "string_type" and isinstance(spot.value, int | float | bool | None):
        return FileError(spot.place, f'{text}; write "{spot.source or spot.value}" in quotes for a text')
    text += f", not {clip(spot)}"
    if kind == "literal_error" and isinstance(spot.value, str):
        text += did_you_mean(spot.value, re.findall(r"'([^']+)'", error["msg"]))
    if kind == "string_type" and isinstance(spot.value, dict):
        text += "; quote a text that contains braces or ': '"
    elif kind == "list_type":
        text += "; begin each entry of a list with `- `" if isinstance(spot.value, dict) else "; write it as `[...]`"
    elif kind in ("bool_type", "int_type", "float_type") and isinstance(spot.value, str) and _plain_word(spot.value, kind):
        text += f"; write {spot.value} without quotes"
    return FileError(spot.place, text)


def _plain_word(text: str, kind: str) -> bool:
    return text in ("true", "false") if kind == "bool_type" else bool(re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]+)?", text))


def _no_detector(spot: Node) -> str:
    """What stands where a detector should, and what to write."""
    value = spot.value
    if isinstance(value, dict) and value:
        close = next((hint for key in value if key not in KINDS and (hint := did_you_mean(key[:40], KINDS))), "")
        kinds = [key for key in value if key in KINDS]
        more = f"; write each as an entry of `all` or `any`: - {kinds[0]}: ..." if len(kinds) > 1 else close
        return clip(", ".join(kinds if len(kinds) > 1 else value)) + more
    if isinstance(value, list) and value:
        return f"a list; put it under `all` or `any`: {clip(spot)}"
    return f"{clip(spot)}; write `phrase: ...`" if isinstance(value, str) else clip(spot)


def _sentence(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ")
    for noun, ours in (("Input", ""), ("String", "the text "), ("List", "the list ")):
        message = message.replace(f"{noun} should ", f"{ours}must ")
    return re.sub(r"a valid dictionary.*", "keys and values", message)


def _known_keys(root: Node, path: tuple[Any, ...]) -> list[str]:
    """The keys that may stand in the mapping at ``path``."""
    if "detector" in path[:1]:
        written = root.nearest(path).value
        kinds = [model for model in DETECTORS if isinstance(written, dict) and _keys(model)[0] in written]
        return _keys(kinds[0]) if len(kinds) == 1 else list(KINDS)
    model: Any = BehaviorSpec
    for part in path:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            annotation = model.model_fields[part].annotation if part in model.model_fields else None
            inner = getattr(annotation, "__args__", ())
            model = inner[0] if inner and isinstance(inner[0], type) else annotation
    return _keys(model) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written in a file; a detector's own kind comes first."""
    names = [field.alias or key for key, field in model.model_fields.items()]
    return sorted(names, key=lambda name: name not in KINDS)
