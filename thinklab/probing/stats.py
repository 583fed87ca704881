"""``Rate`` with its Wilson interval, ``Estimate``, paired bootstrap differences, Student's t.

Kept short, so that every figure in a report can be traced to a formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """``count`` of ``total``, with a 95 % Wilson score interval (Wilson 1927)."""

    count: int
    total: int
    effective: float | None = None
    """The effective number of independent answers if several answers belong to one question; None: all of them."""

    @classmethod
    def of_groups(cls, groups: Sequence[Sequence[bool]]) -> Rate:
        """A rate over questions with several answers each, whose interval accounts for correlated answers to one question.

        The effective number is p (1 - p) over the variance of the mean of the question means (Kish's design effect), at
        least the number of questions and at most that of answers; where all answers agree, the number of questions.
        """
        count, total = sum(map(sum, groups)), sum(map(len, groups))
        if total == len(groups) or total == 0:
            return cls(count, total)
        p, means = count / total, [sum(g) / len(g) for g in groups if g]
        spread = sum((m - p) ** 2 for m in means) / max(1, len(means) - 1) / len(means)
        worth = p * (1 - p) / spread if spread > 0 else 0.0
        return cls(count, total, min(float(total), max(float(len(means)), worth)))

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
        """95 % upper bound of a rate when nothing was seen in ``total`` trials: the rule of three, 3 / total."""
        return min(1.0, 3 / (self.effective or self.total)) if self.total else 1.0

    def _wilson(self) -> tuple[float, float]:
        if not self.total:
            return 0.0, 1.0
        p, n, z2 = self.value, self.effective or self.total, Z95**2
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


@dataclass(frozen=True)
class Estimate:
    """A mean or difference with a 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}

    @property
    def clear(self) -> bool:
        """True if the interval excludes 0."""
        return self.low > 0 or self.high < 0

    @property
    def points(self) -> str:
        """``+12.4 [+8, +17]`` percentage points."""
        return f"{100 * self.value:+.1f} [{100 * self.low:+.0f}, {100 * self.high:+.0f}]"


def paired_difference(
    before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]], draws: int = 4000, seed: int = 0
) -> Estimate:
    """Mean of after - before over the common questions, with a percentile bootstrap interval.

    Questions are resampled, not answers: the answers to one question are correlated (Efron and Tibshirani 1993, ch. 8).

    Args:
        before, after: by question, the values of its answers (1.0 = shown or right), any number of them.

    Raises:
        ValueError: if they share no question.
    """
    shared = [key for key in before if key in after]
    if not shared:
        raise ValueError("before and after have no question in common, so nothing can be paired")
    gaps = np.array([np.mean(after[key]) - np.mean(before[key]) for key in shared])
    means = gaps[np.random.default_rng(seed).integers(0, len(gaps), (draws, len(gaps)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    if low == high:
        # Nothing varies, so resampling is uninformative: use the rule of three, as if one question in so many differed by 1.
        room, value = 3 / len(gaps), float(gaps.mean())
        low, high = max(min(-1.0, value), low - room), min(max(1.0, value), high + room)
    return Estimate(float(gaps.mean()), float(low), float(high))


STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom; beyond the last one, two terms of its expansion
are within 0.001."""


def mean_interval(values: Sequence[float]) -> Estimate:
    """Mean over seeds with a 95 % t-interval; an infinite one for a single value, because its spread is unknown.

    Raises:
        ValueError: without any value.
    """
    if not values:
        raise ValueError("no values to average")
    mean, df = sum(values) / len(values), len(values) - 1
    if df == 0:
        return Estimate(mean, -math.inf, math.inf)
    t = STUDENT_T[df - 1] if df <= len(STUDENT_T) else Z95 + 2.3724 / df + 2.823 / df**2
    half = t * math.sqrt(sum((v - mean) ** 2 for v in values) / df / len(values))
    return Estimate(mean, mean - half, mean + half)
