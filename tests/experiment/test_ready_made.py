"""A run that was started with objects from Python is never measured, continued or scored with what its config names instead."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import thinklab
from tests.behavior.test_behavior_errors import GOOD
from tests.lab import conftest as lab
from thinklab import Lab, load_behavior, load_student, load_task
from thinklab.cli.app import app
from thinklab.config.experiment import Experiment
from thinklab.errors import RunError
from thinklab.evaluation.grid import evaluate
from thinklab.evaluation.plan import Evaluation
from thinklab.evaluation.questions import Questions, seen_in_training
from thinklab.experiment.train import run_experiment
from thinklab.run.folder import RunFolder

SMALL = {
    **lab.SMALL,
    "train": {**lab.SMALL["train"], "steps": 2, "checkpoint_every": 1, "questions": 1, "samples": 2},
    "guidance": {"gamma": 1, "max_tokens": 60},
    "probe": {"questions": 4},
}


def four():
    """Sums of four numbers; the config's default task has sums of two as well."""
    return load_task("sums", terms=[4])


def run_with(out, **objects):
    with Lab(SMALL, out=out, quiet=True, **objects) as made:
        made.train(1)
        made.probe()
    return RunFolder(out)


def asked(run, stage="after"):
    return {line["question"] for line in run.read("probe_samples") if line["stage"] == stage}


def test_a_probe_of_a_run_with_a_ready_made_task_is_refused_with_the_way_to_pass_it(tmp_path):
    task = four()
    run = run_with(tmp_path / "run", task=task)
    held_out = {e.question for e in task.load("test")}
    before, probed = asked(run), run.read_json("probe.json")
    assert before <= held_out and run.resolved()["ready_made"] == {"task": type(task).__name__}
    done = CliRunner().invoke(app, ["probe", str(run.path), "--questions", "6"])
    assert isinstance(done.exception, RunError)
    assert f"ready-made task ({type(task).__name__})" in str(done.exception)
    assert f"thinklab.probe('{run.path}', task=...)" in str(done.exception)
    assert asked(run) == before and run.read_json("probe.json") == probed  # nothing was measured or written
    known = thinklab.probe(run.path, questions=6, persistence=1, task=task, say=lambda text: None)
    assert known["after"]["T=1"]["accuracy"]["total"] == 6 and asked(run) <= held_out and len(asked(run)) == 6
    assert asked(RunFolder(run.path / "persistence")) <= held_out


def test_it_goes_on_only_with_its_objects_and_a_run_from_a_config_only_without(tmp_path):
    run = run_with(tmp_path / "run", task=four())
    with pytest.raises(RunError, match="ready-made task"):
        run_experiment(Experiment.model_validate(run.resolved()["config"]), run.path, resume=True)
    with pytest.raises(RunError, match=r"Lab\(out=.*task=\.\.\.\) resumes it"):
        Lab(out=run.path, quiet=True)
    with Lab(out=run.path, task=four(), quiet=True) as again:
        again.train()
        assert again.step == 2
    assert {line["example"]["question"] for line in run.read("rollouts")} <= {e.question for e in four().load("train")}
    named = run_with(tmp_path / "named")
    assert named.resolved()["ready_made"] == {}
    with pytest.raises(RunError, match=r"started with the task of its config\.yaml, not with an object"):
        Lab(out=named.path, task=four(), quiet=True)
    with pytest.raises(RunError, match=r"started with the task of its config\.yaml"):
        thinklab.probe(named.path, task=four())


def test_a_teacher_is_needed_to_go_on_but_not_to_probe(tmp_path):
    run = run_with(tmp_path / "run", teacher=lab.Flaky())
    assert run.resolved()["ready_made"] == {"teacher": "Flaky"}
    with pytest.raises(RunError, match=r"ready-made teacher \(Flaky\)"):
        Lab(out=run.path, quiet=True)
    assert thinklab.probe(run.path, say=lambda text: None)["steps"] == 1
    with Lab(out=run.path, teacher=lab.Flaky(), quiet=True) as again:
        assert again.train()["step"] == 2


def test_a_ready_made_behavior_is_looked_up_by_name_only_where_it_is_the_same(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    own = load_behavior(file)
    run = run_with(tmp_path / "own", behaviors=[own])
    for open_again in (lambda: Lab(out=run.path, quiet=True), lambda: thinklab.probe(run.path)):
        with pytest.raises(RunError, match=r"ready-made behavior 'mine'.*behaviors=\[\.\.\.\]"):
            open_again()
    assert set(thinklab.probe(run.path, behaviors=[own], persistence=1, say=str)["after"]["T=1"]["behaviors"]) == {own.name}
    shipped = run_with(tmp_path / "shipped", behaviors=[load_behavior("self-check")])
    assert shipped.resolved()["ready_made"] == {"behaviors": "self-check"}
    assert thinklab.probe(shipped.path, say=str)["steps"] == 1


def test_a_ready_made_student_is_measured_from_its_base_and_not_scored_by_eval(tmp_path):
    student = load_student("embedded", lora={"r": 4})
    run = run_with(tmp_path / "run", student=student)
    with pytest.raises(RunError, match=r"ready-made student \(Student\)"):
        thinklab.probe(run.path)
    before = run.read_json("probe.json")["before"]
    known = thinklab.probe(run.path, student=student, say=str)  # the object has been trained: its base is measured
    assert known["before"] == before and known["retention"]["kl"]["value"] > 0
    config = Evaluation.model_validate(
        {
            "name": "x",
            "benchmarks": {"sums": {"task": "sums", "questions": 2}},
            "methods": {"mine": {"run": str(run.path)}},
            "behaviors": [],
        }
    )
    with pytest.raises(RunError, match="ready-made student"):
        evaluate(config, tmp_path / "eval.yaml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_eval_knows_the_training_questions_of_a_ready_made_task_from_the_records(tmp_path):
    run = run_with(tmp_path / "run", task=four())
    used = [line["example"]["question"] for line in run.read("rollouts")]
    examples = tuple(e for e in four().load("train") if e.question in used)
    config = Evaluation.model_validate(
        {"name": "x", "benchmarks": {"sums": {"task": "sums"}}, "methods": {"mine": {"run": str(run.path)}}}
    )
    questions = {"sums": Questions(four(), examples, len(examples), 0)}
    assert examples and seen_in_training(config, tmp_path, tmp_path, "mine", questions) == {"sums": len(examples)}


def test_a_run_from_before_this_was_written_down_opens_as_it_did(tmp_path):
    run = run_with(tmp_path / "run")
    text = run.config_file.read_text("utf-8")
    run.config_file.write_text("\n".join(line for line in text.splitlines() if not line.startswith("ready_made")) + "\n")
    assert "ready_made" not in run.resolved()
    assert thinklab.probe(run.path, say=str)["steps"] == 1
