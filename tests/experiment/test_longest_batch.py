"""Trying the longest batch leaves no trace, is as large as the config allows, and turns a lack of memory into advice."""

from __future__ import annotations

import copy

import pytest
import torch

from thinklab import logprobs
from thinklab.config.load import load_config
from thinklab.config.shipped import resource_dir
from thinklab.errors import TrainingError
from thinklab.experiment import longest_batch as module
from thinklab.experiment.build import build
from thinklab.experiment.train import run_experiment

SMALL = [
    "train.steps=2",
    "train.questions=3",
    "train.samples=4",
    "probe.questions=8",
    "probe.every=0",
    "train.checkpoint_every=0",
    "guards.action=off",
    "train.micro_batch=6",
]


def config(*more):
    return load_config(resource_dir("examples") / "demo-self-check.yaml", [*SMALL, *more])


def test_weights_random_states_and_metrics_stay(tmp_path):
    session = build(config("student.lora.dropout=0.1"), tmp_path / "run")
    model = session.trainer.model
    before, rng = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    metrics, mode = copy.deepcopy(session.trainer._metrics), model.training
    found = module.try_longest_batch(session.trainer, session.config)
    assert (found.rows, found.tokens, found.peak_bytes) == (6, 40 + 72 + 60, None)
    assert torch.equal(torch.get_rng_state(), rng) and session.trainer._metrics == metrics and model.training == mode
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert all(p.grad is None for p in model.parameters())
    assert "6 x 172 tokens" in str(found)


def test_the_result_of_a_run_is_the_same_with_it(tmp_path):
    """Every rollout and every metric but the clock."""
    lines = []
    for wanted in ("true", "false"):
        said = []
        run_experiment(config(f"train.longest_batch_first={wanted}"), tmp_path / wanted, say=said.append)
        assert any("the longest batch fits" in s for s in said) == (wanted == "true")
        lines.append((tmp_path / wanted / "rollouts.jsonl").read_text())
    assert lines[0] == lines[1] and len(lines[0].splitlines()) == 24


def test_every_stage_is_as_large_as_the_config_allows(tmp_path, monkeypatch):
    session = build(config("train.sample_rows=8"), tmp_path / "run")
    seen = []
    forward = session.student.model.forward
    monkeypatch.setattr(
        session.student.model,
        "forward",
        lambda *a, **k: (
            seen.append((tuple(k["input_ids"].shape), (k.get("cache") or k["past_key_values"]).get_seq_length()))
            or forward(*a, **k)
        ),
    )
    losses = []
    real = logprobs.chosen_logprobs
    monkeypatch.setattr(
        "thinklab.trainer.chosen_logprobs", lambda m, ids, *rest: losses.append(tuple(ids.shape)) or real(m, ids, *rest)
    )
    module.try_longest_batch(session.trainer, session.config)
    assert seen[0] == ((2, 40), 0) and {shape[0] for shape, _ in seen[1:]} == {8}
    assert seen[-1][1] + seen[-1][0][1] == 40 + 72 - 1  # the last token is never put back in
    assert losses == [(6, 172)]


@pytest.mark.parametrize(
    "stage, keys",
    [
        ("sampling", ["train.sample_rows (now 12", "train.max_completion_tokens (now 72)", "student.quantize=nf4"]),
        ("training", ["train.micro_batch (now 6", "train.gradient_checkpointing=true", "guidance.max_tokens (now 60)"]),
    ],
)
def test_no_memory_is_one_error_with_advice_and_leaves_no_run_behind(stage, keys, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr(module, "_sample" if stage == "sampling" else "_train", fails)
    with pytest.raises(TrainingError) as caught:
        build(config("train.longest_batch_first=true"), tmp_path / "run")
    text = str(caught.value)
    assert f"while {stage}" in text and "Tried to allocate 2.00 GiB" in text and "\n" not in text
    assert all(key in text for key in keys), text
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_other_errors_are_not_called_memory(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(module, "_train", fails)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        build(config("train.longest_batch_first=true"), tmp_path / "run")


def test_no_reference_model_when_beta_is_0(tmp_path):
    """With LoRA the reference is the model without its adapter; without LoRA it would be a second model: only for beta > 0."""
    assert build(config("student.lora=null"), tmp_path / "a").trainer.ref_model is None
    assert build(config("student.lora=null", "loss.beta=0.1"), tmp_path / "b").trainer.ref_model is not None
    assert build(config("loss.beta=0.1"), tmp_path / "c").trainer.ref_model is None
