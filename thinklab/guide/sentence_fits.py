"""``why_not``: whether a teacher's fixed sentence passes a behavior's checks, before anything is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from thinklab.behavior.behavior import Behavior
from thinklab.errors import ConfigError
from thinklab.teachers.scripted import ScriptedTeacher
from thinklab.types import Example, TeacherRequest


def tried(teacher: ScriptedTeacher, behavior: Behavior, examples: Sequence[Example]) -> list[tuple[str, str]]:
    """The guidance after each of the behavior's few-shot attempts, and why it would be rejected; empty if accepted.

    Args:
        examples: questions of the task, whose right answers fill in the sentence: a few-shot has none.
    """
    made = []
    for k, shot in enumerate(behavior.spec.teacher.few_shots):
        response = behavior._text(shot.response)
        example = replace(examples[k % len(examples)], question=behavior._text(shot.question))
        fields = teacher.sentences(TeacherRequest(f"few-shot-{k}", (), example, response, behavior.name))
        if fields is not None:  # it does not reply without an {answer}
            text = behavior.splice(fields)
            made.append((text, behavior.check_guidance(text, response)))
    return made


def why_not(teacher: ScriptedTeacher, behavior: Behavior, examples: Sequence[Example]) -> str:
    """Why the sentence would be rejected after each few-shot attempt; empty if it passes after one of them."""
    found = tried(teacher, behavior, examples)
    return found[0][1] if found and all(why for _, why in found) else ""


def check_fits(teacher: Any, behaviors: Sequence[Behavior], examples: Sequence[Example]) -> None:
    """
    Raises:
        ConfigError: the teacher's sentence would be rejected after each of a behavior's few-shot attempts; gives the reason.
    """
    if not isinstance(teacher, ScriptedTeacher) or teacher.phrase is None:
        return
    for behavior in behaviors:
        if why := why_not(teacher, behavior, examples):
            raise ConfigError(
                f"teacher.phrase: the sentence {teacher.phrase!r} cannot teach the behavior {behavior.name!r}: {why}. All "
                "guidance would be rejected; change the sentence, or the behavior's guidance and detector"
            )
