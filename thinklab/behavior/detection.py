"""What a detector says of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

Span = tuple[int, int]


@dataclass(frozen=True)
class Detection:
    """Whether a text shows a behavior. True in a condition when it does."""

    found: bool
    spans: tuple[Span, ...] = ()
    """(start, end) of what matched, in order, overlapping ones merged; as a list of places even when not ``found``."""
    why: str = ""
    """What matched, or why it does not count, in words."""
    decided: bool = True
    """False where nobody can tell: the time was up, or a judge gave no answer. Then ``not`` is not true either."""

    def __bool__(self) -> bool:
        return self.found


@runtime_checkable
class ReadsMany(Protocol):
    """A detector that is quicker, or cheaper, with many texts at once."""

    def many(self, texts: Sequence[str]) -> list[Detection]:
        """``[self(text) for text in texts]``."""
        ...


@runtime_checkable
class AsksTeacher(Protocol):
    """A detector that needs a teacher to answer for it."""

    def bound(self, teacher: Any) -> Any:
        """The same detector with ``teacher``."""
        ...
