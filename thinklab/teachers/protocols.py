"""``Teacher`` and optional protocols ``Checks``, ``Estimates``, ``HasCaps``, ``KeepsAccount``, ...; ``check_teacher``.

A teacher needs a ``name`` and ``reply``. Every other protocol in this file that it implements is used; a misspelled name or
another signature is an error when the teacher is loaded (``check_teacher``). ``docs/extend.md`` has an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, runtime_checkable

from thinklab.errors import TeacherError
from thinklab.interop.plugins import check_shape
from thinklab.teachers.money import CostEstimate
from thinklab.types import TeacherReply, TeacherRequest


@runtime_checkable
class Teacher(Protocol):
    """Anything with a name that answers requests, in their order. Entry points: group ``thinklab.teachers``."""

    name: str

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply per request, same order.

        Raises:
            TeacherError: if the teacher cannot work at all.
        """
        ...


# ---- requests


@runtime_checkable
class Checks(Protocol):
    """Can check before any sampling whether it works."""

    def check(self) -> None:
        """
        Raises:
            TeacherError: in one line, for instance because the key is wrong.
        """
        ...


@runtime_checkable
class AnswersLater(Protocol):
    """Answers on another machine, so that other work can overlap with the wait."""

    def submit(self, requests: Sequence[TeacherRequest]) -> Future[list[TeacherReply]]:
        """``reply`` without waiting."""
        ...


@runtime_checkable
class AnswersAfresh(Protocol):
    """Caches replies, and can bypass the cache."""

    def again(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """``reply`` without the cache."""
        ...


@runtime_checkable
class WorksAtOnce(Protocol):
    """Processes several requests at a time."""

    @property
    def concurrency(self) -> int:
        """How many."""
        ...


# ---- cost


@runtime_checkable
class Estimates(Protocol):
    """Costs money, and can estimate how much beforehand."""

    def estimate(self, requests: Sequence[TeacherRequest], calls: int | None = None) -> CostEstimate:
        """The maximum cost of ``requests``, or of ``calls`` requests of which they are a sample."""
        ...


@runtime_checkable
class RefusesAboveCap(Protocol):
    """Has caps, and rejects work that would exceed one."""

    def refuse_above_cap(self, estimate: CostEstimate, less: str) -> None:
        """
        Args:
            less: advice for the message on how to reduce the number of requests.

        Raises:
            ConfigError: if ``estimate`` exceeds a cap.
        """
        ...


@runtime_checkable
class HasCaps(Protocol):
    """May stop answering during a run because of a cap."""

    @property
    def cap_reached(self) -> str:
        """The cap that blocked a call; empty if none has."""
        ...

    @property
    def should_stop(self) -> str:
        """Why the run should be saved and stopped; empty while it may continue."""
        ...


@runtime_checkable
class KeepsAccount(Protocol):
    """Tracks its cost; a run saves that, so that a cap also covers the resumed run."""

    def totals(self) -> dict[str, Any]:
        """The cost so far, as JSON."""
        ...

    def restore(self, totals: Mapping[str, Any]) -> None:
        """Restore an earlier run's ``totals``."""
        ...


@runtime_checkable
class Settles(Protocol):
    """May have open calls after an interrupt."""

    def settle(self) -> None:
        """Wait until all of them are accounted for."""
        ...


# ---- messages


@runtime_checkable
class SaysBriefly(Protocol):
    """Adds a text to the progress line."""

    def brief(self) -> str:
        """A few words."""
        ...


@runtime_checkable
class SumsUp(Protocol):
    """Adds a summary at the end."""

    def summary(self) -> str:
        """One line."""
        ...


OPTIONAL = (
    Checks,
    AnswersLater,
    AnswersAfresh,
    WorksAtOnce,
    Estimates,
    RefusesAboveCap,
    HasCaps,
    KeepsAccount,
    Settles,
    SaysBriefly,
    SumsUp,
)


def check_teacher(teacher: object, what: str) -> None:
    """Reject an object that is not a teacher, or one with a misspelled or mismatched member of these protocols.

    Args:
        what: a description of the teacher, such as ``the teacher 'parrot'``.

    Raises:
        TeacherError: with one line that says what to change.
    """
    check_shape(teacher, what, TeacherError, Teacher, OPTIONAL)
