"""What a detector returns (``Detection``, ``Span``); protocols of those that read many texts or ask a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

Span = tuple[int, int]


@dataclass(frozen=True)
class Detection:
    """Whether a text shows a behavior; truthy when it does."""

    found: bool
    spans: tuple[Span, ...] = ()
    """(start, end) of what matched, in order, overlapping ones merged; filled in even when ``found`` is False."""
    why: str = ""
    """What matched, or why it does not count."""
    decided: bool = True
    """False when undecided: the time limit was hit, or a judge gave no answer. Then ``not`` is not true either."""

    def __bool__(self) -> bool:
        return self.found


@runtime_checkable
class ReadsMany(Protocol):
    """A detector that is faster or cheaper on many texts at once."""

    def many(self, texts: Sequence[str]) -> list[Detection]:
        """``[self(text) for text in texts]``."""
        ...


@runtime_checkable
class AsksTeacher(Protocol):
    """A detector that needs a teacher for its verdicts."""

    def bound(self, teacher: Any) -> Any:
        """The same detector with ``teacher``."""
        ...
