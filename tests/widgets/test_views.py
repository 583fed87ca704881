"""The other views, without a browser: what they show, that it is escaped, and their errors."""

from __future__ import annotations

import json

import ipywidgets
import plotly.graph_objects as go
import pytest
import torch

from tests.reports.test_report import EVIL, folder  # noqa: F401
from thinklab import aas
from thinklab.errors import BehaviorError, ConfigError, RunError
from thinklab.reports.plots import PANELS, dashboard
from thinklab.reports.quadrants import quadrants, traced
from thinklab.reports.token_spans import span, teacher_tokens
from thinklab.run.folder import RunFolder
from thinklab.widgets import AasExplorer, BehaviorStudio, freezing, side_by_side, token_view
from thinklab.widgets.aas_explorer import aas_html, weighted, weights

TRACE = {
    "rollout": "0-1",
    "step": 3,
    "advantage": -1.5,
    "tokens": ["4", "2", EVIL, "\n", "<eos>"],
    "teacher": [0, 0, 1, 1, 1],
    "probability": [0.9, 1e-4, 0.004, 0.3, 1e-9],
    "weight": [1.0, 1.0, 0.0, 1.00125, 0.0],
}


@pytest.fixture
def run(tmp_path):
    run = RunFolder.create(tmp_path / "run", {"loss": {"c_max": 0.002, "floor": 0.02, "a_max": 3.0}}, {})
    run.append("tokens", [{**TRACE, "step": k, "rollout": f"{k}-0"} for k in range(5)])
    return run


# ---- tokens


def test_every_token_says_where_it_comes_from_and_what_the_loss_made_of_it(run):
    html = token_view(TRACE, by="masked").to_html()
    assert html.count("class='student neg'") == 2 and html.count("class='teacher masked neg'") == 2
    assert "class='teacher neg'" in html and "weight 1, advantage -1.5" in html and "masked: no gradient" in html
    assert "value=masked checked" in html and "3 teacher tokens, 0 with a weight below 0.1, 2 masked" in html
    assert EVIL not in html and "&lt;script&gt;" in html and "<script" not in html


def test_a_run_shows_its_newest_traces(run):
    text = repr(token_view(run, shown=2))
    assert "4-0" in text and "3-0" in text and "2-0" not in text
    with pytest.raises(ConfigError, match="did you mean 'weight'"):
        token_view(run, by="weights")
    with pytest.raises(RunError, match="no traced tokens"):
        token_view(RunFolder.create(run.path / "empty", {}, {}))


def test_rarity_is_logarithmic_and_weights_are_clipped_for_the_colors():
    assert "--r:0.50" in span("x", False, 1e-3, 1.0) and "--r:1.00" in span("x", True, 0.0, 0.5)
    assert "--r:0.00" in span("x", True, 1.0, 2)
    assert "--w:1.00" in span("x", True, 1.0, 1.2) and "masked" not in span("x", True, 0.5, 0.0, advantage=1.0)


# ---- AAS explorer


def test_the_curves_are_those_of_the_loss():
    shaping, p, a = aas.Shaping(c_max=0.003, floor=0.05), [1e-6, 0.004, 0.04, 0.06, 0.9], [2.0, -1.0, -3.0, -3.0, 4.0]
    expected = aas.gradient_weight(torch.tensor(p).log(), torch.tensor(a), shaping)
    assert weights(p, a, shaping) == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_quadrants_are_the_report_s(run):
    traces = [{**TRACE, "advantage": a, "weight": weights(TRACE["probability"], a, aas.Shaping())} for a in (-1.5, 1.5, 0.0)]
    theirs, idle = quadrants(traced(traces), 0.01)
    mine, _ = quadrants(weighted(teacher_tokens(traces), aas.Shaping()), 0.01)
    assert idle == 3 and {k: (q.count, q.masked) for k, q in mine.items()} == {k: (q.count, q.masked) for k, q in theirs.items()}
    assert mine[False, False].masked == 2 and mine[True, False].count == 2


def test_sliders_draw_again_and_say_what_does_not_go_together(run):
    explorer = AasExplorer(run)
    assert (explorer.c.value, explorer.floor.value, explorer.a_max) == (0.002, 0.02, 3.0) and len(explorer.tokens) == 15
    before = explorer.view.value
    assert before.count("<circle") == 30 and EVIL not in before
    explorer.advantage.value = 2.5
    assert explorer.view.value != before and "A = +2.50" in explorer.view.value
    explorer.c.value = 0.2
    assert "must exceed c_max" in explorer.view.value and "<svg" not in explorer.view.value
    explorer.floor.value = 0.5
    assert "<svg" in explorer.view.value and "<svg" in explorer._repr_mimebundle_()[0]["text/html"]
    assert not any(isinstance(part, ipywidgets.Output) for part in explorer.children)
    assert aas_html().count("<circle") == 0


# ---- dashboard


