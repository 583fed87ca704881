"""Draws the figures of docs/evidence.md from the committed tables in docs/measurements: ``python -m tools.make_evidence [NAME ...]``.

Needs playwright (in the extra ``dev``) and a Chromium on the PATH.
"""

import csv
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import plotly.graph_objects as go
from playwright.sync_api import sync_playwright
from plotly.subplots import make_subplots

from tools.make_tables import NEVER, WRONG

HERE = Path(__file__).parent.parent / "docs"
TABLES = HERE / "measurements"
COLORS = {
    "before": "#9ca3af",
    "grpo": "#b45309",
    "aas": "#0f766e",
    "aas-own": "#6d28d9",
    "ratio": "#1d4ed8",
    "luffy": "#be123c",
    "authors": "#4d7c0f",
    "sft": "#78716c",
    "dual-clip": "#be123c",
    "mask": "#b45309",
    "plain": "#78716c",
}
NAMES = {
    "grpo": "plain GRPO",
    "aas": "AAS, right teacher",
    "aas-own": "AAS, own base as teacher",
    "ratio": "plain ratio, right teacher",
}
SHORT = 0.32
"""Share of the probed questions that have two numbers; the others have four."""
SYMBOLS = {"aas": "circle-open", "ratio": "square-open", "authors": "triangle-up-open"}  # they lie on one spot
LAYOUT = {"template": "plotly_white", "font": {"family": "system-ui, sans-serif", "size": 13}}
RATE = {"range": [-0.03, 1.03], "tickformat": ".0%"}


def read(name: str) -> list[dict[str, str]]:
    with (TABLES / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def by(rows: list[dict[str, str]], *keys: str, value: str) -> dict[tuple[str, ...], list[float]]:
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[k] for k in keys)].append(float(row[value]))
    return found


def six_losses() -> go.Figure:
    """A point per seed, a bar for the mean: accuracy and behavior, by loss and task."""
    rows = read("six-losses")
    bases = list(dict.fromkeys(r["base"] for r in rows))
    fig = make_subplots(
        len(bases),
        2,
        horizontal_spacing=0.08,
        vertical_spacing=0.14,
        shared_yaxes=True,
        subplot_titles=[f"{base}: {what}" for base in bases for what in ("accuracy", "shows the behavior")],
    )
    for line, base in enumerate(bases, 1):
        for column, measure in ((1, "accuracy T=1"), (2, "behavior T=1")):
            found = by([r for r in rows if r["base"] == base], "arm", value=measure)
            for (arm,), values in found.items():
                fig.add_bar(
                    x=[arm],
                    y=[sum(values) / len(values)],
                    marker={"color": COLORS[arm], "opacity": 0.35},
                    showlegend=False,
                    row=line,
                    col=column,
                )
                fig.add_scatter(
                    x=[arm] * len(values),
                    y=values,
                    mode="markers",
                    showlegend=False,
                    row=line,
                    col=column,
                    marker={"color": COLORS[arm], "size": 8},
                )
            fig.update_yaxes(**RATE, row=line, col=column)
    return fig.update_layout(**LAYOUT, width=1000, height=330 * len(bases), margin={"l": 60, "r": 20, "t": 40, "b": 40})


def length() -> go.Figure:
    """Tokens against accuracy on the self-check questions: every run of the losses, and what prompts and forcing do."""
    fig, rows = go.Figure(), [r for r in read("six-losses") if r["base"] == "self-check"]
    for arm in dict.fromkeys(r["arm"] for r in rows):
        mine = [r for r in rows if r["arm"] == arm]
        fig.add_scatter(
            x=[float(r["tokens T=1"]) for r in mine],
            y=[float(r["accuracy T=1"]) for r in mine],
            name=arm,
            mode="markers",
            marker={
                "size": 13 if arm == "aas" else 9,
                "color": COLORS[arm],
                "line": {"width": 2},
                "symbol": SYMBOLS.get(arm, "circle"),
            },
        )
    forced = read("prompts-on-sums")
    fig.add_scatter(
        x=[float(r["mean_tokens"]) for r in forced],
        y=[float(r["accuracy"]) for r in forced],
        mode="markers+text",
        text=[r["method"] for r in forced],
        name="not trained",
        textposition="bottom center",
        cliponaxis=False,
        marker={"size": 10, "color": "#1f2937", "symbol": "diamond-open"},
        textfont={"size": 11, "color": "#4b5563"},
    )
    fig.update_xaxes(title_text="tokens per answer, T=1", range=[8, 110])
    fig.update_yaxes(**RATE, title_text="accuracy")
    return fig.update_layout(**LAYOUT, width=900, height=460, margin={"l": 70, "r": 20, "t": 20, "b": 60})


