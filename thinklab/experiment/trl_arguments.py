"""From a config to TRL's ``GRPOConfig``: training arguments, ``precision``, vLLM options, and ``Shaping``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch
from trl import GRPOConfig

from thinklab.aas import Shaping
from thinklab.config.devices import DTYPES, default_dtype, one_gpu
from thinklab.config.experiment import Experiment
from thinklab.config.hardware import best_device
from thinklab.errors import ConfigError
from thinklab.experiment import reporting
from thinklab.interop.renamed_arguments import activation_checkpointing


def shaping(config: Experiment) -> Shaping:
    loss = config.loss
    variant = loss.method if loss.method in ("aas", "luffy", "ratio", "authors") else "ratio"
    return Shaping(variant, loss.c_max, loss.a_max, loss.floor, loss.luffy_gamma)


def grpo_config(config: Experiment, folder: Path) -> GRPOConfig:
    """Every setting that matters, spelled out, because Unsloth changes TRL's defaults."""
    t, loss = config.train, config.loss
    per_step = t.questions * t.samples // t.minibatches
    micro = t.micro_batch or per_step
    return one_gpu(
        GRPOConfig(
            **training_arguments(config, folder, t.steps),
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=per_step // micro,
            steps_per_generation=t.questions * t.samples // micro,
            num_generations=t.samples,
            num_iterations=t.iterations,
            max_completion_length=t.max_completion_tokens,
            temperature=t.temperature,
            top_p=1.0,
            top_k=0,
            min_p=None,
            repetition_penalty=1.0,
            loss_type=loss.loss_type,
            epsilon=loss.epsilon,
            epsilon_high=loss.epsilon,
            delta=loss.delta,
            beta=loss.beta,
            use_bias_correction_kl=True,
            sync_ref_model=False,
            scale_rewards="group",
            reward_weights=None,
            multi_objective_aggregation="sum_then_normalize",
            importance_sampling_level="token",
            mask_truncated_completions=False,
            off_policy_mask_threshold=None,
            top_entropy_quantile=1.0,
            entropy_coef=0.0,
            use_adaptive_entropy=False,
            disable_dropout=False,
            router_aux_loss_coef=0.0,
            cast_lm_head_to_fp32=False,
            use_liger_kernel=False,
            neftune_noise_alpha=None,
            average_tokens_across_devices=True,
            **vllm_options(config),
        )
    )


def training_arguments(config: Experiment, folder: Path, steps: int) -> dict[str, Any]:
    """What every training with this ``train`` section has in common, whatever its loss."""
    t = config.train
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "learning_rate": t.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if t.decay == "constant" else t.decay,
        "warmup_steps": t.warmup_steps,
        "optim": {"adamw": "adamw_torch", "sgd": "sgd"}[t.optimizer],
        "adam_beta1": t.betas[0],
        "adam_beta2": t.betas[1],
        "adam_epsilon": 1e-8,
        "weight_decay": t.weight_decay,
        "max_grad_norm": t.max_grad_norm,
        "shuffle_dataset": False,
        **activation_checkpointing(t.gradient_checkpointing),
        **precision(config),
        "tf32": None,
        "use_cpu": best_device(config.student.kind) == "cpu",
        "save_strategy": "steps",
        "save_steps": t.checkpoint_every or steps,
        "save_total_limit": 2,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        **reporting.arguments(config),
        "disable_tqdm": True,
        "log_level": "error",
        "seed": t.seed,
        "data_seed": t.seed,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
    }


class Precision(TypedDict):
    """The compute dtype of the forward passes; both False is float32."""

    bf16: bool
    fp16: bool


def precision(config: Experiment) -> Precision:
    """``{"bf16": ..., "fp16": ...}``: the compute dtype of the forward passes on a GPU; both False is float32, as on a CPU.

    It follows the weights (``student.dtype``), because Unsloth rejects fp16 weights under bf16 and vice versa. ``auto``, and
    ``float32`` with ``train.autocast``, use bf16 if the GPU supports it, else fp16.

    Raises:
        ConfigError: for bf16 on a GPU without it, or for training 16-bit weights under fp16.
    """
    off: Precision = {"bf16": False, "fp16": False}
    if not torch.cuda.is_available():
        return off
    s, best = config.student, default_dtype()
    wanted = DTYPES.get("float32" if s.ships else s.dtype, best)
    if wanted is torch.float32:
        return {"bf16": best is torch.bfloat16, "fp16": best is torch.float16} if config.train.autocast else off
    if wanted is torch.bfloat16 and best is not torch.bfloat16:
        raise ConfigError("student.dtype is bfloat16, which this GPU does not have; set student.dtype=auto (float16 here)")
    if wanted is torch.float16 and s.lora is None:  # the loss scaler cannot unscale 16-bit gradients
        raise ConfigError(
            "student.lora is null, so all weights are trained, which does not work in float16; set "
            "student.dtype=float32 with train.autocast=true, or train a LoRA adapter"
        )
    return {"bf16": wanted is torch.bfloat16, "fp16": wanted is torch.float16}


def vllm_options(config: Experiment) -> dict[str, Any]:
    """TRL's settings for sampling with vLLM; ``use_vllm=False`` without it.

    Under Unsloth TRL's importance-sampling correction is off: Unsloth moved it into its own ``compute_loss``, which the
    trainer replaces.
    """
    v = config.train.vllm
    if config.student.fast_inference:
        return {"use_vllm": True, "vllm_mode": "colocate", "vllm_importance_sampling_correction": False}
    if v is None:
        return {"use_vllm": False}
    room = v.max_model_length or config.train.max_prompt_tokens + config.train.max_completion_tokens
    place = (
        {"vllm_server_base_url": v.server, "vllm_server_timeout": v.timeout}
        if v.mode == "server"
        else {
            "vllm_gpu_memory_utilization": v.gpu_memory_utilization,
            "vllm_max_model_length": room,
            "vllm_enable_sleep_mode": v.sleep,
        }
    )
    corrected = v.correction != "off" and config.student.kind != "unsloth"
    return {
        "use_vllm": True,
        "vllm_mode": v.mode,
        "vllm_importance_sampling_correction": corrected,
        **place,
        **(
            {
                "vllm_importance_sampling_mode": v.correction,
                "vllm_importance_sampling_clip_max": 3.0,
                "vllm_importance_sampling_clip_min": None,
            }
            if corrected
            else {}
        ),
    }
