"""Random-number states (Python, NumPy, PyTorch) across a Lab's pauses, and the weights before the first step."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from thinklab.config.hardware import gpu_random_state, set_gpu_random_state


def trained_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The trainable weights, on the CPU: the student before its first checkpoint."""
    return {name: p.detach().to("cpu", copy=True) for name, p in model.named_parameters() if p.requires_grad}


def random_state() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), gpu_random_state()


def set_random_state(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    set_gpu_random_state(state[3])
