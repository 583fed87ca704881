"""Self-verify: the student answers, judges its own answer, and answers again if it considers it wrong.

The wording is thinklab's, because the paper does not publish the prompts of this baseline.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from thinklab.evaluation.solvers.base import Answer, Writer, begin, go_on
from thinklab.tasks.base import Task
from thinklab.types import Example

_VERDICT = re.compile(r"\bverdict\W{0,5}(correct|right|wrong|incorrect|not correct)\b", re.I)


def verdict(text: str) -> bool | None:
    """True = judged right, False = judged wrong, None = no verdict. The last verdict counts."""
    found = _VERDICT.findall(text)
    return None if not found else found[-1].lower() in ("correct", "right")


@dataclass(frozen=True)
class SelfVerify:
    """Ask for a verdict on the answer; only "wrong" leads to a new one. No verdict keeps the answer."""

    rounds: int = 1
    """Maximum number of verdicts."""
    verify: str = (
        "Check the answer above step by step against the question. End with a line that says 'Verdict: correct' or "
        "'Verdict: wrong'."
    )
    again: str = "Then solve the question again."

    def __call__(self, writer: Writer, task: Task, examples: Sequence[Example]) -> list[Answer]:
        talks = begin(writer, task, examples)
        going = [t for t in talks if t.answer.turns]
        for _ in range(self.rounds):
            for talk in going:
                talk.ask(self.verify)
            judged = go_on(writer, going, "check")
            going = [t for t in judged if verdict(t.answer.turns[-1].text) is False]
            for talk in going:
                talk.ask(f"{self.again} {task.instruction}".rstrip())
            going = go_on(writer, going, "answer")
        return [t.answer for t in talks]
