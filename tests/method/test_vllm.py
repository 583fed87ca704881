"""Sampling with vLLM through TRL, against a stub of TRL's ``VLLMGeneration``, not real vLLM: see docs/run-on-a-gpu.md."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
import torch
from trl.generation.vllm_generation import VLLMGeneration

from tests.method.test_trainer_formula import SHAPING, check_against_the_formula, run
from thinklab.config.experiment import Experiment, TrainSection
from thinklab.errors import ConfigError
from thinklab.experiment.trl_arguments import vllm_options
from thinklab.sampler import Sampler

BASE = {"behaviors": ["self-check"]}
GAP = 0.3
"""By how much the stub's log-probs are off: what the correction is for."""


class Stub:
    """Answers like vLLM: one completion for each prompt, with a list of log-probs of the chosen token at every place."""

    last = None

    def __init__(self, model, accelerator, processing_class, **settings):
        known = set(inspect.signature(VLLMGeneration.__init__).parameters)
        assert set(settings) <= known
        self.model, self.tokenizer, self.settings, self.synced, self.calls = model, processing_class, settings, 0, 0
        self.vllm_client = SimpleNamespace(get_server_info=lambda: {"model_config": {"logprobs_mode": "processed_logprobs"}})
        Stub.last = self

    def sync_weights(self):
        self.synced += 1

    def generate(self, prompts, images=None, num_generations=1, profiler=None):
        with profiler:
            sample = Sampler(self.settings["max_completion_length"], (self.tokenizer.eos_token_id,), self.tokenizer.pad_token_id)
            ids = sample(self.model, prompts, 1, self.calls)
            self.calls += 1
            logprobs = []
            for prompt, answer in zip(prompts, ids, strict=True):
                with torch.no_grad():
                    every = self.model(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
                logprobs.append([[every[k, t].item() - GAP] for k, t in enumerate(answer)])
        return prompts, ids, logprobs, None


@pytest.fixture
def stub(monkeypatch):
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", Stub)


@pytest.mark.parametrize("mode, where", [("token_truncate", "colocate"), ("sequence_truncate", "server")])
def test_the_correction_is_kept_off_the_teacher_s_tokens(mode, where, stub, model, tokenizer):
    trainer = run(model, tokenizer, SHAPING, use_vllm=True, vllm_mode=where, vllm_importance_sampling_mode=mode, max_steps=3)
    assert Stub.last.settings["mode"] == where and Stub.last.synced >= 1
    guided = 0
    for _, seen, *_ in trainer.calls:
        teacher, real = seen["teacher_mask"].bool(), seen["completion_mask"].bool()
        guided += int(teacher.any(1).sum())
        assert torch.equal(seen["sampling_per_token_logps"].isnan(), teacher)  # a place for every token, unknown there
        gap = (seen["old_per_token_logps"] - seen["sampling_per_token_logps"])[real & ~teacher]
        torch.testing.assert_close(gap, torch.full_like(gap, GAP), rtol=0, atol=1e-4)
        ratio = seen["importance_sampling_ratio"]
        assert ratio.shape[1] == (1 if mode == "sequence_truncate" else teacher.shape[1])
        assert (ratio.expand_as(teacher)[real & ~teacher] > 1.2).all()
    assert guided > 0
    found = check_against_the_formula(trainer, SHAPING)  # which multiplies the student's tokens alone
    assert found["positive teacher"] > 0 and found["negative teacher"] > 0


def test_without_the_correction_the_lists_still_fit(stub, model, tokenizer):
    trainer = run(model, tokenizer, SHAPING, use_vllm=True, vllm_importance_sampling_correction=False, max_steps=2)
    assert all("importance_sampling_ratio" not in seen for _, seen, *_ in trainer.calls)
    check_against_the_formula(trainer, SHAPING)


def options(**sections):
    return vllm_options(Experiment.model_validate({**BASE, **sections}))


def test_both_modes_from_the_config():
    assert options() == {"use_vllm": False}
    colocate = options(train={"vllm": {"gpu_memory_utilization": 0.4}, "max_prompt_tokens": 100, "max_completion_tokens": 50})
    assert colocate["use_vllm"] and colocate["vllm_mode"] == "colocate" and colocate["vllm_max_model_length"] == 150
    assert colocate["vllm_gpu_memory_utilization"] == 0.4 and colocate["vllm_importance_sampling_mode"] == "token_truncate"
    server = options(train={"vllm": {"mode": "server", "server": "http://localhost:8000", "correction": "off"}})
    assert server["vllm_server_base_url"] == "http://localhost:8000" and server["vllm_importance_sampling_correction"] is False
    assert "vllm_gpu_memory_utilization" not in server


def test_unsloth_brings_its_own_vllm():
    found = options(student={"kind": "unsloth", "path": "X", "fast_inference": True})
    assert found == {"use_vllm": True, "vllm_mode": "colocate", "vllm_importance_sampling_correction": False}
    with pytest.raises(ValueError, match="has its own vLLM integration"):
        options(student={"kind": "unsloth", "path": "X"}, train={"vllm": {}})
    with pytest.raises(ValueError, match="belongs to kind unsloth"):
        options(student={"kind": "transformers", "path": "X", "fast_inference": True})


def test_a_server_without_an_address_is_one_clear_error():
    with pytest.raises(ValueError, match="needs the server's base URL"):
        TrainSection.model_validate({"vllm": {"mode": "server"}})
    assert issubclass(ConfigError, ValueError)
