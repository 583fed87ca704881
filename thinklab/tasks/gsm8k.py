"""GSM8K: grade-school word problems with a number as the answer (Cobbe et al. 2021, arXiv 2110.14168; MIT)."""

from __future__ import annotations

from thinklab.tasks._math import verify
from thinklab.tasks._rows import Row, Source, Where, loader
from thinklab.tasks.base import Task
from thinklab.types import Example

SOURCE = Source("gsm8k", "openai/gsm8k", "main", {"train": "train", "test": "test"}, ("question", "answer"))
INSTRUCTION = "Reason step by step and put the final answer, a number, in \\boxed{}."


def example(row: Row) -> Example:
    """The gold number follows ``####``; the text before it is kept in ``meta["solution"]``."""
    solution, mark, gold = row.text("answer").rpartition("####")
    if not mark or not gold.strip():
        row.fail("column 'answer' must end in '#### N'")
    if gold.strip().casefold().lstrip("+-") in ("nan", "inf", "infinity", "none", "null"):
        row.fail(f"column 'answer' must end in '#### N' with a number, not {gold.strip()}")
    return Example(row.id, row.text("question"), gold.strip().replace(",", ""), {"solution": solution.strip()})


def task(path: Where = None, split: Where = None) -> Task:
    """The GSM8K task; ``path`` and ``split`` as in ``load_task``."""
    return Task("gsm8k", INSTRUCTION, loader(SOURCE, example, path, split), verify)
