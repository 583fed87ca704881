"""The model card and its config agree about how long the student was trained."""

from __future__ import annotations

import re
import sys

import pytest

from thinklab.cli.app import main
from thinklab.export.export import save

SMALL = [
    "train.questions=2",
    "train.samples=2",
    "train.decay=constant",
    "train.warmup_steps=0",
    "train.checkpoint_every=1",
    "probe.questions=2",
    "probe.every=0",
    "student.lora.r=2",
    "--quiet",
    "--out",
    "run",
]


@pytest.fixture
def train(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["thinklab", "train", "demo-self-check", *SMALL, *arguments])
        try:
            main()
        except SystemExit as end:
            assert not end.code
        return tmp_path / "run"

    return run


def steps_of(card):
    """(the steps in the first sentence, ``train.steps`` in the config of the card)"""
    said = re.search(r"for (\d+) (?:optimizer )?steps of", card)[1]
    return int(said), int(re.search(r"^    steps: (\d+)$", card.split("  train:")[1], re.MULTILINE)[1])


def test_a_run_that_went_on_has_one_number_of_steps(train, tmp_path):
    train("train.steps=1")
    card = (save(train("train.steps=3", "--resume"), "adapter") / "README.md").read_text()
    assert steps_of(card) == (3, 3)
    assert "The run was started with `train.steps: 1`, later raised to 3." in card
    assert "weights are from step" not in card
    raised_again = (save(train("train.steps=4", "--resume"), "adapter", tmp_path / "again") / "README.md").read_text()
    assert steps_of(raised_again) == (4, 4) and "started with `train.steps: 1`, later raised to 4." in raised_again


def test_a_run_that_was_resumed_without_more_steps_says_nothing_of_it(train):
    train("train.steps=1")
    card = (save(train("train.steps=1", "--resume"), "adapter") / "README.md").read_text()
    assert steps_of(card) == (1, 1) and "started with" not in card


def test_a_run_that_0_1_0_resumed_with_more_steps_says_so_too(train):
    """That version left ``train.steps`` in the config as it was."""
    from thinklab.config.experiment import Experiment
    from thinklab.export.model_card import model_card
    from thinklab.run.folder import RunFolder

    run = RunFolder.open(train("train.steps=1"))
    card = model_card(run, Experiment.model_validate(run.resolved()["config"]), "adapter", 3, "a")
    assert steps_of(card) == (3, 3) and "started with `train.steps: 1`, later raised to 3." in card


def test_weights_from_the_middle_of_a_run_say_so(train):
    from thinklab.run.folder import RunFolder

    run = RunFolder.open(train("train.steps=2"))
    from thinklab.config.experiment import Experiment
    from thinklab.export.model_card import model_card

    config = Experiment.model_validate(run.resolved()["config"])
    card = model_card(run, config, "adapter", 1, "a")
    assert steps_of(card) == (1, 2) and "The weights are from step 1 of the 2 in its config." in card
    whole = model_card(run, config, "adapter", 2, "a")
    assert steps_of(whole) == (2, 2) and "weights are from step" not in whole


def test_a_baseline_is_not_called_thinktuning(train):
    run = train("train.steps=2", "loss={method: grpo}", "baseline={kind: sft, batch: 1, epochs: 2}")
    card = (save(run, "adapter") / "README.md").read_text()
    assert "for 8 optimizer steps of supervised fine-tuning on gold texts" in card
    assert "`train.steps: 2` in its config sets which questions were used" in card
    assert "ThinkTuning" not in card.split("## Use")[0] and "thinktuning" not in card.split("---")[1]
