"""``own_advantages``: ``loss.credit: own``: the student's tokens of a guided rollout earn what they alone would have.

In the paper every token of a guided rollout gets the trajectory's advantage, so a wrong comment behind a right answer punishes the
right answer. With ``loss.credit: own`` only the teacher's tokens answer for the comment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from thinklab.advantages import advantages
from thinklab.types import Rollout


def own_advantages(
    rollouts: Sequence[Rollout],
    rewards: torch.Tensor,
    names: Sequence[str],
    weights: torch.Tensor,
    size: int,
    scale: str,
    first: int,
) -> torch.Tensor:
    """(B,) advantages for the student's tokens of this process's rollouts: those of ``own_rewards`` where a rollout was guided,
    measured against the mean and deviation of the same group's actual rewards; the usual ones elsewhere.

    Args:
        rewards: (N, F) of all processes; groups of ``size`` lie side by side.
        names: of the F reward functions, keys of ``own_rewards``.
        weights: (F,) of the functions.
        scale: as in ``advantages``.
        first: row of this process's first rollout in ``rewards``.
    """
    instead = rewards.clone()
    for row, rollout in enumerate(rollouts, first):
        if rollout.guided:
            alone = [rollout.own_rewards.get(name, math.nan) for name in names]  # a function may give no reward
            instead[row] = torch.tensor(alone, dtype=rewards.dtype, device=rewards.device)
    return advantages(rewards, weights, size, scale, instead)[first : first + len(rollouts)]
