"""From a file to a checked ``BehaviorSpec``: reading, ``extends``, and errors that name the place.

``read`` never raises anything but ``BehaviorError``, whatever the file contains.
"""
from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from thinklab._behavior import template as _template
from thinklab._behavior.detector_spec import DETECTORS, KINDS, TAG_NAMES, RegexSpec, children, walk
from thinklab._behavior.pattern import compile_pattern
from thinklab._behavior.spec import BehaviorSpec
from thinklab._strict_yaml import MAX_BYTES, FileError, Node, Place, clip, parse
from thinklab.errors import BehaviorError, did_you_mean
from thinklab.resources import resource_dir

MAX_EXTENDS = 8
MAX_TIMEOUT_MS = 3000
"""What all patterns of a detector may take together on one text, so that many slow ones cannot hang a run either."""
REPLACED_WHOLE = ("detector", "tests")
"""Sections that a child states anew; in the other mappings it writes only what differs. Lists are always replaced."""


def shipped() -> dict[str, Path]:
    """Name -> file of the behaviours that travel with thinklab."""
    return {path.stem: path for path in sorted(resource_dir("behaviors").glob("*.yaml"))}


def locate(name_or_path: str | Path) -> Path:
    """A bare name is one of the shipped behaviours; anything with a folder or a ``.yaml`` ending is a path.

    Raises:
        BehaviorError: there is no such behaviour or file.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.endswith((".yaml", ".yml")):
        return Path(name_or_path).expanduser()
    known = shipped()
    if text not in known:
        hint = f"; there is a file {text}.yaml here, load it as ./{text}.yaml" if os.path.isfile(f"{text}.yaml") else ""
        raise BehaviorError(f"no behaviour {clip(text)}{did_you_mean(text, known)}; there are {', '.join(known)}{hint}")
    return known[text]


def read(path: Path) -> BehaviorSpec:
    """The behaviour in the file, with what it extends merged in.

    Raises:
        BehaviorError: the file cannot be used; the message begins with ``file:line:column``.
    """
    return checked(tree(path))


def read_text(text: str, file: str) -> BehaviorSpec:
    """The same for a text that is not on disk; ``file`` is the name for messages and the place to look for parents."""
    return checked(tree_of(text, file))


def _resolved(path: Path, shown: str, chain: list[Path]) -> Node:
    start = Place(shown, 1, 1)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or str(err)
        if isinstance(err, FileNotFoundError) and not path.is_absolute():
            reason += f" (looked in {Path.cwd()})"
        raise FileError(start, f"cannot be read: {reason}") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as err:
        if len(data) <= MAX_BYTES:
            line, before = data.count(b"\n", 0, err.start) + 1, data[data.rfind(b"\n", 0, err.start) + 1: err.start]
            raise FileError(Place(shown, line, len(before.decode("utf-8", "replace")) + 1),
                            f"not UTF-8 text (the byte 0x{data[err.start]:02X}); save the file as UTF-8") from None
        text = data.decode("utf-8", "replace")
    return _with_parents(parse(text, shown), path, chain)


def _with_parents(node: Node, path: Path, chain: list[Path]) -> Node:
    if not isinstance(node.value, dict):
        raise FileError(node.place, f"a behaviour file is a mapping: it begins with `name: ...`, not with {clip(node, 40)}")
    _nothing_left_empty(node, "")
    if "detector" in node.value:
        node = replace(node, value={**node.value, "detector": _borrowed(node.value["detector"], path, chain)})
    parent = node.value.get("extends")
    if parent is None or parent.value is None:
        return node
    return _merge(_other(parent, "extends", path, chain), node)


def _nothing_left_empty(node: Node, shown: str) -> None:
    """A key without a value would silently mean the default where that is allowed."""
    inside = node.value.items() if isinstance(node.value, dict) else enumerate(node.value)
    for key, item in inside:
        name = f"{shown}.{key}" if shown else str(key)
        if item.value is None and not item.source:
            what = "nothing is written after the colon" if item.key_place else "nothing is written after the dash"
            raise FileError(item.key_place or item.place, f"{name}: {what}; write a value, leave it out, or quote the text if "
                                                          "it is part of one")
        if isinstance(item.value, dict | list):
            _nothing_left_empty(item, name)


def _borrowed(detector: Node, path: Path, chain: list[Path]) -> Node:
    """``detector`` with every ``same_as: NAME`` replaced by the detector of that behaviour."""
    if isinstance(detector.value, list):
        return replace(detector, value=[_borrowed(item, path, chain) for item in detector.value])
    if not isinstance(detector.value, dict):
        return detector
    if set(detector.value) == {"same_as"}:
        name = detector.value["same_as"]
        other = _other(name, "same_as", path, chain).value.get("detector")
        if other is None:
            raise FileError(name.place, f"same_as: {clip(name.value)} has no detector")
        return replace(other, place=name.place, key_place=detector.key_place)
    return replace(detector, value={key: _borrowed(item, path, chain) for key, item in detector.value.items()})


def _other(reference: Node, key: str, path: Path, chain: list[Path]) -> Node:
    """The behaviour that ``reference`` names, itself resolved."""
    name, here = reference.value, _canonical(path)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]{1,60}", name):
        stem = Path(name).name.removesuffix(".yaml").removesuffix(".yml") if isinstance(name, str) else ""
        hint = f" (did you mean {stem!r}?)" if re.fullmatch(r"[a-z0-9-]{1,60}", stem) else did_you_mean(stem, shipped())
        raise FileError(reference.place, f"{key}: {clip(reference)} is not the name of a behaviour{hint}; write one of "
                                         f"{', '.join(shipped())}, or the name of a file beside this one without .yaml")
    if len(chain) >= MAX_EXTENDS:
        raise FileError(reference.place, f"{key}: more than {MAX_EXTENDS} files deep; make it flatter")
    beside, known = path.parent / f"{name}.yaml", shipped()
    # a file beside this one comes first, except this file itself: my/self-check.yaml may extend the shipped one
    if beside.is_file() and (_canonical(beside) != here or name not in known or _canonical(known[name]) == here):
        target = beside
    elif name in known:
        target = known[name]
    else:
        raise FileError(reference.place, f"{key}: no behaviour {name!r}{did_you_mean(name, known)}; there are "
                                         f"{', '.join(known)}, and no file {name}.yaml beside this one")
    if _canonical(target) in [*chain, here]:
        way = " -> ".join(p.stem for p in [*chain, here, target])
        raise FileError(reference.place, f"{key}: goes in a circle: {way}; remove one of them")
    return _resolved(target, str(target), [*chain, here])


def _canonical(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _merge(base: Node, child: Node, key: str = "") -> Node:
    """``child`` over ``base``; every leaf keeps its own place."""
    if key in REPLACED_WHOLE or not (isinstance(base.value, dict) and isinstance(child.value, dict)):
        return child
    value = {k: v for k, v in base.value.items() if key or k not in ("extends", "name")}
    for k, node in child.value.items():
        value[k] = _merge(value[k], node, k) if k in value else node
    return Node(value, child.place, child.key_place)


def checked(node: Node) -> BehaviorSpec:
    """The tree as a ``BehaviorSpec``; everything that a model alone cannot see is checked as well.

    Raises:
        FileError: at the first problem, in the order of the file.
    """
    try:
        spec = BehaviorSpec.model_validate(node.plain())
    except ValidationError as err:
        raise model_problems(node, err)[0] from None
    _check_templates(spec, node)
    _check_patterns(spec.detector, node, ("detector",))
    slow = sum(part.timeout_ms for part in walk(spec.detector) if isinstance(part, RegexSpec))
    if slow > MAX_TIMEOUT_MS:
        raise FileError(node.nearest(("detector",)).place,
                        f"detector: the time limits of its patterns add up to {slow} ms a text, the limit is {MAX_TIMEOUT_MS}; "
                        "lower timeout_ms, or join patterns into one list under `regex`")
    return spec


def tree(path: Path) -> Node:
    """The file as a tree of values with their places, parents merged in, not yet checked against the models."""
    return _resolved(path, str(path), [])


def tree_of(text: str, file: str) -> Node:
    """The same for a text that is not on disk."""
    return _with_parents(parse(text, file), Path(file), [])


def model_problems(node: Node, err: ValidationError) -> list[FileError]:
    """Everything that the models refuse, in the order of the file."""
    # what is missing comes last: more often than not it is there, under a name that is not known
    found = [(one["type"] == "missing", _problem(node, one)) for one in err.errors(include_url=False)
             if not _other_branch(node, one["loc"])]
    return [problem for _, problem in sorted(found, key=lambda item: (item[0], item[1].place.line, item[1].place.column))]


_BRANCH = re.compile(r"list\[|constrained-str|(?:str|int|float|bool)\Z")


def _keys_of(root: Node, loc: tuple[Any, ...]) -> tuple[tuple[str | int, ...], str]:
    """pydantic's path as keys of the file, and the branch of "a text or a list of texts" that it went through, if any."""
    path, branch = (), ""
    for part in loc:
        if _BRANCH.match(str(part)) and root.at((*path, part)) is None:
            branch = str(part)
        elif part not in TAG_NAMES or root.at((*path, part)) is not None:       # the tag of a detector is in no file
            path = (*path, part)
    return path, branch


