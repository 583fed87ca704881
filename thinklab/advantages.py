"""Which groups earned equal rewards: their advantage is 0, exactly.

GRPO's advantage is ``(r - mean) / (std + 1e-4)``. In fp32 the mean of n equal rewards can differ from them by one rounding, and
dividing by 1e-4 makes up to 1e-3 of that: eight times 1.3 gives 6e-4. Adam divides by the size of the gradient, so that a batch
of such groups trains at the full learning rate on nothing.
"""

from __future__ import annotations

import torch

SAME = 1e-6
"""Rewards of a group that lie closer together than this are equal."""


def equal_groups(rewards: torch.Tensor, weights: torch.Tensor, size: int, each: bool = False) -> torch.Tensor:
    """(N,) True for every rollout whose group earned equal rewards.

    Args:
        rewards: (N, F) what each of the F reward functions gave; NaN where it gave None.
        weights: (F,) of the functions.
        size: rollouts per group; groups lie side by side, so ``size`` divides N.
        each: look at each function by itself (TRL's ``normalize_then_sum``), not at the weighted sum.
    """
    weighted = rewards * weights.to(rewards)
    if not each:
        unknown = rewards.isnan().all(1, keepdim=True)
        weighted = weighted.nansum(1, keepdim=True).masked_fill(unknown, torch.nan)
    groups = weighted.reshape(-1, size, weighted.shape[1])
    lowest = groups.nan_to_num(nan=torch.inf).amin(1)
    highest = groups.nan_to_num(nan=-torch.inf).amax(1)
    return ~(highest - lowest >= SAME).any(1).repeat_interleave(size)
