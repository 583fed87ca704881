"""``check_ids`` and ``by_id``: the examples of a task by their ids; no two questions have the same one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from thinklab.errors import TaskError
from thinklab.tasks.base import Task
from thinklab.types import Example


def check_ids(task: str, splits: Mapping[str, Iterable[Example]]) -> None:
    """Reject two different questions with the same id, within or across splits. The same question may occur in both splits.

    Args:
        splits: ``{"train": examples, "test": examples}``.

    Raises:
        TaskError: naming the id and both positions; also for an id that is not a text.
    """
    seen: dict[str, tuple[str, Example]] = {}
    for split, examples in splits.items():
        for number, example in enumerate(examples, 1):
            place = f"question {number} of {split!r}"
            if not isinstance(example.id, str) or not example.id:
                raise TaskError(f"the task {task!r}, {place}: its id must be a non-empty text, not {example.id!r:.60}")
            first, known = seen.setdefault(example.id, (place, example))
            if (known.question, known.gold) != (example.question, example.gold):
                raise TaskError(
                    f"the task {task!r} has two questions with the id {example.id[:60]!r}: {first} ({_shown(known)}) "
                    f"and {place} ({_shown(example)}); give each question an id of its own"
                )


def by_id(task: Task, split: str) -> dict[str, Example]:
    """The examples of one split by their ids, in their order.

    Raises:
        TaskError: if two questions have the same id, or the questions cannot be loaded.
    """
    examples = list(task.load(split))
    check_ids(task.name, {split: examples})
    return {example.id: example for example in examples}


def _shown(example: Example) -> str:
    text = " ".join(str(example.question).split())
    return f"{text[:50]!r}..." if len(text) > 50 else repr(text)
