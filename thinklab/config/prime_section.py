"""``PrimeSection``: the keys under ``prime:`` (texts that a run imitates before its policy gradient)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from thinklab.config import yaml_model
from thinklab.config.section import Section


class PrimeSection(Section):
    """Prime, then reinforce (Gandhi et al. 2025, arXiv 2503.01307): the student imitates texts, then the run goes on as configured,
    with a new optimizer and the next questions. See ``thinklab/experiment/baselines/prime.py``."""

    texts: Literal["gold", "guided"]
    """What is imitated: gold solutions, or the untrained student's answers with the teacher's comments appended."""
    questions: int = Field(240, ge=1)
    """Questions with one text each: the first of the run's order. The policy gradient goes on behind them."""
    epochs: int = Field(1, ge=1)
    """Epochs over the texts."""
    batch: int = Field(16, ge=1)
    """Texts per optimizer step; ``train.micro_batch`` of them per forward pass."""
    learning_rate: float | None = Field(None, gt=0)
    """None: ``train.learning_rate``. Warm-up and optimizer are always those of ``train``."""
    decay: Literal["constant", "linear", "cosine"] | None = None
    """Of the learning rate, to 0 at the last text; None: ``train.decay``."""

    def check_within(self, has_behaviors: bool, has_baseline: bool, micro_batch: int | None) -> None:
        """What depends on the rest of the experiment. Raises a ``ValueError`` that carries its keys."""
        if has_baseline:
            raise yaml_model.fault(
                "a baseline has no policy gradient to prime for: remove 'prime', or replace 'baseline' by loss.method", "prime"
            )
        if self.texts == "guided" and not has_behaviors:
            raise yaml_model.fault(
                "prime.texts 'guided' needs at least one behavior under 'behaviors' for the teacher to show", "prime.texts"
            )
        if micro_batch and self.batch % min(micro_batch, self.batch):
            raise yaml_model.fault(
                f"train.micro_batch ({micro_batch}) must divide prime.batch ({self.batch})", "prime.batch", "train.micro_batch"
            )
