"""Whole runs of a student in 4 bits, on bitsandbytes' CPU code: loss, gradients, log-probs, samples, each kind of teacher, resume.

What an export of such a student says: tests/export/test_export.py. The same under Unsloth's code: tests/unsloth, tests/gpu.
"""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("bitsandbytes")

from bitsandbytes.nn import Linear4bit

from tests.method.test_logprobs import plain, ragged
from tests.method.test_trainer_formula import written_formula
from tests.support.fake_server import KEY, Server
from tests.support.short_check import RULE, SHORT_CHECK
from tests.support.small_runs import guidance_of, resumed_after_one_step
from tests.support.tiny_llama import make_llama
from thinklab.config.load import load_config
from thinklab.config.shipped import resource_dir
from thinklab.experiment.build import build
from thinklab.logprobs import chosen_logprobs
from thinklab.sampler import GenerateSampler
from thinklab.students import load_student

SMALL = [
    "reward.require_finished=false",
    "guidance.gamma=1",
    "train.steps=2",
    "train.questions=2",
    "train.samples=2",
    "train.micro_batch=4",
    "train.max_completion_tokens=12",
    "train.learning_rate=0.02",
    "train.optimizer=sgd",
    "train.max_grad_norm=1e9",
    "train.warmup_steps=0",
    "train.checkpoint_every=1",
    "probe.questions=2",
    "probe.every=0",
    "guards.action=off",
    "guidance.schedule={kind: constant}",
]
TEACHERS = {
    "scripted": f"{{backend: scripted, rule: '{RULE}'}}",
    "self": "{backend: self, max_tokens: 8}",
    "continuation": "{backend: continuation, template: '{question} {response}', head: 'I check:', max_tokens: 8}",
    "local": "{backend: local, model: FOLDER, max_tokens: 8}",
    "local in 4 bits": "{backend: local, model: FOLDER, bits: 4, max_tokens: 8}",
    "human": "{backend: human, folder: TMP/inbox}",
    "replay": "{backend: replay, run: RUN}",
    "anthropic": "{backend: anthropic, base_url: 'URL'}",
    "openai": "{backend: openai, model: m, base_url: 'URL/v1', key_env: OPENAI_API_KEY}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random weights, room for a teacher's prompt; an answer ends after some four tokens."""
    return make_llama(tmp_path_factory.mktemp("llama") / "m", hidden=64, inner=128, layers=2, heads=4, kv_heads=2, ends=0.25)


def config(folder, *more):
    student = f"student={{kind: transformers, path: {folder}, quantize: nf4, dtype: float32, lora: {{r: 4, alpha: 8}}}}"
    short = [f"behaviors=[{SHORT_CHECK}]", f"teacher={TEACHERS['scripted']}"]
    return load_config(resource_dir("examples") / "demo-self-check.yaml", [student, *short, *SMALL, *more])


def is_4_bit(student):
    return any(isinstance(m, Linear4bit) for m in student.model.modules())


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Two steps; each loss call's weights, inputs, loss and gradients."""
    session, calls = build(config(folder), tmp_path_factory.mktemp("nf4") / "run"), []
    real = session.trainer.compute_loss

    def spy(model, inputs, **kwargs):
        leaves = {n: p for n, p in model.named_parameters() if p.requires_grad}
        weights = {n: p.detach().clone() for n, p in leaves.items()}
        seen = {k: v.clone() if torch.is_tensor(v) else v for k, v in inputs.items()}
        loss = real(model, inputs, **kwargs)
        grads = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True, allow_unused=True)
        calls.append((weights, seen, loss.item(), dict(zip(leaves, grads, strict=True))))
        return loss

    session.trainer.compute_loss = spy
    session.train()
    return session, calls


def test_loss_and_gradients_equal_the_written_formula(trained):
    session, calls = trained
    assert is_4_bit(session.student) and len(calls) == 2
    model, found = (
        session.student.model,
        dict.fromkeys(["masked teacher", "negative teacher", "positive teacher", "clipped student", "left padded"], 0),
    )
    held = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    for weights, seen, loss, grads in calls:
        model.load_state_dict(weights, strict=False)
        expected = written_formula(model, seen, session.trainer.args, session.trainer.shaping, 1, found)
        leaves = {n: p for n, p in model.named_parameters() if p.requires_grad}
        theirs = dict(zip(leaves, torch.autograd.grad(expected, list(leaves.values()), allow_unused=True), strict=True))
        assert loss == pytest.approx(expected.item(), rel=1e-3, abs=1e-5)
        largest = max(g.abs().max().item() for g in theirs.values() if g is not None)
        assert largest > 1e-4
        for name, gradient in theirs.items():
            torch.testing.assert_close(grads[name], gradient, rtol=1e-3, atol=1e-4 * largest)
    model.load_state_dict(held, strict=False)
    assert found["left padded"] and found["positive teacher"] + found["negative teacher"] + found["masked teacher"]


def test_log_probs_with_padding_on_both_sides_and_samples(folder):
    student = load_student("transformers", str(folder), dtype="float32", quantize="nf4", lora={"r": 4, "alpha": 8})
    model = student.model.eval()
    ids, mask = ragged(model.config.vocab_size)
    with torch.no_grad():
        mine, entropy = chosen_logprobs(model, ids, mask, 13)
        theirs, expected = plain(model, ids, mask, 13, 1.0)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(entropy, expected, rtol=1e-4, atol=1e-4)
    prompts = [student.encode([{"role": "user", "content": q}]) for q in ("2+3?", "Tom has 12 figs and finds 4 more.")]
    pad = student.tokenizer.pad_token_id
    assert student.sampler(20, temperature=0.0)(model, prompts, 1) == GenerateSampler(20, student.eos_ids, pad, 0.0)(
        model, prompts, 1
    )
    sampler = student.sampler(20)
    assert sampler(model, prompts, 3, 7) == sampler(model, prompts, 3, 7) != sampler(model, prompts, 3, 8)


@pytest.mark.parametrize("name", TEACHERS)
def test_two_steps_with_each_kind_of_teacher(name, folder, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Server() as server:
        options = TEACHERS[name]
        for mark, place in {"FOLDER": folder, "TMP": tmp_path, "RUN": trained[0].run.path, "URL": server.url}.items():
            options = options.replace(mark, str(place))
        session = build(config(folder, f"teacher={options}"), tmp_path / "run")
        session.train()
    asked, reasons = guidance_of(session, answers=8)
    assert is_4_bit(session.student)
    if name in ("scripted", "anthropic", "openai", "replay"):
        assert "accepted" in {g["status"] for g in asked}
    if name in ("self", "continuation") or name.startswith("local"):
        assert all(g["usage"]["output_tokens"] > 0 for g in asked)
    if name == "human":
        assert reasons == {"waiting"}


def test_a_resumed_run_goes_on_as_the_whole_one(folder, trained, tmp_path):
    session, _ = trained
    again = resumed_after_one_step(session, config(folder), tmp_path / "run")
    assert is_4_bit(again.student)
    whole = {n: p for n, p in session.student.model.named_parameters() if p.requires_grad}
    for name, parameter in again.student.model.named_parameters():
        if name in whole:
            assert torch.equal(parameter, whole[name]), name
