"""AIME 2024: 30 competition problems; each answer is an integer from 000 to 999, leading zeros or not."""

from __future__ import annotations

from thinklab.tasks._math import number, tidy, verify
from thinklab.tasks._rows import Row, Source, Where, loader, shown
from thinklab.tasks.base import Task
from thinklab.types import Example

# The Hub's copy calls its only split "train"; it must not be trained on, so here it is the test split.
SOURCE = Source("aime", "HuggingFaceH4/aime_2024", None, {"test": "train"}, ("problem", "answer"))
INSTRUCTION = "Reason step by step and put the final answer, an integer from 0 to 999, in \\boxed{}."


def example(row: Row) -> Example:
    gold = str(row["answer"]).strip()
    value = number(tidy(gold))
    if value is None or value.denominator != 1:
        row.fail(f"column 'answer' must be an integer, not {shown(gold)}")
    return Example(row.id, row.text("problem"), str(value), row.extra("solution", "year"))


def task(path: Where = None, split: Where = None) -> Task:
    """The AIME task; it has a test split only."""
    return Task("aime", INSTRUCTION, loader(SOURCE, example, path, split), verify)
