"""``Behavior``: the prompt for the teacher, the checks of its guidance, detection, the bonus; ``load_behavior``.

    behavior = load_behavior("self-check")
    behavior.messages(question, response)      # the conversation for the teacher
    behavior.splice({"reason": "...", "phrase": "..."})
    behavior.detect(text)                      # truthy when the text shows it; .spans and .why say where and why

Behaviors are written in YAML (``behaviors/*.yaml``); a new one needs no change here.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from thinklab.behavior import loader as _file
from thinklab.behavior.detection import Detection
from thinklab.behavior.detector_spec import JudgeSpec, walk
from thinklab.behavior.detectors import Detector, bind_judge, build, detect_all, region
from thinklab.behavior.judge import NotAsked
from thinklab.behavior.spec import BehaviorSpec, FewShot, Placement, RewardSpec
from thinklab.behavior.template import render
from thinklab.config.shipped import locate, shipped
from thinklab.tasks.boxed import boxes
from thinklab.types import Message


@dataclass(frozen=True, eq=False)
class Behavior:
    """One behavior, as defined by its file. Created by ``load_behavior``; equal when the resolved contents are equal."""

    spec: BehaviorSpec
    """The validated file, merged with the behavior that it extends."""
    path: Path | None = None
    """Where it was loaded from."""
    judge: Any = field(default=None, repr=False)
    """The teacher that answers for a judge detector; see ``with_judge``."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def title(self) -> str:
        return self.spec.title

    @property
    def description(self) -> str:
        return self.spec.description.strip()

    @property
    def version(self) -> int:
        return self.spec.version

    @property
    def placement(self) -> Placement:
        """Where in the response it belongs: ``anywhere``, ``end`` (the last sentence) or ``before_answer``."""
        return self.spec.placement

    @property
    def reward(self) -> RewardSpec:
        """``bonus`` (0: accuracy alone is rewarded) and ``count`` (the exact number of occurrences; None: at least one)."""
        return self.spec.reward

    @property
    def separator(self) -> str:
        """The text between the student's answer and the guidance."""
        return self.spec.splice.separator

    @cached_property
    def hash(self) -> str:
        """12 hex digits over the resolved content: independent of the file's location, different after any change."""
        content = self.spec.model_dump(by_alias=True, exclude={"extends"})
        for later in ("shows", "lacks"):  # keys added later: a file without them keeps its hash
            if not content["tests"][later]:
                del content["tests"][later]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:12]

    # The teacher's side

    def messages(self, question: str, response: str) -> list[Message]:
        """The conversation for the teacher: system, the few-shots as user/assistant pairs, and the turn to be answered.

        ``question`` and ``response`` are data: template syntax in them is not rendered.
        """
        turns: list[Message] = [{"role": "system", "content": render(self.spec.teacher.system, self._about).strip()}]
        for shot in self.spec.teacher.few_shots:
            turns += [
                {"role": "user", "content": self._user(self._text(shot.question), self._text(shot.response))},
                {"role": "assistant", "content": self.reply(shot)},
            ]
        return [*turns, {"role": "user", "content": self._user(question, response)}]

    def reply(self, shot: FewShot) -> str:
        """What the teacher should have answered in a few-shot, with its tags."""
        return (
            f"<opinion>{shot.verdict}</opinion>\n<reason>{self._text(shot.reason)}</reason>\n"
            f"<phrase>{self._text(shot.phrase)}</phrase>"
        )

    def few_shot_text(self, shot: FewShot) -> str:
        """A few-shot as the student would have written it: the attempt with the guidance spliced on."""
        fields = {"reason": self._text(shot.reason), "phrase": self._text(shot.phrase)}
        return self._text(shot.response) + self.separator + self.splice(fields)

    @property
    def _about(self) -> dict[str, str]:
        return {"name": self.name, "title": self.title, "description": self.description}

    def _text(self, text: str) -> str:
        return render(text, self._about).strip()

    def _user(self, question: str, response: str) -> str:
        return render(self.spec.teacher.user, {**self._about, "question": question, "response": response})

    def splice(self, fields: Mapping[str, str]) -> str:
        """The guidance text: the configured fields, in their order, stripped and joined.

        Raises:
            KeyError: a configured field is not in ``fields``.
        """
        return self.spec.splice.joiner.join(fields[name].strip() for name in self.spec.splice.fields)

    def check_guidance(self, text: str, response: str) -> str:
        """Why this guidance must be rejected after ``response``; empty when it is valid."""
        return self.check_text(text) or self.check_shown(text, response)

    def check_text(self, text: str) -> str:
        """The constraint on the guidance text alone (length, words) that it violates; empty for none."""
        rules = self.spec.guidance
        if not text.strip():
            return "the guidance is empty"
        if len(text) > rules.longest:
            return f"the guidance has {len(text)} characters; at most {rules.longest} are allowed"
        for part in rules.must_contain:
            if part not in text:
                return f"the guidance does not contain {part!r}"
        if rules.must_end_with and not text.rstrip().endswith(tuple(rules.must_end_with)):
            return f"the guidance does not end with {' or '.join(map(repr, rules.must_end_with))}"
        return ""

    def check_shown(self, text: str, response: str) -> str:
        """Why the answer with this guidance appended does not show the measured behavior; empty when it does.

        With ``guidance.must_show`` (the default) the detector must find the behavior in the very text that is trained on, and
        not in the student's part alone. Nothing is checked where only a judge can tell.
        """
        if not self.spec.guidance.must_show or self.needs_judge:
            return ""
        head = response + self.separator
        found = self.detect(head + text)
        if not found:
            return f"the detector does not find the behavior in the guidance after this answer: {found.why}"
        if found.spans and max(end for _, end in found.spans) <= len(head):
            return f"the detector does not find the behavior in the guidance, only in the student's own part: {found.why}"
        return ""

    def shown_in(self, text: str) -> bool | None:
        """``detect`` as a plain bool for records; None where a judge is required but not available."""
        return None if self.needs_judge and self.judge is None else bool(self.detect(text))

    # The student's side

    @cached_property
    def _detector(self) -> Detector:
        detector = build(self.spec.detector)
        return bind_judge(detector, self.judge) if self.judge is not None else detector

    def detect(self, text: str) -> Detection:
        """Whether ``text`` (a response) shows the behavior, in the right place; ``.spans`` and ``.why`` explain.

        Raises:
            BehaviorError: the detector needs a judge and none was given, or it needs a package that is not installed.
        """
        return self.detect_all([text])[0]

    def detect_all(self, texts: Sequence[str]) -> list[Detection]:
        """``detect`` for each text, in order; a judge receives all of them in one call.

        Raises:
            BehaviorError: as ``detect``.
        """
        found = detect_all(self._detector, texts)
        misplaced = [_misplaced(text, d, self.placement) if d and d.spans else "" for text, d in zip(texts, found, strict=True)]
        return [Detection(False, d.spans, f"{d.why}; {why}") if why else d for d, why in zip(found, misplaced, strict=True)]

    def shown(self, texts: Sequence[str]) -> list[bool | None]:
        """Whether each text shows it; None where it takes a judge and there is no verdict."""
        return [None if self.needs_judge and not d.decided else d.found for d in self.detect_all(texts)]

    def bonus_for(self, text: str) -> float:
        """The reward that ``text`` earns for the behavior: ``reward.bonus`` or 0.

        With ``reward.count`` the detection must have exactly that many spans.
        """
        if not self.reward.bonus:
            return 0.0
        found = self.detect(text)
        counts = self.reward.count is None or len(found.spans) == self.reward.count
        return self.reward.bonus if found and counts else 0.0

    @property
    def needs_judge(self) -> bool:
        """True when the detector uses an LLM; see ``with_judge``."""
        return any(isinstance(part, JudgeSpec) for part in walk(self.spec.detector))

    def with_judge(self, teacher: Any) -> Behavior:
        """The same behavior, with ``teacher`` answering for its judge detectors. For probes."""
        return Behavior(self.spec, self.path, teacher)

    @cached_property
    def unasked(self) -> Behavior:
        """The same behavior with every judge verdict left open (``decided`` is False): no call is made and nothing is paid."""
        return self.with_judge(NotAsked()) if self.needs_judge else self

    # Display in notebooks

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Behavior) and self.spec == other.spec

    def __hash__(self) -> int:
        return hash(self.hash)

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "path": self.path, "judge": self.judge}  # compiled parts are rebuilt

    def _repr_html_(self) -> str:
        return behavior_html(self)


