"""MATH-500: competition problems whose answers are LaTeX (Hendrycks et al. 2021, split of Lightman et al. 2023)."""

from __future__ import annotations

from thinklab.tasks._math import verify
from thinklab.tasks._rows import Row, Source, Where, loader
from thinklab.tasks.base import Task
from thinklab.types import Example

SOURCE = Source("math500", "HuggingFaceH4/MATH-500", None, {"test": "test"}, ("problem", "answer"))
INSTRUCTION = "Reason step by step and put the final answer in \\boxed{}."


def example(row: Row) -> Example:
    """``meta`` keeps ``solution``, ``subject`` and ``level`` where the copy has them."""
    meta = row.extra("solution", "subject", "level", "unique_id")
    return Example(row.id, row.text("problem"), row.text("answer"), meta)


def task(path: Where = None, split: Where = None) -> Task:
    """The MATH-500 task; it has a test split only."""
    return Task("math500", INSTRUCTION, loader(SOURCE, example, path, split), verify)
