"""``TaskSection``: the keys under ``task:`` (name or file of the task, questions on disk or on the Hub, options of the task)."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, model_validator

from thinklab.config.section import Section

MAPPED = ("hub", "question", "answer", "verifier", "answer_after")
"""Options of the task ``columns``; with one of them and without a ``name``, that is the task."""


class TaskSection(Section):
    """The questions. Other keys are options of the task."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "sums"
    """One of the tasks in docs/tasks.md, the name of an entry point, a file of questions, or ``./my.py:MyTask``. With ``hub``, or
    with the columns of a ``path``, it is ``columns``."""
    path: str | dict[str, str] | None = None
    """A local file, or one per split: ``{train: FILE, test: FILE}``."""

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _by_columns(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" not in data and any(key in data for key in MAPPED):
            return {"name": "columns", **data}
        return data
