"""Stage 2 as the trainer sees it: a function, and what an object may offer beyond that, found by ``isinstance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from thinklab.types import Rollout


@runtime_checkable
class Guides(Protocol):
    """Any function of this form; ``thinklab.guide.guide.Guide`` offers all that follows as well."""

    def __call__(self, rollouts: Sequence[Rollout], step: int, generation: int, /) -> list[Rollout]:
        """The same rollouts in the same order, some of them with guidance spliced on."""
        ...


@runtime_checkable
class Begins(Protocol):
    """Can ask about whole groups while others are still being sampled."""

    def begin(self, rollouts: Sequence[Rollout], step: int, generation: int) -> None:
        """Called with each group that is sampled; ``__call__`` gets all of them later."""
        ...


@runtime_checkable
class HasGamma(Protocol):
    """Knows how much it guides."""

    def gamma(self, step: int) -> float:
        """Guided rollouts wanted per group at ``step``, for the records."""
        ...


class GroupRule(Protocol):
    """A schedule of guidance."""

    def check_group(self, size: int) -> None:
        """
        Raises:
            ConfigError: when it would guide nobody in groups of this size.
        """
        ...


@runtime_checkable
class HasSchedule(Protocol):
    """Guides by a schedule, which is checked before the first step."""

    schedule: GroupRule


@runtime_checkable
class CanFail(Protocol):
    """May find on the way that no guidance can come any more."""

    failed: str
    """Why; empty while it works. Emptied by the trainer when it is called again."""


@runtime_checkable
class MayReachCap(Protocol):
    """Its teacher has caps: ``thinklab.teachers.protocols.HasCaps`` tells what the two say."""

    @property
    def cap_reached(self) -> str: ...

    @property
    def should_stop(self) -> str: ...


@runtime_checkable
class CountsOutcomes(Protocol):
    """Counts what became of the replies, for a warning when most were rejected."""

    counts: Mapping[str, int]


class Detects(Protocol):
    """What is taught."""

    def detect(self, text: str) -> Any:
        """True in a condition when ``text`` shows it."""
        ...


@runtime_checkable
class Teaches(Protocol):
    """Knows what it teaches, so that it is measured where no ``score`` does that."""

    behaviors: Sequence[tuple[Detects, float]]
    """With their weights."""


OPTIONAL = (Begins, HasGamma, HasSchedule, CanFail, MayReachCap, CountsOutcomes, Teaches)