def _misplaced(text: str, found: Detection, placement: Placement) -> str:
    if placement == "end" and found.spans[-1][1] <= region(text, "last_sentence")[0]:
        return "but the behavior belongs in the last sentence"
    if placement == "before_answer":
        answers = boxes(text)
        if not answers or found.spans[0][0] >= answers[-1].start:
            return "but the behavior belongs before the boxed answer"
    return ""


def behavior_html(behavior: Behavior) -> str:
    """A table for notebooks. Everything from the file is escaped."""
    spec = behavior.spec
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(key)}</th><td style='text-align:left'>{html.escape(value)}</td></tr>"
        for key, value in summary(behavior).items()
    )
    shots = "".join(
        f"<li><b>{html.escape(shot.verdict)}</b> {html.escape(behavior._text(shot.question))}<br>"
        f"<i>{html.escape(behavior.few_shot_text(shot))}</i></li>"
        for shot in spec.teacher.few_shots
    )
    return (
        f"<div class='thinklab-behavior'><b>{html.escape(spec.name)}</b>: {html.escape(spec.title)}"
        f"<table>{rows}</table><details><summary>{len(spec.teacher.few_shots)} few-shots</summary>"
        f"<ol>{shots}</ol></details></div>"
    )


def summary(behavior: Behavior) -> dict[str, str]:
    """The summary as label -> text; the notebook and `thinklab behaviors show` print it."""
    spec, how = behavior.spec, behavior.spec.splice
    times = "" if spec.reward.count is None else f" when it occurs exactly {spec.reward.count}x"
    detector = spec.detector.model_dump(by_alias=True, exclude_defaults=True)
    return {
        "description": behavior.description,
        "version": f"{spec.version} ({behavior.hash})",
        "placement": spec.placement,
        "splice": f"{' + '.join(how.fields)}, joined by {how.joiner!r} after {how.separator!r}",
        "reward": f"{spec.reward.bonus:+g}{times}" if spec.reward.bonus else "accuracy alone",
        "detector": json.dumps(detector, ensure_ascii=False),
    }


def load_behavior(name_or_path: str | Path) -> Behavior:
    """A shipped behavior by its name, or the one in a file.

    Args:
        name_or_path: a bare name (``self-check``), or a path: a ``Path``, or a text with a folder or ``.yaml`` in it.

    Raises:
        BehaviorError: there is none, or the file cannot be used; the message says where, as ``file:line:column``.
    """
    path = locate(name_or_path)
    return Behavior(_file.read(path), path)


def list_behaviors() -> list[str]:
    """The names of the shipped behaviors."""
    return list(shipped())
