"""A run with reward functions, a rule and a task of its own: what they return is in every record and figure, and a changed file is noticed."""

from __future__ import annotations

import json
import math
from statistics import fmean, stdev

import pytest

from thinklab import Lab
from thinklab.errors import ConfigError, RunError, RunWarning, TrainingError
from thinklab.experiment.train import train
from thinklab.reports.plots import dashboard
from thinklab.reports.run_page import write_report
from thinklab.run.folder import RunFolder
from thinklab.types import rollout_from_json
from thinklab.view.library import ListedRun
from thinklab.view.measured import figures

MY = '''
import re

from thinklab import Task, load_task

def brevity(completions, trainer_state=None, log_metric=None, **kwargs):
    """Graded: the shorter the better."""
    log_metric("seen_at_step", trainer_state.global_step)
    return [max(0.0, 1 - len(c[0]["content"]) / 200) for c in completions]

def odd(completions, answer, rollout, **kwargs):
    """Judges only answers to questions with an odd sum."""
    assert all(c[0]["content"] == r.text for c, r in zip(completions, rollout))
    return [-float(len(re.findall(r"\\d+", c[0]["content"]))) if int(a) % 2 else None for c, a in zip(completions, answer)]

def never(completions, **kwargs):
    return [None for _ in completions]

def rule(request):
    gold = request.example.gold
    verdict = "correct" if f"\\\\boxed{{{gold}}}" in request.response else "incorrect"
    return f"<opinion>{verdict}</opinion><reason>I check: {gold}.</reason><phrase>So \\\\boxed{{{gold}}}.</phrase>"

def short_sums(terms=2):
    sums = load_task("sums", terms=[terms])
    return Task("short sums", sums.instruction, sums.load, sums.verify)
'''
YAML = """
name: own
task: {name: './my.py:short_sums', terms: 2}
behaviors: [self-check]
teacher: {backend: scripted, rule: './my.py:rule'}
guidance: {gamma: 0.25, max_tokens: 96}
reward:
  correct: 2
  functions:
    - ./my.py:brevity
    - {function: './my.py:odd', weight: 0.1, name: odd_ones}
    - ./my.py:never
train: {steps: 2, questions: 4, samples: 4, threads: 1, checkpoint_every: 1, max_prompt_tokens: 128, max_completion_tokens: 64}
probe: {questions: 4, every: 0}
guards: {kl_every: 0}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "my.py").write_text(MY)
    (folder / "own.yaml").write_text(YAML)
    train(folder / "own.yaml", out=folder / "run")
    return RunFolder.open(folder / "run")


def test_the_records_have_every_part_and_the_advantages_are_those_of_their_sum(run):
    rollouts = [rollout_from_json(line) for line in run.read("rollouts")]
    assert len(rollouts) == 32 and any(r.guided for r in rollouts)
    for r in rollouts:
        assert r.rewards["correct"] == 2.0 * (r.checks["correct"] and r.finished)
        assert r.rewards["brevity"] == pytest.approx(max(0.0, 1 - len(r.text) / 200))
        assert ("odd_ones" in r.rewards) == (int(r.example.gold) % 2 == 1) and r.rewards.get("odd_ones", -1) < 0
        assert "behavior" not in r.rewards, "nothing is given for it"
    for start in range(0, 32, 4):
        totals = [math.fsum(r.rewards.values()) for r in rollouts[start : start + 4]]
        spread = stdev(totals)
        wanted = [(t - fmean(totals)) / (spread + 1e-4) if max(totals) - min(totals) >= 1e-6 else 0.0 for t in totals]
        assert [r.advantage for r in rollouts[start : start + 4]] == pytest.approx(wanted, abs=1e-4)
    guided = [r for r in rollouts if r.guided]
    assert all(r.guidance.model.endswith("my.py:rule") and "I check:" in r.text for r in guided)
    assert all(len(r.example.meta["operands"]) == 2 for r in rollouts), "the task's option arrives"


def test_the_metrics_have_every_part(run):
    rollouts, lines = list(run.read("rollouts")), list(run.read("metrics"))
    for step, line in enumerate(lines):
        mine = rollouts[16 * step : 16 * step + 16]
        assert line["rewards/brevity/mean"] == pytest.approx(fmean(r["rewards"]["brevity"] for r in mine), abs=1e-5)
        odd = [r["rewards"]["odd_ones"] for r in mine if "odd_ones" in r["rewards"]]
        assert not odd or line["rewards/odd_ones/mean"] == pytest.approx(fmean(odd), abs=1e-5)
        assert line["reward"] == pytest.approx(fmean(sum(r["rewards"].values()) for r in mine), abs=1e-5)
        assert line["own/rewards/brevity"] == pytest.approx(
            fmean(r["rewards"]["brevity"] for r in mine if not r["teacher_ids"]), abs=1e-6
        )
        assert line["rewards/never/mean"] is None and "own/rewards/never" not in line, "it rewarded no answer"
        assert line["seen_at_step"] == step, "log_metric and trainer_state are TRL's"


def test_reports_dashboard_and_viewer_show_every_part(run, tmp_path):
    lines = list(run.read("metrics"))
    names = {trace.name for trace in dashboard(lines).data}
    assert {"correct", "brevity", "odd_ones"} <= names
    page = write_report({"mine": run}, tmp_path / "report.html", "own").read_text()
    assert "Reward, by part" in page and '"name":"brevity"' in page.replace(": ", ":")
    listed = ListedRun("run", run)
    assert '"brevity"' in json.dumps(figures({"a": listed}))
    assert "Reward of odd_ones, unguided answers" in json.dumps(figures({"a": listed, "b": listed}))


def test_a_run_is_resumed_from_elsewhere_but_not_with_a_changed_file(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    my = run.path.parent / "my.py"
    hashes = run.resolved()["own_code"]
    assert (
        set(hashes) == {f"{my}:{name}" for name in ("brevity", "odd", "never", "rule", "short_sums")}
        and len(set(hashes.values())) == 1
    )
    train(run.path, ["train.steps=3"], resume=True)
    assert [line["step"] for line in run.read("metrics")] == [1, 2, 3]
    text = my.read_text()
    try:
        my.write_text(text.replace("/ 200", "/ 100"))
        with pytest.raises(RunError, match=r"/my.py has changed since .* was started; restore it, or start a new"):
            train(run.path, ["train.steps=4"], resume=True)
        with pytest.warns(RunWarning, match=r"/my.py has changed since .*: the new run uses the current"):
            train(run.config_file, ["train.steps=1"], out=tmp_path / "again")
    finally:
        my.write_text(text)


def test_a_function_that_fails_ends_the_run_in_one_line(run, tmp_path):
    (tmp_path / "my.py").write_text(MY.replace("max(0.0, 1 -", "max(0.0, 1 / 0 -"))
    (tmp_path / "own.yaml").write_text(YAML)
    with pytest.raises(
        ConfigError, match=r"my.py:brevity' failed: .*my.py:9: ZeroDivisionError: .* \(called with made-up answers"
    ):
        train(tmp_path / "own.yaml", out=tmp_path / "run")
    assert not (tmp_path / "run").exists(), "nothing was begun"
    (tmp_path / "my.py").write_text(MY.replace("return [max(", 'assert trainer_state.global_step < 1, "tired"\n    return [max('))
    with pytest.raises(TrainingError, match=r"my.py:brevity' failed: .*my.py:9: AssertionError: tired"):
        train(tmp_path / "own.yaml", out=tmp_path / "run")
    assert len(list(RunFolder.open(tmp_path / "run").read("rollouts"))) == 16, "the first step is kept"


def test_in_a_lab_the_answers_show_their_parts_before_the_update_and_nothing_is_logged_twice(run, tmp_path):
    with Lab(run.path.parent / "own.yaml", out=tmp_path / "lab", quiet=True) as lab:
        batch = lab.rollout()
        assert all("brevity" in r.rewards for r in batch.rollouts)
        lab.guide(batch)
        effect = lab.queue.effect(lab.queue.items[0].id)
        assert len(effect.rewards) == 4 and any(a != b for a, b in zip(effect.accepted, effect.rejected, strict=True))
        assert "brevity" in lab.queue.preview(lab.queue.items[0].id).rewards
        lab.review(batch, auto="accept")
        lab.update(batch)
        (line,) = lab.run.read("metrics")
        assert line["seen_at_step"] == 0