def when_it_helps() -> go.Figure:
    """Accuracy after training against the sub-skill's strength, and against how known the habit is."""
    students = {row["student"]: row for row in read("when-it-helps-students")}
    runs = by(read("when-it-helps"), "base", "arm", value="accuracy T=1")

    def strength(row: dict) -> float:
        """Accuracy if every answer were checked as well as the student can before training."""
        return SHORT * float(row["forced check, 2 numbers"]) + (1 - SHORT) * float(row["forced check, 4 numbers"])

    fig = make_subplots(
        1, 2, horizontal_spacing=0.09, shared_yaxes=True, subplot_titles=("How good the sub-skill is", "How known the habit is")
    )
    panels = {
        1: (["weak-100", "weak-50", "weak-25", "same"], strength),
        2: (["same", "habit-1e-3", "habit-1e-2", "habit-1e-1"], lambda row: 10 ** float(row["log10 p(check), 4 numbers"])),
    }
    for column, (names, place) in panels.items():
        for arm in NAMES:
            points = [(place(students[n]), runs[n, arm]) for n in names if runs[n, arm]]
            if not points:
                continue
            show = {"legendgroup": arm, "name": NAMES[arm]}
            fig.add_scatter(
                x=[x for x, _ in points],
                y=[sum(v) / len(v) for _, v in points],
                mode="lines",
                row=1,
                col=column,
                line={"color": COLORS[arm], "width": 2},
                showlegend=column == 1,
                **show,
            )
            fig.add_scatter(
                x=[x for x, v in points for _ in v],
                y=[y for _, v in points for y in v],
                mode="markers",
                row=1,
                col=column,
                marker={"color": COLORS[arm], "size": 7, "opacity": 0.7},
                showlegend=False,
                **show,
            )
    fig.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": COLORS["before"], "dash": "dot", "width": 1.5},
        name="every answer checked as well as before training",
        row=1,
        col=1,
    )
    fig.update_xaxes(title_text="accuracy of a check that is forced, before training", range=[-0.03, 1.03], row=1, col=1)
    fig.update_xaxes(
        title_text="probability of the check after an answer, before training",
        type="log",
        exponentformat="power",
        dtick=1,
        row=1,
        col=2,
    )
    fig.update_yaxes(title_text="accuracy after 40 steps, T=1", **RATE, row=1, col=1)
    return fig.update_layout(
        **LAYOUT, width=1080, height=460, margin={"l": 70, "r": 20, "t": 50, "b": 110}, legend={"orientation": "h", "y": -0.22}
    )


SHAPING = {
    "aas": "AAS",
    "mask": "mask alone",
    "plain": "plain policy gradient",
    "ratio": "plain ratio",
    "dual-clip": "ratio with dual clip",
}


def shaping() -> go.Figure:
    """Onset and accuracy against the teacher's share of wrong comments, four updates per generation."""
    rows = read("shaping-four-updates")
    titles = ("Onset: generations until half of the answers check", "Accuracy after training")
    fig = make_subplots(1, 2, horizontal_spacing=0.1, subplot_titles=titles)
    places = {name: k for k, name in enumerate(WRONG)}
    for k, (arm, name) in enumerate(SHAPING.items()):
        mine = [r for r in rows if r["arm"] == arm]
        shift = 0.06 * (k - (len(SHAPING) - 1) / 2)  # so that points of arms with the same value can be told apart
        for column, measure, middle in ((1, "onset", statistics.median), (2, "accuracy T=1", statistics.mean)):
            found = {p: [float(r[measure] or NEVER) for r in mine if r["base"] == p] for p in places}
            found = {p: values for p, values in found.items() if values}
            fig.add_scatter(
                x=[places[p] + shift for p in found],
                y=[middle(values) for values in found.values()],
                mode="lines",
                name=name,
                line={"color": COLORS[arm], "width": 2},
                showlegend=column == 1,
                legendgroup=arm,
                row=1,
                col=column,
            )
            fig.add_scatter(
                x=[places[p] + shift for p, values in found.items() for _ in values],
                y=[v for values in found.values() for v in values],
                mode="markers",
                marker={"color": COLORS[arm], "size": 7, "opacity": 0.7},
                showlegend=False,
                legendgroup=arm,
                row=1,
                col=column,
            )
    ticks = {"tickvals": list(places.values()), "ticktext": [f"{share:.0%}" for share in WRONG.values()]}
    fig.update_xaxes(title_text="wrong comments of the teacher", range=[-0.35, len(places) - 0.65], **ticks)
    fig.update_yaxes(
        range=[-2, NEVER + 3], tickvals=[0, 15, 30, 45, NEVER], ticktext=["0", "15", "30", "45", "never"], row=1, col=1
    )
    fig.update_yaxes(**RATE, row=1, col=2)
    legend = {"orientation": "h", "y": -0.22}
    return fig.update_layout(**LAYOUT, width=1080, height=430, margin={"l": 60, "r": 20, "t": 50, "b": 100}, legend=legend)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        figures = {"six-losses": six_losses, "length-accuracy": length, "when-it-helps": when_it_helps, "shaping": shaping}
        for name, fig in ((name, draw()) for name, draw in figures.items() if not sys.argv[1:] or name in sys.argv[1:]):
            page_file = Path(folder) / f"{name}.html"
            fig.write_html(page_file, include_plotlyjs=True, config={"displayModeBar": False})
            page = browser.new_page(
                viewport={"width": 1100, "height": fig.layout.height + 20}, device_scale_factor=1.5, color_scheme="light"
            )
            page.goto(page_file.as_uri())
            page.wait_for_selector(".main-svg")
            page.locator(".plotly-graph-div").screenshot(path=HERE / "images" / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
