"""``Text``: a text that a baseline imitates, with its source; gold solutions, and their encoding.

gold-solution   the data set's worked solution, ending in the boxed answer
gold-answer     only the boxed answer, if the data set has no solution
guided          the student's own answer followed by the teacher's comment
rationale       an answer of the student's own that is right (STaR)
rationalization a correct answer sampled with the gold answer as a hint; trained on without the hint (STaR)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thinklab.students.base import Student
from thinklab.tasks.base import Task
from thinklab.tasks.boxed import boxed_answers
from thinklab.types import Example, Message

_CALCULATOR = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True)
class Text:
    """One prompt and its target answer. P = prompt tokens, T = answer tokens, EOS included."""

    example_id: str
    source: str
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    text: str
    """The answer as text."""

    def to_json(self) -> dict[str, Any]:
        return {
            "example_id": self.example_id,
            "source": self.source,
            "prompt_ids": list(self.prompt_ids),
            "answer_ids": list(self.answer_ids),
            "text": self.text,
        }

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Text:
        return cls(line["example_id"], line["source"], tuple(line["prompt_ids"]), tuple(line["answer_ids"]), line["text"])

    def row(self) -> dict[str, list[int]]:
        """For TRL: no loss on the prompt."""
        return {
            "input_ids": [*self.prompt_ids, *self.answer_ids],
            "labels": [-100] * len(self.prompt_ids) + list(self.answer_ids),
        }


def gold(student: Student, task: Task, example: Example) -> Text:
    """The gold answer in the student's format: from ``meta["solution"]`` if the task has one.

    GSM8K's calculator marks (``<<48/2=24>>``) are removed. The gold answer is boxed at the end of a solution without a box.
    """
    solution = _CALCULATOR.sub("", str(example.meta.get("solution") or "")).strip()
    boxed = f"\\boxed{{{example.gold}}}"
    text = solution if boxed_answers(solution) else f"{solution}\nSo the answer is {boxed}." if solution else f"So {boxed}."
    return encoded(student, task.prompt(example), example.id, "gold-solution" if solution else "gold-answer", text)


def encoded(student: Student, prompt: list[Message], example_id: str, source: str, text: str) -> Text:
    """A text that the student did not sample; an EOS is appended."""
    ids = student.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return Text(example_id, source, tuple(student.encode(prompt)), (*ids, student.eos_ids[0]), text)
