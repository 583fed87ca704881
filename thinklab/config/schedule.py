"""``Schedule``: gamma, how many rollouts of a group are guided, at each step (constant, linear, cosine, exp)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from thinklab.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """How gamma, the number or share of guided rollouts per group, changes with the step.

    ``off_at`` is the first step without any guidance; from there on the run is plain GRPO.

    Raises:
        ConfigError: for a combination that would have no effect, or another effect than it suggests.
    """

    start: int | float = 0.25
    """An int is a number of rollouts per group, a float a share of the group."""
    end: int | float | None = None
    """The value after ``steps`` steps, a number or a share like ``start``; None = ``start``."""
    steps: int = 0
    """Over how many steps the value moves from ``start`` to ``end``; then it stays."""
    kind: Literal["constant", "linear", "cosine", "exp"] = "constant"
    off_at: int | None = None

    def __post_init__(self) -> None:
        start, end = self.start, self.end
        for name, value in (("gamma", start), ("schedule.end", end)):
            if isinstance(value, float) and value > 1:
                raise ConfigError(f"{name} {value} is a share and cannot exceed 1.0; write {int(value)} for a number of rollouts")
        if start and end and isinstance(start, float) != isinstance(end, float):
            kinds = [f"{v} is a {'share of each group' if isinstance(v, float) else 'number of rollouts'}" for v in (start, end)]
            raise ConfigError(
                f"gamma {kinds[0]} and schedule.end {kinds[1]}: write both as shares (0.5, 1.0) or both as numbers (1, 2)"
            )
        if self.kind == "constant" and (end is not None or self.steps):
            given = " and ".join(f"schedule.{name}" for name, there in (("end", end is not None), ("steps", self.steps)) if there)
            raise ConfigError(
                f"{given}: gamma stays at {start} with schedule.kind constant; set schedule.kind to linear, cosine "
                f"or exp, or remove {given}"
            )
        if self.kind != "constant" and (end is None or not self.steps):
            missing = " and ".join(
                f"schedule.{name}" for name, there in (("end", end is not None), ("steps", self.steps)) if not there
            )
            raise ConfigError(
                f"schedule.kind {self.kind} has no effect without {missing}: set the final gamma (end) and the number of steps "
                "(steps)"
            )
        if self.kind == "exp" and not start:
            raise ConfigError(
                "schedule.kind exp cannot rise from a gamma of 0; use linear or cosine, or start from a small share"
            )

    def check_group(self, size: int) -> None:
        """Reject a share that rounds to no rollout, or a number larger than the group.

        Args:
            size: rollouts per group.

        Raises:
            ConfigError: the message says what to write.
        """
        most = max((value for value in (self.start, self.end) if value), default=0)
        if not most:
            return
        if self._share:
            if math.floor(most * size + 0.5) == 0:
                raise ConfigError(
                    f"gamma {most} of a group of {size} answers is {most * size:g} of an answer, which rounds to none; write 1, "
                    f"or a share of at least {0.5 / size:.4g}, or sample more answers"
                )
        elif most > size:
            raise ConfigError(f"gamma {most} is more than the {size} answers of a group; write at most {size}, or 1.0 for all")

    @property
    def _share(self) -> bool:
        return any(isinstance(value, float) for value in (self.start, self.end) if value)

    def value(self, step: int) -> float:
        if self.off_at is not None and step >= self.off_at:
            return 0.0
        start, end = float(self.start), float(self.start if self.end is None else self.end)
        if self.kind == "constant":
            return start
        done = min(1.0, step / self.steps)
        if self.kind == "linear":
            return start + (end - start) * done
        if self.kind == "cosine":
            return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
        return start * (max(end, 1e-9) / start) ** done if done < 1 else end

    def count(self, step: int, group_size: int) -> int:
        """Guided rollouts wanted in a group of ``group_size``: the share times the size (or the number), rounded half up."""
        return min(group_size, math.floor(self.value(step) * (group_size if self._share else 1) + 0.5))
