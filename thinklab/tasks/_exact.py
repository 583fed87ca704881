"""Answers in the same words: the last box, or what ``answer: ...`` says, regardless of case, punctuation, and typesetting"""

from __future__ import annotations

from thinklab.tasks._choice import normal
from thinklab.tasks._math import LONGEST_ANSWER, final_answer
from thinklab.types import Example


def verify(response: str, example: Example) -> bool:
    """True when the response's final answer is ``example.gold`` in words."""
    answer = final_answer(response, example.gold)
    return answer is not None and len(answer) <= LONGEST_ANSWER and normal(answer) == normal(example.gold) != ""
