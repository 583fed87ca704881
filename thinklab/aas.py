"""The AAS weight of teacher tokens, as pure functions: ``coefficient``, ``masked``, ``weight``, ``gradient_weight``.

Pure functions, no trainer.

    c(A)  = c_max * clamp(A / a_max, -1, 1)
    k     = sg( pi / (pi + c(A)) )                        0 where A < 0 and pi < floor (masked)
    loss  = -A * pi / (sg(pi) + c(A))                     per teacher token; its gradient is -A * k * grad log pi

pi is the student's current probability of the token, A the advantage of its sequence, sg stop-gradient. With
A > 0 the constant is positive and holds back tokens that the student finds (nearly) impossible; with A < 0 it is
negative and pushes a little harder than a plain policy gradient, while tokens below ``floor`` are masked.

Sources: the authors' slides and code as described in docs/how-thinktuning-works.md; c_max, a_max and floor are theirs.
Variants for comparison: ``luffy`` (arXiv 2504.14945), ``ratio`` and ``authors`` (the published code as it actually behaves).

Shapes: every tensor argument is (B, T) or broadcasts to it; B sequences, T tokens.
"""

from __future__ import annotations

import torch

from thinklab.shaping import Shaping, Variant

__all__ = ["Shaping", "Variant", "coefficient", "gradient_weight", "loss", "masked", "weight"]


def coefficient(advantage: torch.Tensor, c_max: float = Shaping.c_max, a_max: float = Shaping.a_max) -> torch.Tensor:
    """c(A): linear in the advantage, the sign of the advantage, at most ``c_max``. Same shape as ``advantage``."""
    return c_max * (advantage / a_max).clamp(-1, 1)


def masked(logp: torch.Tensor, advantage: torch.Tensor, floor: float = Shaping.floor) -> torch.Tensor:
    """True where a teacher token gets no gradient at all: A < 0 and pi < floor."""
    return (advantage < 0) & (logp.detach().exp() < floor)


def weight(
    logp: torch.Tensor,
    advantage: torch.Tensor,
    c_max: float = Shaping.c_max,
    a_max: float = Shaping.a_max,
    floor: float = Shaping.floor,
) -> torch.Tensor:
    """k = sg(pi / (pi + c(A))), 0 where masked: a token's gradient relative to a plain policy gradient.

    Args:
        logp: log pi of the chosen tokens, (B, T).
        advantage: (B, T) or (B, 1).

    Returns:
        (B, T) without gradient, in fp32 or better.
    """
    logp = logp.detach().to(torch.promote_types(logp.dtype, torch.float32))
    pi, c = logp.exp(), coefficient(advantage, c_max, a_max)
    k = pi / (pi + c).clamp(min=torch.finfo(pi.dtype).tiny)
    return torch.where(masked(logp, advantage, floor), 0.0, k)


def loss(
    logp: torch.Tensor,
    advantage: torch.Tensor,
    c_max: float = Shaping.c_max,
    a_max: float = Shaping.a_max,
    floor: float = Shaping.floor,
) -> torch.Tensor:
    """Per-token loss -A * pi / (sg(pi) + c(A)), exactly 0 and without gradient where masked. (B, T), with gradient."""
    pi = logp.to(torch.promote_types(logp.dtype, torch.float32)).exp()
    bottom = (pi.detach() + coefficient(advantage, c_max, a_max)).clamp(min=torch.finfo(pi.dtype).tiny)
    dead = masked(logp, advantage, floor)
    return torch.where(dead, 0.0, -advantage * torch.where(dead, 0.0, pi) / bottom)


def gradient_weight(logp: torch.Tensor, advantage: torch.Tensor, shaping: Shaping) -> torch.Tensor:
    """The factor w in grad loss = -A * w * grad log pi, for every variant. (B, T) without gradient.

    - ``aas``: ``weight``.
    - ``luffy``: the loss -A * pi / (pi + gamma) keeps its gradient in the denominator, so w = pi * gamma / (pi + gamma)^2. The
      mask of A < 0 is not LUFFY's: it is kept here so that only the weight differs.
    - ``ratio``: 1, an ordinary policy gradient. (The trainer then also clips the ratio to the old policy.)
    - ``authors``: c = -c_max whatever the advantage, because the published ``torch.clamp(c, 0.001, -0.001)`` returns
      its upper bound; their two guards on the denominator; a masked token falls back to the plain policy gradient.
    """
    pi = logp.detach().to(torch.promote_types(logp.dtype, torch.float32)).exp()
    if shaping.variant == "aas":
        return weight(logp, advantage, shaping.c_max, shaping.a_max, shaping.floor)
    if shaping.variant == "luffy":
        w = pi * shaping.luffy_gamma / (pi + shaping.luffy_gamma) ** 2
        return torch.where(masked(logp, advantage, shaping.floor), 0.0, w)
    if shaping.variant == "ratio":
        return torch.ones_like(pi)
    bottom = pi - shaping.c_max
    bottom = torch.where(bottom < 0, pi / 1.0001, torch.where(bottom > 1, pi / 0.9999, bottom))
    w = pi / bottom.clamp(min=torch.finfo(pi.dtype).tiny)
    return torch.where(masked(logp, advantage, shaping.floor), 1.0, w)