def _other_branch(root: Node, loc: tuple[Any, ...]) -> bool:
    """Whether the error is from the branch that nobody wrote."""
    path, branch = _keys_of(root, loc)
    written = root.at(path if not branch or not isinstance(path[-1], int) else path[:-1])
    if branch in ("int", "float", "bool"):       # the options of a python detector: one of four is enough
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
        return FileError(place, f"unknown key {str(path[-1])[:60]!r}{did_you_mean(str(path[-1]), known)}; "
                                f"{'.'.join(map(str, path[:-1])) or 'a behaviour'} knows {', '.join(known)}")
    if kind == "missing":
        return FileError(spot.place, f"{shown} is missing; `thinklab behaviors new NAME` shows where it goes")
    if kind == "detector_kind":
        return FileError(spot.place, f"{shown}: {error['msg']}, not {_no_detector(spot)}")
    text = f"{shown}: {_sentence(error)}"
    if kind == "value_error" or kind == "judge_in_reward":     # our own words; they say what to do
        return FileError(spot.place, text)
    if kind == "string_pattern_mismatch" and path[-1:] in (("name",), ("same_as",), ("extends",)):
        return FileError(spot.place, f"{shown}: lower case with hyphens, not {clip(spot)}{name_hint(str(spot.value))}")
    if kind == "string_type" and isinstance(spot.value, int | float | bool | None):
        return FileError(spot.place, f"{text}; write \"{spot.source or spot.value}\" in quotes for a text")
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


