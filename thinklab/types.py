"""The records ``Example``, ``Rollout``, ``Guidance``, ``Batch``, ``TeacherRequest``, ``TeacherReply``, and their JSON.

Every record is frozen. A stage takes records and returns new ones, so whatever was written to disk stays true.
Shapes: P = prompt tokens, T = tokens that the student sampled, G = tokens that the teacher added (its EOS included).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Message = Mapping[str, str]
"""One chat turn: ``{"role": "system" | "user" | "assistant", "content": text}``."""


@dataclass(frozen=True)
class Example:
    """One question with its reference answer."""

    id: str
    """Unique within its task and split."""
    question: str
    """What is asked, without any instruction about the format."""
    gold: str
    """The reference answer as text; only the task's own verifier reads it."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the data set says about the question."""


@dataclass(frozen=True)
class Usage:
    """Tokens that one teacher call used, as the backend counted them; 0 where it does not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    """Part of the input that the backend read from its own prompt cache."""
    cache_write_tokens: int = 0
    thinking_tokens: int = 0
    """Part of the output that was reasoning: as reported, or else by its share of the text, where the text shows it."""


GuidanceStatus = Literal["proposed", "accepted", "edited", "rejected"]


@dataclass(frozen=True)
class Guidance:
    """What the teacher said about one rollout, and what became of it."""

    rollout_id: str
    behavior: str
    behavior_hash: str
    status: GuidanceStatus
    """``proposed`` until a person or a policy decides; ``rejected`` guidance is never spliced."""
    reason: str = ""
    """Why it was rejected: one of ``guide.REJECT_REASONS``, a teacher error, or ``review``; empty otherwise."""
    detail: str = ""
    """The same in words, for people."""
    raw: str = ""
    """The teacher's reply, verbatim, without the thinking of a reasoning model."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The parsed tags of the reply."""
    verdict: bool | None = None
    """The teacher's opinion: True = the student's answer is right."""
    text: str = ""
    """What would be spliced, as the teacher wrote it (without the separator)."""
    edited: str | None = None
    """What a person made of ``text``; None where nobody touched it."""
    model: str = ""
    usage: Usage = Usage()
    latency_s: float = 0.0
    attempts: int = 0
    cache_hit: bool = False
    """True when the reply came from thinklab's own cache and cost nothing."""

    @property
    def final_text(self) -> str:
        """The text that is spliced: the edited one where there is one."""
        return self.text if self.edited is None else self.edited

    @property
    def usable(self) -> bool:
        return self.status != "rejected"


REWARD_PARTS = ("correct", "behavior")
"""The parts of a reward that thinklab gives; each other part is a reward function of the user's own."""


@dataclass(frozen=True)
class Rollout:
    """One sampled answer. Token ids are the truth: ``text`` is decoded from them and never encoded again."""

    id: str
    """``<generation>-<row>``, unique within a run."""
    group: int
    """Index of its question within the batch; the n answers to one question share it."""
    example: Example
    prompt_ids: tuple[int, ...]
    """(P,)"""
    student_ids: tuple[int, ...]
    """(T,) as sampled; ends in an EOS id when the student stopped by itself."""
    finished: bool
    """True when the student stopped by itself, judged from the ids."""
    text: str
    """The whole answer as it is trained on: the student's text, and the guidance where there is one."""
    student_text: str
    """The student's own part."""
    behavior: str = ""
    """The behavior that it drew from the mixture, guided or not; empty where nobody teaches."""
    behavior_hash: str = ""
    """The hash of that behavior's template."""
    guidance: Guidance | None = None
    teacher_ids: tuple[int, ...] = ()
    """(G,) ids of the spliced guidance and its EOS; empty where nothing was spliced."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Named parts of the reward; filled in when the batch is scored."""
    own_rewards: Mapping[str, float] = field(default_factory=dict)
    """Those that the student's part alone would have earned, for a guided rollout; empty for others."""
    advantage: float | None = None
    checks: Mapping[str, bool] = field(default_factory=dict)
    """Facts about ``text`` that metrics need: ``correct``, ``behavior``, ``student_correct`` for the part before, and
    ``guidance_shown`` where it was guided: does it show the behavior that was taught?"""

    @property
    def guided(self) -> bool:
        return bool(self.teacher_ids)

    @property
    def kept_student_ids(self) -> tuple[int, ...]:
        """The student's ids that stay in the answer: without the final EOS when guidance follows."""
        return self.student_ids[:-1] if self.guided and self.finished else self.student_ids

    @property
    def completion_ids(self) -> tuple[int, ...]:
        """(T' + G,) what the loss sees."""
        return self.kept_student_ids + self.teacher_ids

    @property
    def teacher_mask(self) -> tuple[int, ...]:
        """(T' + G,) 1 on the teacher's tokens and their EOS, 0 on the student's."""
        return (0,) * len(self.kept_student_ids) + (1,) * len(self.teacher_ids)


@dataclass(frozen=True)
class Batch:
    """The rollouts of one generation, in the order in which the trainer holds them (groups are contiguous)."""

    generation: int
    """Counts generations of the run from 0; one generation feeds one or several optimizer steps."""
    step: int
    """Optimizer steps done when it was sampled."""
    rollouts: tuple[Rollout, ...]
    gamma: float = 0.0
    """Guided rollouts wanted per group at this step, as the schedule says."""
    equal_rewards: float = 0.0
    """Share of the rollouts whose whole group earned equal rewards, so that they teach nothing; known once it is scored."""

    @property
    def guided(self) -> tuple[Rollout, ...]:
        return tuple(r for r in self.rollouts if r.guided)


def to_json(record: Any) -> dict[str, Any]:
    """A record as a dict of what ``json`` can write; nested records become dicts too."""
    return {
        f.name: to_json(value) if dataclasses.is_dataclass(value) else value
        for f in dataclasses.fields(record)
        for value in (getattr(record, f.name),)
    }


def guidance_from_json(data: Mapping[str, Any]) -> Guidance:
    return Guidance(**{**data, "usage": Usage(**data.get("usage", {}))})


def rollout_from_json(data: Mapping[str, Any]) -> Rollout:
    """The inverse of ``to_json``. Keys that are not fields of ``Rollout`` (the run adds ``step``) are ignored."""
    known = {f.name for f in dataclasses.fields(Rollout)}
    data = {k: v for k, v in data.items() if k in known}
    data["example"] = Example(**data["example"])
    if data.get("guidance") is not None:
        data["guidance"] = guidance_from_json(data["guidance"])
    for key in ("prompt_ids", "student_ids", "teacher_ids"):
        data[key] = tuple(data.get(key) or ())
    return Rollout(**data)


@dataclass(frozen=True)
class TeacherRequest:
    """One rollout to comment on."""

    id: str
    """The rollout's id; the reply carries it back."""
    messages: tuple[Message, ...]
    """The whole conversation as the behavior renders it: system, few-shots, and the question with the answer."""
    example: Example
    """For teachers that follow rules (``scripted``) or show the question to a person; never sent to a model."""
    response: str
    """The student's answer as text."""
    behavior: str
    """Name of the behavior that is asked for."""
    behavior_hash: str = ""
    max_tokens: int = 1024
    """Longest reply to ask for."""
    reply_tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The tags of a reply in their order, each with its allowed values (none: any text); for structured outputs."""


@dataclass(frozen=True)
class TeacherReply:
    """One reply, or why there is none."""

    id: str
    text: str = ""
    error: str = ""
    """A slug when there is no usable reply, see ``ERRORS``; ``text`` then holds whatever did come."""
    detail: str = ""
    """The same in words."""
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    attempts: int = 1
    cache_hit: bool = False
