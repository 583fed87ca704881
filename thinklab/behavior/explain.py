"""``BehaviorExplainer``: error sentences that only behavior files need: detector keys, names, a judge in the reward."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from thinklab.behavior.detector_spec import DETECTORS, KINDS, TAG_NAMES
from thinklab.behavior.spec import BehaviorSpec
from thinklab.config.explain import Explainer, Keys
from thinklab.config.strict_yaml import FileError, Node, clip
from thinklab.errors import did_you_mean


def model_problems(node: Node, err: ValidationError) -> list[FileError]:
    """All validation errors, in the order of the file; missing keys come last."""
    explainer = BehaviorExplainer(BehaviorSpec, node.plain(), lambda path: node.nearest(path).source)
    found = []
    for problem in explainer.problems(err):
        spot = node.nearest(problem.path)
        place = (problem.of_key and spot.key_place) or spot.place
        found.append((problem.missing, place.line, place.column, FileError(place, problem.text)))
    return [error for *_, error in sorted(found, key=lambda item: item[:3])]


def name_hint(name: str) -> str:
    """``"; 'my-name' would do"`` for an invalid name, where a valid one is close."""
    close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return f"; {close!r} would do" if close else ""


class BehaviorExplainer(Explainer):
    whole, tags = "the file", TAG_NAMES

    def unknown(self, path: Keys) -> str:
        known = self.known(path[:-1])
        return (
            f"unknown key {str(path[-1])[:60]!r}{did_you_mean(str(path[-1]), known)}; "
            f"{'.'.join(map(str, path[:-1])) or 'a behavior'} knows {', '.join(known)}"
        )

    def missing(self, path: Keys) -> str:
        return f"{'.'.join(map(str, path))} is missing; `thinklab behaviors new NAME` shows where it goes"

    def show(self, value: Any) -> str:
        return f", not {clip(value)}"

    def about(self, kind: str, path: Keys) -> Keys:
        return ("reward", "bonus") if kind == "judge_in_reward" else path

    def own(self, kind: str, path: Keys, value: Any, message: str) -> str | None:
        if kind == "judge_in_reward":
            return message
        if kind == "detector_kind":
            return f"{message}, not {_no_detector(value)}"
        if kind == "string_pattern_mismatch" and path[-1:] in (("name",), ("same_as",), ("extends",)):
            return f"lower case with hyphens, not {clip(value)}{name_hint(str(value))}"
        return None

    def known(self, path: Keys) -> list[str]:
        if "detector" not in path[:1]:
            return super().known(path)
        written = self.at(path)
        kinds = [model for model in DETECTORS if isinstance(written, dict) and _keys(model)[0] in written]
        return _keys(kinds[0]) if len(kinds) == 1 else list(KINDS)


def _no_detector(value: Any) -> str:
    """What was found in place of a detector, and what to write."""
    if isinstance(value, dict) and value:
        close = next((hint for key in value if key not in KINDS and (hint := did_you_mean(key[:40], KINDS))), "")
        kinds = [key for key in value if key in KINDS]
        more = f"; write each as an entry of `all` or `any`: - {kinds[0]}: ..." if len(kinds) > 1 else close
        return clip(", ".join(kinds if len(kinds) > 1 else value)) + more
    if isinstance(value, list) and value:
        return f"a list; put it under `all` or `any`: {clip(value)}"
    return f"{clip(value)}; write `phrase: ...`" if isinstance(value, str) else clip(value)


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys of a detector as written in a file, its kind first."""
    names = [field.alias or key for key, field in model.model_fields.items()]
    return sorted(names, key=lambda name: name not in KINDS)
