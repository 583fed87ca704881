"""GRPO's advantages of a group of rewards (``advantages``); exactly 0 where rewards are equal (``equal_groups``).

GRPO's advantage is ``(r - mean) / (std + 1e-4)``. In fp32 the mean of n equal rewards can differ from them by one rounding, and
dividing by 1e-4 makes up to 1e-3 of that: eight times 1.3 gives 6e-4. Adam divides by the size of the gradient, so a batch of
such groups would train on rounding noise at the full learning rate.
"""

from __future__ import annotations

import torch

SAME = 1e-6
"""Rewards of a group that differ by less than this count as equal."""


def equal_groups(rewards: torch.Tensor, weights: torch.Tensor, size: int, each: bool = False) -> torch.Tensor:
    """(N,) True for every rollout whose group earned equal rewards.

    Args:
        rewards: (N, F) the value of each of the F reward functions; NaN where it returned None.
        weights: (F,) of the functions.
        size: rollouts per group; groups lie side by side, so ``size`` divides N.
        each: check each function separately (TRL's ``normalize_then_sum``), not the weighted sum.
    """
    weighted = rewards * weights.to(rewards)
    if not each:
        unknown = rewards.isnan().all(1, keepdim=True)
        weighted = weighted.nansum(1, keepdim=True).masked_fill(unknown, torch.nan)
    groups = weighted.reshape(-1, size, weighted.shape[1])
    lowest = groups.nan_to_num(nan=torch.inf).amin(1)
    highest = groups.nan_to_num(nan=-torch.inf).amax(1)
    return ~(highest - lowest >= SAME).any(1).repeat_interleave(size)


def advantages(
    rewards: torch.Tensor, weights: torch.Tensor, size: int, scale: str = "group", instead: torch.Tensor | None = None
) -> torch.Tensor:
    """(N,) advantages of the weighted sum of rewards, operation by operation as TRL computes them; exactly 0 in a group that
    earned equal rewards.

    Args:
        rewards: (N, F) the value of each of the F reward functions; NaN where it returned None.
        weights: (F,) of the functions.
        size: rollouts per group; groups lie side by side, so ``size`` divides N.
        scale: what a group's difference from its mean is divided by: the deviation of the ``group`` or ``batch``, or ``none``.
        instead: (N, F) rewards to compare with the groups of ``rewards`` instead of these themselves.
    """
    total = _total(rewards, weights)
    groups = total.view(-1, size)
    found = total if instead is None else _total(instead, weights)
    found = found - torch.nanmean(groups, dim=1).repeat_interleave(size, dim=0)
    if scale == "group":
        spread = _deviation(groups).repeat_interleave(size, dim=0) if size > 1 else torch.zeros_like(total)
    elif scale == "batch":
        spread = _deviation(total[None]).expand(len(total)) if len(total) > 1 else torch.zeros_like(total)
    if scale != "none":
        found = found / (spread + 1e-4)
    return torch.nan_to_num(found, nan=0.0).masked_fill(equal_groups(rewards, weights, size), 0.0)


def _total(rewards: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(N,) weighted sums; NaN where no function returned a reward."""
    total = (rewards * weights.to(rewards.device).unsqueeze(0)).nansum(dim=1)
    return total.masked_fill(rewards.isnan().all(1), torch.nan)


def _deviation(rows: torch.Tensor) -> torch.Tensor:
    """(R,) sample deviation of each row without its NaNs; NaN for a row with fewer than two numbers."""
    variance = torch.nanmean((rows - torch.nanmean(rows, dim=1, keepdim=True)) ** 2, dim=1)
    count = torch.sum(~rows.isnan(), dim=1)
    return torch.sqrt(variance * torch.where(count > 1, count / (count - 1), torch.nan))
