"""Zero-shot: the question and the instruction, one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thinklab.evaluation.solvers.base import Answer, Writer, begin
from thinklab.tasks.base import Task
from thinklab.types import Example


@dataclass(frozen=True)
class ZeroShot:
    """Also how trained students are measured: no hint, no second chance."""

    def __call__(self, writer: Writer, task: Task, examples: Sequence[Example]) -> list[Answer]:
        return [talk.answer for talk in begin(writer, task, examples)]
