"""MMLU-Pro: fourteen subjects, up to ten options (Wang et al. 2024, arXiv 2406.01574; MIT)."""

from __future__ import annotations

from thinklab.tasks._choice import LETTERS, verify
from thinklab.tasks._options import INSTRUCTION, lettered
from thinklab.tasks._rows import Row, Source, Where, loader, shown
from thinklab.tasks.base import Task
from thinklab.types import Example

SOURCE = Source(
    "mmlu_pro", "TIGER-Lab/MMLU-Pro", None, {"validation": "validation", "test": "test"}, ("question", "options", "answer")
)


def example(row: Row) -> Example:
    """``answer`` is the letter. ``answer_index``, if present, must agree with it."""
    options, answer = row["options"], row["answer"]
    if not isinstance(options, list):
        row.fail(f"column 'options' must be a list, not {shown(options)}")
    if answer not in tuple(LETTERS[: len(options)]):
        row.fail(f"column 'answer' must be a letter from A to {LETTERS[max(0, len(options) - 1)]}, not {shown(answer)}")
    right = LETTERS.index(answer)
    if row.data.get("answer_index", right) != right:
        row.fail(f"'answer' is {answer} but 'answer_index' is {row['answer_index']}")
    return lettered(row, row.text("question"), options, right, row.extra("category"))


def task(path: Where = None, split: Where = None) -> Task:
    """The MMLU-Pro task. Its validation split holds 70 questions for few-shot prompts; it has no train split."""
    return Task("mmlu_pro", INSTRUCTION, loader(SOURCE, example, path, split), verify)
