"""Statistics paired by question: ``sign_flip`` test, ``holm``, bootstrap ``average``, ``average_gap``, ``ratio``.

Values come as ``{question: [value of run 1, value of run 2, ...]}``. Averages weight all benchmarks equally.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from thinklab.probing.stats import Estimate

Values = Mapping[str, Sequence[float]]
DRAWS = 4000
EXACT_UP_TO = 14
"""Maximum number of differing questions for which all signs are enumerated."""


def sign_flip(one: Values, other: Values, draws: int = 20_000, seed: int = 0) -> float:
    """Two-sided p-value of a paired permutation test: under the null hypothesis, the sign of each question's gap is random.

    With one run per question this equals McNemar's exact test. Exact while at most ``EXACT_UP_TO`` questions
    differ, else by ``draws`` random signs, the observed one counted among them (Phipson and Smyth 2010).
    """
    gaps = np.array([np.mean(other[k]) - np.mean(one[k]) for k in one if k in other])
    gaps = gaps[np.abs(gaps) > 1e-12]
    if not len(gaps):
        return 1.0
    seen = abs(gaps.sum()) - 1e-9
    if len(gaps) <= EXACT_UP_TO:
        signs = np.array(list(product((1, -1), repeat=len(gaps))))
        return float((np.abs(signs @ gaps) >= seen).mean())
    signs = np.random.default_rng(seed).choice(np.array([1, -1], dtype=np.int8), (draws, len(gaps)))
    return float(((np.abs(signs @ gaps) >= seen).sum() + 1) / (draws + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) correction: p-values that hold for all comparisons together."""
    order, adjusted, highest = np.argsort(p_values), [0.0] * len(p_values), 0.0
    for rank, k in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[k]))
        adjusted[k] = highest
    return adjusted


def average(benchmarks: Sequence[Values], seed: int = 0) -> Estimate:
    """Mean over benchmarks of the mean over questions, with a bootstrap interval (questions resampled within each)."""
    rng, total, draws = np.random.default_rng(seed), 0.0, np.zeros(DRAWS)
    for values in benchmarks:
        means = np.array([np.mean(v) for v in values.values()])
        total += means.mean()
        draws += _resampled(means, rng)
    low, high = np.quantile(draws / len(benchmarks), [0.025, 0.975])
    return Estimate(float(total / len(benchmarks)), float(low), float(high))


def average_gap(pairs: Sequence[tuple[Values, Values]], seed: int = 0) -> Estimate:
    """Mean over benchmarks of the mean of other - one over their common questions."""
    return average([{k: [float(np.mean(other[k]) - np.mean(one[k]))] for k in one if k in other} for one, other in pairs], seed)


def ratio(one: Values, other: Values, seed: int = 0) -> Estimate:
    """Mean of ``other`` over mean of ``one``, minus 1: ``0.12`` is 12 % more. Questions are resampled in pairs."""
    keys = [k for k in one if k in other]
    a, b = (np.array([np.mean(v[k]) for k in keys]) for v in (one, other))
    if not len(keys) or a.mean() == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    rows = np.random.default_rng(seed).integers(0, len(keys), (DRAWS, len(keys)))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanquantile(b[rows].mean(1) / a[rows].mean(1) - 1, [0.025, 0.975])
    return Estimate(float(b.mean() / a.mean() - 1), float(low), float(high))


def within_question(tokens: Values, correct: Values, seed: int = 0) -> tuple[Estimate | None, int]:
    """Tokens of right answers minus tokens of wrong ones to the *same* question, over questions with both.

    Across questions, length is not informative: hard ones take longer and fail more. Returns None and 0 if no question has both.
    """
    gaps = []
    for key, right in correct.items():
        lengths, hits = np.array(tokens[key], float), np.array(right, bool)
        if hits.any() and not hits.all():
            gaps.append(lengths[hits].mean() - lengths[~hits].mean())
    if not gaps:
        return None, 0
    means = np.array(gaps)
    low, high = np.quantile(_resampled(means, np.random.default_rng(seed)), [0.025, 0.975])
    return Estimate(float(means.mean()), float(low), float(high)), len(gaps)


def _resampled(means: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(DRAWS,) means of resampled questions, in blocks that limit memory."""
    out, block = np.empty(DRAWS), max(1, 4_000_000 // max(1, len(means)))
    for start in range(0, DRAWS, block):
        size = min(block, DRAWS - start)
        out[start : start + size] = means[rng.integers(0, len(means), (size, len(means)))].mean(1)
    return out
