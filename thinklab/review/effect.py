"""``Effect``: the advantages of a group's answers as a decision would make them.

The rewards of a group are compared with each other, so guidance that makes one answer right lowers the others. Computed by the
function that the trainer uses (``advantages.advantages``), with every other answer of the group in its current review state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from thinklab.advantages import advantages
from thinklab.errors import BehaviorError, TrainingError
from thinklab.review.item import Item
from thinklab.rewards import Rewards
from thinklab.types import Rollout


@dataclass(frozen=True)
class Effect:
    """Values in group order."""

    accepted: tuple[float, ...]
    """Advantages if the text is appended."""
    rejected: tuple[float, ...]
    """Advantages if the answer stays as sampled."""
    rewards: tuple[float, ...]
    """Rewards: of the others in their current state; of this one, with the text."""
    alone: float
    """The reward of this answer without guidance."""
    imitates: bool
    """The method trains on guided texts with weight 1, whatever their advantage."""


@dataclass
class Groups:
    """All answers of a batch, by question.

    Args:
        rollouts: of the batch, guided or not.
        rewards: the reward function; judges are not called and contribute nothing.
    """

    rollouts: Sequence[Rollout]
    rewards: Rewards
    imitates: bool = False

    def __post_init__(self) -> None:
        self._quiet = self.rewards.unasked
        self._earned: dict[tuple[str, str], list[float]] = {}
        self._of: dict[tuple[str, int], list[Rollout]] = {}
        for rollout in self.rollouts:
            self._of.setdefault(_group(rollout), []).append(rollout)

    def of(self, rollout: Rollout) -> list[Rollout]:
        return self._of[_group(rollout)]

    def right(self, rollout: Rollout) -> bool:
        """Whether the task's verifier accepts the student's own answer."""
        known = rollout.checks.get("student_correct")
        return self.rewards.verify(rollout.student_text, rollout.example) if known is None else known

    def effect(self, item: Item, text: str, separators: Mapping[str, str], items: Mapping[str, Item]) -> Effect | None:
        """The effect of accepting ``text`` and of rejecting it.

        Args:
            separators: by behavior, the text between an answer and its guidance.
            items: all items under review, by rollout.

        Returns:
            None where a detector or a reward function cannot be run here.
        """
        group, here = self.of(item.rollout), [r.id for r in self.of(item.rollout)].index(item.id)
        try:
            rows = [self._row(r, _text(r, items.get(r.id), separators)) for r in group]
            with_it = self._row(group[here], item.student_text + separators[item.behavior] + text)
            alone = self._row(group[here], item.student_text)
        except (BehaviorError, TrainingError):
            return None
        weights = torch.ones(len(self.rewards.parts))

        def found(own: list[float]) -> tuple[float, ...]:
            table = torch.tensor([own if k == here else row for k, row in enumerate(rows)])
            return tuple(advantages(table, weights, len(group)).tolist())

        rows[here] = with_it
        return Effect(found(with_it), found(alone), tuple(map(_total, rows)), _total(alone), self.imitates)

    def _row(self, rollout: Rollout, text: str) -> list[float]:
        key = rollout.id, text
        if key not in self._earned:
            if len(self._earned) > 8192:
                self._earned.clear()
            scored = self._quiet.score(replace(rollout, text=text)).rewards
            self._earned[key] = [scored.get(part, math.nan) for part in self.rewards.parts]
        return self._earned[key]


def _total(row: list[float]) -> float:
    """Without the functions that gave no reward."""
    return sum(value for value in row if not math.isnan(value))


def _group(rollout: Rollout) -> tuple[str, int]:
    return rollout.id.partition("-")[0], rollout.group


def _text(rollout: Rollout, item: Item | None, separators: Mapping[str, str]) -> str:
    """The answer as it would be trained on if nothing more were decided."""
    if item is None or not item.guidance.usable:
        return rollout.student_text
    return rollout.student_text + separators[item.behavior] + item.guidance.final_text
