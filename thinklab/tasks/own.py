"""Your own questions: a file with ``question`` and ``answer`` columns, and the ``VERIFIERS`` to choose from.

    {"question": "What is 3/4 of 12?", "answer": "9"}                                        a number, or LaTeX
    {"question": "Is ice lighter than water?", "answer": true}                               yes or no
    {"question": "Which is a metal?", "choices": ["tin", "wool"], "answer": "A"}             options, by letter or text
    {"question": "What is the capital of France?", "answer": "Paris"}                        a word or a few

Each row is judged by what its answer is, and asks for its answer in that form.
"""

from __future__ import annotations

from thinklab.tasks import _choice, _math, _yesno
from thinklab.tasks._options import lettered
from thinklab.tasks._rows import Row, Source, Where, loader, shown
from thinklab.tasks.base import Task
from thinklab.types import Example

SOURCE = Source("own", "", None, {}, ("question", "answer"))
INSTRUCTION = "Reason step by step and put the final answer in \\boxed{}."
VERIFIERS = {"math": _math.verify, "choice": _choice.verify, "yesno": _yesno.verify}


def example(row: Row) -> Example:
    """``meta["kind"]`` is ``math``, ``choice`` or ``yesno`` and names the verifier."""
    answer = row["answer"]
    if row.data.get("choices") is not None:
        return _with_choices(row, answer)
    if isinstance(answer, bool) or str(answer).strip().casefold() in ("yes", "no"):
        gold = {True: "yes", False: "no"}[answer] if isinstance(answer, bool) else answer.strip().casefold()
        return Example(row.id, row.text("question") + " Yes or no?", gold, {"kind": "yesno"})
    if not isinstance(answer, str | int | float) or not str(answer).strip():
        row.fail(f"column 'answer' must be a text, a number, true or false, not {shown(answer)}")
    return Example(row.id, row.text("question"), str(answer).strip(), {"kind": "math"})


def _with_choices(row: Row, answer: object) -> Example:
    choices = row["choices"]
    if not isinstance(choices, list):
        row.fail(f"column 'choices' must be a list of texts, not {shown(choices)}")
    letters = _choice.LETTERS[: len(choices)]
    if answer in choices:
        right = choices.index(answer)
    elif isinstance(answer, str) and len(answer) == 1 and answer in letters:
        right = letters.index(answer)
    else:
        row.fail(f"column 'answer' must be one of the choices or a letter from A to {letters[-1:] or 'A'}, not {shown(answer)}")
    return lettered(row, row.text("question"), choices, right, {"kind": "choice"})


def verify(response: str, example: Example) -> bool:
    """By the verifier of the row's kind."""
    return VERIFIERS[example.meta["kind"]](response, example)


def task(path: Where = None, split: Where = None) -> Task:
    """Questions of your own; ``path`` is needed."""
    return Task("own", INSTRUCTION, loader(SOURCE, example, path, split), verify)
