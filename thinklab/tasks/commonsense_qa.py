"""CommonsenseQA: five options, one of them common sense (Talmor et al. 2019, arXiv 1811.00937; MIT)."""

from __future__ import annotations

from thinklab.tasks._choice import verify
from thinklab.tasks._options import INSTRUCTION, from_choices
from thinklab.tasks._rows import Source, Where, loader
from thinklab.tasks.base import Task

# The answers of the published test split are secret, so "test" reads the validation split, as everybody does.
SOURCE = Source(
    "commonsense_qa", "tau/commonsense_qa", None, {"train": "train", "test": "validation"}, ("question", "choices", "answerKey")
)


def task(path: Where = None, split: Where = None) -> Task:
    """The CommonsenseQA task."""
    return Task("commonsense_qa", INSTRUCTION, loader(SOURCE, from_choices, path, split), verify)
