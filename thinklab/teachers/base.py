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

<<<<<<< HEAD
=======
ERRORS = {
    "mute": "the teacher chose not to reply",
    "not-recorded": "the earlier run has no reply to this request",
    "waiting": "no person has written the reply yet",
    "cap": "a cap on dollars, tokens or calls would have been exceeded",
    "rate-limit": "HTTP 429, still after the last attempt",
    "overloaded": "HTTP 503 or 529, still after the last attempt",
    "server": "another HTTP 5xx, still after the last attempt",
    "connection": "the connection failed or was interrupted",
    "timeout": "no reply within the time limit",
    "resting": "not sent: the service has failed many times in a row, so requests are paused for a while",
    "bad-reply": "a reply that is not in the service's format, for instance a truncated one",
    "bad-request": "the service does not accept this request",
    "flagged": "the service's moderation blocked this request",
    "forbidden": "HTTP 403 for this request, without a reason about the account or the content",
    "prompt-too-long": "the request does not fit into the model's context",
    "refusal": "the model refused to answer",
    "max-tokens": "the reply was truncated at max_tokens",
    "empty": "a reply without text",
    "expired": "a batch ended before the service reached this request, also when submitted again",
    "canceled": "a batch was canceled before the service reached this request",
    "oversized": "more text than any reply may have",
}
"""Every ``TeacherReply.error`` and its meaning; a plugin backend may add its own slugs."""

>>>>>>> 069bc61 (Batches: guide --batch and judges through Anthropic's and OpenAI's batch APIs, at half the price, resumable)

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
