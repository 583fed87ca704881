"""Unsloth's real Llama code in a tiny shape on a CPU: forward, gradients, generation, mode switches, in float32 and on nf4 weights."""

from __future__ import annotations

import sys

import pytest

if "tests.support.unsloth_emulation" not in sys.modules:
    pytest.skip("needs the environment and the plugin of `make test-unsloth`", allow_module_level=True)

import torch
from transformers import LlamaForCausalLM
from trl import GRPOTrainer

from tests.unsloth.emulated import MESSAGES, experiment, plain_twin
from thinklab.experiment import longest_batch
from thinklab.experiment.build import build
from thinklab.logprobs import chosen_logprobs
from thinklab.sampler import GenerateSampler, Sampler
from thinklab.teachers.unpatched import unpatched


def test_it_is_unsloth_s_code_that_runs(student):
    from unsloth.models import llama

    assert LlamaForCausalLM.forward.__module__ == llama.__name__ and GRPOTrainer.__name__ == "UnslothGRPOTrainer"
    assert type(student.sampler(4)) is GenerateSampler
    with unpatched():
        assert LlamaForCausalLM.forward.__module__.startswith("transformers")
    assert LlamaForCausalLM.forward.__module__ == llama.__name__


def test_log_probs_and_gradients_with_padding_on_both_sides(folder, either):
    """By ``.backward()`` under Unsloth's checkpointing, where ``torch.autograd.grad`` finds no gradient at all."""
    student = either
    ids = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, :3], mask[1, -2:] = 0, 0
    weight, found = torch.arange(1.0, 7.0), {}
    twin = plain_twin(folder, student)
    student.model.for_training(use_gradient_checkpointing=True)
    assert student.model.get_base_model().model.gradient_checkpointing
    for name, model in (("unsloth", student.model), ("plain", twin.train())):
        model.zero_grad()
        if name == "plain":
            with unpatched():
                logps, entropies = chosen_logprobs(model.get_base_model(), ids, mask, 6)
        else:
            logps, entropies = chosen_logprobs(model, ids, mask, 6)
        (logps * weight).sum().backward()
        found[name] = logps.detach(), entropies, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    torch.testing.assert_close(found["unsloth"][0], found["plain"][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["unsloth"][1], found["plain"][1], rtol=1e-4, atol=1e-5)
    assert found["unsloth"][2].keys() == found["plain"][2].keys() and len(found["plain"][2]) == 14
    largest = max(g.abs().max().item() for g in found["plain"][2].values())
    assert largest > 0.01
    for name, gradient in found["plain"][2].items():
        torch.testing.assert_close(found["unsloth"][2][name], gradient, rtol=1e-3, atol=1e-5 * largest)
    student.model.zero_grad()
    leaves = [p for p in student.model.parameters() if p.requires_grad]
    logps, _ = chosen_logprobs(student.model, ids, mask, 6)
    assert not any(torch.is_tensor(g) for g in torch.autograd.grad((logps * weight).sum(), leaves, allow_unused=True))


def test_greedy_answers_are_those_of_the_plain_model_and_samples_are_seeded(folder, either):
    student = either
    prompts = [student.encode(MESSAGES), student.encode([{"role": "user", "content": "Tom has 12 figs and 4 more"}])]
    twin = plain_twin(folder, student).eval()
    mine = student.sampler(6, temperature=0.0)(student.model, prompts, 2)
    with unpatched():
        plain = Sampler(6, student.eos_ids, student.tokenizer.pad_token_id, 0.0)(twin.get_base_model(), prompts, 2)
    assert mine == plain
    sampler = student.sampler(6)
    assert sampler(student.model, prompts, 3, 7) == sampler(student.model, prompts, 3, 7) != sampler(student.model, prompts, 3, 8)


def test_the_longest_batch_generates_and_leaves_the_model_as_it_found_it(folder, tmp_path, monkeypatch):
    session = build(experiment(folder, gradient_checkpointing=True), tmp_path / "run")
    model, trainer = session.trainer.model, session.trainer
    model.for_training(use_gradient_checkpointing=False)
    made, real = [], model.generate
    for found in ("training", "inference"):
        if found == "inference":
            model.for_inference()
        state = {n: longest_batch._settings(m) for n, m in model.named_modules()}
        side, config = trainer.processing_class.padding_side, dict(vars(model.config))
        monkeypatch.setattr(GenerateSampler, "__call__", _noting(made))
        longest_batch.try_longest_batch(trainer, session.config)
        monkeypatch.undo()
        after = {n: longest_batch._settings(m) for n, m in model.named_modules()}
        for name in state:
            assert state[name].keys() == after[name].keys(), (found, name)
            for key, value in state[name].items():
                assert after[name][key] is value or after[name][key] == value, (found, name, key)
        assert trainer.processing_class.padding_side == side and vars(model.config) == config
    assert made == [(1, 24, 2, 6)] * 2 and model.generate == real  # questions, prompt, answers to each, tokens of each


def _noting(made):
    real = Sampler.__call__

    def call(self, model, prompts, n=1, *args, **kwargs):
        answers = real(self, model, prompts, n, *args, **kwargs)
        made.extend({(len(prompts), len(prompts[0]), n, len(a)) for a in answers})
        return answers

    return call
