"""``chart``: rates over the steps of several runs as SVG, for ``lab.compare``; ``smoothed``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

COLORS = ("#0f766e", "#b45309", "#6d28d9", "#be123c")
"""Line colors in order; each has a contrast of at least 3:1 on white and on JupyterLab's dark background."""
WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 34, 52

Points = Sequence[tuple[int, float]]
"""(step, share from 0 to 1)"""


def chart(title: str, lines: Mapping[str, Points]) -> str:
    """Shares over steps, one line per name; empty if there is nothing to draw."""
    last = max((step for points in lines.values() for step, _ in points), default=0)
    if not last:
        return ""

    def x(step: float) -> float:
        return round(LEFT + step / last * (WIDTH - LEFT - RIGHT), 1)

    def y(share: float) -> float:
        return round(TOP + (1 - share) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [f"<text x='{LEFT}' y='18' font-weight='600'>{escape(title)}</text>"]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y(share)}' y2='{y(share)}' stroke='currentColor' stroke-opacity='.2'/>"
            f"<text x='{LEFT - 6}' y='{y(share) + 4}' text-anchor='end' font-size='11'>{share:.0%}</text>"
        )
    for share in (0, 0.5, 1):
        step = round(share * last)
        parts.append(f"<text x='{x(step)}' y='{HEIGHT - BOTTOM + 16}' text-anchor='middle' font-size='11'>{step}</text>")
    place = LEFT
    for color, (name, points) in zip(COLORS, lines.items(), strict=False):
        path = " ".join(f"{x(step)},{y(share)}" for step, share in points)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='2.5' stroke-linejoin='round'/>")
        parts += [
            f"<circle cx='{x(step)}' cy='{y(share)}' r='2.5' fill='{color}'><title>{escape(name)}, step {step}: "
            f"{share:.1%}</title></circle>"
            for step, share in points
        ]
        parts.append(
            f"<line x1='{place}' x2='{place + 18}' y1='{HEIGHT - 12}' y2='{HEIGHT - 12}' stroke='{color}' stroke-width='3'/>"
            f"<text x='{place + 24}' y='{HEIGHT - 8}' font-size='12'>{escape(name)}</text>"
        )
        place += 40 + 7 * len(name)
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' style='max-width:100%;height:auto' fill='currentColor' role='img' "
        f"font-size='13' aria-label='{escape(title, quote=True)}'>{''.join(parts)}</svg>"
    )


def smoothed(points: Points, window: int = 3) -> Points:
    """Smoothing: each point is the mean of itself and up to ``window - 1`` before it, because single steps are noisy."""
    out = []
    for k, (step, _) in enumerate(points):
        near = [share for _, share in points[max(0, k - window + 1) : k + 1]]
        out.append((step, sum(near) / len(near)))
    return out
