"""What a teacher is, and all that it may offer beyond that, found by ``isinstance``.

A teacher needs a ``name`` and ``reply``. Whatever else of this file it offers is used; a name that is nearly one of these, or has
another shape, is an error when the teacher is loaded (``check_teacher``). ``docs/extend.md`` writes one.
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
            TeacherError: when the teacher cannot work at all.
        """
        ...


# ---- how it is asked


@runtime_checkable
class Checks(Protocol):
    """Can tell before any sampling whether it works at all."""

    def check(self) -> None:
        """
        Raises:
            TeacherError: in one line, for instance because the key is wrong.
        """
        ...


@runtime_checkable
class AnswersLater(Protocol):
    """Answers on another machine, so that its wait can be covered with other work."""

    def submit(self, requests: Sequence[TeacherRequest]) -> Future[list[TeacherReply]]:
        """``reply`` without waiting."""
        ...


@runtime_checkable
class AnswersAfresh(Protocol):
    """Keeps replies, and can be asked past them."""

    def again(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """``reply``, but a kept reply is not given out."""
        ...


@runtime_checkable
class WorksAtOnce(Protocol):
    """Works on several requests at a time."""

    @property
    def concurrency(self) -> int:
        """How many."""
        ...


# ---- what it costs


@runtime_checkable
class Estimates(Protocol):
    """Costs something, and can say how much before it is asked."""

    def estimate(self, requests: Sequence[TeacherRequest], calls: int | None = None) -> CostEstimate:
        """What ``requests`` cost at most, or ``calls`` requests of which they are a sample."""
        ...


@runtime_checkable
class RefusesAboveCap(Protocol):
    """Has caps, and refuses work that would pass one."""

    def refuse_above_cap(self, estimate: CostEstimate, less: str) -> None:
        """
        Args:
            less: how to ask for less, for the message.

        Raises:
            ConfigError: when ``estimate`` passes a cap.
        """
        ...


@runtime_checkable
class HasCaps(Protocol):
    """May stop answering on the way because of a cap."""

    @property
    def cap_reached(self) -> str:
        """Which cap has turned a call away, in words; empty while none has."""
        ...

    @property
    def should_stop(self) -> str:
        """Why the run should be saved and stopped; empty while it may go on."""
        ...


@runtime_checkable
class KeepsAccount(Protocol):
    """Counts what it has cost; a run writes that down, so that a cap holds over a resumed run."""

    def totals(self) -> dict[str, Any]:
        """What was spent, as JSON."""
        ...

    def restore(self, totals: Mapping[str, Any]) -> None:
        """Go on from an earlier run's ``totals``."""
        ...


@runtime_checkable
class Settles(Protocol):
    """Calls may be open after an interrupt."""

    def settle(self) -> None:
        """Wait until all of them are on the account."""
        ...


# ---- what it says


@runtime_checkable
class SaysBriefly(Protocol):
    """Has something to say on the progress line."""

    def brief(self) -> str:
        """A few words."""
        ...


@runtime_checkable
class SumsUp(Protocol):
    """Has something to say at the end."""

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
    """Refuse what is no teacher, and one with a misspelled or wrongly shaped part of this file.

    Args:
        what: the teacher in words, such as ``the teacher 'parrot'``.

    Raises:
        TeacherError: in one line that says what to change.
    """
    check_shape(teacher, what, TeacherError, Teacher, OPTIONAL)
