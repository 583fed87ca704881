"""Every setting of TRL that the loss depends on is spelled out: Unsloth, and a later TRL, have other defaults."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import TrainingArguments
from trl import GRPOConfig, GRPOTrainer

from tests.conftest import ROOT
from thinklab.config.load import load_config
from thinklab.experiment import trl_arguments

OTHER = {
    "loading the model, or where it is": {"model_init_kwargs", "trust_remote_code", "ds3_gather_for_generation"},
    "how answers are sampled; thinklab's sampler and the task do that": {
        "num_generations_eval",
        "generation_kwargs",
        "chat_template_kwargs",
        "cache_implementation",
        "max_tool_calling_iterations",
        "use_transformers_continuous_batching",
        "transformers_continuous_batching_config",
        "use_transformers_paged",
    },
    "how vLLM is run": {
        "vllm_model_impl",
        "vllm_structured_outputs_regex",
        "vllm_server_host",
        "vllm_server_port",
        "vllm_group_port",
        "vllm_tensor_parallel_size",
        "vllm_mode",
        "vllm_enable_sleep_mode",
        "vllm_server_base_url",
        "vllm_server_timeout",
        "vllm_gpu_memory_utilization",
        "vllm_max_model_length",
    },
    "another name of one that is spelled out": {"generation_batch_size", "vllm_importance_sampling_cap"},
    "padding, which is masked": {"pad_to_multiple_of"},
    "logging": {
        "log_completions",
        "log_multimodal",
        "num_completions_to_print",
        "log_unique_prompts",
        "log_completions_hub_repo",
    },
    "read only by loss types that a config cannot choose (sapo, vespo)": {
        "sapo_temperature_neg",
        "sapo_temperature_pos",
        "vespo_k_pos",
        "vespo_lambda_pos",
        "vespo_k_neg",
        "vespo_lambda_neg",
    },
    "read only when a switch that is spelled out as off is on (sync_ref_model, use_adaptive_entropy)": {
        "ref_model_mixup_alpha",
        "ref_model_sync_steps",
        "entropy_coef_min",
        "entropy_coef_max",
        "entropy_coef_delta",
        "entropy_target",
    },
}
"""Settings that GRPO adds to transformers' and that need no value of ours, by the reason why."""
CORRECTION = {f"vllm_importance_sampling_{x}" for x in ("mode", "clip_max", "clip_min")}
"""Read only while vLLM's samples are corrected."""
INHERITED = {
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "weight_decay",
    "max_grad_norm",
    "bf16",
    "fp16",
    "tf32",
    "seed",
    "data_seed",
    "gradient_accumulation_steps",
    "per_device_train_batch_size",
    "neftune_noise_alpha",
    "use_liger_kernel",
    "average_tokens_across_devices",
}
"""Settings of transformers that decide what a step does."""
VLLM = "train.vllm={mode: server, server: 'http://localhost:8000'}"


def spelled_out(monkeypatch, *overrides):
    """The names that ``grpo_config`` gives a value."""
    seen = {}
    monkeypatch.setattr(trl_arguments, "GRPOConfig", lambda **settings: seen.update(settings) or SimpleNamespace(n_gpu=1))
    trl_arguments.grpo_config(load_config(ROOT / "examples" / "demo-self-check.yaml", list(overrides)), Path("unused"))
    return set(seen)


@pytest.mark.parametrize(
    "override, corrected",
    [("name=x", False), (VLLM, True), (VLLM.replace("}", ", correction: 'off'}"), False)],
    ids=["own sampler", "vLLM", "uncorrected"],
)
def test_every_setting_of_grpo_that_affects_the_loss_is_spelled_out(override, corrected, monkeypatch):
    """A new field of TRL's fails here until it gets a value, or a reason why it needs none."""
    spelled = spelled_out(monkeypatch, override)
    own = {f.name for f in fields(GRPOConfig)} - {f.name for f in fields(TrainingArguments)}
    harmless = set().union(*OTHER.values())
    assert harmless <= own, harmless - own
    off = set() if corrected else CORRECTION | ({"vllm_importance_sampling_correction"} if "vllm" not in override else set())
    assert own - harmless - off <= spelled, own - harmless - off - spelled
    assert spelled >= INHERITED, INHERITED - spelled


def test_what_trls_loss_reads_is_not_excused(monkeypatch):
    """The names that the loss and the advantages read from the trainer or its arguments, taken from TRL's source."""
    tree = ast.parse(
        "class X:\n"
        + "\n".join(
            inspect.getsource(f)
            for f in (
                GRPOTrainer._compute_loss,
                GRPOTrainer._generate_and_score_completions,
                GRPOTrainer.get_off_policy_mask,
                GRPOTrainer.get_high_entropy_mask,
            )
        )
    )
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    known = {f.name for f in fields(GRPOConfig)}
    assert {"beta", "use_bias_correction_kl", "scale_rewards", "loss_type"} <= read & known
    switched = set().union(*(names for reason, names in OTHER.items() if reason.startswith("read only")))
    excused = switched | {  # evaluation, padding, logs, sampling, memory
        "num_generations_eval",
        "per_device_eval_batch_size",
        "pad_to_multiple_of",
        "log_multimodal",
        "vllm_mode",
        "report_to",
        "chat_template_kwargs",
        "gradient_checkpointing_kwargs",
    }
    assert read & known - excused <= spelled_out(monkeypatch, VLLM)


def test_the_settings_are_accepted_by_trl(tmp_path):
    config = trl_arguments.grpo_config(load_config(ROOT / "examples" / "demo-self-check.yaml"), tmp_path)
    assert config.use_bias_correction_kl is True and config.delta is None and config.top_entropy_quantile == 1.0
