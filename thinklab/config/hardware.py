"""The device of this process: an NVIDIA GPU, an Apple GPU (``mps``), or the CPU; and the keys of a config that need CUDA.

Nothing of thinklab has been run on an Apple GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from thinklab.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from thinklab.config.experiment import Experiment
    from thinklab.config.explain import Keys

Device = Literal["cuda", "mps", "cpu"]
NO_APPLE = ("embedded",)
"""Kinds of student that stay on the CPU of a Mac: a model this small is not faster on its GPU, and the demo's runs are forked."""


def best_device(kind: str = "") -> Device:
    """Where a model goes by default.

    Args:
        kind: ``student.kind``; empty for any other model.
    """
    import torch  # not at the head: a study's and the demo's own process reads configs and needs no torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if kind not in NO_APPLE and torch.backends.mps.is_available() else "cpu"


def gpu_random_state() -> list[torch.Tensor] | None:
    """The random state of every GPU; None without one."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_rng_state_all()
    return [torch.mps.get_rng_state()] if torch.backends.mps.is_available() else None


def set_gpu_random_state(state: list[torch.Tensor] | None) -> None:
    """The state that ``gpu_random_state`` returned on this machine."""
    import torch

    if state is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state)
    elif state is not None:
        torch.mps.set_rng_state(state[0])


def needs_cuda(config: Experiment) -> Iterator[tuple[Keys, str, str]]:
    """Every key of ``config`` that cannot work on this machine: its path, why, and what to set instead.

    4-bit weights work on a CPU. With Unsloth imported there is a GPU, because its import fails without one.
    """
    s, t = config.student, config.train
    wants: list[tuple[Keys, str, str]] = []
    if s.kind == "unsloth" and "unsloth" not in sys.modules:
        instead = "--profile tiny, or student.kind=transformers with a small model"
        wants.append((("student", "kind"), "student.kind is unsloth", instead))
    if s.fast_inference:
        wants.append((("student", "fast_inference"), "student.fast_inference samples with vLLM", "student.fast_inference=false"))
    if t.vllm is not None:
        what = "train.vllm samples with vLLM, to which the weights go from GPU to GPU"
        wants.append((("train", "vllm"), what, "train.vllm=null"))
    if s.quantize == "nf4" and s.kind != "unsloth":
        wants.append((("student", "quantize"), "student.quantize is nf4", "student.quantize=none"))
    if not wants or (device := best_device(s.kind)) == "cuda":
        return
    for path, what, instead in wants:
        if path[1] != "quantize" or device == "mps":
            yield path, f"{what}, which needs an NVIDIA GPU (CUDA), and PyTorch finds {FOUND[device]}", instead


FOUND = {"mps": "only an Apple GPU", "cpu": "none"}


def check_device(config: Experiment, at: Callable[[Keys], str] = lambda path: ".".join(map(str, path))) -> None:
    """Raises:
    ConfigError: for the first key that needs CUDA on a machine without it, with its place.
    """
    for path, what, instead in needs_cuda(config):
        raise ConfigError(f"{at(path)}: {what}. Use {instead}")
