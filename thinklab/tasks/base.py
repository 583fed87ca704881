"""``Task``: loads the questions, writes the student's prompt, verifies answers; ``check`` of a foreign task."""

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

    ``grade(response, example)``, if given, is a number that takes the place of right (1) and wrong (0) in the reward, for answers
    that are partly right; rates of right answers are always ``verify``'s.

    ``instruction`` is appended to every question (after a space, or a blank line where the question has several lines);
    it says how to write the answer and never hints at a behavior.
    """

    name: str
    instruction: str
    load: Callable[[str], Sequence[Example]]
    verify: Callable[[str, Example], bool]
    grade: Callable[[str, Example], float] | None = None

    def prompt(self, example: Example) -> list[Message]:
        """The student's prompt as chat messages: one user turn."""
        gap = "\n\n" if "\n" in example.question else " "
        return [{"role": "user", "content": f"{example.question}{gap}{self.instruction}".rstrip()}]

    def verify_first(self, response: str, example: Example) -> bool:
        """``verify`` on the response up to and including its first box.

        Distinguishes the student's first answer from one corrected after a check. A response without a box is used as a whole.
        """
        found = boxes(response, meant=(example.gold, *example.meta.get("choices", ())))
        return self.verify(response[: found[0].end] if found else response, example)


def check(task: object, what: str) -> Task:
    """Reject an object that is not a task, or whose functions cannot be called.

    Args:
        what: a description of the task, such as ``the task 'reverse'``.

    Raises:
        TaskError: if it is not a ``Task``, a function takes other arguments, or a method of its class is misspelled.
    """
    if not isinstance(task, Task):
        raise TaskError(
            f"{what} is {type(task).__name__}, which is not a Task: create Task(name, instruction, load, verify), or inherit "
            "from thinklab.Task"
        )
    check_shape(task, what, TaskError, Task)
    check_call(task.load, "load", ["split"], what, TaskError)
    check_call(task.verify, "verify", ["response", "example"], what, TaskError)
    if task.grade is not None:
        check_call(task.grade, "grade", ["response", "example"], what, TaskError)
    return task
