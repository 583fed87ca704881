"""`thinklab probe RUN`: everything at once, without the run's teacher, and plain GRPO afterward that can be stopped."""

from __future__ import annotations

import pytest

from tests.lab import conftest as lab
from thinklab.config.experiment import Experiment
from thinklab.experiment import build as build_module
from thinklab.experiment.probe_run import probe_run
from thinklab.experiment.train import run_experiment
from thinklab.run.folder import RunFolder

SMALL = {**lab.SMALL, "train": {**lab.SMALL["train"], "steps": 3, "checkpoint_every": 1}}


@pytest.mark.slow
@pytest.mark.parametrize("baseline", [None, {"kind": "sft", "texts": "guided", "batch": 4}])
def test_the_whole_probe_asks_no_teacher_and_persistence_goes_on_where_it_was_stopped(tmp_path, monkeypatch, baseline):
    run_experiment(Experiment.model_validate({**SMALL, "baseline": baseline}), tmp_path / "run")
    monkeypatch.setattr(build_module, "load_teacher", lambda *_, **__: pytest.fail("a probe asks no teacher"))
    known = probe_run(tmp_path / "run", persistence=2)  # stopped by hand after two steps, as it were
    assert known["persistence"]["steps"] == 2
    known = probe_run(tmp_path / "run", samples=2, persistence=4)
    assert {"before", "after", "difference", "spill", "retention", "persistence"} <= set(known)
    assert ("reach" in known) == (baseline is None)  # measured on the guided rollouts of a policy-gradient run
    assert known["before"]["T=1"]["accuracy"]["total"] == known["after"]["T=1"]["accuracy"]["total"] == 24
    assert known["persistence"]["after"]["T=1"]["accuracy"]["total"] == 24 and known["persistence"]["steps"] == 4
    after = RunFolder.open(tmp_path / "run" / "persistence")
    assert [m["step"] for m in after.read("metrics")] == [1, 2, 3, 4]
    assert not any(line["teacher_ids"] for line in after.read("rollouts"))
    assert after.resolved()["config"]["loss"]["method"] == "grpo"


@pytest.mark.slow
def test_before_and_after_are_on_the_same_questions(tmp_path):
    run_experiment(Experiment.model_validate(SMALL), tmp_path / "run")
    assert probe_run(tmp_path / "run", questions=6)["before"]["T=1"]["accuracy"]["total"] == 6
    known = probe_run(tmp_path / "run")
    assert known["before"]["T=1"]["accuracy"]["total"] == known["after"]["T=1"]["accuracy"]["total"] == 12
