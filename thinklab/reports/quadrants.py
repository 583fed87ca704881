"""The report's four quadrants: count and weight of teacher tokens by advantage and probability."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from thinklab.reports import html_page, plots
from thinklab.run.folder import RunFolder
from thinklab.shaping import Shaping

CLAIMS = {
    (True, True): "raise its probability a little, without overfitting: weight just below 1",
    (True, False): "raise its probability, more carefully than a plain policy gradient: weight below 1",
    (False, True): "lower its probability a little more than a plain policy gradient: weight just above 1",
    (False, False): "leave it unchanged: masked, weight 0",
}
"""The effect that the method's authors intend, by (advantage > 0, probability >= floor)."""


@dataclass
class Quadrant:
    """Teacher tokens of one sign of the advantage on one side of the floor."""

    count: int = 0
    weight: float = 0.0
    """Sum of the weights."""
    low: float = float("inf")
    high: float = float("-inf")
    masked: int = 0
    """Weight exactly 0."""
    no_grip: int = 0
    """Weight below 0.1."""
    examples: list[str] = field(default_factory=list)

    def add(self, token: str, weight: float) -> None:
        self.count += 1
        self.weight += weight
        self.low, self.high = min(self.low, weight), max(self.high, weight)
        self.masked += weight == 0
        self.no_grip += weight < 0.1
        if len(self.examples) < 6 and token not in self.examples:
            self.examples.append(token)


Weighted = tuple[str, float, float, float]
"""A teacher token: its text, its probability, the advantage, its weight."""
COLUMNS = (
    "teacher tokens",
    "count",
    "mean weight [least, most]",
    "masked",
    "below 0.1",
    "intended effect",
    "for instance",
)


def quadrants(tokens: Iterable[Weighted], floor: float) -> tuple[dict[tuple[bool, bool], Quadrant], int]:
    """The four quadrants over ``tokens``, and how many of them had an advantage of exactly 0."""
    found = {key: Quadrant() for key in CLAIMS}
    idle = 0
    for text, probability, advantage, weight in tokens:
        if advantage == 0:
            idle += 1
        else:
            found[advantage > 0, probability >= floor].add(text, weight)
    return found, idle


def rows(found: Mapping[tuple[bool, bool], Quadrant], floor: float) -> list[list[str]]:
    """HTML cells under ``COLUMNS``, one row for each quadrant."""
    return [
        [
            f"advantage {'&gt;' if positive else '&lt;'} 0, probability {'&ge;' if likely else '&lt;'} {floor:.3g}",
            f"<b>{q.count}</b>",
            f"{q.weight / q.count:.3f} <small>[{q.low:.3g}, {q.high:.3g}]</small>" if q.count else "–",
            f"{q.masked}",
            f"{q.no_grip}",
            escape(CLAIMS[positive, likely]),
            " ".join(f"<code>{escape(repr(t)[1:-1])}</code>" for t in q.examples),
        ]
        for (positive, likely), q in found.items()
    ]


def traced(traces: Iterable[Mapping[str, Any]]) -> Iterator[Weighted]:
    """The teacher tokens in lines of ``tokens.jsonl``, with the weights used in training."""
    for t in traces:
        for token, teacher, p, w in zip(t["tokens"], t["teacher"], t["probability"], t["weight"], strict=True):
            if teacher:
                yield token, p, t["advantage"], w


def section(runs: Mapping[str, RunFolder]) -> str:
    """For every run that has traced tokens: a table and a figure; empty where there is none."""
    parts = []
    for name, run in runs.items():
        traces = list(run.read("tokens"))
        if not traces:
            continue
        config = run.resolved().get("config") or {}
        floor = (config.get("loss") or {}).get("floor", Shaping.floor)
        found, idle = quadrants(traced(traces), floor)
        total = sum(q.count for q in found.values())
        idle_note = f" {idle} more tokens had an advantage of 0 and no gradient." if idle else ""
        method = escape(str((config.get("loss") or {}).get("method", "")))
        parts.append(
            f"<h3>{escape(name)}{f' ({method})' if method else ''}</h3><p>{total} teacher tokens of {len(traces)} traced "
            f"rollouts (a few per generation).{idle_note} The weight multiplies the token's policy gradient; 1 means a plain policy gradient.</p>"
            + html_page.table(COLUMNS, rows(found, floor))
            + html_page.figure(plots.token_weights(traces))
        )
    if not parts:
        return ""
    return "<h2>What the loss did to the teacher's tokens</h2>" + "".join(parts)
