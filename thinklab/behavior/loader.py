"""Reads a behavior file into a ``BehaviorSpec``: ``extends`` and merging, limits, templates and patterns checked.

``read`` never raises anything but ``BehaviorError``, whatever the file contains.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from thinklab.behavior import template as _template
from thinklab.behavior.detector_spec import RegexSpec, children, walk
from thinklab.behavior.explain import model_problems
from thinklab.behavior.safe_regex import compile_pattern
from thinklab.behavior.spec import BehaviorSpec
from thinklab.config.shipped import shipped
from thinklab.config.strict_yaml import MAX_BYTES, FileError, Node, Place, clip, parse
from thinklab.errors import BehaviorError, did_you_mean

MAX_EXTENDS = 8
MAX_TIMEOUT_MS = 3000
"""The time limit of all patterns of a detector together on one text, so that many slow ones cannot hang a run."""
REPLACED_WHOLE = ("detector", "tests")
"""Sections that a child replaces as a whole; other mappings are merged key by key. Lists are always replaced."""


def read(path: Path) -> BehaviorSpec:
    """The behavior in the file, merged with what it extends.

    Raises:
        BehaviorError: the file cannot be used; the message begins with ``file:line:column``.
    """
    return checked(tree(path))


def read_text(text: str, file: str) -> BehaviorSpec:
    """The same for a text that is not on disk; ``file`` names it in messages and locates its parents."""
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
            line, before = data.count(b"\n", 0, err.start) + 1, data[data.rfind(b"\n", 0, err.start) + 1 : err.start]
            raise FileError(
                Place(shown, line, len(before.decode("utf-8", "replace")) + 1),
                f"not UTF-8 text (the byte 0x{data[err.start]:02X}); save the file as UTF-8",
            ) from None
        text = data.decode("utf-8", "replace")
    return _with_parents(parse(text, shown), path, chain)


def _with_parents(node: Node, path: Path, chain: list[Path]) -> Node:
    if not isinstance(node.value, dict):
        raise FileError(node.place, f"a behavior file is a mapping: it begins with `name: ...`, not with {clip(node, 40)}")
    _nothing_left_empty(node, "")
    if "detector" in node.value:
        node = replace(node, value={**node.value, "detector": _borrowed(node.value["detector"], path, chain)})
    parent = node.value.get("extends")
    if parent is None or parent.value is None:
        return node
    return _merge(_other(parent, "extends", path, chain), node)


def _nothing_left_empty(node: Node, shown: str) -> None:
    """A key without a value would silently select the default."""
    inside = node.value.items() if isinstance(node.value, dict) else enumerate(node.value)
    for key, item in inside:
        name = f"{shown}.{key}" if shown else str(key)
        if item.value is None and not item.source:
            what = "there is no value after the colon" if item.key_place else "there is no value after the dash"
            raise FileError(
                item.key_place or item.place,
                f"{name}: {what}; write a value, leave it out, or quote the text if it is part of one",
            )
        if isinstance(item.value, dict | list):
            _nothing_left_empty(item, name)


def _borrowed(detector: Node, path: Path, chain: list[Path]) -> Node:
    """``detector`` with every ``same_as: NAME`` replaced by the detector of that behavior."""
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
    """The resolved behavior that ``reference`` names."""
    name, here = reference.value, _canonical(path)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]{1,60}", name):
        stem = Path(name).name.removesuffix(".yaml").removesuffix(".yml") if isinstance(name, str) else ""
        hint = f" (did you mean {stem!r}?)" if re.fullmatch(r"[a-z0-9-]{1,60}", stem) else did_you_mean(stem, shipped())
        raise FileError(
            reference.place,
            f"{key}: {clip(reference)} is not the name of a behavior{hint}; write one of "
            f"{', '.join(shipped())}, or the name of a file in this folder, without .yaml",
        )
    if len(chain) >= MAX_EXTENDS:
        raise FileError(reference.place, f"{key}: more than {MAX_EXTENDS} files deep; extend a behavior higher up the chain")
    beside, known = path.parent / f"{name}.yaml", shipped()
    # a file in the same folder comes first, except this file itself: my/self-check.yaml may extend the shipped one
    if beside.is_file() and (_canonical(beside) != here or name not in known or _canonical(known[name]) == here):
        target = beside
    elif name in known:
        target = known[name]
    else:
        raise FileError(
            reference.place,
            f"{key}: no behavior {name!r}{did_you_mean(name, known)}; there are "
            f"{', '.join(known)}, and no file {name}.yaml in this folder",
        )
    if _canonical(target) in [*chain, here]:
        way = " -> ".join(p.stem for p in [*chain, here, target])
        raise FileError(reference.place, f"{key}: the references form a circle: {way}; remove one of them")
    return _resolved(target, str(target), [*chain, here])


def _canonical(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _merge(base: Node, child: Node, key: str = "") -> Node:
    """``child`` over ``base``; every leaf keeps its own position."""
    if key in REPLACED_WHOLE or not (isinstance(base.value, dict) and isinstance(child.value, dict)):
        return child
    value = {k: v for k, v in base.value.items() if key or k not in ("extends", "name")}
    for k, node in child.value.items():
        value[k] = _merge(value[k], node, k) if k in value else node
    return Node(value, child.place, child.key_place)


def checked(node: Node) -> BehaviorSpec:
    """The tree as a ``BehaviorSpec``; includes the checks that span several models.

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
        raise FileError(
            node.nearest(("detector",)).place,
            f"detector: the time limits of its patterns add up to {slow} ms per text; the limit is {MAX_TIMEOUT_MS}; "
            "lower timeout_ms, or join patterns into one list under `regex`",
        )
    return spec


