"""ARC-Challenge: grade-school science (Clark et al. 2018, arXiv 1803.05457; CC BY-SA 4.0)."""

from __future__ import annotations

from thinklab.tasks._choice import verify
from thinklab.tasks._options import INSTRUCTION, from_choices
from thinklab.tasks._rows import Source, Where, loader
from thinklab.tasks.base import Task

SOURCE = Source(
    "arc_challenge",
    "allenai/ai2_arc",
    "ARC-Challenge",
    {"train": "train", "validation": "validation", "test": "test"},
    ("question", "choices", "answerKey"),
)


def task(path: Where = None, split: Where = None) -> Task:
    """The ARC-Challenge task."""
    return Task("arc_challenge", INSTRUCTION, loader(SOURCE, from_choices, path, split), verify)
