"""A task: where questions come from, how they are put to the student, and when an answer is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thinklab.errors import TaskError
from thinklab.interop.plugins import check_call, check_shape
from thinklab.tasks.boxed import boxes
from thinklab.types import Example, Message


@dataclass(frozen=True)
class Task:
    """Plain functions under one name. ``load(split)`` gives the examples, ``verify(response, example)`` judges.

    ``instruction`` is appended to every question (after a space, or a blank line where the question has several lines);
    it says how to write the answer and never hints at a behavior.
    """

    name: str
    instruction: str
    load: Callable[[str], Sequence[Example]]
    verify: Callable[[str, Example], bool]

    def prompt(self, example: Example) -> list[Message]:
        """The student's prompt as chat messages: one user turn."""
        gap = "\n\n" if "\n" in example.question else " "
        return [{"role": "user", "content": f"{example.question}{gap}{self.instruction}".rstrip()}]

    def verify_first(self, response: str, example: Example) -> bool:
        """``verify`` on the response as it stood when its first answer was given: up to and with the first box.

        Tells what the student knew at once from what it found by checking. A response without a box is taken whole.
        """
        found = boxes(response, meant=(example.gold, *example.meta.get("choices", ())))
        return self.verify(response[: found[0].end] if found else response, example)


def check(task: object, what: str) -> Task:
    """Refuse what is no task, or one whose functions cannot be called.

    Args:
        what: the task in words, such as ``the task 'reverse'``.

    Raises:
        TaskError: when it is no ``Task``, a function takes other arguments, or a method of its class is misspelled.
    """
    if not isinstance(task, Task):
        raise TaskError(
            f"{what} is {type(task).__name__} and no Task: make it Task(name, instruction, load, verify), or inherit from "
            "thinklab.Task"
        )
    check_shape(task, what, TaskError, Task)
    check_call(task.load, "load", ["split"], what, TaskError)
    check_call(task.verify, "verify", ["response", "example"], what, TaskError)
    return task
