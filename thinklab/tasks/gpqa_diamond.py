"""GPQA-Diamond: 198 graduate-level science questions with four options (Rein et al. 2023, arXiv 2311.12022; CC BY 4.0).

Its authors ask that questions are never published, so nothing of it is shipped here; the Hub copy is gated: accept its
terms and log in once. The correct option comes first in the data, so the options are shuffled.
"""

from __future__ import annotations

import random

from thinklab.tasks._choice import verify
from thinklab.tasks._options import INSTRUCTION, lettered
from thinklab.tasks._rows import Row, Source, Where, loader
from thinklab.tasks.base import Task
from thinklab.types import Example

COLUMNS = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
# The Hub's copy calls its only split "train".
SOURCE = Source("gpqa_diamond", "Idavidrein/gpqa", "gpqa_diamond", {"test": "train"}, COLUMNS)


def task(path: Where = None, split: Where = None, seed: int = 0) -> Task:
    """The GPQA-Diamond task; it has a test split only.

    Args:
        seed: of the options' order. The order of one question depends on the seed and its text alone, so it does not change
            when other questions are removed or moved.
    """

    def example(row: Row) -> Example:
        question, *options = (row.text(column) for column in COLUMNS)
        order = list(range(len(options)))
        random.Random(f"{seed} {question}").shuffle(order)
        return lettered(row, question, [options[k] for k in order], order.index(0))

    return Task("gpqa_diamond", INSTRUCTION, loader(SOURCE, example, path, split), verify)