def _check_templates(spec: BehaviorSpec, root: Node) -> None:
    fields: list[tuple[tuple[str | int, ...], str, tuple[str, ...]]] = [
        (("teacher", "system"), spec.teacher.system, _template.ABOUT),
        (("teacher", "user"), spec.teacher.user, _template.TURN)]
    for k, shot in enumerate(spec.teacher.few_shots):
        fields += [(("teacher", "few_shots", k, key), getattr(shot, key), _template.ABOUT)
                   for key in ("question", "response", "reason", "phrase")]
    for path, text, variables in fields:
        try:
            _template.check(text, variables)
        except _template.TemplateProblem as err:
            raise FileError(root.nearest(path).place_of(err.pattern), f"{'.'.join(map(str, path))}: {err}") from None
    used = {name for name in ("question", "response") if re.search(rf"\b{name}\b", spec.teacher.user)}
    if missing := {"question", "response"} - used:
        raise FileError(root.nearest(("teacher", "user")).place,
                        f"teacher.user must contain {' and '.join('{{ ' + m + ' }}' for m in sorted(missing))}")


def _check_patterns(spec: Any, root: Node, path: tuple[str | int, ...]) -> None:
    if isinstance(spec, RegexSpec):
        for k, pattern in enumerate(spec.patterns):
            try:
                compile_pattern(pattern, spec.case == "ignore")
            except BehaviorError as err:
                place = root.nearest((*path, "regex", *((k,) if isinstance(spec.regex, list) else ()))).place
                raise FileError(place, f"{'.'.join(map(str, path))}: {clip(pattern, 40)}: {err}") from None
    key = next((kind for kind in ("all", "any", "not") if isinstance(root.nearest(path).value, dict)
                and kind in root.nearest(path).value), None)
    for k, child in enumerate(children(spec)):
        _check_patterns(child, root, (*path, key, k) if key in ("all", "any") else (*path, key or "not"))
