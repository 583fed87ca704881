"""Entropy, probability, and KL of a loss's tokens ``by_origin`` (student, teacher), and some rollouts ``traced``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from thinklab.aas import gradient_weight
from thinklab.shaping import Shaping
from thinklab.types import Rollout

OUT_OF_REACH = 0.1
"""A teacher token below this probability and this weight is hardly learned."""


def by_origin(
    inputs: Mapping[str, torch.Tensor],
    teacher: torch.Tensor,
    logps: torch.Tensor,
    entropies: torch.Tensor,
    advantage: torch.Tensor,
    shaping: Shaping,
) -> dict[str, float]:
    """Means over the student's and the teacher's tokens of one loss, by name. B = rollouts, T = tokens of an answer.

    Args:
        inputs: TRL's; ``completion_mask`` and, with a reference model, ``ref_per_token_logps``, each (B, T).
        teacher: (B, T) True on the teacher's tokens.
        logps, entropies, advantage: (B, T), without gradients.

    Returns:
        ``{student,teacher}/{kl,entropy,probability}``; with teacher tokens also ``teacher/masked`` (share of weight 0),
        ``teacher/out_of_reach`` (share) and ``teacher/weight_{pos,neg}`` (mean weight where the advantage has that sign).
    """
    found: dict[str, float] = {}
    student = inputs["completion_mask"].bool() & ~teacher
    gap = inputs["ref_per_token_logps"] - logps if "ref_per_token_logps" in inputs else None
    for origin, mask in (("student", student), ("teacher", teacher)):
        if mask.any():
            if gap is not None:  # TRL's KL estimator
                found[f"{origin}/kl"] = (gap.exp() - gap - 1)[mask].mean().item()
            found[f"{origin}/entropy"] = entropies[mask].mean().item()
            found[f"{origin}/probability"] = logps[mask].exp().mean().item()
    if not teacher.any():
        return found
    weight = gradient_weight(logps, advantage, shaping)
    found["teacher/masked"] = (weight[teacher] == 0).float().mean().item()
    unlikely = (
        logps.exp() < OUT_OF_REACH
    )  # LUFFY gives a small weight to nearly certain tokens as well: those are already learned
    found["teacher/out_of_reach"] = ((weight < OUT_OF_REACH) & unlikely)[teacher].float().mean().item()
    for sign, side in (("pos", advantage > 0), ("neg", advantage < 0)):
        if (teacher & side).any():
            found[f"teacher/weight_{sign}"] = weight[teacher & side].mean().item()
    return found


def traced(
    inputs: Mapping[str, torch.Tensor],
    rollouts: Mapping[int, Rollout],
    step: int,
    decode: Callable[[Sequence[int]], str],
    logps: torch.Tensor,
    weights: torch.Tensor,
) -> list[dict[str, Any]]:
    """The rollouts of ``rollouts`` that are in this loss, token by token, as lines for ``tokens.jsonl``.

    Args:
        inputs: TRL's, with ``rollout_row`` (B,) and ``teacher_mask`` (B, T).
        rollouts: by their row in the generation.
        logps, weights: (B, T) the log-probability of each token and the weight on its gradient.
    """
    lines = []
    for place, row in enumerate(inputs["rollout_row"].tolist()):
        if row not in rollouts:
            continue
        rollout = rollouts[row]
        size = len(rollout.completion_ids)
        lines.append(
            {
                "rollout": rollout.id,
                "step": step,
                "advantage": rollout.advantage,
                "tokens": [decode([i]) for i in rollout.completion_ids],
                "teacher": inputs["teacher_mask"][place, :size].tolist(),
                "probability": [float(f"{p:.4g}") for p in logps[place, :size].exp().tolist()],
                "weight": [float(f"{w:.4g}") for w in weights[place, :size].tolist()],
            }
        )
    return lines
