"""The report's gradient analysis: what the loss did to this run's teacher tokens, in the slides' four quadrants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from thinklab.reports import html_page, plots
from thinklab.run.folder import RunFolder
from thinklab.shaping import Shaping

CLAIMS = {
    (True, True): "raise it a little, without over-fitting: weight just below 1",
    (True, False): "raise it, more carefully than a plain policy gradient would: weight below 1",
    (False, True): "lower it a little more than a plain policy gradient would: weight just above 1",
    (False, False): "leave it alone: masked, weight 0",
}
"""What the method's authors say should happen, by (advantage > 0, probability >= floor)."""


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


def quadrants(traces: Iterable[Mapping[str, Any]], floor: float) -> tuple[dict[tuple[bool, bool], Quadrant], int]:
    """The four quadrants over all traced teacher tokens, and how many tokens had an advantage of exactly 0."""
    found = {key: Quadrant() for key in CLAIMS}
    idle = 0
    for t in traces:
        for token, teacher, p, w in zip(t["tokens"], t["teacher"], t["probability"], t["weight"], strict=True):
            if not teacher:
                continue
            if t["advantage"] == 0:
                idle += 1
            else:
                found[t["advantage"] > 0, p >= floor].add(token, w)
    return found, idle


def section(runs: Mapping[str, RunFolder]) -> str:
    """For every run that has traced tokens: a table and a figure; empty where there is none."""
    parts = []
    for name, run in runs.items():
        traces = list(run.read("tokens"))
        if not traces:
            continue
        config = run.resolved().get("config") or {}
        floor = (config.get("loss") or {}).get("floor", Shaping.floor)
        found, idle = quadrants(traces, floor)
        rows = []
        for (positive, likely), q in found.items():
            where = f"advantage {'&gt;' if positive else '&lt;'} 0, probability {'&ge;' if likely else '&lt;'} {floor:g}"
            seen = f"{q.weight / q.count:.3f} <small>[{q.low:.3g}, {q.high:.3g}]</small>" if q.count else ""
            tokens = " ".join(f"<code>{escape(repr(t)[1:-1])}</code>" for t in q.examples)
            rows.append(
                [where, f"<b>{q.count}</b>", seen, f"{q.masked}", f"{q.no_grip}", escape(CLAIMS[positive, likely]), tokens]
            )
        total = sum(q.count for q in found.values())
        idle_note = f" {idle} more had an advantage of 0 and no gradient." if idle else ""
        method = escape(str((config.get("loss") or {}).get("method", "")))
        parts.append(
            f"<h3>{escape(name)}{f' ({method})' if method else ''}</h3><p>{total} teacher tokens of {len(traces)} traced "
            f"rollouts (a few per generation).{idle_note} The weight multiplies the token's policy gradient; 1 is plain.</p>"
            + html_page.table(
                [
                    "teacher tokens",
                    "count",
                    "mean weight [least, most]",
                    "masked",
                    "below 0.1",
                    "what the method intends",
                    "for instance",
                ],
                rows,
            )
            + html_page.figure(plots.token_weights(traces))
        )
    if not parts:
        return ""
    return "<h2>What the loss did to the teacher's tokens</h2>" + "".join(parts)
