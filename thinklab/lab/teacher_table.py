"""``lab.teachers``: several teachers on the same answers: usable replies, right verdicts, cost, time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from thinklab.config.schedule import Schedule
from thinklab.errors import LabError, did_you_mean
from thinklab.guide.guide import Guide
from thinklab.lab.results import ReviewText, as_text, box, table
from thinklab.review.queue import ReviewQueue
from thinklab.rewards import Rewards
from thinklab.teachers import Teacher
from thinklab.teachers.protocols import KeepsAccount
from thinklab.types import Batch

TITLE = "the same answers, one teacher after the other"


@dataclass(frozen=True)
class Comments:
    """One teacher's replies about some answers."""

    teacher: str
    queue: ReviewQueue
    """For reading only; decisions here do not affect training."""
    seconds: float
    usd: float
    kept_from: str = ""
    """The most frequent rejection reason."""

    @property
    def usable(self) -> int:
        return sum(i.said.usable for i in self.queue.items)

    def row(self) -> tuple[str, ...]:
        asked = len(self.queue)
        judged = [i for i in self.queue.items if i.agrees is not None]
        right = f"{sum(bool(i.agrees) for i in judged)} of {len(judged)}" if judged else "no opinion"
        cost = f"${1000 * self.usd / asked:.2f}" if self.usd and asked else "nothing"
        return (self.teacher, f"{self.usable} of {asked}", right, cost, _time(self.seconds / max(1, asked)), self.kept_from)


@dataclass(frozen=True)
class TeacherTable:
    """One row per teacher; ``table["NAME"]`` shows its replies."""

    found: Sequence[Comments]
    HEAD: ClassVar[tuple[str, ...]] = ("teacher", "usable", "right", "cost of 1,000", "time each", "why not usable")

    def __getitem__(self, name: str) -> ReviewText:
        by_name = {c.teacher: c for c in self.found}
        if name not in by_name:
            raise LabError(f"there is no teacher {name!r} in this table{did_you_mean(name, by_name)}")
        return ReviewText(by_name[name].queue, call="")

    def rows(self) -> list[tuple[str, ...]]:
        return [c.row() for c in self.found]

    def __repr__(self) -> str:
        return as_text(self.HEAD, self.rows(), TITLE)

    def _repr_html_(self) -> str:
        return box(f"<p>{TITLE}</p>", table(self.HEAD, self.rows(), text=(5,)))


def comments(name: str, teacher: Teacher, batch: Batch, guide: Guide, rewards: Rewards | None, wanted: int) -> Comments:
    """``teacher`` on ``wanted`` answers per question of ``batch``, the same ones for every teacher."""
    asking = Guide(teacher, guide.behaviors, guide.tokenizer, Schedule(wanted), max_tokens=guide.max_tokens, seed=guide.seed)
    before, begin = _spent(teacher), time.perf_counter()
    said = asking.propose(batch.rollouts, batch.step, batch.generation)
    seconds = time.perf_counter() - begin
    reasons: dict[str, int] = {}
    for guidance in said.values():
        if not guidance.usable:
            reasons[guidance.reason] = reasons.get(guidance.reason, 0) + 1
    reason = max(reasons, key=reasons.__getitem__, default="")
    return Comments(
        name, ReviewQueue(batch.rollouts, said, asking, rewards), seconds, _spent(teacher) - before, reason.replace("-", " ")
    )


def _spent(teacher: Any) -> float:
    spent: Mapping[str, Any] = teacher.totals().get("spent", {}) if isinstance(teacher, KeepsAccount) else {}
    return float(spent.get("usd", 0.0))


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
