"""What the trainer may call on a guide: protocols ``Guides``, ``Begins``, ``HasGamma``, ``CanFail``, ``Detects`` ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from thinklab.types import Rollout


@runtime_checkable
class Guides(Protocol):
    """Any function with this signature; ``thinklab.guide.guide.Guide`` also implements all protocols below."""

    def __call__(self, rollouts: Sequence[Rollout], step: int, generation: int, /) -> list[Rollout]:
        """The same rollouts in the same order, some of them with guidance spliced on."""
        ...


@runtime_checkable
class Begins(Protocol):
    """Can process whole groups while others are still being sampled."""

    def begin(self, rollouts: Sequence[Rollout], step: int, generation: int) -> None:
        """Called with each group when it is sampled; ``__call__`` receives all of them later."""
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
            ConfigError: if it would guide no rollout in groups of this size.
        """
        ...


@runtime_checkable
class HasSchedule(Protocol):
    """Guides by a schedule, which is checked before the first step."""

    schedule: GroupRule


@runtime_checkable
class CanFail(Protocol):
    """May fail permanently during a run."""

    failed: str
    """The reason; empty while it works. Cleared by the trainer before the next call."""


@runtime_checkable
class MayReachCap(Protocol):
    """Its teacher has caps: ``thinklab.teachers.protocols.HasCaps`` documents both."""

    @property
    def cap_reached(self) -> str: ...

    @property
    def should_stop(self) -> str: ...


@runtime_checkable
class CountsOutcomes(Protocol):
    """Counts the outcomes of the replies, for a warning when most were rejected."""

    counts: Mapping[str, int]


class Detects(Protocol):
    """What is taught."""

    def detect(self, text: str) -> Any:
        """Truthy when ``text`` shows it."""
        ...


@runtime_checkable
class Teaches(Protocol):
    """Knows its behaviors, so that they are measured even without ``score``."""

    behaviors: Sequence[tuple[Detects, float]]
    """With their weights."""


OPTIONAL = (Begins, HasGamma, HasSchedule, CanFail, MayReachCap, CountsOutcomes, Teaches)
