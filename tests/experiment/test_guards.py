"""Guards, on lines that real runs left behind, on each silent nothing, and live on a run that is being destroyed."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch

from tests.conftest import ROOT
from thinklab.config.experiment import GuardSection
from thinklab.config.load import load_config
from thinklab.experiment.guard_actions import Guards
from thinklab.experiment.guards import WINDOW, Watch
from thinklab.experiment.train import run_experiment
from thinklab.run.folder import RunFolder

HEALTHY = {
    "loss": -0.1,
    "student/entropy": 0.15,
    "finished": 1.0,
    "zero_advantage_fraction": 0.3,
    "gamma": 0.25,
    "guided_fraction": 0.25,
    "own/accuracy": 0.4,
    "own/behavior": 0.0,
    "neutral_kl": 1e-5,
    "weights_changed": True,
    "learning_rate": 1e-3,
}


def replay(name, **watch):
    """[(step, alarm)] and {step: held-out accuracy} of a recorded run."""
    lines = [json.loads(x) for x in (ROOT / "tests" / "data" / "guards" / f"{name}.jsonl").read_text().splitlines()]
    seen, accuracy, w = [], {}, Watch(GuardSection(), **watch)
    for line in sorted(lines, key=lambda x: (x["step"], "decoding" not in x)):
        if "decoding" in line:
            accuracy[line["step"]] = line["accuracy"]["value"]
            seen += w.see_probe(line)
        else:
            seen += w.see(line)
    return seen, accuracy


def test_ten_times_the_learning_rate_is_caught_before_accuracy_halves():
    alarms, accuracy = replay("rate-x10", learning_rate=0.01)
    first = next(a for a in alarms if a.kind == "collapse")
    best = 0.0
    halved = None
    for step, value in sorted(accuracy.items()):
        best = max(best, value)
        halved = halved or (step if value < best / 2 else None)
    assert halved and first.step < halved, (first, accuracy)
    assert "learning_rate=0.01" in first.cause and "third" in first.mend
    assert {"kl", "unfinished", "entropy", "accuracy", "held-out"} <= {a.sign for a in alarms}


def test_the_authors_variant_is_caught_and_named_before_accuracy_falls():
    alarms, accuracy = replay("authors", method="authors")
    first = next(a for a in alarms if a.kind == "collapse")
    assert "authors" in first.cause and "loss.method=aas" in first.mend
    assert all(value > 0.95 for step, value in accuracy.items() if step <= first.step)
    assert min(accuracy.values()) < 0.9  # there was something to warn of


def test_a_healthy_run_raises_no_alarm():
    assert replay("healthy")[0] == []


@pytest.mark.parametrize(
    "change, sign, words",
    [
        ({"zero_advantage_fraction": 1.0, "loss": 0.0, "own/accuracy": 0.0}, "equal-rewards", "too hard"),
        ({"zero_advantage_fraction": 1.0, "loss": 0.0, "own/accuracy": 1.0}, "equal-rewards", "nothing left"),
        (
            {"zero_advantage_fraction": 1.0, "loss": 0.0, "finished": 0.1, "own/accuracy": 0.0},
            "equal-rewards",
            "max_completion_tokens",
        ),
        ({"guided_fraction": 0.0, "rejected/does-not-fit": 24}, "no-guidance", "guidance.max_tokens"),
        ({"guided_fraction": 0.0, "rejected/prompt-too-long": 24}, "no-guidance", "teacher.max_tokens"),
        ({"guided_fraction": 0.0, "finished": 0.0}, "no-guidance", "ends with EOS"),
        ({"loss": 0.0}, "zero-loss", "masked"),
        ({"weights_changed": False}, "frozen", "float32"),
    ],
)
def test_each_silent_nothing_is_named_once_after_patience(change, sign, words):
    watch = Watch(GuardSection(patience=4))
    raised = [a for step in range(1, 12) for a in watch.see({"step": step, **HEALTHY, **change}) if a.sign == sign]
    assert [a.step for a in raised] == [4]
    assert words in raised[0].cause + raised[0].mend


def test_a_student_that_shows_the_behavior_by_itself_needs_no_guidance():
    watch = Watch(GuardSection(patience=3))
    assert not [
        a
        for s in range(9)
        for a in watch.see({"step": s, **HEALTHY, "guided_fraction": 0.0, "own/behavior": 1.0})
        if a.sign == "no-guidance"
    ]


def test_luck_with_the_questions_is_no_fall_of_accuracy():
    """A run of plain GRPO went from .54 to .33 on questions that happened to be harder; the probe saw nothing."""
    lucky = [0.54] * 5 + [0.33] * 5
    for questions, said in ((12, False), (200, True)):
        watch = Watch(GuardSection(), questions=questions)
        signs = [a.sign for s, x in enumerate(lucky) for a in watch.see({"step": s, **HEALTHY, "own/accuracy": x})]
        assert ("accuracy" in signs) == said


def test_an_alarm_comes_again_after_its_sign_has_gone():
    watch = Watch(GuardSection())
    pattern = [False, True, True, False, True]
    raised = [
        s
        for s, high in enumerate(pattern)
        for a in watch.see({"step": s, **HEALTHY, "neutral_kl": 0.2 if high else 0.04})
        if a.sign == "kl"
    ]
    assert raised == [1, 4]


def test_a_sign_that_is_not_measured_at_every_step_is_raised_once():
    watch = Watch(GuardSection())
    lines = [{"step": s, **HEALTHY} | ({"neutral_kl": 0.2} if s % 3 == 0 else {}) for s in range(10)]
    for line in lines[1:]:
        if line["step"] % 3:
            line.pop("neutral_kl", None)
    assert [a.step for line in lines for a in watch.see(line) if a.sign == "kl"] == [0]


@pytest.mark.parametrize(
    ("change", "sign", "words"),
    [
        ({"guided_fraction": 1.0}, "guided", "lower guidance.gamma"),
        ({"completions/mean_length": 120.0}, "length", "6.0 times"),
    ],
)
def test_more_than_the_caps_allow_is_said_once_and_stops_nothing(change, sign, words):
    watch, found = Watch(GuardSection()), []
    for s in range(8):
        found += watch.see({"step": s, **HEALTHY, "completions/mean_length": 20.0, **(change if s > 4 else {})})
    assert [(a.step, a.kind, a.sign) for a in found] == [(5, "cap", sign)] and re.search(words, str(found[0]))


class Blank:
    """A guard without a student: only what ``act`` needs."""

    def __init__(self, action):
        self.config = load_config(ROOT / "examples" / "demo-self-check.yaml", [f"guards.action={action}"])
        self.stopped, self.said = "", []
        self.save_wanted = self._saved = False
        self._lowered = -WINDOW
        self.say = self.said.append


def test_lower_multiplies_the_rate_now_and_in_the_schedule():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 10)
    alarm = Watch(GuardSection()).see({"step": 1, **HEALTHY, "neutral_kl": 9.0})
    guard = Blank("lower")
    Guards.act(guard, alarm, optimizer, scheduler)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3) and not guard.stopped
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.27)
    Guards.act(guard, [replace(a, step=4) for a in alarm], optimizer, scheduler)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.27)  # another sign of the same collapse
    Guards.act(guard, [replace(a, step=6) for a in alarm], optimizer, scheduler)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.081)
    guard = Blank("warn")
    Guards.act(guard, [a for a in alarm if a.kind == "silent"], optimizer, scheduler)
    assert not guard.save_wanted
    Guards.act(guard, alarm, optimizer, scheduler)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.081) and not guard.stopped and guard.save_wanted
    guard.save_wanted = False  # the trainer has saved
    Guards.act(guard, alarm, optimizer, scheduler)
    assert not guard.save_wanted  # later checkpoints of a sick run would only push out the healthy ones


@pytest.mark.slow
def test_a_run_that_is_being_destroyed_is_saved_and_stopped_in_time(tmp_path):
    config = load_config(
        ROOT / "examples" / "demo-self-check.yaml",
        [
            "train.learning_rate=0.01",
            "train.decay=constant",
            "train.steps=12",
            "probe.every=1",
            "probe.every_questions=60",
            "probe.questions=60",
            "train.threads=1",
            "guards.action=stop",
        ],
    )
    said = []
    known = run_experiment(config, tmp_path / "run", say=said.append)
    run = RunFolder.open(tmp_path / "run")
    alarms = list(run.read("alarms"))
    assert alarms and alarms[0]["kind"] == "collapse" and any("guard" in text for text in said)
    assert known["steps"] < 8 and run.last_checkpoint()[1] == known["steps"]
    best = max(line["accuracy"]["value"] for line in run.read("probes"))
    assert known["after"]["T=1"]["accuracy"]["value"] > best / 2
