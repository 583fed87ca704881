"""``write_study``: the HTML page and table files of a study: curves, lengths, runs, probed answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from thinklab.probing.stats import Rate
from thinklab.reports import html_page
from thinklab.reports.plots import COLORS, LAYOUT
from thinklab.run.folder import RunFolder
from thinklab.studies.study import Cell, Study
from thinklab.studies.table import (
    MEASURES,
    StudyRow,
    across,
    against_control,
    as_csv,
    by_arm,
    difference,
    finished_rows,
    markdown,
)

LARGEST_SAMPLES = 12_000_000
"""Maximum characters of answers embedded in the page, gzipped to about a tenth; beyond it, later seeds and greedy answers are left out."""


def write_study(study: Study, cells: Sequence[Cell], out: Path) -> tuple[Path, Path]:
    """Write ``table.md``, ``table.csv`` and ``index.html`` about the finished runs; returns the first and the last."""
    rows = finished_rows(cells)
    missing = len(cells) - len(rows)
    table_file = Path(out) / "table.md"
    table_file.write_text(markdown(study, rows), "utf-8")
    (Path(out) / "table.csv").write_text(as_csv(rows), "utf-8")
    note = f" <b>{missing} of the {len(cells)} runs in the file are not finished and not shown.</b>" if missing else ""
    control = f" The control is <b>{escape(study.control)}</b>." if study.control else ""
    parts = [f"<p>{escape(study.about)} {len(rows)} runs.{control}{note}</p>", _across(study, rows)]
    for base in dict.fromkeys(r.cell.base for r in rows):
        here = [r for r in rows if r.cell.base == base]
        parts += [f"<h2>{escape(base)}</h2>", _table(study, here, base), html_page.figures(_curves(here))]
    parts += [
        "<h2>Every run</h2><p>Rates with 95 % Wilson intervals over that run's held-out questions, T=1. KL to the base on "
        "neutral text in nats per token, and the first sign of collapse that the guards saw, with its step.</p>",
        _runs(rows, Path(out)),
        _samples(rows),
    ]
    return table_file, html_page.write_page(Path(out) / "index.html", study.name, parts)


def _across(study: Study, rows: Sequence[StudyRow]) -> str:
    """Groups by arms, for a study with groups: two tables and their figures."""
    parts, figures = [], []
    for measure in ("accuracy T=1", "behavior T=1"):
        head, lines = across(study, rows, measure)
        if not lines:
            return ""
        places = [line[0] for line in lines]
        fig = go.Figure()
        for k, arm in enumerate(study.arms):
            mine = [r for r in rows if r.cell.arm == arm]
            means = [[MEASURES[measure](r) for r in mine if r.cell.base == place] for place in places]
            color = COLORS[k % len(COLORS)]
            fig.add_scatter(
                x=places,
                y=[sum(v) / len(v) if v else None for v in means],
                name=arm,
                legendgroup=arm,
                mode="lines",
                line={"color": color, "width": 2, "dash": _dash(k)},
            )
            fig.add_scatter(
                x=[r.cell.base for r in mine],
                y=[MEASURES[measure](r) for r in mine],
                legendgroup=arm,
                showlegend=False,
                mode="markers",
                marker={"color": color, "size": 6, "opacity": 0.6},
                text=[f"seed {r.cell.seed}" for r in mine],
                hovertemplate=f"{escape(arm)}, %{{text}}: %{{y:.3f}}<extra></extra>",
            )
        title = measure[0].upper() + measure[1:]
        fig.update_layout(title=f"{title}, by group", **LAYOUT, yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"})
        fig.update_xaxes(categoryorder="array", categoryarray=places)
        figures.append(fig)
        cells = [[*map(escape, line)] for line in lines]
        parts.append(f"<h3>{title}: mean, and range over seeds</h3>" + html_page.table([*map(escape, head)], cells))
    return "<h2>All groups</h2>" + "".join(parts) + html_page.figures(figures)


def _table(study: Study, rows: Sequence[StudyRow], base: str) -> str:
    lines = []
    for (_, arm), found in by_arm(rows).items():

        def cell(stage: str, what: str, found=found) -> str:
            rates = [
                getattr(r, stage)["T=1"].accuracy if what == "accuracy" else r.behavior(stage, "T=1")
                for r in found
                if getattr(r, stage)
            ]
            if not rates:
                return ""
            pooled = Rate(sum(r.count for r in rates), sum(r.total for r in rates))
            each = " ".join(f"{r.value:.2f}" for r in rates)
            return f"<b>{pooled.value:.3f}</b><br><small>{each}</small>"

        gap = {m: against_control(study, rows, base, arm, m) for m in ("accuracy T=1", "behavior T=1")}

        def shown(g) -> str:
            return "" if g is None else escape(difference(g))

        tokens = sum(r.after["T=1"].mean_tokens for r in found) / len(found)
        lines.append(
            [
                f"<b>{escape(arm)}</b><br><small>{len(found)} seed{'s' if len(found) > 1 else ''}</small>",
                cell("before", "accuracy"),
                cell("after", "accuracy"),
                cell("before", "behavior"),
                cell("after", "behavior"),
                shown(gap["accuracy T=1"]),
                shown(gap["behavior T=1"]),
                f"{tokens:.0f}",
            ]
        )
    head = [
        "arm",
        "accuracy before",
        "accuracy after",
        "behavior before",
        "behavior after",
        "accuracy against control",
        "behavior against control",
        "tokens",
    ]
    return (
        "<p>Means over seeds at T=1, each seed in small print. Differences to the control: percentage points, paired by seed, "
        "with a 95 % t-interval over seeds; all seeds share one student and one set of questions.</p>"
        + html_page.table(head, lines)
    )


def _curves(rows: Sequence[StudyRow]) -> list[go.Figure]:
    """One line per run, one color per arm, for every measure of the small probes."""
    figures = []
    behaviors = list(dict.fromkeys(b for r in rows for b in next(iter(r.after.values())).behaviors))
    wanted = [
        ("accuracy", None, "Accuracy"),
        *(("behaviors", b, f"Shows {b}") for b in behaviors),
        ("mean_tokens", None, "Tokens per answer"),
    ]
    for key, behavior, title in wanted:
        fig, named = go.Figure(), set()
        arms = list(dict.fromkeys(r.cell.arm for r in rows))
        for row in rows:
            lines = list(RunFolder(row.cell.folder).read("probes"))
            points = [
                (x["step"], x[key] if key == "mean_tokens" else (x[key][behavior] if behavior else x[key])["value"])
                for x in lines
                if behavior is None or behavior in x[key]  # arms may teach different behaviors
            ]
            if not points:
                continue
            arm = row.cell.arm
            fig.add_scatter(
                x=[s for s, _ in points],
                y=[v for _, v in points],
                name=arm,
                legendgroup=arm,
                showlegend=arm not in named,
                mode="lines",
                line={"color": COLORS[(k := arms.index(arm)) % len(COLORS)], "width": 1.8, "dash": _dash(k)},
                opacity=0.85,
                hovertemplate=f"{arm}, seed {row.cell.seed}<br>step %{{x}}: %{{y:.3f}}<extra></extra>",
            )
            named.add(arm)
        fig.update_layout(
            title=title, xaxis={"title": {"text": "optimizer steps", "font": {"size": 12}, "standoff": 6}}, **LAYOUT
        )
        if key != "mean_tokens":
            fig.update_layout(yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"})
        if fig.data:
            figures.append(fig)
    if lengths := [(r.after["T=1"].mean_tokens, r.after["T=1"].accuracy.value, r) for r in rows]:
        figures.append(_length(lengths))
    return figures


def _dash(k: int) -> str:
    """The color of line k; colors repeat after six."""
    return ("solid", "dash", "dot")[k // len(COLORS) % 3]


def _length(points: Sequence[tuple[float, float, StudyRow]]) -> go.Figure:
    """Response length against accuracy after training, a point per run."""
    fig = go.Figure()
    for k, arm in enumerate(dict.fromkeys(r.cell.arm for _, _, r in points)):
        mine = [p for p in points if p[2].cell.arm == arm]
        fig.add_scatter(
            x=[p[0] for p in mine],
            y=[p[1] for p in mine],
            name=arm,
            mode="markers",
            text=[f"seed {p[2].cell.seed}" for p in mine],
            marker={"size": 9, "color": COLORS[k % len(COLORS)], "symbol": ("circle", "diamond", "x")[k // len(COLORS) % 3]},
            hovertemplate=f"{arm}, %{{text}}: %{{y:.3f}}<extra></extra>",
        )
    fig.update_layout(
        title="Length against accuracy, after",
        **LAYOUT,
        yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"},
        xaxis={"title": {"text": "tokens per answer, T=1", "font": {"size": 12}, "standoff": 6}},
    )
    return fig


def _runs(rows: Sequence[StudyRow], out: Path) -> str:
    lines = []
    for r in rows:
        name = r.cell.folder.relative_to(out).as_posix()
        files = " ".join(
            f"<a href='{escape(name)}/{f}'>{label}</a>"
            for f, label in (
                ("config.yaml", "config"),
                ("metrics.jsonl", "metrics"),
                ("rollouts.jsonl", "rollouts"),
                ("probe_samples.jsonl", "answers"),
            )
        )
        lines.append(
            [
                escape(r.cell.name),
                html_page.rate(r.after["T=1"].accuracy),
                html_page.rate(r.after["T=1"].first_accuracy),
                html_page.rate(r.behavior("after", "T=1")),
                f"{r.after['T=1'].mean_tokens:.1f}",
                f"{r.seconds:.0f}",
                str(r.guided),
                "" if r.kl is None else f"{r.kl:.4f}",
                escape(r.alarm or ""),
                files,
            ]
        )
    head = ["run", "accuracy", "first answer", "behavior", "tokens", "seconds", "guided", "KL", "first alarm", "raw files"]
    return html_page.table(head, lines)


def _samples(rows: Sequence[StudyRow]) -> str:
    """Every probed answer after training, in a filterable list."""
    where = "the runs' probe_samples.jsonl"
    shown, count, left_out = html_page.answer_list(_last_answers(rows), LARGEST_SAMPLES, where)
    note = f" {left_out} answers are only in {where}, to keep the page small." if left_out else ""
    return f"<h2>Every answer</h2><p>{count} answers to held-out questions after training.{note}</p>{shown}"


def _last_answers(rows: Sequence[StudyRow]) -> Iterator[tuple[str, list[list[Any]]]]:
    for decoding in ("T=1", "greedy"):
        for row in rows:
            yield (
                f"{row.cell.name}, {decoding}",
                [
                    [s["question"], s["gold"], s["text"], int(s["correct"]), int(any(s["behaviors"].values()))]
                    for s in RunFolder(row.cell.folder).read("probe_samples")
                    if s["stage"] == "after" and s["decoding"] == decoding
                ],
            )
