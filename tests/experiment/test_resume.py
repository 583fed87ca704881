"""Killed with SIGKILL and resumed, a run ends with the same weights as one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from safetensors.torch import load_file

from tests.support.warm_start import run_to_end, start
from thinklab.run.folder import RunFolder

CONFIG = """
name: kill-me
task: {name: sums}
behaviors: [self-check]
teacher: {backend: scripted, rule: sums-check}
guidance: {gamma: 2, max_tokens: 60, schedule: {kind: linear, end: 0, steps: 10}}
train: {steps: 9, questions: 3, samples: 4, max_prompt_tokens: 40, max_completion_tokens: 48, checkpoint_every: %d, threads: 1,
        seed: 5, iterations: %d}
probe: {questions: 8, every: 3, every_questions: 8}
"""


def command(config, out, *more):
    return ["train", config, "--out", out, "--quiet", *more]


def final_weights(run):
    path, step = run.last_checkpoint()
    assert step == 9
    return load_file(path / "adapter_model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("iterations, kill_after", [(1, 5), (3, 7)], ids=["after step 5", "mid-generation, 3 iterations"])
def test_sigkill_then_resume_gives_the_same_weights(tmp_path, iterations, kill_after):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG % (3, iterations))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_to_end(*command(config, whole))

    process = start(*command(config, killed))
    metrics, deadline = killed / "metrics.jsonl", time.time() + 120
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= kill_after):
        assert process.poll() is None and time.time() < deadline, "it ended before it could be killed"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 3 <= RunFolder(killed).last_checkpoint()[1] < 9
    run_to_end(*command(config, killed, "--resume"))

    runs = RunFolder.open(whole), RunFolder.open(killed)
    theirs, mine = map(final_weights, runs)
    assert theirs.keys() == mine.keys() and all((theirs[k] == mine[k]).all() for k in theirs)
    for name in ("rollouts", "metrics", "probes"):
        a, b = ([_without_clocks(line) for line in run.read(name)] for run in runs)
        assert a == b, f"{name}.jsonl differs"
    assert json.loads((killed / "probe.json").read_text()) == json.loads((whole / "probe.json").read_text())


def _without_clocks(line):
    clocks = {"seconds", "step_time", "epoch", "train_runtime", "num_tokens"}
    line = {k: v for k, v in line.items() if k not in clocks}
    if line.get("guidance"):
        line["guidance"] = {**line["guidance"], "latency_s": 0}
    return line
