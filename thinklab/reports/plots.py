"""All plotly figures: ``curves`` with bands, ``training`` panels, ``dashboard``, ``token_weights``; their colors.

Figures have their own background: a transparent one would show dark text on a notebook's dark theme, which Python cannot
detect. Pages that know their theme (the report, the viewer) replace its colors.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any, Literal

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from thinklab.batch_metrics import function_parts
from thinklab.errors import ConfigError, did_you_mean

COLORS = ("#0f766e", "#b45309", "#6d28d9", "#be123c", "#1d4ed8", "#4d7c0f")
"""One color per arm, in order; distinguishable in print and with common color-vision deficiencies."""

Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Look:
    """Colors of a figure: text has a contrast of at least 4.5 on ``paper``, lines one of at least 3."""

    ink: str
    soft: str
    grid: str
    paper: str
    lines: Sequence[str]


LOOKS: Mapping[Theme, Look] = {
    "light": Look("#1f2933", "#52606d", "#d9dee4", "#ffffff", COLORS),
    "dark": Look("#e6e9ee", "#a9b3be", "#3d4752", "#14181d", ("#2dd4bf", "#f59e0b", "#c4b5fd", "#fb7185", "#93c5fd", "#a3e635")),
}
LIGHT = LOOKS["light"]


def dark_colors() -> dict[str, str]:
    """Each color of the lines and of their bands in a light figure -> the one for a dark page, for pages that know their theme."""
    pairs = list(zip(COLORS, LOOKS["dark"].lines, strict=True))
    return {**dict(pairs), **{_faded(light): _faded(dark) for light, dark in pairs}}


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
    """Tokens per answer against accuracy over the small probes, from the first (hollow) to the last.

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
        title="Length and accuracy during training",
        **LAYOUT,
        yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"},
        xaxis={"title": {"text": "tokens per answer, T=1", "font": {"size": 12}, "standoff": 6}},
    )
    return figure


