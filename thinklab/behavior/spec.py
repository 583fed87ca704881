"""Pydantic models of a behavior file (``BehaviorSpec``): teacher, few-shots, splice, guidance, reward, tests.

``behaviors/schema.json`` is generated from ``BehaviorSpec``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from thinklab.behavior.detector_spec import DetectorSpec, JudgeSpec, Strict, walk

Placement = Literal["anywhere", "end", "before_answer"]
Verdict = Literal["correct", "incorrect"]
TAGS = ("opinion", "reason", "phrase")
"""The blocks of a teacher's reply, in their order. ``opinion`` holds the verdict and is never spliced."""

DEFAULT_USER = "Question:\n{{ question }}\n\nResponse:\n{{ response }}"

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Short = Annotated[str, Field(min_length=1, max_length=200)]


def _no_tags(text: str) -> str:
    for tag in TAGS:
        for mark in (f"<{tag}>", f"</{tag}>"):
            if mark in text:
                raise ValueError(f"{mark} is added around this text automatically; leave it out here")
    return text


class FewShot(Strict):
    """One few-shot example: a question, an attempt, and what the teacher should say about it."""

    question: Text
    response: Text = Field(description="the student's attempt, right or wrong")
    verdict: Verdict
    reason: Text = Field(description="first person: the student thinking about its own attempt")
    phrase: Text = Field(description="first person: how the student continues")

    @field_validator("reason", "phrase")
    @classmethod
    def _plain(cls, text: str) -> str:
        return _no_tags(text)


class TeacherSpec(Strict):
    """The prompt of the teacher."""

    system: Text = Field(description="the system text; variables: name, title, description")
    user: Text = Field(default=DEFAULT_USER, description="every user turn; also knows question and response")
    few_shots: list[FewShot] = Field(min_length=1, max_length=20)


class SpliceSpec(Strict):
    """How the reply becomes a continuation of the student's text."""

    fields: list[Literal["reason", "phrase"]] = Field(default=["reason", "phrase"], min_length=1, max_length=2)
    joiner: str = Field(default="\n\n", max_length=40, description="between the fields")
    separator: str = Field(default="\n\n", max_length=40, description="between the student's text and the guidance")

    @field_validator("fields")
    @classmethod
    def _once(cls, fields: list[str]) -> list[str]:
        if len(set(fields)) < len(fields):
            raise ValueError("each field at most once")
        return fields


class GuidanceSpec(Strict):
    """Constraints on guidance; guidance that violates them is rejected and the rollout stays unguided."""

    longest: int = Field(default=2000, ge=1, le=20_000, description="characters")
    must_contain: list[Short] = Field(default=[], max_length=20, description="all of these, exactly")
    must_end_with: list[Short] = Field(default=[], max_length=20, description="one of these, ignoring trailing spaces")
    must_show: bool = Field(default=True, description="the student's answer followed by the guidance must show the behavior")


class RewardSpec(Strict):
    """The reward for showing the behavior, on top of accuracy."""

    bonus: float = Field(default=0.0, ge=-10, le=10, description="0 means that accuracy alone is rewarded")
    count: int | None = Field(default=None, ge=1, le=100, description="the exact number of occurrences; if omitted: at least one")

    @field_validator("bonus", mode="before")
    @classmethod
    def _whole_numbers_too(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 10**15:
            return float(value)
        return value


class TextTest(Strict):
    """A response, and whether it shows the behavior."""

    text: Annotated[str, Field(max_length=20_000)]
    shows: bool
    because: str = Field(default="", max_length=400, description="the reason, for readers")


class PromptTest(Strict):
    """A question and an attempt; what the rendered conversation must and must not contain."""

    question: Text
    response: Text
    contains: list[Short] = Field(default=[], max_length=20)
    lacks: list[Short] = Field(default=[], max_length=20)

    @model_validator(mode="after")
    def _checks_something(self) -> PromptTest:
        if not self.contains and not self.lacks:
            raise ValueError("a prompt test needs contains or lacks")
        return self


Sample = Annotated[str, Field(max_length=20_000)]


class TestsSpec(Strict):
    """The file's own tests; `thinklab behaviors test` runs them."""

    shows: list[Sample] = Field(default=[], max_length=500, description="texts that show the behavior; short for texts")
    lacks: list[Sample] = Field(default=[], max_length=500, description="texts that do not, although they may look similar")
    texts: list[TextTest] = Field(default=[], max_length=500, description="the same, with a reason for each")
    prompts: list[PromptTest] = Field(default=[], max_length=50)

    @property
    def all_texts(self) -> list[TextTest]:
        """``shows``, ``lacks`` and ``texts`` in one form, in this order."""
        return [
            *(TextTest(text=text, shows=True) for text in self.shows),
            *(TextTest(text=text, shows=False) for text in self.lacks),
            *self.texts,
        ]

    __test__ = False  # not a test class, despite the name


class BehaviorSpec(Strict):
    """A behavior: what a teacher should add to a student's answer, and how to tell that the student does it."""

    name: Name = Field(description="the name of the file, in lower case with hyphens")
    title: Short
    description: Annotated[str, Field(min_length=1, max_length=2000)]
    version: int = Field(ge=1, le=100_000, description="increase it when the behavior changes")
    extends: Name | None = Field(default=None, description="another behavior; this file contains only the differences")
    placement: Placement = Field(default="anywhere", description="where in the response the behavior belongs")
    teacher: TeacherSpec
    splice: SpliceSpec = SpliceSpec()
    guidance: GuidanceSpec = GuidanceSpec()
    detector: DetectorSpec
    reward: RewardSpec = RewardSpec()
    tests: TestsSpec = TestsSpec()

    @model_validator(mode="after")
    def _no_judge_in_the_reward(self) -> BehaviorSpec:
        if self.reward.bonus and any(isinstance(part, JudgeSpec) for part in walk(self.detector)):
            raise PydanticCustomError(
                "judge_in_reward",
                "a judge is for probes only, so it cannot earn a bonus; set it to 0, or write the detector with phrase and regex",
            )
        return self
