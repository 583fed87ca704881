"""Tasks by name: ``load_task("gsm8k", path="train.jsonl")``. One module per data set in this folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from thinklab.errors import TaskError, did_you_mean
from thinklab.tasks import _own_code
from thinklab.tasks._rows import SUFFIXES, Where
from thinklab.tasks.base import Task, check

BUILT_IN = (
    "sums",
    "world",
    "gsm8k",
    "math500",
    "aime",
    "strategyqa",
    "arc_challenge",
    "commonsense_qa",
    "gpqa_diamond",
    "mmlu_pro",
    "own",
    "columns",
)
"""Each is a module here with a function ``task(**options) -> Task``."""


def task_names() -> list[str]:
    """The names that ``load_task`` accepts: the built-in ones, then those of installed packages."""
    return [*BUILT_IN, *sorted({e.name for e in entry_points(group="thinklab.tasks")} - set(BUILT_IN))]


def load_task(name_or_file: str | Path, *, path: Where = None, split: Where = None, **options: Any) -> Task:
    """A task by name, or from a file of your own.

    Args:
        name_or_file: one of ``task_names()``; a ``.jsonl``, ``.json`` or ``.parquet`` file of your own with the columns ``question``
            and ``answer`` (the task ``own``); or a function or class in a Python file of your own, ``./my.py:MyTask``.
        path: questions on disk in the columns of the data set's Hub copy, in place of the Hub. One file serves every
            split name, so ``task.load("train")`` and ``task.load("test")`` are then the *same* questions with the same
            ids; ``{"train": file, "test": file}`` or a folder with ``train.jsonl`` and ``test.jsonl`` keeps them apart.
        split: the Hub's own name of the split to read, for all or as ``{"test": "validation"}``, to override the task's
            default.
        options: what the task's own function takes, such as ``terms`` for ``sums`` or ``seed`` for ``gpqa_diamond``.

    Nothing is read before ``task.load(split)``. Reading from the Hub (``datasets.load_dataset``) has not been tested against
    the real Hub.

    Raises:
        ConfigError: a file of your own that cannot be imported.
        TaskError: an unknown name or option; from ``load``, questions that are not in the expected format.
    """
    name = str(name_or_file)
    if Path(name).suffix in SUFFIXES:
        name, path = "own", name if path is None else path
    if path is not None:
        options["path"] = path
    if split is not None:
        options["split"] = split
    factory: Callable[..., Any] = _factory(name)
    known = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        for option in options:
            if option not in known:
                raise TaskError(
                    f"the task {name!r} has no option {option!r}{did_you_mean(option, known)}; "
                    f"it takes {', '.join(known) or 'none'}"
                )
    task = factory(**options) if ":" not in name else _own_code.made(factory, name, options)
    if not isinstance(task, Task):
        raise TaskError(f"the task {name!r} comes from a function that returned {type(task).__name__}, which is not a Task")
    return check(task, f"the task {name!r}")


def _factory(name: str) -> Any:
    if ":" in name:
        return _own_code.factory(name)
    if name in BUILT_IN:
        return import_module(f"thinklab.tasks.{name}").task
    for entry in entry_points(group="thinklab.tasks"):
        if entry.name == name:
            try:
                return entry.load()
            except Exception as e:
                raise TaskError(
                    f"the task {name!r} of the package {entry.dist.name if entry.dist else '?'} "
                    f"cannot be imported: {type(e).__name__}: {e}"
                ) from e
    names = task_names()
    raise TaskError(f"no task {name!r}{did_you_mean(name, names)}; there are {', '.join(names)}")


__all__ = ["BUILT_IN", "SUFFIXES", "Task", "load_task", "task_names"]
