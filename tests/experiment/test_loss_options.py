"""The keys that take the loss apart, from YAML to the trainer: dual clip, a floor without c, own credit."""

from __future__ import annotations

from pathlib import Path

import pytest

from thinklab.config.load import load_config
from thinklab.errors import ConfigError
from thinklab.experiment.train import train
from thinklab.experiment.trl_arguments import grpo_config, shaping
from thinklab.run.folder import RunFolder
from thinklab.types import rollout_from_json

SMALL = ["train.steps=2", "train.questions=4", "train.threads=1", "probe.questions=8", "probe.every=0", "guards.kl_every=0"]


def test_delta_is_trls(tmp_path):
    assert grpo_config(load_config("demo-self-check", ["loss.delta=3"]), tmp_path).delta == 3
    assert grpo_config(load_config("demo-self-check"), tmp_path).delta is None


@pytest.mark.parametrize(
    "override, says",
    [
        ("loss.delta=1.1", "delta (1.1) must be larger than 1 + epsilon (1.2)"),
        ("loss.floor=0.0005", "loss.floor (0.0005) must be larger than loss.c_max (0.001)"),
        ("loss.floor=2", "less than or equal to 1"),
        ("loss.credit=mine", "trajectory"),
    ],
)
def test_values_that_cannot_work_are_named(override, says):
    with pytest.raises(ConfigError) as error:
        load_config("demo-self-check", [override])
    assert says in str(error.value)


@pytest.mark.parametrize("floor", [0, 1])
def test_without_c_any_floor_is_accepted(floor):
    built = shaping(load_config("demo-self-check", ["loss.c_max=0", f"loss.floor={floor}"]))
    assert (built.c_max, built.floor) == (0, floor)


def test_a_run_with_own_credit_records_what_the_students_part_earned(tmp_path):
    train(Path("demo-self-check"), ["loss.credit=own", "teacher.wrong_share=0.5", *SMALL], tmp_path / "run")
    rollouts = [rollout_from_json(line) for line in RunFolder(tmp_path / "run").read("rollouts")]
    guided = [r for r in rollouts if r.guided]
    assert guided and all(not r.own_rewards for r in rollouts if not r.guided)
    for r in guided:
        assert r.own_rewards == {"correct": float(r.checks["student_correct"]), "behavior": 0.0}
    assert any(r.own_rewards != r.rewards for r in guided), "every comment left the reward as it was"


def test_a_teacher_that_fails_on_long_sums_is_right_on_short_ones(tmp_path):
    wrong = ["teacher.wrong_share=0", "teacher.long_wrong_share=1", "task.terms=[2, 4]"]
    train(Path("demo-self-check"), [*wrong, *SMALL], tmp_path / "run")
    guided = [r for line in RunFolder(tmp_path / "run").read("rollouts") if (r := rollout_from_json(line)).guided]
    by_length = {long: {r.checks["correct"] for r in guided if (len(r.example.meta["operands"]) > 2) == long} for long in (0, 1)}
    assert by_length == {0: {True}, 1: {False}}


def test_an_aside_comes_between_the_first_words_and_the_steps(tmp_path):
    more = ["teacher.aside=The sum is done.", "guidance.max_tokens=80", "train.max_completion_tokens=110"]
    train(Path("demo-self-check"), [*more, *SMALL], tmp_path / "run")
    guided = [r for line in RunFolder(tmp_path / "run").read("rollouts") if (r := rollout_from_json(line)).guided]
    assert guided and all(r.guidance.text.startswith("I check: The sum is done. ") for r in guided)
