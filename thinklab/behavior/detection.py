"""What a detector says of a text."""

from __future__ import annotations

from dataclasses import dataclass

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
