"""Zero-shot: the question and the instruction, one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thinklab.evaluation.solvers.base import Answer, Writer, begin
from thinklab.tasks.base import Task
from thinklab.types import Example


@dataclass(frozen=True)
class ZeroShot:
    """Also used to measure trained students: no hint, no retry."""

    def __call__(self, writer: Writer, task: Task, examples: Sequence[Example]) -> list[Answer]:
        return [talk.answer for talk in begin(writer, task, examples)]
