"""Draws docs/images/when-it-helps.png from the committed tables: ``python docs/make_evidence.py``.

Needs playwright (in the extra ``dev``) and a Chromium on the PATH.
"""
import csv
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from playwright.sync_api import sync_playwright
from plotly.subplots import make_subplots

HERE = Path(__file__).parent
RUNS = HERE / "measurements" / "when-it-helps.csv"
STUDENTS = HERE / "measurements" / "when-it-helps-students.csv"
COLOURS = {"before": "#9ca3af", "grpo": "#b45309", "aas": "#0f766e", "aas-own": "#6d28d9", "ratio": "#1d4ed8"}
NAMES = {"grpo": "plain GRPO", "aas": "AAS, right teacher", "aas-own": "AAS, own base as teacher",
         "ratio": "plain ratio, right teacher"}
SHORT = 0.32
"""Share of the probed questions that have two numbers; the others have four."""


def main() -> None:
    students = {row["student"]: row for row in csv.DictReader(STUDENTS.open())}
    runs = defaultdict(list)
    for row in csv.DictReader(RUNS.open()):
        runs[row["base"], row["arm"]].append(float(row["accuracy T=1"]))

    def strength(row: dict) -> float:
        """Accuracy if every answer were checked as well as the student can before training."""
        return SHORT * float(row["forced check, 2 numbers"]) + (1 - SHORT) * float(row["forced check, 4 numbers"])

    fig = make_subplots(1, 2, horizontal_spacing=0.09, shared_yaxes=True, subplot_titles=(
        "How good the sub-skill is", "How known the habit is"))
    panels = {1: (["weak-100", "weak-50", "weak-25", "same"], strength),
              2: (["same", "habit-1e-3", "habit-1e-2", "habit-1e-1"], lambda row: 10 ** float(row["log10 p(check), 4 numbers"]))}
    for column, (names, place) in panels.items():
        for arm in NAMES:
            points = [(place(students[n]), runs[n, arm]) for n in names if runs[n, arm]]
            if not points:
                continue
            show = {"legendgroup": arm, "name": NAMES[arm]}
            fig.add_scatter(x=[x for x, _ in points], y=[sum(v) / len(v) for _, v in points], mode="lines", row=1, col=column,
                            line={"color": COLOURS[arm], "width": 2}, showlegend=column == 1, **show)
            fig.add_scatter(x=[x for x, v in points for _ in v], y=[y for _, v in points for y in v], mode="markers", row=1,
                            col=column, marker={"color": COLOURS[arm], "size": 7, "opacity": 0.7}, showlegend=False, **show)
    fig.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": COLOURS["before"], "dash": "dot", "width": 1.5},
                    name="every answer checked as well as before training", row=1, col=1)
    fig.update_xaxes(title_text="accuracy of a check that is forced, before training", range=[-0.03, 1.03], row=1, col=1)
    fig.update_xaxes(title_text="probability of the check after an answer, before training", type="log",
                     exponentformat="power", dtick=1,
                     row=1, col=2)
    fig.update_yaxes(title_text="accuracy after 40 steps, T=1", range=[-0.03, 1.03], tickformat=".0%", row=1, col=1)
    fig.update_layout(template="plotly_white", width=1080, height=460, margin={"l": 70, "r": 20, "t": 50, "b": 110},
                      legend={"orientation": "h", "y": -0.22}, font={"family": "system-ui, sans-serif", "size": 13})
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "figure.html"
        fig.write_html(page_file, include_plotlyjs=True, config={"displayModeBar": False})
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1100, "height": 480}, device_scale_factor=1.5, color_scheme="light")
        page.goto(page_file.as_uri())
        page.wait_for_selector(".main-svg")
        page.locator(".plotly-graph-div").screenshot(path=HERE / "images" / "when-it-helps.png")
        browser.close()


if __name__ == "__main__":
    main()
