"""What every teacher is asked in the same way, whatever it offers (``protocols.py``). One file per backend beside this one.

A teacher never raises for one bad reply: it returns a ``TeacherReply`` whose ``error`` names what happened, and the
rollout stays as it was. It raises ``TeacherError`` only when no reply can ever come (a wrong key, an unknown model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from thinklab.teachers.protocols import AnswersLater, Checks, HasCaps, KeepsAccount, Settles, Teacher
from thinklab.types import TeacherReply, TeacherRequest

ERRORS = {
    "mute": "the teacher chose to say nothing",
    "not-recorded": "the earlier run has no reply to this",
    "waiting": "a person has not written the reply yet",
    "cap": "a cap on dollars, tokens or calls would have been exceeded",
    "rate-limit": "429, still there after the last attempt",
    "overloaded": "503 or 529, still there after the last attempt",
    "server": "another 5xx, still there after the last attempt",
    "connection": "the connection failed or broke off",
    "timeout": "no reply within the time allowed",
    "resting": "not asked: the service has failed many times in a row and is left alone for a while",
    "bad-reply": "a reply that is not in the service's own format, for instance half of one",
    "bad-request": "the service does not accept this request",
    "flagged": "the service's moderation does not let this request through",
    "forbidden": "403 for this request, without a word about the account or the content",
    "prompt-too-long": "the request does not fit the model's context",
    "refusal": "the model declined",
    "max-tokens": "the reply was cut at max_tokens",
    "empty": "a reply without text",
    "oversized": "more text than any teacher was asked for",
}
"""Every ``TeacherReply.error`` and its meaning; a foreign backend may add slugs of its own."""


def submit(teacher: Teacher, requests: Sequence[TeacherRequest]) -> Future[list[TeacherReply]]:
    """Asks without waiting, where the teacher can; otherwise asks now.

    While a network teacher answers, the caller is free to score the rollouts that nobody is asked about. A teacher that
    runs on this machine's own processor answers before this returns: there is nothing to overlap.
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
    """Finds out before any sampling whether the teacher can work at all; a teacher without a ``check`` passes.

    Raises:
        TeacherError: in one line, for instance because the key is wrong.
    """
    if isinstance(teacher, Checks):
        teacher.check()


def restore(teacher: Teacher | None, totals: Mapping[str, Any]) -> None:
    """Goes on from what it has cost in an earlier sitting: a cap holds over all of them."""
    if isinstance(teacher, KeepsAccount):
        teacher.restore(totals)


def settle(teacher: Teacher | None) -> None:
    """After an interrupt: every call that was under way is on its account."""
    if isinstance(teacher, Settles):
        teacher.settle()


def cap_reached(teacher: Teacher | None) -> str:
    """Which cap has turned a call away, in words; empty while none has."""
    return teacher.cap_reached if isinstance(teacher, HasCaps) else ""


def should_stop(teacher: Teacher | None) -> str:
    """Why the run should be saved and stopped; empty while it may go on."""
    return teacher.should_stop if isinstance(teacher, HasCaps) else ""
