"""What the studio's button trains, without a browser: sentences that pass, and trouble in words."""

from __future__ import annotations

import shutil
import sys
import time

from tests.widgets.test_views import send
from thinklab import load_behavior
from thinklab.behavior import loader as files
from thinklab.behavior.behavior import Behavior, list_behaviors
from thinklab.behavior.scaffold import new_text
from thinklab.widgets import BehaviorStudio
from thinklab.widgets.studio_train import experiment, sentence_report, suggestion


def test_every_shipped_behavior_and_the_template_get_a_sentence_that_passes(tmp_path):
    for name in [*list_behaviors(), "template"]:
        behavior = load_behavior(name) if name != "template" else Behavior(files.read_text(new_text("x"), "x.yaml"))
        phrase, reason = suggestion(behavior)
        assert phrase and sentence_report(behavior, phrase, reason)["ok"], name
        assert bool(reason) == ("reason" in behavior.spec.splice.fields), name
    assert not sentence_report(load_behavior("self-check"), "Nothing of it.", "No.")["ok"]


def test_the_trained_experiment_pays_for_a_behavior_that_has_no_bonus_and_trouble_is_said_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studio = BehaviorStudio("self-check")  # accuracy alone, which the embedded student has: nothing would be taught
    good = {"text": studio.text, "phrase": studio.phrase, "reason": studio.reason, "steps": 3}
    plan = experiment(studio.behavior, studio.path, "So {gold}.", "I check: {gold}.", 5)
    assert plan["reward"]["bonus"] == {"self-check": 0.5}
    paid = Behavior(files.read_text(new_text("x"), "x.yaml"))
    assert "reward" not in experiment(paid, studio.path, "In short: {gold}.", "", 5)
    for more, said in (
        ({"phrase": "Arr.", "reason": "No.", "steps": 3}, "the sentence cannot teach this behavior"),
        ({"phrase": "So {gold}.", "reason": "", "steps": 0}, "a whole number from 1 to 2000"),
        ({"phrase": "x", "reason": "", "steps": 3, "text": "a: ["}, "self-check.yaml:1:"),
    ):
        assert said in send(studio, kind="train", **more)["error"]
    assert not (tmp_path / "runs").exists()
    (tmp_path / "runs").write_text("a file where the folder should be")
    answer = send(studio, kind="train", **good)
    assert "cannot write into runs" in answer["error"]
    (tmp_path / "runs").unlink()
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    send(studio, kind="train", **good)
    deadline = time.monotonic() + 60
    while (state := studio._standing())["phase"] != "failed" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state["phase"] == "failed" and "the training failed: it wrote nothing (whole log: " in state["say"]
