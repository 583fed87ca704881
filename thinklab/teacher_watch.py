"""``TeacherWatch``: for your own TRL script, a callback that stops when the teacher fails or reaches its cap."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from thinklab.stage2 import CanFail, MayReachCap


class TeacherWatch(TrainerCallback):
    """Saves and ends the training when no more guidance can come, at the end of the current generation.

    ``ThinkTuningTrainer.train`` then raises for a teacher that failed. A cap with ``on_cap: stop`` is a planned end, with a
    warning; with ``on_cap: plain``, a warning says that training continues as plain GRPO.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.told = trainer, False

    def on_train_begin(self, args, state, control, **_):
        self.told = False

    def on_step_end(self, args, state, control, **_):
        if not self.trainer.between_generations:
            return
        guide = self.trainer.guide
        if isinstance(guide, CanFail) and guide.failed:
            control.should_save = control.should_training_stop = True
        elif isinstance(guide, MayReachCap) and (reached := guide.cap_reached):
            stop = bool(guide.should_stop)
            if stop or not self.told:
                end = "training ends" if stop else "it continues as plain GRPO"
                warnings.warn(f"step {state.global_step}: {reached}. Saved; {end}", RuntimeWarning, stacklevel=2)
                control.should_save, self.told = True, True
            control.should_training_stop |= stop


def many_rejected(counts: Mapping[str, int]) -> str:
    """A summary of ``guide.counts`` if most replies were rejected; empty otherwise."""
    counts = {outcome: n for outcome, n in counts.items() if outcome != "guided-but-not-shown"}  # some of the accepted
    total = sum(counts.values())
    lost = {reason: n for reason, n in counts.items() if reason not in ("accepted", "edited")}
    if 2 * sum(lost.values()) <= total:
        return ""
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(lost.items(), key=lambda x: -x[1]))
    return f"{sum(lost.values())} of the teacher's {total} replies were rejected, so little was guided: {reasons}"
