"""A task from the user's own Python file, ``./my.py:MyTask``: checks what it returns; errors with file and line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from numbers import Integral, Real
from typing import Any

from thinklab.errors import ConfigError, TaskError, ThinklabError
from thinklab.interop.own_code import find, find_function, place_in
from thinklab.tasks.base import Task
from thinklab.types import Example


def factory(name: str) -> Callable[..., Any]:
    """What ``./my.py:MyTask`` refers to: a function or a class that makes the task, or a function that returns a ready one.

    Raises:
        ConfigError: when there is none.
    """
    found = find(name, "the task", ConfigError)
    return find_function(name, "the task", ConfigError) if not isinstance(found, Task) else lambda: found


def made(factory: Callable[..., Any], name: str, options: Mapping[str, Any]) -> Any:
    """What ``factory(**options)`` returns, as a ``Task`` where it is one or looks like one (``as_task``).

    Raises:
        TaskError: when it fails, with file and line.
    """
    code = getattr(factory, "__init__") if isinstance(factory, type) else factory  # noqa: B009
    try:
        return as_task(factory(**options), f"the task {name!r}")
    except ThinklabError:
        raise
    except Exception as error:  # the user's own code: it may raise anything
        raise TaskError(f"the task {name!r} cannot be made: {place_in(error, code)}{type(error).__name__}: {error}") from error


def as_task(made: Any, name: str) -> Any:
    """``made`` as a ``Task`` whose functions report errors under ``name``: it is one, or an object with ``load``, ``verify`` and
    perhaps ``name``, ``instruction`` and ``grade``. Anything else unchanged, for the caller to refuse."""
    if isinstance(made, Task):
        task = made
    elif callable(getattr(made, "load", None)) and callable(getattr(made, "verify", None)):
        title, grade = getattr(made, "name", type(made).__name__), getattr(made, "grade", None)
        task = Task(str(title), str(getattr(made, "instruction", "")), made.load, made.verify, grade)
    else:
        return made
    task = copy(task)  # keeps the class, which may have a prompt of its own
    functions = {"load": _checked_load(task.load, name), "verify": checked_verify(task.verify, name)}
    if task.grade is not None:
        functions["grade"] = checked_grade(task.grade, name)
    for key, function in functions.items():
        object.__setattr__(task, key, function)  # it is frozen
    return task


def checked_verify(verify: Callable[[str, Example], Any], name: str) -> Callable[[str, Example], bool]:
    """``verify``, whose errors and answers other than True and False become a ``TaskError``."""

    def checked(response: str, example: Example) -> bool:
        right = _call(verify, name, f"on {example.id!r}", response, example)
        if isinstance(right, Integral) or type(right).__name__ == "bool":  # numpy's bool is no int
            return bool(right)
        raise TaskError(
            f"{name}: {_called(verify)} returned {right!r:.40} for {example.id!r}; it must return True or False. For answers that are "
            "partly right, also give the task a function grade(response, example) that returns a number"
        )

    return checked


def checked_grade(grade: Callable[[str, Example], Any], name: str) -> Callable[[str, Example], float]:
    """``grade``, whose errors and answers that are no finite number become a ``TaskError``."""

    def checked(response: str, example: Example) -> float:
        found = _call(grade, name, f"on {example.id!r}", response, example)
        if isinstance(found, Real) and abs(number := float(found)) < float("inf"):
            return number
        raise TaskError(f"{name}: {_called(grade)} returned {found!r:.40} for {example.id!r}; it must return a finite number")

    return checked


def _checked_load(load: Callable[[str], Any], name: str) -> Callable[[str], Sequence[Example]]:
    def checked(split: str) -> Sequence[Example]:
        found = _call(load, name, f"on the split {split!r}", split)
        try:
            examples = list(found)
        except TypeError:
            raise TaskError(f"{name}: {_called(load)} returned {found!r:.40}; it must return a list of Example") from None
        for k, example in enumerate(examples):
            if not isinstance(example, Example):
                raise TaskError(
                    f"{name}: {_called(load)}: question {k + 1} of {split!r} is {example!r:.40}, not an Example(id, question, gold)"
                )
        return examples

    return checked


def _call(function: Callable[..., Any], name: str, when: str, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except ThinklabError:
        raise
    except Exception as error:  # the user's own code: it may raise anything
        place = place_in(error, function)
        raise TaskError(f"{name}: {_called(function)} failed {when}: {place}{type(error).__name__}: {error}") from error


def _called(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
