"""The small world: five tasks from the same few sub-skills, so that a habit learned on one can be looked for on the others.

    task: {name: world, kinds: [sum]}          # train on one
    task: {name: world, kinds: [chain]}        # measure on another

Training questions have one to three steps, test questions one to five, so two lengths are held out (``split.py``). The split is strict by
operands and facts: the expression of a test question, or the whole chain, occurs in no training question and in no document of the
student ``small-world``; neither does any question of one step.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from thinklab.errors import TaskError
from thinklab.tasks import _choice, _yesno, sums
from thinklab.tasks.base import Task
from thinklab.tasks.world.drawing import draw
from thinklab.tasks.world.items import KINDS
from thinklab.tasks.world.split import LENGTHS, SPLITS, TRAIN_LENGTHS
from thinklab.types import Example

SIZE = {"train": 4000, "test": 1500}
"""Questions of each split, over all kinds and lengths."""


def examples(split: str, kinds: Sequence[str], lengths: Sequence[int]) -> list[Example]:
    """``SIZE[split]`` different questions, kinds and lengths in turn, the same ones at every call."""
    rng = random.Random(f"world {split} {kinds} {lengths}")
    cells = [(kind, length) for length in lengths for kind in kinds]
    seen: dict[str, Example] = {}
    while len(seen) < SIZE[split]:
        kind, length = cells[len(seen) % len(cells)]
        item = draw(rng, split, kind, length)
        id = f"world-{kind}-{length}-{split}-{len(seen)}"
        seen.setdefault(item.question, Example(id=id, question=item.question, gold=item.gold, meta=item.meta()))
    return list(seen.values())


def verify(response: str, example: Example) -> bool:
    """By the verifier of the question's form: a number or name in the last box, an option, yes or no."""
    by_kind = {"choice": _choice.verify, "yes-no": _yesno.verify}
    return by_kind.get(example.meta["kind"], sums.verify)(response, example)


def task(kinds: Sequence[str] = KINDS, lengths: Sequence[int] | None = None) -> Task:
    """The task.

    Args:
        kinds: any of ``sum``, ``difference``, ``choice``, ``yes-no`` and ``chain``.
        lengths: steps of the questions; None: 1 to 3 in training, 1 to 5 in the test split. Others than 1 to 3 are for measuring.
    """
    if not isinstance(kinds, list | tuple) or not kinds or not set(kinds) <= set(KINDS):
        raise TaskError(f"the task 'world' takes kinds, a list of any of {', '.join(KINDS)}, not {kinds!r:.60}")
    numbers = isinstance(lengths, list | tuple) and all(type(n) is int for n in lengths)
    if lengths is not None and (not numbers or not lengths or not set(lengths) <= set(LENGTHS)):
        raise TaskError(f"the task 'world' takes lengths, a list of any of {', '.join(map(str, LENGTHS))}, not {lengths!r:.60}")
    kinds = tuple(k for k in KINDS if k in kinds)

    def load(split: str) -> list[Example]:
        if split not in SPLITS:
            raise TaskError(f"the task 'world' has no split {split!r}; it has {', '.join(SPLITS)}")
        usual = TRAIN_LENGTHS if split == "train" else LENGTHS
        return examples(split, kinds, usual if lengths is None else tuple(sorted(set(lengths))))

    return Task(name="world", instruction="", load=load, verify=verify)
