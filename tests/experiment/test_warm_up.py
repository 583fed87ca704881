"""The learning rate over a run: warm-up begins above 0, and from its end on the schedule is TRL's."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from tests.conftest import ROOT
from thinklab.config.load import load_config
from thinklab.experiment.train import run_experiment
from thinklab.experiment.warm_up import above_zero
from thinklab.run.folder import RunFolder

SMALL = [
    "train.questions=2",
    "train.samples=4",
    "train.max_completion_tokens=32",
    "train.checkpoint_every=0",
    "train.threads=1",
    "probe.questions=2",
    "probe.every=0",
    "guards.kl_every=0",
]


def rates(kind: str, warmup: int, steps: int, raised: bool) -> list[float]:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scheduler = get_scheduler(kind, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    if raised:
        assert isinstance(scheduler, LambdaLR)
        above_zero(scheduler, warmup)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("kind", ["constant_with_warmup", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_it_begins_above_zero_and_is_trls_after_warm_up(kind, warmup):
    mine, theirs = rates(kind, warmup, 10, True), rates(kind, warmup, 10, False)
    assert mine[warmup:] == theirs[warmup:] and mine[warmup] == 0.5
    assert mine[:warmup] == pytest.approx([0.5 * (s + 1) / (warmup + 1) for s in range(warmup)])
    if warmup:
        assert theirs[0] == 0 < mine[0]


def learning_rates(folder) -> list[float]:
    return [line["learning_rate"] for line in RunFolder(folder).read("metrics")]


def test_every_step_of_a_run_moves_the_weights_and_a_resumed_run_keeps_the_schedule(tmp_path):
    config = ROOT / "examples" / "demo-self-check.yaml"
    settings = [
        *SMALL,
        "train.decay=constant",
        "train.warmup_steps=3",
        "train.learning_rate=0.004",
        "train.skip_empty_steps=false",
    ]
    run_experiment(load_config(config, [*settings, "train.steps=5"]), tmp_path / "whole")
    assert learning_rates(tmp_path / "whole") == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.004])
    assert [line["weights_changed"] for line in RunFolder(tmp_path / "whole").read("metrics")] == [True] * 5
    run_experiment(load_config(config, [*settings, "train.steps=2"]), tmp_path / "two")
    run_experiment(load_config(config, [*settings, "train.steps=5"]), tmp_path / "two", resume=True)
    assert learning_rates(tmp_path / "two") == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.004])


def test_a_supervised_baseline_has_the_same_warm_up(tmp_path):
    settings = [*SMALL, "train.decay=constant", "train.warmup_steps=3", "train.learning_rate=0.004", "train.steps=4"]
    settings += ["loss.method=grpo", "baseline={kind: sft, batch: 2}"]
    run_experiment(load_config(ROOT / "examples" / "demo-self-check.yaml", settings), tmp_path / "sft")
    assert learning_rates(tmp_path / "sft")[:3] == pytest.approx([0.001, 0.002, 0.003])
