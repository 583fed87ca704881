"""``Learned``: the likelihood of each piece of guidance before and after one update.

The number is the probability of exactly this text after the student's own answer, token by token (teacher-forced). It rises if
the guided answer earned more than its group and falls if it earned less: this is not imitation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from thinklab.types import Rollout

SHOWN = 4
"""Number of texts in the table; all are in ``learned.jsonl``."""


@dataclass(frozen=True)
class LearnedText:
    """One piece of guidance, before and after."""

    step: int
    """Number of optimizer steps after the update."""
    rollout_id: str
    text: str
    edited: bool
    """Whether a person wrote it."""
    tokens: int
    advantage: float | None
    before: float
    """Natural log of its probability."""
    after: float

    @classmethod
    def of(cls, step: int, rollout: Rollout, before: float, after: float) -> LearnedText:
        said = rollout.guidance
        assert said is not None, "it was guided"
        edited = said.edited is not None
        return cls(step, rollout.id, said.final_text, edited, len(rollout.teacher_ids), rollout.advantage, before, after)

    @property
    def likelier(self) -> bool:
        return self.after > self.before

    @property
    def times(self) -> str:
        """The change of its probability, in words."""
        change = abs(self.after - self.before)
        factor = f"{math.exp(change):.3g}" if change < 20 else f"10^{change / math.log(10):.0f}"
        return f"{factor} times {'as likely' if self.likelier else 'less likely'}" if change > 5e-4 else "unchanged"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Learned:
    """The texts of one update."""

    texts: Sequence[LearnedText] = ()
    """Texts written by a person come first."""
    HEAD: ClassVar[tuple[str, ...]] = ("guidance", "probability before", "after", "now")

    @classmethod
    def from_json(cls, lines: Sequence[Mapping[str, Any]]) -> Learned:
        return cls([LearnedText(**line) for line in lines])

    @property
    def sentences(self) -> list[str]:
        """The result in one or two lines."""
        if not self.texts:
            return []
        mine = [t for t in self.texts if t.edited]
        said = []
        if mine:
            first = mine[0]
            before, after = _probability(first.before), _probability(first.after)
            said.append(f"Your sentence {_short(first.text)!r} went from {before} to {after}: {first.times}.")
        likelier = sum(t.likelier for t in self.texts)
        said.append(
            f"After this step, {likelier} of {len(self.texts)} pieces of guidance are more likely under the student than before."
        )
        return said

    def rows(self) -> list[tuple[str, ...]]:
        return [(t.text, _probability(t.before), _probability(t.after), t.times) for t in self.texts[:SHOWN]]


def _probability(log: float) -> str:
    power = log / math.log(10)
    if power > -4:
        return f"{math.exp(log):.2%}" if power < -1 else f"{math.exp(log):.1%}"
    whole = math.floor(power)
    return f"{10 ** (power - whole):.1f}e{whole}"


def _short(text: str, most: int = 70) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
