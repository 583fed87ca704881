"""``Item``: one guided rollout under review and its status; ``Preview`` of an edited text: does it fit?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from thinklab.behavior.behavior import Behavior
from thinklab.errors import BehaviorError, TrainingError
from thinklab.guide.guide import Guide, Rejected
from thinklab.guide.splice_ids import continuation_ids
from thinklab.rewards import Rewards
from thinklab.types import Guidance, GuidanceStatus, Rollout

State = Literal["open", "skipped", "refused", "accepted", "edited", "rejected"]
REASONS = ("wrong", "off the behavior", "adds nothing", "not in the student's voice", "gives the answer away", "too long")
"""Suggested reasons for a rejection; any other text is allowed."""
_TAGS = re.compile(r"<(opinion|reason)>.*?</\1>|</?(opinion|reason|phrase)>", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Preview:
    """The effect of a text as guidance for one rollout."""

    text: str
    found: bool | None
    """Whether the answer with this text appended shows the behavior; None if only a judge can decide."""
    why: str
    spans: tuple[tuple[int, int], ...]
    """(start, end) within ``text`` of what the detector matched there."""
    tokens: int
    """Its length in tokens, including separator and EOS."""
    max_tokens: int
    """``guidance.max_tokens``"""
    problem: str
    """Why it cannot be appended; empty if it can."""
    warning: str
    """The behavior's constraint that it violates; a person may still use it."""
    rewards: Mapping[str, float] | None
    """The reward components with this text (without judges); None without a ``Rewards``."""
    rewards_before: Mapping[str, float] | None
    """The same for the student's own answer."""

    @property
    def left(self) -> int:
        return self.max_tokens - self.tokens

    @property
    def fits(self) -> bool:
        return not self.problem

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "left": self.left, "fits": self.fits}


@dataclass(frozen=True)
class Item:
    """One guided rollout in its current review state."""

    number: int
    """Its place in the queue, from 0."""
    rollout: Rollout
    said: Guidance
    """The teacher's latest reply, unchanged."""
    text: str
    """The teacher's text, or the text that a person chose instead."""
    state: State
    """``refused``: the reply was unusable and is undecided. ``skipped``: deferred."""
    truth: bool | None
    """Whether the task's verifier accepts the student's own answer. None if unknown."""
    draft: str | None = None
    """An unfinished, undecided text."""
    who: str = ""
    when: str = ""
    why: str = ""
    """The reason that came with a rejection."""
    tags: tuple[str, ...] = ()
    note: str = ""

    @property
    def current(self) -> str:
        """The current text: the draft if there is one."""
        return self.text if self.draft is None else self.draft

    @property
    def id(self) -> str:
        return self.rollout.id

    @property
    def question(self) -> str:
        return self.rollout.example.question

    @property
    def student_text(self) -> str:
        return self.rollout.student_text

    @property
    def behavior(self) -> str:
        return self.said.behavior

    @property
    def verdict(self) -> bool | None:
        """The teacher's opinion of the student's answer."""
        return self.said.verdict

    @property
    def agrees(self) -> bool | None:
        """Whether the teacher's opinion is correct."""
        return None if self.verdict is None or self.truth is None else self.verdict == self.truth

    @property
    def decided(self) -> bool:
        return self.state in ("accepted", "edited", "rejected")

    @property
    def waits(self) -> bool:
        """Whether a decision is needed. Not for a rejected reply, which is dropped unless a person edits it."""
        return self.state in ("open", "skipped")

    @property
    def rescue(self) -> str:
        """What a person may begin with where the reply was rejected: the phrase, or the whole reply without its tags."""
        raw = self.said.raw
        if "<phrase>" in raw:
            return clean(raw.rsplit("<phrase>", 1)[1].partition("</phrase>")[0])
        return clean(_TAGS.sub("", raw))

    @property
    def status(self) -> GuidanceStatus:
        return self.guidance.status

    @property
    def guidance(self) -> Guidance:
        """The record that will be spliced. If undecided, the teacher's original reply."""
        if self.state == "accepted":
            return replace(self.said, status="accepted", edited=None)
        if self.state == "edited":
            return replace(self.said, status="edited", edited=self.text, reason="", detail="")
        if self.state == "rejected":
            return replace(
                self.said,
                status="rejected",
                reason=self.said.reason or "review",
                detail=self.said.detail or f"rejected by {self.who}" + (f": {self.why}" if self.why else ""),
            )
        return self.said


def preview(item: Item, text: str, behavior: Behavior, guide: Guide, rewards: Rewards | None) -> Preview:
    """The effect of ``text`` as guidance for this rollout. Makes no calls: a judge's part stays open."""
    head = item.student_text + behavior.separator
    whole, problem, tokens = replace(item.rollout, text=head + text), "", 0
    try:
        tokens = len(continuation_ids(guide.tokenizer, behavior.separator + text)) + 1
        guide.encode(behavior.separator, text, item.rollout)
    except Rejected as error:
        problem = str(error)
    if bad := _CONTROL.search(text):
        problem = f"it contains the control character {bad.group()!r}"
    elif not text:
        problem = "there is no text"
    shown: bool | None
    spans: Sequence[tuple[int, int]]
    try:
        found = behavior.unasked.detect(whole.text)
        shown, why, spans = found.found, found.why, found.spans
        if behavior.needs_judge and not found.decided:
            shown = None
        warning = behavior.check_guidance(text, item.student_text) if text else ""
    except BehaviorError as error:
        shown, why, spans, warning = None, str(error), (), ""
    after = before = None
    if rewards is not None:
        try:
            quiet = rewards.unasked
            after, before = (dict(quiet.score(r).rewards) for r in (whole, replace(whole, text=item.student_text)))
        except (BehaviorError, TrainingError):  # a detector whose package is not installed, a reward function that needs a group
            pass
    start = len(head)
    inside = tuple((max(a, start) - start, b - start) for a, b in spans if b > start)
    return Preview(text, shown, why, inside, tokens, guide.max_tokens, problem, warning, after, before)


def clean(text: str) -> str:
    """Text from an edit box as guidance: line ends as ``\\n``, no surrounding white space, no lone surrogates."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def utf16_spans(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places in ``text`` as a browser counts them: in UTF-16 units."""

    def units(at: int) -> int:
        return len(text[:at].encode("utf-16-le", "surrogatepass")) // 2

    return [(units(a), units(b)) for a, b in spans]
