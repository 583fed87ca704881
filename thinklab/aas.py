"""Stage 3: Advantage-Aware Shaping, the weight that the teacher's tokens get. Pure functions, no trainer.

    c(A)  = c_max * clamp(A / a_max, -1, 1)
    k     = sg( pi / (pi + c(A)) )                        0 where A < 0 and pi < floor (masked)
    loss  = -A * pi / (sg(pi) + c(A))                     per teacher token; its gradient is -A * k * grad log pi

pi is the probability that the student gives to the token now, A the advantage of its sequence, sg stop-gradient. With
A > 0 the constant is positive and holds back tokens that the student finds (nearly) impossible; with A < 0 it is
negative and pushes a little harder than a plain policy gradient, while tokens below ``floor`` are left alone.

Sources: the authors' slides and code as described in docs/how-thinktuning-works.md; c_max, a_max and floor are theirs.
Variants for comparison: ``luffy`` (arXiv 2504.14945), ``ratio`` and ``authors`` (the published code as it runs).

Shapes: every tensor argument is (B, T) or broadcasts to it; B sequences, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

Variant = Literal["aas", "luffy", "ratio", "authors"]


@dataclass(frozen=True)
class Shaping:
    """Which weight the teacher's tokens get, and its constants."""

    variant: Variant = "aas"
    c_max: float = 1e-3
    """|c| at the largest advantage. Tokens with pi << c_max * A / a_max are out of reach (k close to 0)."""
    a_max: float = 4.0
    """The advantage at which c reaches c_max. A group of n rewards never exceeds (n - 1) / sqrt(n)."""
    floor: float = 0.01
    """Teacher tokens below this probability are masked when A < 0; must exceed c_max, or k could blow up."""
    luffy_gamma: float = 0.1
    """The constant of the ``luffy`` variant."""

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise ValueError(f"unknown AAS variant {self.variant!r}; one of {', '.join(get_args(Variant))}")
        if self.c_max < 0 or self.a_max <= 0:
            raise ValueError(f"c_max must be at least 0 and a_max above 0, not {self.c_max} and {self.a_max}")
        if not self.c_max < self.floor < 1:
            raise ValueError(
                f"floor ({self.floor}) must lie between c_max ({self.c_max}) and 1: with A < 0 the weight "
                "pi / (pi - c) has a pole at pi = c, which the floor keeps out of reach"
            )
        if self.luffy_gamma <= 0:
            raise ValueError(f"luffy_gamma must be above 0, not {self.luffy_gamma}")


def coefficient(advantage: torch.Tensor, c_max: float = 1e-3, a_max: float = 4.0) -> torch.Tensor:
    """c(A): linear in the advantage, the sign of the advantage, at most ``c_max``. Same shape as ``advantage``."""
    return c_max * (advantage / a_max).clamp(-1, 1)


def masked(logp: torch.Tensor, advantage: torch.Tensor, floor: float = 0.01) -> torch.Tensor:
    """True where a teacher token gets no gradient at all: A < 0 and pi < floor."""
    return (advantage < 0) & (logp.detach().exp() < floor)


def weight(
    logp: torch.Tensor, advantage: torch.Tensor, c_max: float = 1e-3, a_max: float = 4.0, floor: float = 0.01
) -> torch.Tensor:
    """k = sg(pi / (pi + c(A))), 0 where masked: how a token's gradient compares with a plain policy gradient's.

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
    logp: torch.Tensor, advantage: torch.Tensor, c_max: float = 1e-3, a_max: float = 4.0, floor: float = 0.01
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
      mask of A < 0 is not LUFFY's: it is kept here so that the weight is all that differs.
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
