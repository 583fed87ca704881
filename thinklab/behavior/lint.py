"""``lint`` (findings about style, few-shots, templates, missing tests) and ``run_tests`` for a behavior file.

Lint reads; test runs the detector over the file's own texts, over its few-shots, and looks into the rendered prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from thinklab.behavior import loader as _file
from thinklab.behavior.behavior import Behavior
from thinklab.behavior.detectors import build
from thinklab.behavior.explain import model_problems
from thinklab.behavior.spec import BehaviorSpec
from thinklab.config.strict_yaml import FileError, Node
from thinklab.errors import BehaviorError

FEWEST_TESTS = 10
_HIDDEN = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
"""Invisible and bidirectional control characters, which can make a file display something other than it contains."""


@dataclass(frozen=True)
class Finding:
    """One line of lint."""

    level: Literal["error", "warning"]
    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.level}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TestResult:
    """One check of a file's own tests. ``passed`` is None when it could not run."""

    what: str
    passed: bool | None
    why: str = ""

    __test__ = False


def lint(path: Path, text: str | None = None) -> list[Finding]:
    """Every problem in a file, in file order: errors that keep it from loading, or warnings if it loads.

    ``text`` is an editor's unsaved content of the file.
    """
    try:
        root = _file.tree(path) if text is None else _file.tree_of(text, str(path))
    except FileError as err:
        return [_finding("error", err)]
    try:
        spec = BehaviorSpec.model_validate(root.plain())
    except ValidationError as err:
        return [_finding("error", problem) for problem in model_problems(root, err)]
    try:
        behavior = Behavior(_file.checked(root), path)
    except FileError as err:
        return [_finding("error", err)]
    found = [_at("warning", root, keys, message) for keys, message in _style(spec, path)]
    try:
        build(spec.detector)
    except BehaviorError as err:  # a python detector whose package is not installed here: the file itself is fine
        return [*found, _at("error", root, _python_detector(root), str(err))]
    for k, what in _few_shot_problems(behavior):
        found.append(_at("error", root, ("teacher", "few_shots", k), f"few-shot {k + 1}: {what}"))
    return sorted(found, key=lambda f: (f.file != str(path), f.line, f.column))


def _python_detector(root: Node, path: tuple[str | int, ...] = ("detector",)) -> tuple[str | int, ...]:
    """The position of the first ``python:`` in the detector."""
    value = root.nearest(path).value
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ways = [(*path, key) if key == "python" else _python_detector(root, (*path, key)) for key, _ in inside]
    return next((way for way in ways if way[-1] == "python"), ("detector",))


def _finding(level: Literal["error", "warning"], err: FileError) -> Finding:
    return Finding(level, err.place.file, err.place.line, err.place.column, err.text)


def _at(level: Literal["error", "warning"], root: Node, keys: tuple[str | int, ...], message: str) -> Finding:
    node = root.nearest(keys)
    place = node.key_place or node.place
    return Finding(level, place.file, place.line, place.column, message)


def _style(spec: BehaviorSpec, path: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if spec.name != path.stem:
        yield ("name",), f"the name is {spec.name!r} but the file is {path.name!r}; a bare name is resolved as a file name"
    verdicts = {shot.verdict for shot in spec.teacher.few_shots}
    if len(verdicts) == 1:
        yield (
            ("teacher", "few_shots"),
            (
                f"every few-shot is {verdicts.pop()}; a teacher that sees only one verdict tends to repeat it, so add one with the other"
            ),
        )
    for keys, text in _texts(spec.model_dump(exclude={"tests"})):
        if hidden := _HIDDEN.search(text):
            yield keys, f"the text has an invisible character (U+{ord(hidden.group()):04X}); remove it unless it is intended"
    shown = [test.shows for test in spec.tests.all_texts]
    if len(shown) < FEWEST_TESTS or len(set(shown)) < 2:
        yield (
            ("tests",),
            (
                f"{sum(shown)} texts that show the behavior and {len(shown) - sum(shown)} that do not; "
                f"write at least {FEWEST_TESTS}, of both kinds"
            ),
        )
    elif len({test.text for test in spec.tests.all_texts}) < len(shown):
        yield ("tests",), "a text occurs twice; remove one"


def _texts(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text in ``value`` with its path of keys."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*path, key))


def _few_shot_problems(behavior: Behavior) -> Iterator[tuple[int, str]]:
    """(index, what is wrong): a few-shot must be guidance that the file itself would accept."""
    for k, shot in enumerate(behavior.spec.teacher.few_shots):
        guidance = behavior.splice({"reason": behavior._text(shot.reason), "phrase": behavior._text(shot.phrase)})
        try:
            refused = behavior.check_guidance(guidance, behavior._text(shot.response))
        except BehaviorError as err:
            yield k, str(err)
            continue
        if refused:
            yield k, refused
        if behavior.needs_judge:
            continue
        try:
            alone = behavior.detect(behavior._text(shot.response))
            spliced = behavior.detect(behavior.few_shot_text(shot))
        except BehaviorError as err:
            yield k, str(err)
            continue
        if alone:
            yield k, f"the attempt alone already shows the behavior ({alone.why})"
        if not spliced and not refused:
            yield k, f"with the guidance after it the attempt does not show the behavior: {spliced.why}"


def run_tests(behavior: Behavior) -> list[TestResult]:
    """The file's own tests, and those that every behavior must pass: its few-shots must satisfy its own rules."""
    results = []
    for k, test in enumerate(behavior.spec.tests.all_texts):
        what = f"text {k + 1} {'shows' if test.shows else 'does not show'} it: {_short(test.text)}"
        try:
            found = behavior.detect(test.text)
        except BehaviorError as err:
            results.append(TestResult(what, None if behavior.needs_judge else False, str(err)))
            continue
        why = f"{found.why}{f' (expected because: {test.because})' if test.because else ''}"
        results.append(TestResult(what, bool(found) == test.shows, why))
    for k, asked in enumerate(behavior.spec.tests.prompts):
        text = "\n\n".join(message["content"] for message in behavior.messages(asked.question, asked.response))
        missing = [part for part in asked.contains if part not in text]
        extra = [part for part in asked.lacks if part in text]
        why = "; ".join(
            [f"the prompt does not contain {part!r}" for part in missing] + [f"the prompt contains {part!r}" for part in extra]
        )
        results.append(TestResult(f"prompt {k + 1}: {_short(asked.question)}", not why, why))
    wrong: dict[int, list[str]] = {}
    for k, problem in _few_shot_problems(behavior):
        wrong.setdefault(k, []).append(problem)
    for k, shot in enumerate(behavior.spec.teacher.few_shots):
        why = "; ".join(wrong.get(k, []))
        results.append(TestResult(f"few-shot {k + 1}: {_short(shot.question)}", not why, why))
    return results


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:28]} … {line[-28:]}"
