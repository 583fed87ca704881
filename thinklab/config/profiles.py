"""``PROFILES`` (tiny, t4, 16gb, 24gb, 80gb): the settings that fit a kind of hardware; ``apply_profile``.

``thinklab train CONFIG --profile t4`` and ``Lab(profile="t4")``.

A profile is a fragment of a config; every key that the config itself sets wins over it. So the same cells and the same
YAML run on a laptop, a T4 and a 24 GB card. The lengths, batches and n of the GPU profiles follow from arithmetic
(docs/run-on-a-gpu.md); no profile chooses the task, the behavior, the teacher or the loss. Those for GPUs say ``dtype: auto``:
the GPU decides between bf16 and fp16, so a profile is only about memory.

Left out: searching for the largest batch that fits. ``train.longest_batch_first`` shows in the first minute whether it fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from thinklab.errors import ConfigError, did_you_mean

MODEL = "unsloth/Llama-3.2-3B-Instruct"  # the open copy of meta-llama's gated repository
_GPU_TRAIN = {
    "questions": 4,
    "samples": 8,
    "max_prompt_tokens": 512,
    "max_completion_tokens": 1024,
    "gradient_checkpointing": True,
    "learning_rate": 2e-5,
    "warmup_steps": 10,
    "checkpoint_every": 20,
}

PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {
        "student": {"kind": "embedded", "dtype": "float32", "quantize": "none", "lora": {"r": 16, "alpha": 32}},
        "train": {
            "questions": 12,
            "samples": 8,
            "max_prompt_tokens": 40,
            "max_completion_tokens": 72,
            "learning_rate": 1e-3,
            "checkpoint_every": 20,
        },
        "guidance": {"max_tokens": 60},
    },
    "t4": {  # 15 GB, compute capability 7.5: no bf16, so ``auto`` is fp16 with a loss scaler
        "student": {"kind": "unsloth", "path": MODEL, "dtype": "auto", "quantize": "nf4", "lora": {"r": 16, "alpha": 32}},
        "train": {**_GPU_TRAIN, "micro_batch": 4, "sample_rows": 32},
        "guidance": {"max_tokens": 256},
    },
    "16gb": {  # RTX 4080, 4060 Ti, 5080, A4000, V100: the T4's lengths, in bf16 if the card supports it
        "student": {"kind": "unsloth", "path": MODEL, "dtype": "auto", "quantize": "nf4", "lora": {"r": 16, "alpha": 32}},
        "train": {**_GPU_TRAIN, "micro_batch": 4, "sample_rows": 32},
        "guidance": {"max_tokens": 256},
    },
    "24gb": {  # L4, 3090, 4090, A10
        "student": {"kind": "unsloth", "path": MODEL, "dtype": "auto", "quantize": "nf4", "lora": {"r": 16, "alpha": 32}},
        "train": {**_GPU_TRAIN, "questions": 8, "micro_batch": 8, "sample_rows": 64},
        "guidance": {"max_tokens": 256},
    },
    "80gb": {  # A100, H100: 16-bit weights, longer answers
        "student": {"kind": "unsloth", "path": MODEL, "dtype": "auto", "quantize": "none", "lora": {"r": 32, "alpha": 64}},
        "train": {**_GPU_TRAIN, "questions": 16, "max_completion_tokens": 2048, "micro_batch": 16, "sample_rows": 128},
        "guidance": {"max_tokens": 384},
    },
}


def profile(name: str) -> dict[str, Any]:
    """The config fragment behind ``name``, as a copy.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in PROFILES:
        raise ConfigError(f"unknown profile {name!r}{did_you_mean(str(name), PROFILES)}; known: {', '.join(PROFILES)}")
    return deepcopy(PROFILES[name])


def apply_profile(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """``config`` completed from profile ``name``: a new dict that includes ``profile: name``.

    Args:
        config: an experiment as in YAML: nested dicts, where ``student: embedded`` is short for its ``kind``.
            Keys that are set there win, ``null`` included. A config that names the embedded student or one from an
            entry point keeps the defaults of its kind: a profile's precision is meant for models from a folder or the hub.
        name: one of ``PROFILES``.

    Raises:
        ConfigError: for an unknown name.
    """
    fragment, given = profile(name), deepcopy(dict(config))
    student = given.get("student")
    if isinstance(student, str):
        student = given["student"] = {"kind": student}
    kind = student.get("kind") if isinstance(student, Mapping) else None
    if kind is not None and kind != fragment["student"]["kind"]:
        if kind not in ("transformers", "unsloth") or fragment["student"]["kind"] == "embedded":
            del fragment["student"]
        else:
            fragment["student"]["kind"] = kind
    return {**_merge(fragment, given), "profile": name}


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` merged over ``below``, mapping by mapping."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged
