"""``WarmUpAboveZero``: a learning-rate schedule whose first warm-up step already updates the weights.

The learning rate of a run: warm-up starts above 0, so that the first step, which a person may have reviewed, updates the weights.

transformers starts at 0 and reaches the full rate after W steps, so its first step has no effect. Here step s of W warm-up
steps has (s + 1) / (W + 1) of it; from step W on, the schedule is that of transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import Trainer

from thinklab.trainer import ThinkTuningTrainer


def above_zero(scheduler: LambdaLR, warmup_steps: int) -> None:
    """Change the warm-up of a new scheduler; the optimizer gets the learning rate of the first step."""
    scheduler.lr_lambdas = [_raised(share, warmup_steps) for share in scheduler.lr_lambdas]
    rates = [base * share(0) for base, share in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates


def _raised(share: Callable[[int], float], warmup_steps: int) -> Callable[[int], float]:
    return lambda step: (step + 1) / (warmup_steps + 1) if step < warmup_steps else share(step)


class WarmUpAboveZero(Trainer):
    """A trainer of transformers with this schedule; goes before the trainer's own class."""

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LRScheduler:
        new = self.lr_scheduler is None
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        if new and isinstance(scheduler, LambdaLR):
            above_zero(scheduler, self.args.get_warmup_steps(num_training_steps))
        return scheduler


class ExperimentTrainer(WarmUpAboveZero, ThinkTuningTrainer):
    """``ThinkTuningTrainer`` as a run uses it. In a script of your own the schedule is that of its ``GRPOConfig``."""
