"""Self-correct: the student answers, looks for problems in its answer, and always answers again.

After Huang et al. 2023 (arXiv 2310.01798), who call it intrinsic self-correction; the wording is thinklab's, because the paper
does not publish the prompts of this baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thinklab.evaluation.solvers.base import Answer, Writer, begin, go_on
from thinklab.tasks.base import Task
from thinklab.types import Example


@dataclass(frozen=True)
class SelfCorrect:
    """The last answer counts, even if it is worse than the one before."""

    rounds: int = 1
    review: str = "Review your previous answer and look for problems with it."
    improve: str = "Based on the problems you found, improve your answer."

    def __call__(self, writer: Writer, task: Task, examples: Sequence[Example]) -> list[Answer]:
        talks = begin(writer, task, examples)
        going = [t for t in talks if t.answer.turns]
        for _ in range(self.rounds):
            for talk in going:
                talk.ask(self.review)
            going = go_on(writer, going, "check")
            for talk in going:
                talk.ask(f"{self.improve} {task.instruction}".rstrip())
            going = go_on(writer, going, "answer")
        return [t.answer for t in talks]
