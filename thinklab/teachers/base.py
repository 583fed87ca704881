"""Calls that work with any teacher: ``submit``, ``check``, ``restore``, ``settle``, ``cap_reached``, ``should_stop``.

One module per backend in this folder.

A teacher never raises for one bad reply: it returns a ``TeacherReply`` whose ``error`` names what happened, and the rollout
stays unguided. It raises ``TeacherError`` only if no request can ever succeed (a wrong key, an unknown model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from thinklab.teachers.protocols import AnswersLater, Checks, HasCaps, KeepsAccount, Settles, Teacher
from thinklab.types import TeacherReply, TeacherRequest


def submit(teacher: Teacher, requests: Sequence[TeacherRequest]) -> Future[list[TeacherReply]]:
    """Submits requests without waiting if the teacher supports it; otherwise asks now.

    While a network teacher answers, the caller can score the unguided rollouts. A teacher on this
    machine's own processor answers before this returns: there is nothing to overlap.
    """
    if isinstance(teacher, AnswersLater):
        return teacher.submit(requests)
    future: Future[list[TeacherReply]] = Future()
    try:
        future.set_result(teacher.reply(requests))
    except Exception as error:
        future.set_exception(error)
    return future


def check(teacher: Teacher) -> None:
    """Checks before any sampling whether the teacher works; a teacher without a ``check`` passes.

    Raises:
        TeacherError: in one line, for instance because the key is wrong.
    """
    if isinstance(teacher, Checks):
        teacher.check()


def restore(teacher: Teacher | None, totals: Mapping[str, Any]) -> None:
    """Restores the cost from earlier sessions: a cap covers all of them."""
    if isinstance(teacher, KeepsAccount):
        teacher.restore(totals)


def settle(teacher: Teacher | None) -> None:
    """After an interrupt: waits until every open call is accounted for."""
    if isinstance(teacher, Settles):
        teacher.settle()


def cap_reached(teacher: Teacher | None) -> str:
    """The cap that blocked a call; empty if none has."""
    return teacher.cap_reached if isinstance(teacher, HasCaps) else ""


def should_stop(teacher: Teacher | None) -> str:
    """Why the run should be saved and stopped; empty while it may continue."""
    return teacher.should_stop if isinstance(teacher, HasCaps) else ""
