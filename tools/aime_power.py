"""What difference between two methods AIME can show: possible figures, and the minimal detectable difference.

    python tools/aime_power.py        # the table of docs/the-paper-table.md

Two questions about +2.23 points:

1. **Can the figure occur?** Accuracy over Q questions and R runs is a multiple of 1 / (Q R). Two such figures, each rounded to two
   decimals of a percent, must differ by exactly 2.23.
2. **Can it be told from chance?** Both methods answer the same Q questions R times each. The mean over questions of the paired gap has
   the variance

       (tau^2 + (W_0 + W_1) / R) / Q        W = m (1 - m) (1 - rho)

   with the accuracy m of a method, the correlation rho of two answers to the same question (some questions are never solved), and the
   standard deviation tau of the true gain between questions. The minimal detectable difference of a two-sided test at 5 % with a
   power of 80 % is 2.80 times its root.

Assumed, because no source gives them: m = 5 % for the method that is compared with, rho = 0.3, tau = 5 points. Left out: the spread
between training seeds, which no number of questions reduces; S seeds per method add 2 sigma^2 / S to the variance.
"""

from __future__ import annotations

import math
from statistics import NormalDist

GAIN = 2.23
ACCURACY, RHO, TAU = 0.05, 0.3, 0.05
QUESTIONS = {30: "2024", 90: "2022-2024", 933: "1983-2024"}
RUNS = (10, 16)
FACTOR = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)


def can_occur(points: float, answers: int) -> bool:
    """Whether two accuracies over ``answers`` answers, in percent with two decimals, can differ by exactly ``points``."""
    known = {round(100 * k / answers * 100) for k in range(answers + 1)}
    return any(k + round(points * 100) in known for k in known)


def spread(accuracy: float) -> float:
    """W: the variance of one answer to a given question, averaged over questions."""
    return accuracy * (1 - accuracy) * (1 - RHO)


def variance(questions: int, runs: float, gain: float) -> float:
    return (TAU**2 + (spread(ACCURACY) + spread(ACCURACY + gain)) / runs) / questions


def detectable(questions: int, runs: float) -> float:
    """The minimal detectable difference in points: the gain that equals ``FACTOR`` of its own standard errors."""
    low, high = 0.0, 1 - ACCURACY
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if middle >= FACTOR * math.sqrt(variance(questions, runs, middle)) else (middle, high)
    return 100 * high


def runs_needed(questions: int, points: float = GAIN) -> int | None:
    """The fewest runs that can tell ``points`` from chance; None if no number of them can."""
    if detectable(questions, math.inf) > points:
        return None
    return next(runs for runs in range(1, 10_000) if detectable(questions, runs) <= points)


def table() -> str:
    """Markdown."""
    head = ["questions", "years", *(f"+{GAIN} can occur, {r} runs" for r in RUNS), *(f"detectable, {r} runs" for r in RUNS)]
    head += ["detectable, any number of runs", f"runs to detect +{GAIN}"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for questions, years in QUESTIONS.items():
        cells = [str(questions), years, *("yes" if can_occur(GAIN, questions * r) else "no" for r in RUNS)]
        cells += [f"{detectable(questions, r):.1f}" for r in (*RUNS, math.inf)]
        lines.append("| " + " | ".join([*cells, str(runs_needed(questions) or "never")]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