def tree(path: Path) -> Node:
    """The file as a tree of values with their positions, merged with its parents, not yet validated."""
    return _resolved(path, str(path), [])


def tree_of(text: str, file: str) -> Node:
    """The same for a text that is not on disk."""
    return _with_parents(parse(text, file), Path(file), [])


def _check_templates(spec: BehaviorSpec, root: Node) -> None:
    fields: list[tuple[tuple[str | int, ...], str, tuple[str, ...]]] = [
        (("teacher", "system"), spec.teacher.system, _template.ABOUT),
        (("teacher", "user"), spec.teacher.user, _template.TURN),
    ]
    for k, shot in enumerate(spec.teacher.few_shots):
        fields += [
            (("teacher", "few_shots", k, key), getattr(shot, key), _template.ABOUT)
            for key in ("question", "response", "reason", "phrase")
        ]
    for path, text, variables in fields:
        try:
            _template.check(text, variables)
        except _template.TemplateProblem as err:
            raise FileError(root.nearest(path).place_of(err.pattern), f"{'.'.join(map(str, path))}: {err}") from None
    used = {name for name in ("question", "response") if re.search(rf"\b{name}\b", spec.teacher.user)}
    if missing := {"question", "response"} - used:
        raise FileError(
            root.nearest(("teacher", "user")).place,
            f"teacher.user must contain {' and '.join('{{ ' + m + ' }}' for m in sorted(missing))}",
        )


def _check_patterns(spec: Any, root: Node, path: tuple[str | int, ...]) -> None:
    if isinstance(spec, RegexSpec):
        for k, pattern in enumerate(spec.patterns):
            try:
                compile_pattern(pattern, spec.case == "ignore")
            except BehaviorError as err:
                place = root.nearest((*path, "regex", *((k,) if isinstance(spec.regex, list) else ()))).place
                raise FileError(place, f"{'.'.join(map(str, path))}: {clip(pattern, 40)}: {err}") from None
    key = next(
        (
            kind
            for kind in ("all", "any", "not")
            if isinstance(root.nearest(path).value, dict) and kind in root.nearest(path).value
        ),
        None,
    )
    for k, child in enumerate(children(spec)):
        _check_patterns(child, root, (*path, key, k) if key in ("all", "any") else (*path, key or "not"))