TRAINING = (
    ("Entropy by origin", "nats", {"student/entropy": "the student's", "teacher/entropy": "the teacher's"}),
    ("Mean probability by origin", "", {"student/probability": "the student's", "teacher/probability": "the teacher's"}),
    ("KL on neutral text", "nats per token", {"neutral_kl": "KL"}),
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
    """The training of one run, from the lines of ``metrics.jsonl``; figures without values are left out.

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
        most: maximum number of tokens drawn per sign of the advantage, chosen at random with a fixed seed.
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
            "title": {"text": "probability when trained on", "font": {"size": 12}, "standoff": 6},
        },
    )
    return figure


def _faded(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


def _dressed(look: Look) -> dict[str, Any]:
    return {
        "template": "none",
        "paper_bgcolor": look.paper,
        "plot_bgcolor": look.paper,
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": look.ink},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": look.paper, "bordercolor": look.soft, "font": {"color": look.ink}},
    }


LAYOUT: dict[str, Any] = {
    **_dressed(LIGHT),
    "height": 320,
    "margin": {"l": 52, "r": 16, "t": 44, "b": 76},
    "title_font_size": 15,
    "title_x": 0.01,
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
            ("guidance/accuracy_after", "right with guidance"),
        ),
    ),
    ("Entropy, nats per token", (("student/entropy", "student's tokens"), ("teacher/entropy", "teacher's tokens"))),
    (
        "KL to the base, nats per token",
        (("student/kl", "student's tokens"), ("teacher/kl", "teacher's tokens"), ("neutral_kl", "neutral text")),
    ),
    ("Length, tokens", (("mean_student_tokens", "student's part"), ("guidance/mean_tokens", "guidance"))),
)
"""Title and (key of ``metrics.jsonl``, name) of each panel of ``dashboard``."""


def panels(lines: Iterable[Mapping[str, Any]]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """``PANELS`` with the reward functions of the user's own in the first one."""
    (title, parts), *others = PANELS
    return [(title, (*parts, *((f"rewards/{name}/mean", name) for name in function_parts(lines)))), *others]


ROWS, COLUMNS = 3, 2
PLOT, TICKS, LEGEND, TITLE, ENTRY = 165, 26, 62, 40, 20
"""Heights of each panel in pixels, from top to bottom: the plot, its axis labels, up to three legend entries, the title of the next panel,
and each further legend entry."""


def dashboard(lines: Iterable[Mapping[str, Any]], theme: Theme = "light", marked: Iterable[int] = ()) -> go.Figure:
    """The progress of a run, from the lines of its ``metrics.jsonl``: rewards, behavior, accuracy, entropy, KL and length.

    KL by token origin is there when the loss has a KL term (``loss.beta`` above 0); the KL on neutral text while the
    guards measure it.

    Args:
        theme: ``light`` or ``dark``.
        marked: steps with a guard warning; a dotted line for each.

    Raises:
        ConfigError: for an unknown theme.
    """
    if theme not in LOOKS:
        raise ConfigError(f"unknown theme {theme!r}{did_you_mean(theme, LOOKS)}; one of {', '.join(LOOKS)}")
    lines, look = list(lines), LOOKS[theme]
    shown = panels(lines)
    names = max(sum(any(m.get(key) is not None for m in lines) for key, _ in keys) for _, keys in shown)
    legend_height = LEGEND + ENTRY * max(0, names - 3)
    between = TICKS + legend_height + TITLE
    inner = ROWS * PLOT + (ROWS - 1) * between
    figure = make_subplots(ROWS, COLUMNS, horizontal_spacing=0.1, vertical_spacing=between / inner)
    corner = {"xref": "paper", "yref": "paper", "showarrow": False, "xanchor": "left", "yanchor": "bottom"}
    for place, (title, keys) in enumerate(shown):
        row, column = place // COLUMNS + 1, place % COLUMNS + 1
        legend = f"legend{place + 1 if place else ''}"
        axis = figure.get_subplot(row, column)
        left, foot, top = axis.xaxis.domain[0], axis.yaxis.domain[0], axis.yaxis.domain[1]
        figure.add_annotation(text=f"<b>{title}</b>", x=left, y=top, yshift=4, **corner)
        drawn = False
        for color, (key, name) in zip(cycle(look.lines), keys, strict=False):
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
                    marker={"size": 4},
                    line={"color": color, "width": 2},
                    legend=legend,
                    hovertemplate=f"{name}<br>%{{x}}: %{{y:.3g}}<extra></extra>",  # the axis is also labeled "step" here
                )
        if drawn:
            # one name below the other: in a row, the names of one panel run into those of the next where there is less room
            y = foot - (TICKS - 4) / inner  # a legend has a margin of its own
            figure.update_layout({legend: {"x": left, "y": y, "xanchor": "left", "yanchor": "top", "font": {"size": 12}}})
        else:
            figure.add_annotation(text="not measured in this run", x=left, y=top, yshift=-26, font_color=look.soft, **corner)
            figure.update_xaxes(row=row, col=column, visible=False)
            figure.update_yaxes(row=row, col=column, visible=False)
    grid = {"gridcolor": look.grid, "linecolor": look.grid, "zeroline": False, "tickfont": {"color": look.soft, "size": 12}}
    figure.update_yaxes(rangemode="tozero", nticks=5, **grid)
    first = {
        "tickprefix": "step ",
        "showtickprefix": "first",
        "ticklabelstandoff": 5,
    }  # not overlapping the lowest number of the other axis
    few = max((m["step"] for m in lines), default=0) - min((m["step"] for m in lines), default=0) < 8
    figure.update_xaxes(**({"dtick": 1} if few else {"nticks": 6}), **first, **grid)
    marked = sorted({*marked})
    for step in marked:
        figure.add_vline(x=step, line_dash="dot", line_color=look.lines[3], opacity=0.8, row="all", col="all")
    below = TICKS + legend_height
    if marked:
        note = f"dotted: guard warning ({'step' if len(marked) == 1 else 'steps'} {_listed(marked)})"
        figure.add_annotation(text=note, x=0, y=0, yshift=-below, font_color=look.soft, **{**corner, "yanchor": "top"})
    margin = {"l": 56, "r": 16, "t": TITLE + 14, "b": below + (26 if marked else 8)}  # plotly's own buttons are at the top
    figure.update_layout(**_dressed(look), height=inner + margin["t"] + margin["b"], margin=margin)
    return figure


def _listed(steps: Sequence[int], most: int = 6) -> str:
    return ", ".join(map(str, steps[:most])) + (f" and {len(steps) - most} more" if len(steps) > most else "")
