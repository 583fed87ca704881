"""``Shaping``: the loss variant and its constants (c_max, a_max, floor, luffy_gamma), with bounds and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Variant = Literal["aas", "luffy", "ratio", "authors"]


@dataclass(frozen=True)
class Shaping:
    """The weighting scheme for teacher tokens, and its constants."""

    variant: Variant = "aas"
    c_max: float = 1e-3
    """|c| at the maximum advantage. Tokens with pi << c_max * A / a_max are out of reach (k close to 0)."""
    a_max: float = 4.0
    """The advantage at which c reaches c_max. A group of n rewards never exceeds (n - 1) / sqrt(n)."""
    floor: float = 0.01
    """Teacher tokens below this probability are masked when A < 0; 0 masks none, 1 masks all. With c it must exceed ``c_max``."""
    luffy_gamma: float = 0.1
    """The constant of the ``luffy`` variant."""

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise ValueError(f"unknown AAS variant {self.variant!r}; one of {', '.join(get_args(Variant))}")
        if self.c_max < 0 or self.a_max <= 0:
            raise ValueError(f"c_max must be at least 0 and a_max above 0, not {self.c_max} and {self.a_max}")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor is a probability, from 0 to 1, not {self.floor}")
        if not self.floor_excludes_pole(self.variant, self.c_max, self.floor):
            raise ValueError(
                f"floor ({self.floor}) must exceed c_max ({self.c_max}): with A < 0 the weight pi / (pi - c) has a "
                "pole at pi = c, which the floor must exclude; c_max = 0 has none"
            )
        if self.luffy_gamma <= 0:
            raise ValueError(f"luffy_gamma must be above 0, not {self.luffy_gamma}")

    @staticmethod
    def floor_excludes_pole(variant: str, c_max: float, floor: float) -> bool:
        """True unless c can cancel pi above the floor, which only the variants with a c in the denominator allow."""
        return variant not in ("aas", "authors") or c_max == 0 or floor > c_max
