"""Figures over records: plain ``plotly.graph_objects.Figure``s, the same in reports and notebooks."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

COLOURS = ("#0f766e", "#b45309", "#6d28d9", "#be123c", "#1d4ed8", "#4d7c0f")
"""One per arm, in the order given; distinguishable in print and with the common colour-vision defects."""
BEFORE = "#9ca3af"


def curves(arms: Mapping[str, Sequence[Mapping[str, Any]]], key: str, title: str, behavior: str | None = None) -> go.Figure:
    """One rate over the training steps, a line and a 95 % band per arm.

    Args:
        arms: by name, the lines of ``probes.jsonl``.
        key: ``accuracy``, ``first_accuracy``, ``finished`` or ``behaviors``.
        behavior: which one, for ``behaviors``.
    """
    figure = go.Figure()
    for colour, (name, lines) in zip(COLOURS * len(arms), arms.items(), strict=False):
        points = [(line["step"], line[key][behavior] if behavior else line[key]) for line in lines
                  if not behavior or behavior in line[key]]
        if not points:
            continue
        steps = [step for step, _ in points]
        figure.add_scatter(x=steps + steps[::-1], y=[r["high"] for _, r in points] + [r["low"] for _, r in points][::-1],
                           mode="lines", fill="toself", fillcolor=_faded(colour), line={"width": 0}, hoverinfo="skip",
                           showlegend=False, legendgroup=name)
        figure.add_scatter(x=steps, y=[r["value"] for _, r in points], name=name, legendgroup=name, mode="lines+markers",
                           line={"color": colour, "width": 2.5}, marker={"size": 6},
                           hovertemplate=f"{name}<br>step %{{x}}: %{{y:.3f}}<extra></extra>")
    figure.update_layout(title=title, yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"}, **LAYOUT,
                         xaxis={"title": {"text": "optimizer steps", "font": {"size": 12}, "standoff": 6}})
    return figure


def length_and_accuracy(arms: Mapping[str, Sequence[Mapping[str, Any]]]) -> go.Figure:
    """Tokens per answer against accuracy over the small probes, from the first (hollow) to the last: does length buy anything?

    Args:
        arms: by name, the lines of ``probes.jsonl``.
    """
    figure = go.Figure()
    for colour, (name, lines) in zip(COLOURS * len(arms), arms.items(), strict=False):
        if not lines:
            continue
        figure.add_scatter(x=[line["mean_tokens"] for line in lines], y=[line["accuracy"]["value"] for line in lines], name=name,
                           mode="lines+markers", line={"color": colour, "width": 1.5},
                           text=[f"step {line['step']}" for line in lines],
                           marker={"size": 7, "symbol": ["circle-open", *["circle"] * (len(lines) - 1)]},
                           hovertemplate=f"{name}, %{{text}}<br>%{{x:.1f}} tokens: %{{y:.3f}}<extra></extra>")
    figure.update_layout(title="Length against accuracy, as it learned", **LAYOUT,
                         yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"},
                         xaxis={"title": {"text": "tokens per answer, T=1", "font": {"size": 12}, "standoff": 6}})
    return figure


def _faded(colour: str) -> str:
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


LAYOUT: dict[str, Any] = {
    "template": "none", "height": 320, "margin": {"l": 52, "r": 16, "t": 44, "b": 76},
    "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font": {"family": "system-ui, sans-serif", "size": 13},
    "title_font_size": 15, "title_x": 0.01, "hovermode": "closest",
    "legend": {"orientation": "h", "y": -0.24, "x": 0, "xanchor": "left", "yanchor": "top"},
}
