"""Prime, then reinforce: what is imitated, that the policy gradient goes on from there, and that a killed run ends the same."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file

from tests.experiment.test_baselines import nll
from tests.support.run_cases import in_this_process, lines, wait_until
from tests.support.warm_start import run_to_end, start
from thinklab.config.load import load_config
from thinklab.errors import ConfigError
from thinklab.experiment.baselines.texts import Text
from thinklab.experiment.probe_run import persist
from thinklab.experiment.questions import priming_questions, question_order, split
from thinklab.experiment.teaching import Teaching
from thinklab.experiment.train import run_experiment, where_it_stands
from thinklab.experiment.trained_student import load_weights
from thinklab.export.model_card import model_card
from thinklab.lab import Lab
from thinklab.reports.run_page import report_folder
from thinklab.run.folder import RunFolder
from thinklab.run.usage import usage
from thinklab.students import load_student
from thinklab.studies.table import _guided
from thinklab.tasks import load_task
from thinklab.teachers.base import TeacherRequest
from thinklab.view.library import Library

CONFIG = """\
name: primed
task: {name: sums, terms: [4]}
behaviors: [self-check]
teacher: {backend: scripted, rule: sums-check}
guidance: {gamma: 2, max_tokens: 60}
loss: {method: grpo}
prime: {texts: guided, questions: 30, batch: 40, learning_rate: 0.002}
train: {steps: 2, questions: 3, samples: 4, max_prompt_tokens: 40, max_completion_tokens: 56, threads: 1, seed: 5, warmup_steps: 0}
probe: {questions: 4, every: 1, every_questions: 4}
guards: {action: "off"}
"""


def config(tmp_path, *overrides, text=CONFIG):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return load_config(file, list(overrides))


@dataclass
class Primed:
    config: object
    run: RunFolder
    said: list[str]

    @property
    def prime(self):
        return RunFolder(self.run.path / "prime")


@pytest.fixture(scope="module")
def primed(tmp_path_factory):
    folder, said = tmp_path_factory.mktemp("primed"), []
    c = config(folder)
    run_experiment(c, folder / "run", say=said.append)
    return Primed(c, RunFolder.open(folder / "run"), said)


def test_the_first_questions_are_imitated_and_the_next_ones_reinforced(primed):
    task = load_task("sums", terms=[4])
    order = [e.id for e in priming_questions(primed.config.model_copy(update={"prime": _prime(primed, 40)}), split(task))]
    asked = [line["example_id"] for line in primed.prime.read("texts")]
    assert asked == order[:30] == [e.id for e in priming_questions(primed.config, split(task))]
    plain = question_order(primed.config.model_copy(update={"prime": None}), split(task))["example_id"]
    assert asked[:6] == plain[:6], "the order of a run that is not primed"
    rollouts = list(primed.run.read("rollouts"))
    groups = dict.fromkeys((r["generation"], r["group"], r["example"]["id"]) for r in rollouts)
    assert [key for *_, key in groups] == order[30:36]
    assert not any(r["teacher_ids"] or r["guidance"] for r in rollouts), "no rollout of the policy gradient is guided"


def _prime(primed, questions):
    return primed.config.prime.model_copy(update={"questions": questions})


def test_the_untrained_student_s_answers_with_comments_are_imitated(primed):
    texts = [Text.from_json(line) for line in primed.prime.read("texts") if line["answer_ids"]]
    base = load_student("embedded")
    assert texts and all("I check:" in t.text for t in texts)
    (line,) = primed.prime.read("metrics")
    assert line["step"] == 1 and line["loss"] == pytest.approx(nll(base, texts), abs=2e-4)
    assert line["learning_rate"] == pytest.approx(0.002) and primed.config.train.learning_rate == 0.001
    assert any(text.startswith(f"priming: {len(texts)} guided texts in 1 steps") for text in primed.said)


def test_the_policy_gradient_begins_at_the_imitating_student_with_a_new_optimizer(primed):
    student = load_student(primed.config.student, seed=5)
    load_weights(student.model, primed.prime.last_checkpoint()[0])
    sampler = student.sampler(56, 1.0, 0)
    rollouts = [r for r in primed.run.read("rollouts") if r["generation"] == 0]
    prompts = [r["prompt_ids"] for r in rollouts[::4]]
    assert sampler(student.model, prompts, 4, 5 * 1_000_003 * 1009) == [r["student_ids"] for r in rollouts]
    assert [m["step"] for m in primed.run.read("metrics")] == [1, 2] == [p["step"] for p in primed.run.read("probes")][1:]
    optimizer = torch.load(primed.run.last_checkpoint()[0] / "optimizer.pt", weights_only=True)
    assert {int(state["step"]) for state in optimizer["state"].values()} <= {1, 2}
    begun = load_file(primed.prime.last_checkpoint()[0] / "adapter_model.safetensors")
    ended = load_file(primed.run.last_checkpoint()[0] / "adapter_model.safetensors")
    assert any(not torch.equal(begun[k], ended[k]) for k in begun)


def test_what_was_used_is_counted_and_named_everywhere(primed, tmp_path):
    n = sum(bool(line["answer_ids"]) for line in primed.prime.read("texts"))
    own, whole = primed.prime.read_json("usage.json"), usage(primed.run)
    assert own["teacher_texts"] == own["texts"]["guided"] == n > 0 and own["optimizer_steps"] == 1 and own["questions"] == 30
    assert whole["questions"] == 30 + 6 and whole["student_answers"] == 30 + 24 and whole["teacher_texts"] == n
    assert _guided(primed.run, list(primed.run.read("metrics")), primed.config) == n
    card = model_card(primed.run, primed.config, "adapter", 2, "x")
    assert f"after it had imitated {n} guided texts in 1 steps (prime, then reinforce)" in card and "\n- sft\n" in card
    page = report_folder(primed.run.path, tmp_path / "r.html").read_text()
    assert f"imitated {n} guided texts of 30 questions in 1 optimizer steps" in page
    shown = Library(primed.run.path.parent).run("run").summary()
    assert shown["method"] == "prime (guided) + grpo" and shown["teacher"] == "scripted" and shown["steps"] == 2
    assert any(f"all {n} used" in text or f" of {n}" in text or "rejected" in text for text in primed.said)


def test_a_measurement_of_persistence_does_not_prime_again(primed):
    found = persist(primed.run, primed.config, primed.run.last_checkpoint()[0], 1, behaviors=["self-check"])
    assert found["steps"] == 1 and not (primed.run.path / "persistence" / "prime").exists()


KILLED = CONFIG.replace("questions: 30, batch: 40", "questions: 130, batch: 16").replace(
    "steps: 2,", "steps: 5, checkpoint_every: 2,"
)


@pytest.mark.slow
def test_killed_in_every_phase_it_ends_with_the_same_weights(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(KILLED)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_to_end("train", file, "--out", whole, "--quiet")
    phases = [  # the third has no checkpoint of the policy gradient, the last has
        lambda: 64 <= lines(killed / "prime" / "texts.jsonl") < 130,
        lambda: lines(killed / "prime" / "metrics.jsonl") >= 3,
        lambda: lines(killed / "metrics.jsonl") >= 1,
        lambda: lines(killed / "metrics.jsonl") >= 3,
    ]
    for k, there in enumerate(phases):
        process = start("train", file, "--out", killed, "--quiet", *(["--resume"] if k else []))
        wait_until(there, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        if k == 1:
            where = where_it_stands(RunFolder(killed), load_config(file))
            assert f"before the first step was saved; what was imitated so far is in {killed / 'prime'}. Continue with" in where
    assert RunFolder(killed).last_checkpoint()[1] == 2
    times = {p: p.stat().st_mtime_ns for p in (killed / "prime").iterdir()}
    run_to_end("train", file, "--out", killed, "--quiet", "--resume")
    assert {p: p.stat().st_mtime_ns for p in (killed / "prime").iterdir()} == times, "it was not primed again"

    for place in ("", "prime"):
        a, b = RunFolder(whole / place), RunFolder(killed / place)
        (one, step), (two, same) = a.last_checkpoint(), b.last_checkpoint()
        mine, theirs = (load_file(p / "adapter_model.safetensors") for p in (one, two))
        assert step == same and mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine), place
        for name in ("rollouts", "metrics", "probes", "texts"):
            assert [_timeless(x) for x in a.read(name)] == [_timeless(x) for x in b.read(name)], f"{place}/{name}"
    assert json.loads((killed / "probe.json").read_text()) == json.loads((whole / "probe.json").read_text())


def _timeless(line):
    line = {k: v for k, v in line.items() if k not in {"seconds", "step_time", "epoch", "num_tokens"}}
    return {**line, "guidance": {**line["guidance"], "latency_s": 0}} if line.get("guidance") else line


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("guards:", "baseline: {kind: sft}\nguards:", "config.yaml:7:1: .*a baseline has no policy gradient to prime for"),
        ("behaviors: [self-check]\n", "", "config.yaml:6:9: .*needs at least one behavior"),
        ("batch: 40", "batch: 40, rounds: 2", "rounds"),
        ("texts: guided", "texts: own", "config.yaml:7:9: .*'gold' or 'guided'"),
        ("steps: 2,", "steps: 2, micro_batch: 6,", "must divide prime.batch"),
        ("questions: 30", "questions: 0", "prime.questions"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(tmp_path, old, new, said):
    assert old in CONFIG
    with pytest.raises(ConfigError, match=said) as error:
        config(tmp_path, text=CONFIG.replace(old, new))
    assert "\n" not in str(error.value)


def test_gold_texts_need_no_teacher(tmp_path):
    c = config(tmp_path, "prime.texts=gold", "loss.method=grpo", "teacher.rule=no-such-rule", "train.steps=1")
    run_experiment(c, tmp_path / "run")
    assert {line["source"] for line in RunFolder(tmp_path / "run" / "prime").read("texts")} == {"gold-solution"}


def test_the_lab_and_the_review_say_that_they_do_not_prime(tmp_path, monkeypatch, capfd):
    c = config(tmp_path)
    for key, changed in (("prime", c), ("baseline", {**c.model_dump(), "prime": None, "baseline": {"kind": "sft"}})):
        with pytest.raises(ConfigError, match=f"imitates no prepared texts: remove '{key}'"):
            Lab(changed, out=tmp_path / "lab", quiet=True)
    command = ("train", tmp_path / "config.yaml", "--out", tmp_path / "run", "--review")
    done = in_this_process(monkeypatch, capfd, *command, "loss.method=aas")
    assert done.returncode == 2 and "a run with 'prime' cannot be reviewed" in done.errors[0]
    assert not (tmp_path / "run").exists() and not (tmp_path / "lab").exists()


class Paid:
    """A teacher that says for how many calls its price was asked."""

    def estimate(self, sample, calls):
        assert all(isinstance(request, TeacherRequest) for request in sample)
        return calls


def test_the_price_covers_the_imitated_texts(tmp_path, primed):
    from thinklab.behavior.behavior import load_behavior
    from thinklab.config.schedule import Schedule

    class Guide:
        schedule = Schedule(2)

    data, teaching = split(load_task("sums", terms=[4])), Teaching([load_behavior("self-check")], Paid(), Guide(), None)
    asked = {
        (): 30,
        ("loss.method=aas",): 30 + 2 * 3 * 2,
        ("loss.method=aas", "prime=null"): 2 * 3 * 2,
        ("loss.method=aas", "prime.texts=gold"): 2 * 3 * 2,
        ("prime=null", "baseline={kind: sft, texts: guided}"): 2 * 3,
    }
    for overrides, calls in asked.items():
        assert teaching.estimate(config(tmp_path, *overrides), data, 0) == calls
    assert teaching.estimate(config(tmp_path, "loss.method=aas"), data, 1) == 2 * 3, "a resumed run has its texts"
