"""``thinklab plan``: its counts are those of a run, its money that of the teacher, its bytes those of the model; recipes are planned."""

from __future__ import annotations

import json
import socket

import pytest

from tests.conftest import ROOT
from thinklab.cli.plan import lines
from thinklab.config.load import load_config
from thinklab.errors import RunError
from thinklab.experiment.forecast import forecast, measured_pace
from thinklab.experiment.memory_plan import at_least, memory_parts
from thinklab.experiment.train import run_experiment
from thinklab.run.folder import RunFolder
from thinklab.students import TINY, load_student

RECIPES = sorted((ROOT / "examples" / "recipes").glob("*.yaml"))
CARDS = {"t4": 15, "16gb": 16, "24gb": 24, "80gb": 80}
PAID = ["teacher={backend: anthropic, cap_usd: 4.5}", "train.steps=20"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A plan asks nobody and needs no key."""

    def refuse(*args):
        raise AssertionError("a plan opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of four generations and its config."""
    keys = "steps=8 questions=2 samples=4 minibatches=2 checkpoint_every=2 warmup_steps=0".split()
    config = load_config(
        "demo-self-check",
        [*(f"train.{k}" for k in keys), "guidance.gamma=1", "guidance.schedule={off_at: 4}", "probe={questions: 5, every: 0}"],
    )
    out = tmp_path_factory.mktemp("plan") / "run"
    run_experiment(config, out)
    return config, out


def test_a_run_is_what_its_plan_says(small):
    config, out = small
    plan = forecast(config)
    rollouts = list(RunFolder.open(out).read("rollouts"))
    asked = [r for r in rollouts if r["guidance"] is not None]
    assert (plan.generations, plan.questions, plan.rollouts) == (4, 8, 32)
    assert len(rollouts) == plan.rollouts and len({r["generation"] for r in rollouts}) == plan.generations
    assert plan.guided_at_most == 4 and 0 < len(asked) <= 4
    assert sum(len(r["student_ids"]) for r in rollouts) <= plan.sampled_tokens_at_most == 32 * config.train.max_completion_tokens
    answers = sum(1 for _ in RunFolder.open(out).read("probe_samples"))
    assert answers <= plan.probe_answers == 2 * 5 * 2


def test_time_is_only_what_was_measured(small):
    config, out = small
    plan = forecast(config)
    assert lines(config, plan, None)[-1].startswith("time     not measured")
    pace = measured_pace(out, config)
    assert pace.generations == 3 and pace.differs == () and 0 < pace.seconds < 60
    longer = load_config("demo-self-check", ["train.samples=4"])
    said = lines(longer, forecast(longer), measured_pace(out, longer))
    assert f"generations of {pace.seconds:.1f} s" in said[-2]
    assert "another train.questions, train.minibatches, guidance.gamma: the time is not comparable" in said[-1]


def test_a_run_that_is_too_short_times_nothing(small, tmp_path):
    config, out = small
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "config.yaml").write_text((out / "config.yaml").read_text())
    (copy / "metrics.jsonl").write_text("".join((out / "metrics.jsonl").read_text().splitlines(True)[:4]))
    with pytest.raises(RunError, match="fewer than three generations"):
        measured_pace(copy, config)


def test_money_is_the_teachers_own_estimate():
    config = load_config("demo-self-check", PAID)
    plan = forecast(config)
    calls = 20 * 12 * 2  # steps x questions x a quarter of 8 answers
    assert plan.guided_at_most == plan.teacher.calls == calls
    assert plan.teacher.cap_usd == 4.5 and 0 < plan.teacher.usd_likely < plan.teacher.usd < 4.5 and not plan.refused
    told = "\n".join(lines(config, plan, None))
    assert "cap      $4.5: never more" in told
    tight = forecast(load_config("demo-self-check", [*PAID, "teacher.cap_usd=0.001"]))
    assert "is left under cap_usd" in tight.refused
    assert not forecast(load_config("demo-self-check", [*PAID, "teacher.cap_usd=0.001", "teacher.on_cap=stop"])).refused


def test_questions_that_would_be_downloaded_count_in_full():
    config = load_config("gsm8k", ["teacher={backend: anthropic}", "student.path=nowhere/unknown"])
    plan = forecast(config)
    assert "each counts as train.max_prompt_tokens long" in plan.teacher_said
    local = forecast(
        load_config("gsm8k", ["teacher={backend: anthropic}", f"task.path={ROOT}/examples/eval/tiny-questions/gsm8k.jsonl"])
    )
    assert local.teacher.input_tokens < plan.teacher.input_tokens
    assert "memory   not computed: the config.json of nowhere/unknown is not on this machine" in lines(config, plan, None)


def test_bytes_are_those_of_the_model():
    parts = memory_parts(load_config("llama-self", profile="t4"))
    weights, adapter, cache, kept = (part.bytes for part in parts)
    assert parts[0].what.startswith("3.21 billion weights") and parts[1].what.startswith("adapter of 24 million")
    assert cache == 2 * 32 * (512 + 512) * 28 * 8 * 128 * 2 and kept == 4 * (512 + 512 + 256) * 3072 * 28 * 2
    assert at_least(parts) == weights + adapter + max(cache, kept)
    assert memory_parts(load_config("qwen3-self", profile="80gb"))[0].what == "4.02 billion weights, 16 bits"


def test_the_adapter_is_as_large_as_peft_makes_it():
    config = load_config("gsm8k", [f"student.path={TINY}", "student.dtype=float32", "student.lora.r=4"])
    student = load_student(config.student)
    trained = sum(p.numel() for p in student.model.parameters() if p.requires_grad)
    total = sum(p.numel() for n, p in student.model.named_parameters() if "lora_" not in n)
    weights, adapter, *_ = memory_parts(config)
    assert adapter.bytes == trained * 16 and weights.bytes == total * 4


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: f.stem)
def test_every_recipe_is_planned_on_every_card(file):
    for profile, gigabytes in CARDS.items():
        config = load_config(file, profile=profile)
        plan = forecast(config)
        assert 0 < at_least(plan.memory) < 0.85 * gigabytes * 1e9
        assert plan.guided_at_most > 0 and not plan.refused
        if plan.teacher is not None:
            assert plan.teacher.usd < config.teacher.options["cap_usd"] < 5 and config.teacher.options["on_cap"] == "stop"


def test_one_recipe_is_paid_and_the_others_are_free():
    paid = [f.stem for f in RECIPES if forecast(load_config(f, profile="t4")).teacher is not None]
    assert paid == ["anthropic-teacher"] and len(RECIPES) == 5


def test_the_command(capsys):
    from typer.testing import CliRunner

    from thinklab.cli.app import app

    done = CliRunner().invoke(app, ["plan", "anthropic-teacher", "--profile", "t4", "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["name"] == "anthropic-teacher" and found["pace"] is None
    assert found["guided_at_most"] == found["teacher"]["calls"] == 400
