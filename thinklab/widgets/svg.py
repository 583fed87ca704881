"""``Chart``: an SVG line chart with logarithmic x, for the AAS explorer: axes, lines, dots, a shaded band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]


@dataclass
class Chart:
    """Logarithmic x, linear y. Points outside the ranges are clipped. Add to it, then ``str(chart)``."""

    title: str
    x_label: str
    x_range: Point
    """Both above 0."""
    y_range: Point
    width: int = 430
    height: int = 300
    parts: list[str] = field(default_factory=list)
    left: int = 46
    top: int = 34
    bottom: int = 44

    def x(self, value: float) -> float:
        a, b = map(math.log10, self.x_range)
        share = (math.log10(min(max(value, self.x_range[0]), self.x_range[1])) - a) / (b - a)
        return round(self.left + share * (self.width - self.left - 12), 1)

    def y(self, value: float) -> float:
        a, b = self.y_range
        share = (min(max(value, a), b) - a) / (b - a)
        return round(self.height - self.bottom - share * (self.height - self.bottom - self.top), 1)

    def line(self, points: Sequence[Point], kind: str) -> None:
        """``kind``: classes of the rules, such as ``pos`` or ``neg plain``."""
        path = " ".join(f"{self.x(a)},{self.y(b)}" for a, b in points)
        self.parts.append(f"<polyline class='{kind}' points='{path}'/>")

    def dots(self, points: Sequence[tuple[float, float, str]], kind: str) -> None:
        """(x, y, hover text)"""
        self.parts += [
            f"<circle class='{kind}' cx='{self.x(a)}' cy='{self.y(b)}' r='3.2'><title>{escape(tip)}</title></circle>"
            for a, b, tip in points
        ]

    def band(self, start: float, stop: float, text: str) -> None:
        """Shade a range of x, with a label."""
        a, b = self.x(start), self.x(stop)
        self.parts.insert(
            0,
            f"<rect class=band x='{a}' y='{self.top}' width='{max(b - a, 0):.1f}' "
            f"height='{self.height - self.bottom - self.top}'/>"
            f"<text class=note x='{a + 6}' y='{self.top + 15}'>{escape(text)}</text>",
        )

    def __str__(self) -> str:
        low, high = (math.ceil(math.log10(self.x_range[0])), math.floor(math.log10(self.x_range[1])))
        foot = self.height - self.bottom
        grid = [
            f"<line class=grid x1='{self.x(10.0**e)}' x2='{self.x(10.0**e)}' y1='{self.top}' y2='{foot}'/>"
            f"<text class=tick x='{self.x(10.0**e)}' y='{foot + 16}' text-anchor=middle>{10.0**e:g}</text>"
            for e in range(low, high + 1)
        ]
        a, b = self.y_range
        step = next(s for s in (0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 100) if (b - a) / s <= 6)
        value = math.ceil(a / step) * step
        while value <= b + 1e-9:
            y, label = self.y(value), f"{round(value, 6):g}"
            grid.append(
                f"<line class=grid x1='{self.left}' x2='{self.width - 12}' y1='{y}' y2='{y}'/>"
                f"<text class=tick x='{self.left - 7}' y='{y + 4}' text-anchor=end>{label}</text>"
            )
            value += step
        return (
            f"<svg class=tl-chart viewBox='0 0 {self.width} {self.height}' role=img aria-label='{escape(self.title)}'>"
            f"<text class=title x='{self.left - 34}' y='18'>{escape(self.title)}</text>{''.join(grid)}{''.join(self.parts)}"
            f"<text class=tick x='{(self.left + self.width) / 2}' y='{self.height - 8}' text-anchor=middle>"
            f"{escape(self.x_label)}</text></svg>"
        )
