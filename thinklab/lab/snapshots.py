"""Random-number states (Python, NumPy, PyTorch) across a Lab's pauses, and the weights before the first step."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def trained_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The trainable weights, on the CPU: the student before its first checkpoint."""
    return {name: p.detach().to("cpu", copy=True) for name, p in model.named_parameters() if p.requires_grad}


def random_state() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def set_random_state(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    if state[3] is not None:
        torch.cuda.set_rng_state_all(state[3])
