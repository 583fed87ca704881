"""A schedule that would do nothing, or something other than it says, is refused with what to write."""

from __future__ import annotations

import sys

import pytest

from tests.conftest import ROOT
from thinklab.cli.app import main
from thinklab.config.experiment import Experiment, GuidanceSection
from thinklab.config.load import load_config
from thinklab.errors import ConfigError
from thinklab.guide.guide import Schedule

DEMO = ROOT / "examples" / "demo-self-check.yaml"
REFUSED = [
    ("schedule={end: 0, steps: 2}", r"schedule.end and schedule.steps: gamma stays at 0.25 .*linear"),
    ("schedule={end: 0}", "schedule.end: gamma stays"),
    ("schedule={steps: 9}", "schedule.steps: gamma stays"),
    ("schedule={kind: linear}", "kind linear has no effect without schedule.end and schedule.steps"),
    ("schedule={kind: cosine, end: 0}", "kind cosine has no effect without schedule.steps"),
    ("schedule={kind: exp, steps: 5}", "kind exp has no effect without schedule.end"),
    ("schedule={kind: linear, end: 1, steps: 5}", r"gamma 0.25 is a share .* schedule.end 1 is a number .* both"),
    ("gamma=2 schedule={kind: linear, end: 0.5, steps: 5}", r"gamma 2 is a number .* schedule.end 0.5 is a share"),
    ("gamma=0 schedule={kind: exp, end: 0.5, steps: 5}", "exp cannot rise from a gamma of 0"),
    ("gamma=1.5", "cannot exceed 1.0; write 1 "),
    ("schedule={kind: linear, end: 2.5, steps: 5}", "schedule.end 2.5 is a share"),
    ("gamma=.2 samples=2", r"gamma 0.2 of a group of 2 answers is 0.4 .* none; write 1, or a share of at least 0.25"),
    ("gamma=0 schedule={kind: linear, end: 0.05, steps: 5}", "gamma 0.05 of a group of 8 .* none"),
    ("gamma=9", "gamma 9 is more than the 8 answers"),
]


@pytest.mark.parametrize("settings, words", REFUSED)
def test_a_schedule_that_silently_does_nothing_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        load_config(DEMO, override(settings))


def override(settings):
    """``a=1 b={...}`` as overrides with their sections."""
    head, brace, rest = settings.partition("schedule=")
    found = [f"{'train' if part.startswith('samples') else 'guidance'}.{part}" for part in head.split()]
    if brace:
        found.append(f"guidance.schedule={rest}")
    return found


@pytest.mark.parametrize(
    "settings",
    [
        "gamma=.25",
        "gamma=1",
        "gamma=1.0",
        "gamma=0",
        "gamma=8",
        "schedule={off_at: 3}",
        "gamma=.25 samples=2",
        "schedule={kind: linear, end: 0, steps: 30}",
        "schedule={kind: linear, end: 1.0, steps: 30}",
        "gamma=2 schedule={kind: cosine, end: 0, steps: 30}",
        "gamma=2 schedule={kind: exp, end: 6, steps: 30}",
        "gamma=0 schedule={kind: linear, end: .5, steps: 4}",
        "schedule={kind: exp, end: 0, steps: 9, off_at: 7}",
    ],
)
def test_a_schedule_that_does_what_it_says_is_taken(settings):
    config = load_config(DEMO, override(settings))
    assert config.guidance.whole_schedule().start == config.guidance.gamma


def test_a_rise_from_zero_guides_by_the_unit_of_its_end():
    assert [Schedule(0, 0.5, 4, "linear").count(s, 8) for s in (0, 2, 4, 9)] == [0, 2, 4, 4]
    assert [Schedule(0.0, 4, 4, "linear").count(s, 8) for s in (0, 2, 4, 9)] == [0, 2, 4, 4]
    assert [Schedule(0.5, 0, 4, "linear").count(s, 8) for s in (0, 2, 4)] == [4, 2, 0]
    assert [Schedule(2, 8, 30, "exp").count(s, 8) for s in (0, 15, 30)] == [2, 4, 8]


def test_plain_grpo_asks_nothing_of_gamma():
    load_config(DEMO, ["loss.method=grpo", "guidance.gamma=.2", "train.samples=2"])
    with pytest.raises(ConfigError, match="rounds to none"):
        Schedule(0.2).check_group(2)


def test_the_command_line_says_it_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["thinklab", "train", str(DEMO), "guidance.schedule={kind: linear}", "--out", str(tmp_path / "run")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "schedule.kind linear has no effect" in said and "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_the_shipped_defaults_stand():
    assert GuidanceSection().whole_schedule() == Schedule()
    assert Experiment(loss={"method": "grpo"}).guidance.gamma == 0.25
