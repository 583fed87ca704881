"""``check_part``: type and members of a student, task, teacher, or judge that was passed as a Python object."""

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
        ThinklabError: if ``part`` has the wrong type, or a misspelled or mismatched member.
    """
    what = f"{name}="
    if name == "student":
        from thinklab.students.base import check as check_student  # imports transformers, which must be imported after Unsloth

        check_student(part, what)
    elif name == "task":
        check_task(part, what)
    elif not isinstance(part, RunJudge):
        check_teacher(part, what)


def check_parts(parts: ReadyMade) -> None:
    """``check_part`` for all given parts."""
    for name in NAMES:
        if (part := vars(parts)[name]) is not None:
            check_part(name, part)
