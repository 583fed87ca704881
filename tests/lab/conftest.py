"""A small Lab and what its tests compare."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from thinklab import Lab, load_teacher
from thinklab.run.folder import RunFolder

SMALL = {
    "name": "small",
    "task": {"name": "sums"},
    "behaviors": ["self-check"],
    "teacher": {"backend": "scripted", "rule": "sums-check"},
    "guidance": {"gamma": 2, "max_tokens": 60},
    "train": {
        "steps": 4,
        "questions": 2,
        "samples": 4,
        "max_prompt_tokens": 40,
        "max_completion_tokens": 32,
        "warmup_steps": 0,
        "checkpoint_every": 0,
        "threads": 1,
        "seed": 5,
    },
    "probe": {"questions": 12},
    "guards": {"kl_every": 0},
}


@pytest.fixture
def make(tmp_path):
    """``make(out="run", **settings)``: a quiet Lab that is closed at the end."""
    made = []

    def make(out="run", **settings):
        lab = Lab(None if (tmp_path / out).exists() else SMALL, out=tmp_path / out, quiet=True, by="ann", **settings)
        made.append(lab)
        return lab

    yield make
    for lab in made:
        lab.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Checkpoint after two steps with all guidance accepted, nothing in between: what every disturbed Lab must equal."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    with Lab(SMALL, out=folder, quiet=True) as lab:
        for _ in range(2):
            step(lab)
        return weights(folder)


def step(lab, **how):
    batch = lab.rollout()
    lab.guide(batch)
    return lab.update(batch, auto="accept", **how)


def weights(folder: Path):
    path, _ = RunFolder(folder).last_checkpoint()
    return load_file(path / "adapter_model.safetensors")


def same(mine, theirs) -> bool:
    return mine.keys() == theirs.keys() and all((mine[k] == theirs[k]).all() for k in mine)


class Flaky:
    """The scripted teacher, but ``before`` is called with the number of each request first and may raise or return an error."""

    name = "flaky"

    def __init__(self, before=lambda number: ""):
        self.inner, self.before, self.asked = load_teacher("scripted", rule="sums-check"), before, []

    def reply(self, requests):
        from thinklab.teachers import TeacherReply

        out = []
        for request in requests:
            self.asked.append(request.id)
            error = self.before(len(self.asked))
            out += [TeacherReply(request.id, error=error, detail="as planned")] if error else self.inner.reply([request])
        return out


class OnTheNetwork(Flaky):
    """The same, one future per call, as a service answers."""

    def submit(self, requests):
        from concurrent.futures import Future

        future = Future()
        try:
            future.set_result(self.reply(requests))
        except Exception as error:
            future.set_exception(error)
        return future


def interrupt(lab) -> None:
    """What the stop button does, from within the work: the signal, and a wait until it has arrived."""
    os.kill(os.getpid(), signal.SIGINT)
    assert lab._engine.worker.stop.wait(60)


def interrupt_when(lab, condition) -> None:
    """Stop once, at the first forward pass for which ``condition(number of forward passes from now on)`` holds."""
    seen = [0]

    def hook(*_):
        seen[0] += 1
        if condition(seen[0]):
            handle.remove()
            interrupt(lab)

    handle = lab.student.model.get_input_embeddings().register_forward_pre_hook(hook, prepend=True)
