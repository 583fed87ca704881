"""TRL's real weight sync, with a stand-in for vLLM's engine alone: afterward the frozen base is bit for bit what it was."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from trl.generation.vllm_generation import VLLMGeneration

from tests.method.test_trainer_formula import SHAPING, run
from tests.method.test_vllm import Stub
from tests.support.tiny_llama import random_llama
from thinklab.config.experiment import Experiment
from thinklab.errors import TrainingError
from thinklab.vllm_sync import keep_base_frozen

SYNCS = 50


class Engine:
    """Takes weights as vLLM's colocated engine does, and keeps them by name."""

    def __init__(self):
        self.weights, self.fail_at = {}, None
        model = SimpleNamespace(load_weights=self.load)
        self.llm_engine = SimpleNamespace(
            model_executor=SimpleNamespace(driver_worker=SimpleNamespace(model_runner=SimpleNamespace(model=model)))
        )

    def load(self, pairs):
        for name, value in pairs:
            if name == self.fail_at:
                raise RuntimeError("the engine is gone")
            self.weights[name] = value.clone()

    def reset_prefix_cache(self):
        pass


def student(dtype: torch.dtype, **lora):
    model = random_llama(101, 64, 96, layers=2, heads=4, num_key_value_heads=2, tie_word_embeddings=False).to(dtype)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, **lora))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def generation(model) -> VLLMGeneration:
    """TRL's own, built without its ``LLM``, which needs vLLM."""
    made = VLLMGeneration.__new__(VLLMGeneration)
    made.model, made.accelerator, made.mode, made.enable_sleep_mode, made.llm = (
        model,
        Accelerator(cpu=True),
        "colocate",
        False,
        Engine(),
    )
    plain = VLLMGeneration.__init__.__globals__["DistributedBackend"]
    made._dist, made._weight_metadata = plain(made.accelerator), None
    return made


def frozen(model):
    return {name: value.detach().clone() for name, value in model.named_parameters() if not value.requires_grad}


def drift(model, before) -> float:
    """Largest relative change of a frozen weight matrix, Frobenius norm."""
    now = dict(model.named_parameters())
    return max(((now[name].detach().double() - old.double()).norm() / old.double().norm()).item() for name, old in before.items())


def train(model) -> None:
    """A new adapter each time, as optimizer steps make it."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.01 * torch.randn_like(parameter)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_frozen_base_is_exactly_restored_after_every_sync(dtype):
    model = student(dtype)
    made, before = generation(model), frozen(model)
    places = {name: value.data_ptr() for name, value in model.named_parameters()}
    keep_base_frozen(made)
    for _ in range(SYNCS):
        train(model)
        made.sync_weights()
        assert drift(model, before) == 0.0
    assert {name: value.data_ptr() for name, value in model.named_parameters()} == places  # no parameter was exchanged
    assert not any(getattr(m, "merged", False) for m in model.modules())


def test_without_it_trl_lets_the_base_drift():
    """What this is for; where TRL mends it, this fails and the wrapper can go."""
    model = student(torch.bfloat16)
    made, before = generation(model), frozen(model)
    for _ in range(SYNCS):
        train(model)
        made.sync_weights()
    assert drift(model, before) > 1e-3


def test_the_engine_gets_the_merged_weights():
    model = student(torch.bfloat16)
    made = generation(model)
    keep_base_frozen(made)
    made.sync_weights()
    with torch.no_grad():
        merged = student(torch.bfloat16).merge_and_unload()
    expected = dict(merged.named_parameters())
    assert set(made.llm.weights) == set(expected)
    for name, value in made.llm.weights.items():
        torch.testing.assert_close(value, expected[name].detach(), rtol=0, atol=0)


def test_a_sync_that_fails_half_way_leaves_no_merged_model():
    model = student(torch.bfloat16)
    made, before = generation(model), frozen(model)
    keep_base_frozen(made)
    made.llm.fail_at = "model.layers.1.mlp.down_proj.weight"
    with pytest.raises(RuntimeError, match="the engine is gone"):
        made.sync_weights()
    assert drift(model, before) == 0.0 and not any(getattr(m, "merged", False) for m in model.modules())


def test_a_model_without_an_adapter_is_synced_as_trl_does():
    model = student(torch.bfloat16).unload()
    made = generation(model)
    keep_base_frozen(made)
    made.sync_weights()
    assert set(made.llm.weights) == {name for name, _ in model.named_parameters()}


def test_quantized_weights_are_refused():
    bnb = pytest.importorskip("bitsandbytes")
    model = student(torch.float32)
    model.base_model.model.model.layers[0].self_attn.q_proj.base_layer = bnb.nn.Linear4bit(64, 64)
    made = generation(model)
    keep_base_frozen(made)
    with pytest.raises(TrainingError, match="4-bit"):
        made.sync_weights()


@pytest.mark.parametrize("kind", ["transformers", "unsloth"])
@pytest.mark.parametrize("vllm", [{"mode": "colocate"}, {"mode": "server", "server": "http://localhost:8000"}])
def test_nf4_with_a_merging_sync_is_refused_before_anything_is_loaded(kind, vllm):
    with pytest.raises(ValueError, match=r"(?s)quantize.*(merge|fast_inference)"):
        Experiment.model_validate(
            {"student": {"kind": kind, "path": "m", "quantize": "nf4"}, "behaviors": ["self-check"], "train": {"vllm": vllm}}
        )


def test_nf4_with_fast_inference_sends_the_adapter_and_is_taken():
    Experiment.model_validate(
        {"student": {"kind": "unsloth", "path": "m", "quantize": "nf4", "fast_inference": True}, "behaviors": ["self-check"]}
    )


def test_the_trainer_sees_to_it(monkeypatch, model, tokenizer):
    """A run of some steps through TRL's real trainer and sync, with the engine alone a stand-in."""

    class Real(VLLMGeneration):
        def __init__(self, model, accelerator, processing_class, **settings):
            self.__dict__.update(generation(model).__dict__)
            self.tokenizer, self.settings, self.synced = processing_class, settings, 0
            self.mode = "colocate"

        def sync_weights(self):
            super().sync_weights()
            self.synced += 1

        def generate(self, prompts, images=None, num_generations=1, profiler=None):
            return Stub.generate(self, prompts, images, num_generations, profiler)

        calls = 0

    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", Real)
    model = model.to(torch.bfloat16)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    trainer = run(
        model, tokenizer, SHAPING, use_vllm=True, vllm_mode="colocate", vllm_importance_sampling_correction=False, max_steps=3
    )
    after = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for name, value in trainer.model.named_parameters()
        if not value.requires_grad
    }
    assert trainer.vllm_generation.synced >= 3 and len(after) >= 30
    assert all(torch.equal(value, before[name]) for name, value in after.items())
