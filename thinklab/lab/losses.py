"""``lab.losses``: the run's teacher tokens under each loss: reinforced, dampened, or amplified.

From the formula, on real tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from thinklab import aas
from thinklab.config.experiment import LossSection
from thinklab.lab.results import as_text, box, table
from thinklab.reports.token_spans import teacher_tokens

VARIANTS: tuple[aas.Variant, ...] = ("aas", "luffy", "ratio", "authors")
TITLE = "mean weight k of a teacher token: 1 is a plain policy gradient, 0 no gradient, far above 1 an instability"


@dataclass(frozen=True)
class LossTable:
    """One row per kind of token, one column per loss."""

    rows: Sequence[tuple[str, ...]]
    HEAD: ClassVar[tuple[str, ...]] = ("teacher tokens", "in this run", *VARIANTS)

    def __repr__(self) -> str:
        return as_text(self.HEAD, self.rows, TITLE)

    def _repr_html_(self) -> str:
        return box(f"<p>{TITLE}</p>", table(self.HEAD, self.rows))


def loss_table(traces: Iterable[Mapping[str, Any]], loss: LossSection) -> LossTable:
    """The weights of the tokens in some lines of ``tokens.jsonl``.

    A kind without tokens in this run is computed at the middle of its range, so that the table is always complete.
    """
    c, floor = loss.c_max, loss.floor
    kinds = (
        ("A > 0, nearly impossible", 1, 0.0, c / 10),
        ("A > 0, about as unlikely as c", 1, c / 10, 10 * c),
        ("A > 0, likely", 1, 10 * c, 1.01),
        ("A < 0, below the floor", -1, 0.0, floor),
        ("A < 0, likely", -1, floor, 1.01),
    )
    tokens = [(p, a) for _, p, a in teacher_tokens(traces) if a]
    rows = []
    for name, sign, low, high in kinds:
        found = [(p, a) for p, a in tokens if low <= p < high and a * sign > 0]
        used = found or [(math.sqrt(max(low, 1e-6) * min(high, 1.0)), float(sign))]
        p, a = (torch.tensor(values, dtype=torch.float64) for values in zip(*used, strict=True))
        weights = [_mean_weight(p, a, variant, loss) for variant in VARIANTS]
        rows.append((f"{name} ({_range(low, high)})", str(len(found)) if found else "none; computed", *weights))
    return LossTable(rows)


def _mean_weight(p: torch.Tensor, a: torch.Tensor, variant: aas.Variant, loss: LossSection) -> str:
    shaping = aas.Shaping(variant, loss.c_max, loss.a_max, loss.floor, loss.luffy_gamma)
    k = float(aas.gradient_weight(p.clamp(min=1e-30).log(), a, shaping).mean())
    return f"{k:.3f}" if k < 100 else f"{k:.0e}"


def _range(low: float, high: float) -> str:
    return f"p < {high:g}" if low == 0 else f"p ≥ {low:g}" if high > 1 else f"{low:g} ≤ p < {high:g}"
