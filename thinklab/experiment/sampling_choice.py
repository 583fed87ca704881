"""``best``: fills in vLLM or ``fast_inference`` for a run whose config does not choose how to sample.

Sampling is the larger part of a step on a GPU.

The order of preference, if installed and exact: vLLM within Unsloth (16-bit weights, which both share), vLLM next
to training (``colocate``, a second copy of the weights, so only on a large GPU), and without vLLM Unsloth's generation or
thinklab's own
sampler. A key that the config sets, ``false`` and ``null`` included, is not changed; the choice is written to the run's
config.yaml, and a resumed run keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch

from thinklab.config.experiment import Experiment, VllmSection

ROOM = 40 * 2**30
"""Minimum bytes of GPU memory for choosing vLLM next to training automatically."""


def best(config: Experiment, started: Mapping[str, Any] | None = None) -> Experiment:
    """``config`` with ``student.fast_inference`` and ``train.vllm`` filled in if unset.

    Args:
        started: the original config of a resumed run, from its config.yaml.
    """
    s, t = config.student, config.train
    if "fast_inference" in s.model_fields_set or "vllm" in t.model_fields_set:
        return config
    if started:
        vllm = started.get("train", {}).get("vllm")
        return _with(config, started.get("student", {}).get("fast_inference", False), vllm and VllmSection.model_validate(vllm))
    if not torch.cuda.is_available() or not installed("vllm") or s.quantize != "none" or config.baseline is not None:
        return config
    if s.kind == "unsloth":
        return _with(config, True, None)
    if s.kind == "transformers" and s.lora is not None and torch.cuda.get_device_properties(0).total_memory >= ROOM:
        return _with(config, False, VllmSection())
    return config


def describe(config: Experiment) -> tuple[str, str]:
    """The sampler of ``best(config)``, and a faster alternative; the second is empty if there is none or none is known."""
    s, t = config.student, config.train
    if s.fast_inference:
        return "vLLM within Unsloth, which shares the weights", ""
    if t.vllm is not None:
        return f"vLLM ({t.vllm.mode})", ""
    if s.kind == "unsloth":
        own, faster = "Unsloth's generation", "student.quantize=none student.fast_inference=true"
    else:
        own, faster = "thinklab's sampler", "student.quantize=none train.vllm={mode: colocate}"
    if not torch.cuda.is_available():
        return own, ""
    todo = [] if installed("vllm") else ["pip install 'thinklab[vllm]'"]
    if s.quantize == "nf4":
        return (
            own,
            f"16-bit weights could be sampled by vLLM if memory allows (gain: benchmarks/gpu_sampler.py): {'; '.join([*todo, faster])}",
        )
    return (
        own,
        f"vLLM is meant for many long answers (benchmarks/gpu_sampler.py measures the gain): {'; '.join([*todo, faster.split(' ', 1)[1]])}",
    )


def installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _with(config: Experiment, fast_inference: bool, vllm: VllmSection | None) -> Experiment:
    return config.model_copy(
        update={
            "student": config.student.model_copy(update={"fast_inference": fast_inference}),
            "train": config.train.model_copy(update={"vllm": vllm}),
        }
    )
