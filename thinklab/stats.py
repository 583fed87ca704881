"""Intervals for rates. Few lines, so that every figure in a report can be traced to a formula."""
from __future__ import annotations

import math
from dataclasses import dataclass

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """``count`` of ``total``, with a 95 % Wilson score interval (Wilson 1927)."""

    count: int
    total: int

    @property
    def value(self) -> float:
        return self.count / self.total if self.total else math.nan

    @property
    def low(self) -> float:
        return self._wilson()[0]

    @property
    def high(self) -> float:
        return self._wilson()[1]

    @property
    def upper_bound(self) -> float:
        """95 % upper bound of a rate when nothing was seen in ``total`` tries: the rule of three, 3 / total."""
        return min(1.0, 3 / self.total) if self.total else 1.0

    def _wilson(self) -> tuple[float, float]:
        if not self.total:
            return 0.0, 1.0
        p, n, z2 = self.value, self.total, Z95 ** 2
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def percent(self) -> str:
        """``98.2 [97, 99]``, or ``0 (< 0.6)`` where nothing was seen."""
        if self.total and self.count == 0:
            return f"0 (< {100 * self.upper_bound:.1f})"
        return f"{100 * self.value:.1f} [{100 * self.low:.0f}, {100 * self.high:.0f}]"

    def __str__(self) -> str:
        """``.982 [.966, .991]``, or ``0 (< .006)`` where nothing was seen."""
        if self.total and self.count == 0:
            return f"0 (< {_short(self.upper_bound)})"
        return f"{_short(self.value)} [{_short(self.low)}, {_short(self.high)}]"


def _short(x: float) -> str:
    text = f"{x:.3f}"
    return text if not text.startswith("0") else text[1:]