def test_the_dashboard_is_a_plain_figure_of_what_was_measured():
    same = {
        "rewards/behavior/mean": 0.0,
        "own/accuracy": 0.5,
        "student/entropy": 0.2,
        "student/kl": 0.01,
        "teacher/kl": 0.02,
        "mean_student_tokens": 20.0,
    }
    lines = [{"step": k, "rewards/correct/mean": 0.1 * k, "teacher/entropy": 0.1 if k % 2 else None, **same} for k in range(6)]
    figure = dashboard(iter(lines))
    assert type(figure) is go.Figure
    drawn = {t.name: t for t in figure.data}
    assert list(drawn["correct"].y) == [0.1 * k for k in range(6)] and drawn["teacher's tokens"].connectgaps is False
    assert [t.name for t in figure.data].count("student's tokens") == 2  # entropy and KL
    notes = [a.text for a in figure.layout.annotations]
    assert all(f"<b>{title}</b>" in notes for title, _ in PANELS) and notes.count("not measured in this run") == 1
    json.loads(dashboard([]).to_json())
    with pytest.raises(ConfigError, match="did you mean 'dark'"):
        dashboard(lines, "drk")
    marked = dashboard(lines, marked=range(9))
    assert "guard warning (steps 0, 1, 2, 3, 4, 5 and 3 more)" in marked.layout.annotations[-1].text


# ---- side by side


def test_before_and_after_on_the_same_questions(folder):  # noqa: F811
    view = side_by_side({name: RunFolder.open(folder / name) for name in ("aas", "grpo")}, shown=1)
    html = view.to_html()
    assert html.count("<tr>") == 2 and "<th>before<th>aas<th>grpo" in html and EVIL not in html
    page = view.save(folder / "pairs.html").read_text()
    assert page.startswith("<!doctype html>") and "http" not in page
    with pytest.raises(RunError, match="no probed answers yet"):
        side_by_side(RunFolder.create(folder / "fresh", {}, {}))


# ---- behavior studio


def send(studio, **message):
    sent = []
    studio.send = sent.append
    whole = {"kind": "check", "n": 1, "text": studio.text, "samples": studio.samples, "question": "Q?", "answer": "A."}
    studio.handle({**whole, **message})
    return sent[0]


def test_the_studio_says_what_lint_preview_and_test_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studio = BehaviorStudio("self-check")
    assert studio.report["findings"] == [] and studio.report["tests"]["failed"] == [] and studio.report["tests"]["passed"] > 10
    assert [d["found"] for d in studio.report["samples"]] == [True, True, False, False]
    answer = send(studio, samples=["So \\boxed{1}. \U0001f600 I check: 1+1=2. So \\boxed{2}."], question="How many " + EVIL)
    (found,), last = answer["report"]["samples"], answer["report"]["messages"][-1]
    assert found["found"] and found["spans"] == [(17, 25)]
    assert EVIL in last["content"] and EVIL not in studio.to_html()
    broken = send(studio, text=studio.text.replace("title:", "titel:"))["report"]
    problem = next(f for f in broken["findings"] if "did you mean 'title'" in f["message"])
    assert problem["line"] == 5 and "tests" not in broken
    with pytest.raises(BehaviorError, match="titel"):
        _ = studio.behavior
    assert "line 5" in studio.to_html()
    send(studio, text="a: [")
    assert studio.report["findings"]


def test_saving_a_shipped_behavior_makes_a_file_of_one_s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studio = BehaviorStudio("self-check")
    original = studio.source.read_text()
    changed = original.replace("version: 1", "version: 2")
    assert "Saved self-check.yaml" in send(studio, kind="save", text=changed)["said"]
    assert (tmp_path / "self-check.yaml").read_text() == changed and studio.behavior.version == 2
    assert BehaviorStudio(tmp_path / "self-check.yaml").text == changed
    (tmp_path / "self-check.yaml").write_text("someone else's")
    assert "changed by another program" in send(studio, kind="save")["error"]
    assert (tmp_path / "self-check.yaml").read_text() == "someone else's"
    assert "Saved" in send(studio, kind="save")["said"]  # asked for a second time
    assert "with 1 error in it" in send(studio, kind="save", text="a: [")["said"]


def test_a_new_file_begins_with_the_template_and_bad_places_are_refused(tmp_path):
    studio = BehaviorStudio(tmp_path / "ends-well.yaml")
    assert not studio.path.exists() and [f for f in studio.report["findings"] if f["level"] == "error"] == []
    with pytest.raises(BehaviorError, match="no such folder"):
        BehaviorStudio(tmp_path / "nowhere" / "x.yaml")
    with pytest.raises(BehaviorError, match="lower case"):
        BehaviorStudio(tmp_path / "Ends Well.yaml")
    with pytest.raises(BehaviorError, match="did you mean 'self-check'"):
        BehaviorStudio("self-chek")
    (tmp_path / "dir.yaml").mkdir()
    with pytest.raises(BehaviorError, match="cannot read"):
        BehaviorStudio(tmp_path / "dir.yaml")


# ---- what a Lab leaves behind


def test_with_the_last_lab_widgets_of_no_lab_are_closed_but_for_a_studio_that_trains(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine, theirs, trains = AasExplorer(run), AasExplorer(run), BehaviorStudio("self-check")
    theirs.owner = "another Lab"
    for view in (mine, theirs, trains):
        view._ipython_display_()
    phase = {"phase": "running"}
    monkeypatch.setattr(trains._trained, "state", lambda: phase)

    def alive():
        return [view.comm is not None for view in (mine, theirs, trains)]

    freezing.freeze(None)
    assert alive() == [False, True, True]
    phase["phase"] = "done"
    freezing.freeze(None)
    assert alive() == [False, True, False]
    freezing.freeze("another Lab")
    assert alive() == [False, False, False] and "<svg" in theirs.to_html()
