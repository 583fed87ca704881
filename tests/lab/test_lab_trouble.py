"""Stopped, failed, restarted: the batch stays, the next call works, and the weights are those of a run that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from tests.lab.conftest import SMALL, Flaky, OnTheNetwork, interrupt, interrupt_when, same, step, weights
from thinklab import Lab
from thinklab.errors import LabError, RunError, TeacherError, TrainingError


def finish(lab, folder, undisturbed):
    while lab.step < 2:
        step(lab)
    assert same(weights(folder), undisturbed)


def test_stopped_while_sampling(make, tmp_path, undisturbed):
    lab = make()
    interrupt_when(lab, lambda number: number == 7)
    with pytest.raises(KeyboardInterrupt):
        lab.rollout()
    assert lab.step == 0 and lab.batch is None and "lab.rollout" in repr(lab)
    finish(lab, tmp_path / "run", undisturbed)


@pytest.mark.parametrize("kind", [Flaky, OnTheNetwork])
def test_stopped_while_the_teacher_answers(make, tmp_path, undisturbed, kind):
    lab = make(teacher=kind(lambda number: interrupt(lab) if number == 3 else ""))
    batch = lab.rollout()
    with pytest.raises(KeyboardInterrupt):
        lab.guide(batch)
    assert lab.rollout() == batch
    lab.guide(batch)
    asked = lab._engine.session.teaching.teacher.asked
    assert set(asked) == set(lab.proposals) and len(asked) == len(set(asked))  # what came before the stop was kept
    finish(lab, tmp_path / "run", undisturbed)


@pytest.mark.parametrize("forward", [1, 2])
def test_stopped_while_updating(make, tmp_path, undisturbed, forward):
    """The first pass measures how likely the guidance is, the second one trains."""
    lab = make()
    batch = lab.rollout()
    lab.guide(batch)
    interrupt_when(lab, lambda number: number == forward)
    with pytest.raises(KeyboardInterrupt):
        lab.update(batch, auto="accept")
    assert lab.step == 0 and lab.batch == batch, "an update that was stopped has not happened"
    lab.update(batch)  # the decisions were kept
    finish(lab, tmp_path / "run", undisturbed)


def test_stopped_while_it_measures_what_was_learned(make, tmp_path, undisturbed):
    lab = make()
    batch = lab.rollout()
    lab.guide(batch)
    trainer = lab._engine.session.trainer
    interrupt_when(
        lab, lambda number: trainer.state.global_step == 1 and lab._engine._deaf and lab._engine.worker.place != "batch"
    )
    metrics = lab.update(batch, auto="accept")
    assert metrics["step"] == 1 == lab.step and not metrics.learned.texts, "the update stands; only the measurement was stopped"
    finish(lab, tmp_path / "run", undisturbed)


def test_stopped_between_two_optimizer_steps_of_one_batch(make, tmp_path):
    lab = make(minibatches=2)
    step(lab)
    batch = lab.rollout()
    lab.guide(batch)
    trainer = lab._engine.session.trainer
    interrupt_when(lab, lambda number: trainer.state.global_step == 3)
    with pytest.raises(KeyboardInterrupt):
        lab.update(batch, auto="accept")
    assert lab.step == 2 and lab.batch == batch
    lab.update(batch)
    with Lab(SMALL, out=tmp_path / "whole", minibatches=2, quiet=True) as whole:
        whole.train()
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_stopped_while_training_unattended_keeps_the_steps_that_were_done(make, tmp_path, undisturbed):
    lab = make()
    step(lab)
    trainer = lab._engine.session.trainer
    interrupt_when(lab, lambda number: trainer.state.global_step == 2)
    with pytest.raises(KeyboardInterrupt):
        lab.train()
    assert lab.step == 2
    lab.train(2)
    with Lab(SMALL, out=tmp_path / "whole", quiet=True) as whole:
        whole.train()
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_a_second_stop_does_not_wait(make, undisturbed, tmp_path):
    """The worker hangs in something that cannot be stopped: the caller gets away, and the next call waits for the worker."""
    gate = threading.Event()

    def before(number):
        if number == 1:
            interrupt(lab)
            os.kill(os.getpid(), signal.SIGINT)
            gate.wait(60)
        return ""

    lab = make(teacher=Flaky(before))
    batch = lab.rollout()
    with pytest.raises(KeyboardInterrupt):
        lab.guide(batch)
    assert lab._engine.worker.busy and "busy" in repr(lab)
    gate.set()
    assert len(lab.guide(batch)) == 4 and len(lab._engine.session.teaching.teacher.asked) == 4
    finish(lab, tmp_path / "run", undisturbed)


@pytest.mark.parametrize("kind", [Flaky, OnTheNetwork])
def test_a_teacher_that_is_down_and_comes_back(make, tmp_path, undisturbed, kind):
    down = [True]

    def before(number):
        if down[0] and number == 2:
            raise TeacherError("the flaky teacher cannot work: key refused")
        return ""

    lab = make(teacher=kind(before))
    batch = lab.rollout()
    with pytest.raises(TeacherError, match="key refused"):
        lab.guide(batch)
    with pytest.raises(LabError, match=r"lab.guide"):
        lab.update(batch)
    down[0] = False
    assert lab.rollout() == batch and len(lab.guide(batch).usable) == 4
    finish(lab, tmp_path / "run", undisturbed)


def test_requests_that_the_teacher_did_not_answer_are_asked_again_and_only_those(make):
    faults = {1: "connection", 2: "connection", 3: "connection", 4: "connection", 6: "timeout"}
    teacher = Flaky(lambda number: faults.get(number, ""))
    lab = make(teacher=teacher)
    batch = lab.rollout()
    with pytest.raises(TeacherError, match=r"none of 4 requests.*connection"):
        lab.guide(batch)
    assert len(lab.guide(batch).usable) == 3
    lost = teacher.asked[5]
    assert lab.proposals[lost].reason == "timeout"
    assert len(lab.guide(batch).usable) == 4 and teacher.asked[8:] == [lost]


def test_a_teacher_that_fails_in_an_unattended_run_loses_nothing(make, tmp_path):
    teacher = OnTheNetwork(lambda number: fail() if number == 7 and not mended else "")
    mended = []

    def fail():
        raise TeacherError("no credit left")

    lab = make(teacher=teacher)
    with pytest.raises(TeacherError, match="no credit"):
        lab.train()
    assert lab.step == 1 and lab.batch is not None
    mended.append(1)
    lab.train()
    assert lab.step == 4 and len(teacher.asked) == len(set(teacher.asked)) + 1  # only the one that had failed
    with Lab(SMALL, out=tmp_path / "whole", quiet=True) as whole:
        whole.train()
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_a_loss_that_is_not_finite(make, tmp_path, undisturbed):
    lab = make()
    trainer = lab._engine.session.trainer
    batch = lab.rollout()
    lab.guide(batch)
    inner = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: inner(model, inputs) * torch.nan
    with pytest.raises(TrainingError, match="the loss became nan"):
        lab.update(batch, auto="accept")
    trainer._compute_loss = inner
    assert lab.step == 0 and lab.rollout() == batch
    lab.update(batch)
    finish(lab, tmp_path / "run", undisturbed)


@pytest.mark.parametrize("where", ["checkpoint", "metrics", "batch", "reviews"])
def test_a_disk_that_is_full(make, tmp_path, undisturbed, where, monkeypatch):
    lab = make()
    full = OSError(28, "No space left on device")
    trainer, run = lab._engine.session.trainer, type(lab._engine.session.run)
    with monkeypatch.context() as patch:

        def refuse(self, name, *_):
            if name == {"batch": "waiting.json"}.get(where, where):
                raise RunError(f"cannot write {name}: No space left on device")
            return (
                append(self, name, *_)
                if name in ("metrics", "rollouts", "proposals", "reviews", "tokens")
                else write(self, name, *_)
            )

        append, write = run.append, run.write_json
        if where == "checkpoint":
            patch.setattr(trainer, "save_model", lambda *a, **k: (_ for _ in ()).throw(full))
        else:
            patch.setattr(run, "append", refuse)
            patch.setattr(run, "write_json", refuse)
        with pytest.raises(RunError, match="No space left"):
            step(lab)
    assert lab.step == 0
    finish(lab, tmp_path / "run", undisturbed)


FIRST_SITTING = """
import json, sys
from thinklab import Lab
lab = Lab(json.loads(sys.argv[1]), out=sys.argv[2], quiet=True, by="ann")
batch = lab.rollout()
lab.guide(batch)
lab.update(batch, auto="accept")
batch = lab.rollout()
ids = list(lab.guide(batch))
lab.queue.edit(ids[0], "I check: it is two. So \\\\boxed{2}.")
lab.queue.reject(ids[1])
print(json.dumps([r.student_ids for r in batch.rollouts]), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_another_process_is_kept_out_and_goes_on_where_the_killed_one_was(make, tmp_path):
    kernel = subprocess.Popen(
        [sys.executable, "-c", FIRST_SITTING, json.dumps(SMALL), str(tmp_path / "run")],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    line = kernel.stdout.readline()
    try:
        assert line, kernel.stderr.read()
        with pytest.raises(RunError, match=f"is open in another process .process {kernel.pid}"):
            make()
    finally:
        kernel.kill()  # no goodbye
        kernel.communicate()
    lab = make()
    teacher = lab._engine.session.teaching.guide.teacher = Flaky()  # it would note whatever it were asked
    assert lab.step == 1 and "2 of 4 pieces of guidance undecided" in repr(lab)
    batch = lab.rollout()
    assert [list(r.student_ids) for r in batch.rollouts] == json.loads(line)
    ids = list(lab.guide(batch))
    assert not teacher.asked and len(ids) == 4
    assert [i.state for i in lab.queue.items] == ["edited", "rejected", "open", "open"] and lab.queue.items[0].who == "ann"
    lab.update(batch, auto="accept")
    lines = {r["id"]: r["guidance"] for r in lab.run.read("rollouts")}
    assert lines[ids[0]]["edited"] == "I check: it is two. So \\boxed{2}." and lines[ids[1]]["status"] == "rejected"
    assert lab.step == 2


def test_a_paid_teacher_is_paid_once(make, tmp_path, monkeypatch):
    """The real SDK against a server on loopback, without thinklab's cache: what came is kept by the Lab itself."""
    from tests.support.fake_server import GOOD, KEY, Server

    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with Server(
        lambda number, body: "503" if number == 1 else "ok", text=lambda body: GOOD.replace("12", str(len(server.calls)))
    ) as server:
        how = {"backend": "anthropic", "base_url": server.url, "cache": False, "attempts": 1, "first_wait_s": 0.01}
        config = {**SMALL, "teacher": how, "guidance": {"gamma": 2, "max_tokens": 100}}
        with Lab(config, out=tmp_path / "paid", quiet=True) as lab:
            batch = lab.rollout()
            found = lab.guide(batch)
            asked = len(server.calls)
            assert len(found) - len(found.usable) == 1 and asked == len(
                {(r.example.id, r.text) for r in batch.rollouts if r.id in found}
            )
            spent = lab.run.read_json("teacher.json")["spent"]["calls"]
            assert spent == asked
        with Lab(out=tmp_path / "paid", quiet=True) as lab:  # restarted: only what failed is asked
            assert lab.rollout() == batch
            assert len(lab.guide(batch).usable) == len(found) and len(server.calls) == asked + 1
            said = lab.queue.items[0].text
            assert lab.queue.ask_again(lab.queue.items[0].id).text != said and len(server.calls) == asked + 2
            lab.update(batch, auto="accept")
            assert lab.run.read_json("teacher.json")["spent"]["calls"] == spent + 2
