"""Ready-made parts, objects from Python, are checked like those that a package registers, before anything is built from them."""

from __future__ import annotations

from typing import Any

from thinklab.config.ready_made import NAMES, ReadyMade
from thinklab.experiment.run_judge import RunJudge
from thinklab.tasks.base import check as check_task
from thinklab.teachers.protocols import check_teacher


def check_part(name: str, part: Any) -> None:
    """
    Args:
        name: one of ``NAMES``.

    Raises:
        ThinklabError: when ``part`` is none of these, or has a misspelled or wrongly shaped part.
    """
    what = f"{name}="
    if name == "student":
        from thinklab.students.base import check as check_student  # imports transformers, which Unsloth must come before

        check_student(part, what)
    elif name == "task":
        check_task(part, what)
    elif not isinstance(part, RunJudge):
        check_teacher(part, what)


def check_parts(parts: ReadyMade) -> None:
    """``check_part`` for all that are there."""
    for name in NAMES:
        if (part := vars(parts)[name]) is not None:
            check_part(name, part)
