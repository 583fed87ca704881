"""Figures over records: plain ``plotly.graph_objects.Figure``s, the same in reports and notebooks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

COLORS = ("#0f766e", "#b45309", "#6d28d9", "#be123c", "#1d4ed8", "#4d7c0f")
"""One per arm, in the order given; distinguishable in print and with the common color-vision defects."""
BEFORE = "#9ca3af"


def curves(arms: Mapping[str, Sequence[Mapping[str, Any]]], key: str, title: str, behavior: str | None = None) -> go.Figure:
    """One rate over the training steps, a line and a 95 % band per arm.

    Args:
        arms: by name, the lines of ``probes.jsonl``.
        key: ``accuracy``, ``first_accuracy``, ``finished`` or ``behaviors``.
        behavior: which one, for ``behaviors``.
    """
    figure = go.Figure()
    for color, (name, lines) in zip(COLORS * len(arms), arms.items(), strict=False):
        points = [
            (line["step"], line[key][behavior] if behavior else line[key])
            for line in lines
            if not behavior or behavior in line[key]
        ]
        if not points:
            continue
        steps = [step for step, _ in points]
        figure.add_scatter(
            x=steps + steps[::-1],
            y=[r["high"] for _, r in points] + [r["low"] for _, r in points][::-1],
            mode="lines",
            fill="toself",
            fillcolor=_faded(color),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
        )
        figure.add_scatter(
            x=steps,
            y=[r["value"] for _, r in points],
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": color, "width": 2.5},
            marker={"size": 6},
            hovertemplate=f"{name}<br>step %{{x}}: %{{y:.3f}}<extra></extra>",
        )
    figure.update_layout(
        title=title,
        yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"},
        **LAYOUT,
        xaxis={"title": {"text": "optimizer steps", "font": {"size": 12}, "standoff": 6}},
    )
    return figure


def length_and_accuracy(arms: Mapping[str, Sequence[Mapping[str, Any]]]) -> go.Figure:
    """Tokens per answer against accuracy over the small probes, from the first (hollow) to the last: does length buy anything?

    Args:
        arms: by name, the lines of ``probes.jsonl``.
    """
    figure = go.Figure()
    for color, (name, lines) in zip(COLORS * len(arms), arms.items(), strict=False):
        if not lines:
            continue
        figure.add_scatter(
            x=[line["mean_tokens"] for line in lines],
            y=[line["accuracy"]["value"] for line in lines],
            name=name,
            mode="lines+markers",
            line={"color": color, "width": 1.5},
            text=[f"step {line['step']}" for line in lines],
            marker={"size": 7, "symbol": ["circle-open", *["circle"] * (len(lines) - 1)]},
            hovertemplate=f"{name}, %{{text}}<br>%{{x:.1f}} tokens: %{{y:.3f}}<extra></extra>",
        )
    figure.update_layout(
        title="Length against accuracy, as it learned",
        **LAYOUT,
        yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"},
        xaxis={"title": {"text": "tokens per answer, T=1", "font": {"size": 12}, "standoff": 6}},
    )
    return figure


TRAINING = (
    ("Entropy by origin", "nats", {"student/entropy": "the student's", "teacher/entropy": "the teacher's"}),
    ("Mean probability by origin", "", {"student/probability": "the student's", "teacher/probability": "the teacher's"}),
    ("KL to the base on neutral text", "nats per token", {"neutral_kl": "KL"}),
    (
        "Teacher tokens",
        "share",
        {"guided_fraction": "guided rollouts", "teacher/out_of_reach": "out of reach", "teacher/masked": "masked"},
    ),
    ("Unguided rollouts", "share", {"own/accuracy": "right", "own/behavior": "show the behavior", "finished": "ended"}),
)


def training(
    lines: Sequence[Mapping[str, Any]], wanted: Sequence[tuple[str, str, Mapping[str, str]]] = TRAINING
) -> list[go.Figure]:
    """What went on inside one run, from the lines of ``metrics.jsonl``; a figure without any value is left out.

    Args:
        wanted: title, unit and names by key of each figure.
    """
    figures = []
    for title, unit, keys in wanted:
        figure = go.Figure()
        for color, (key, label) in zip(COLORS, keys.items(), strict=False):
            points = [(m["step"], m[key]) for m in lines if m.get(key) is not None]
            if points:
                figure.add_scatter(
                    x=[p[0] for p in points],
                    y=[p[1] for p in points],
                    name=label,
                    mode="lines",
                    line={"color": color, "width": 2},
                )
        if figure.data:
            figure.update_layout(
                title=f"{title} ({unit})" if unit else title,
                **LAYOUT,
                yaxis={"rangemode": "tozero"},
                xaxis={"title": {"text": "optimizer steps", "font": {"size": 12}, "standoff": 6}},
            )
            figures.append(figure)
    return figures


def token_weights(traces: Sequence[Mapping[str, Any]], most: int = 1500) -> go.Figure:
    """Weight of each teacher token against its probability.

    Args:
        traces: lines of ``tokens.jsonl``.
        most: tokens of each sign of the advantage that are drawn, chosen at random with a fixed seed.
    """
    figure = go.Figure()
    for positive, color in ((True, COLORS[0]), (False, COLORS[3])):
        wanted = [t for t in traces if t["advantage"] != 0 and (t["advantage"] > 0) == positive]
        points = [
            (p, w, t["step"], token)
            for t in wanted
            for token, teacher, p, w in zip(t["tokens"], t["teacher"], t["probability"], t["weight"], strict=True)
            if teacher
        ]
        if len(points) > most:
            points = random.Random(0).sample(points, most)
        if points:
            figure.add_scatter(
                x=[max(p[0], 1e-12) for p in points],
                y=[p[1] for p in points],
                mode="markers",
                opacity=0.55,
                name=f"advantage {'above' if positive else 'below'} 0",
                marker={"size": 5, "color": color},
                text=[f"step {p[2]}: {escape(repr(p[3]))}" for p in points],
                hovertemplate="%{text}<br>p = %{x:.3g}, weight = %{y:.3f}<extra></extra>",
            )
    figure.update_layout(
        title="Weight of each teacher token",
        **LAYOUT,
        xaxis={
            "type": "log",
            "exponentformat": "power",
            "title": {"text": "probability when it was trained on", "font": {"size": 12}, "standoff": 6},
        },
    )
    return figure


def _faded(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


LAYOUT: dict[str, Any] = {
    "template": "none",
    "height": 320,
    "margin": {"l": 52, "r": 16, "t": 44, "b": 76},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": "system-ui, sans-serif", "size": 13},
    "title_font_size": 15,
    "title_x": 0.01,
    "hovermode": "closest",
    "legend": {"orientation": "h", "y": -0.24, "x": 0, "xanchor": "left", "yanchor": "top"},
}

PANELS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Reward, by part", (("rewards/correct/mean", "correct"), ("rewards/behavior/mean", "behavior bonus"))),
    ("Unguided answers", (("own/accuracy", "right"), ("own/behavior", "show the behavior"))),
    (
        "Guidance",
        (
            ("guided_fraction", "guided"),
            ("guidance/accuracy_before", "right before"),
            ("guidance/accuracy_after", "right with it"),
        ),
    ),
    ("Entropy by token origin, nats", (("student/entropy", "student's tokens"), ("teacher/entropy", "teacher's tokens"))),
    (
        "KL to the base, nats per token",
        (("student/kl", "student's tokens"), ("teacher/kl", "teacher's tokens"), ("neutral_kl", "neutral text")),
    ),
    ("Length, tokens", (("mean_student_tokens", "student's part"), ("guidance/mean_tokens", "guidance"))),
)
"""Title and (key of ``metrics.jsonl``, name) of each panel of ``dashboard``."""


def dashboard(lines: Iterable[Mapping[str, Any]]) -> go.Figure:
    """How a run is going, from the lines of its ``metrics.jsonl``: rewards, behavior, accuracy, entropy, KL and length.

    KL by token origin is there when the loss has a KL term (``loss.beta`` above 0); the KL on neutral text while the
    guards measure it.
    """
    lines = list(lines)
    figure = make_subplots(2, 3, subplot_titles=[title for title, _ in PANELS], horizontal_spacing=0.07, vertical_spacing=0.2)
    for place, (_, keys) in enumerate(PANELS):
        row, column = place // 3 + 1, place % 3 + 1
        drawn = False
        for color, (key, name) in zip(COLORS, keys, strict=False):
            values = [m.get(key) for m in lines]  # None leaves a gap: nothing was measured at that step
            if any(v is not None for v in values):
                drawn = True
                figure.add_scatter(
                    x=[m["step"] for m in lines],
                    y=values,
                    name=name,
                    row=row,
                    col=column,
                    connectgaps=False,
                    mode="lines+markers",
                    marker={"size": 3},
                    line={"color": color, "width": 2},
                    legend=f"legend{place + 1 if place else ''}",
                    hovertemplate=f"{name}<br>step %{{x}}: %{{y:.3g}}<extra></extra>",
                )
        axis = figure.get_subplot(row, column)
        figure.update_layout(
            {
                f"legend{place + 1 if place else ''}": {
                    "orientation": "h",
                    "x": axis.xaxis.domain[0],
                    "y": axis.yaxis.domain[0] - 0.055,
                    "yanchor": "top",
                    "font": {"size": 11},
                }
            }
        )
        if not drawn:
            figure.add_annotation(
                text="not measured in this run",
                showarrow=False,
                x=sum(axis.xaxis.domain) / 2,
                y=sum(axis.yaxis.domain) / 2,
                xref="paper",
                yref="paper",
                font={"size": 12, "color": BEFORE},
            )
    figure.update_yaxes(rangemode="tozero", gridcolor="rgba(128,128,128,0.25)", zeroline=False)
    figure.update_xaxes(gridcolor="rgba(128,128,128,0.25)", zeroline=False)
    figure.update_annotations(selector={"xanchor": "center", "yanchor": "bottom"}, font_size=13)
    look = {key: value for key, value in LAYOUT.items() if key != "legend"}
    figure.update_layout(**{**look, "height": 560, "margin": {"l": 44, "r": 12, "t": 40, "b": 60}})
    return figure
