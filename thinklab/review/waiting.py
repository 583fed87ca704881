"""``Store``: the pending batch of a Lab and the teacher's replies to it, as files that survive a restart.

    waiting.json      the sampled batch that has not been trained on yet; stale once a later checkpoint exists
    proposals.jsonl   one line per piece of guidance, written as it arrives; no request is made or paid for twice

Decisions are in ``reviews.jsonl`` (``thinklab/review/queue.py``).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thinklab.errors import LabError
from thinklab.run.folder import RunFolder
from thinklab.types import Batch, Guidance, Rollout, guidance_from_json, rollout_from_json, to_json

ASK_AGAIN = ("waiting", "rate-limit", "overloaded", "server", "connection", "timeout", "resting", "bad-reply", "cap", "budget")
"""Teacher failures that the next ``guide`` retries; other replies are kept."""
WAITING, PROPOSALS = "waiting.json", "proposals"


@dataclass
class Waiting:
    """A sampled batch and its state."""

    batch: Batch
    key: str
    """Distinguishes it from another sampling of the same generation."""
    proposals: dict[str, Guidance]
    guided: bool = False
    """Whether the teacher was asked about every chosen rollout."""

    @property
    def unanswered(self) -> list[Guidance]:
        """Requests that the teacher failed to answer and that may be retried."""
        return [g for g in self.proposals.values() if g.reason in ASK_AGAIN]

    @property
    def sampled(self) -> list[list[int]]:
        """The student's ids, row by row."""
        return [list(r.student_ids) for r in self.batch.rollouts]


@dataclass(frozen=True)
class Store:
    """Reads and writes the files above."""

    run: RunFolder

    def begin(self, batch: Batch) -> Waiting:
        """Keep ``batch``.

        Raises:
            RunError: when it cannot be written.
        """
        waiting = Waiting(batch, uuid.uuid4().hex, {})
        self._write(waiting)
        return waiting

    def add(self, waiting: Waiting, proposals: Iterable[Guidance]) -> None:
        """Keep guidance as it comes."""
        new = {g.rollout_id: g for g in proposals}
        self.run.append(PROPOSALS, ({"batch": waiting.key, **to_json(g)} for g in new.values()))
        waiting.proposals |= new

    def all_asked(self, waiting: Waiting) -> None:
        self._write(replace(waiting, guided=True))
        waiting.guided = True

    def find(self, step: int) -> Waiting | None:
        """The pending batch at ``step`` optimizer steps; None if there is none."""
        found = self.held()
        return found if found is not None and found.batch.step == step else None

    def held(self) -> Waiting | None:
        """The last pending batch, whether or not it has been trained on since; None if there never was one."""
        data = self.run.read_json(WAITING)
        if not data:
            return None
        proposals = {}
        for line in self.run.read(PROPOSALS):
            if line.pop("batch") == data["key"]:
                proposals[line["rollout_id"]] = guidance_from_json(line)
        rollouts = tuple(rollout_from_json(r) for r in data["rollouts"])
        return Waiting(Batch(data["generation"], data["step"], rollouts, data["gamma"]), data["key"], proposals, data["guided"])

    def _write(self, waiting: Waiting) -> None:
        batch = waiting.batch
        self.run.write_json(
            WAITING,
            {
                "key": waiting.key,
                "generation": batch.generation,
                "step": batch.step,
                "gamma": batch.gamma,
                "guided": waiting.guided,
                "rollouts": [to_json(r) for r in batch.rollouts],
            },
        )


def same_rollouts(mine: Sequence[Rollout], theirs: Sequence[Rollout]) -> bool:
    """Whether two batches contain the same answers to the same prompts."""
    return len(mine) == len(theirs) and all(
        a.id == b.id and a.prompt_ids == b.prompt_ids and a.student_ids == b.student_ids for a, b in zip(mine, theirs)
    )


def asked_for(waiting: Waiting | None, batch: Any, call: str, step: int) -> Waiting:
    """``waiting``, if ``batch`` is that or None.

    Args:
        call: the method of the Lab that ``batch`` was given to.
        step: the number of completed steps.

    Raises:
        LabError: if ``batch`` is another one, or none is pending.
    """
    if batch is not None and not isinstance(batch, Batch):
        raise LabError(f"lab.{call}(batch) takes what lab.rollout() returned, not {type(batch).__name__}")
    if waiting is None:
        raise LabError(
            "there is no batch yet: batch = lab.rollout() first"
            if batch is None or step <= batch.step
            else f"batch {batch.generation} has already been trained on; batch = lab.rollout() returns the next one"
        )
    if batch is not None and (batch.generation, batch.step) != (waiting.batch.generation, waiting.batch.step):
        raise LabError(
            f"batch {batch.generation} is not the pending batch, which is {waiting.batch.generation}: lab.rollout() returns it"
        )
    return waiting
