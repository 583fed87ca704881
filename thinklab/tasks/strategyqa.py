"""StrategyQA: yes/no questions that need several facts (Geva et al. 2021, arXiv 2101.02235; MIT)."""

from __future__ import annotations

from thinklab.tasks._rows import Row, Source, Where, loader, shown
from thinklab.tasks._yesno import verify
from thinklab.tasks.base import Task
from thinklab.types import Example

SOURCE = Source("strategyqa", "ChilleD/StrategyQA", None, {"train": "train", "test": "test"}, ("question", "answer"))
INSTRUCTION = "Reason step by step and put the final answer, yes or no, in \\boxed{}."


def example(row: Row) -> Example:
    """``facts`` stay in ``meta``: they would give the answer away."""
    answer = row["answer"]
    if not isinstance(answer, bool):
        row.fail(f"column 'answer' must be true or false, not {shown(answer)}")
    return Example(row.id, row.text("question"), "yes" if answer else "no", row.extra("qid", "facts"))


def task(path: Where = None, split: Where = None) -> Task:
    """The StrategyQA task."""
    return Task("strategyqa", INSTRUCTION, loader(SOURCE, example, path, split), verify)
