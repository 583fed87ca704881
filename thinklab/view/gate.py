"""``ReviewGate``: the guide of ``thinklab train --review``, which holds training until a batch is decided.

``ReviewGate`` replaces ``Guide`` in such a run. Like the Lab, it saves the pending batch and the teacher's replies
in ``waiting.json`` and ``proposals.jsonl`` (``thinklab/review/waiting.py``), and a checkpoint is saved after each
generation. So if the process ends while it waits, ``thinklab train --resume`` shows the same batch again with all decisions;
nothing is sampled or paid for twice.

``review.json`` is in the run folder while a batch waits, readable only by its owner: it contains the address of the page, so
that ``thinklab view`` can link to it. ``review_batches.jsonl`` records when each batch was opened and closed, why, and by whom.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from transformers import TrainerCallback

from thinklab.errors import ReviewError
from thinklab.guide.one_by_one import ask_again
from thinklab.review.queue import ReviewQueue
from thinklab.review.waiting import Store, Waiting, same_rollouts
from thinklab.run.folder import RunFolder
from thinklab.types import Batch, Guidance, Rollout
from thinklab.view.library import REVIEW

POLL_S = 0.1
BATCHES = "review_batches"


class ReviewGate:
    """See the module.

    Args:
        session: the experiment; its ``guide`` proposes and splices.
        desk: where batches are offered for review.
        url: of the page, for ``review.json``.
    """

    def __init__(self, session: Any, desk: Any, url: str):
        self.session, self.desk, self.url = session, desk, url
        self.guide = session.teaching.guide
        self.store = Store(session.run)
        found = session.run.last_checkpoint()
        self.waiting: Waiting | None = self.store.find(found[1] if found else 0)
        self._asking = threading.Lock()

    def gamma(self, step: int) -> float:
        return self.guide.gamma(step)

    def begin(self, rollouts: Sequence[Rollout], step: int, generation: int) -> None:
        """Ask early, like ``Guide``; never about a batch from an earlier session."""
        self.guide.begin(rollouts, step, generation)

    def recall(self, generation: int) -> list[list[int]] | None:
        """For the trainer: the ids of a batch that was sampled in an earlier session."""
        known = self.waiting
        return known.sampled if known is not None and known.batch.generation == generation else None

    def __call__(self, rollouts: Sequence[Rollout], step: int, generation: int) -> list[Rollout]:
        guide = self.guide
        rollouts = guide.checked(guide.draw(rollouts, generation))
        waiting = self.waiting
        if waiting is None or not same_rollouts(waiting.batch.rollouts, rollouts):
            scored = tuple(self.session.trainer.score(rollouts))
            waiting = self.store.begin(Batch(generation, step, scored, guide.gamma(step)))
        if not waiting.guided:
            self.store.add(waiting, guide.propose(rollouts, step, generation).values())
            self.store.all_asked(waiting)
        self.waiting = waiting
        if guide.failed or not waiting.proposals:  # the run ends, or there is nothing to decide
            self.waiting = None
            return guide.splice(rollouts, waiting.proposals)
        trainer, run = self.session.trainer, self.session.run
        queue = ReviewQueue(rollouts, waiting.proposals, guide, trainer.score, run, imitates=trainer.imitate)
        with torch.random.fork_rng(enabled=True):  # requests in the meantime cannot change the run
            self._wait(queue, waiting)
        self.waiting = None
        return guide.splice(rollouts, queue.decided())

    def _wait(self, queue: ReviewQueue, waiting: Waiting) -> None:
        from thinklab.view.batch import OpenBatch, of_people

        review, session = self.session.config.review, self.session
        batch = OpenBatch(queue, waiting.batch.generation, waiting.batch.step, review.deadline_s, review.default, review.grace_s)
        queue.ask = lambda rollout: self._ask_again(rollout, queue, batch.closed)
        batch.pane.can_ask = True
        batch.look()
        opened = _now()
        self._show(batch)
        self.desk.lay(batch)
        limit = "" if review.deadline_s is None else f" within {review.deadline_s:g} s"
        session.say(f"step {waiting.batch.step}: {len(queue)} pieces of guidance are waiting for review{limit}: {self.url}")
        try:
            while not batch.closed.wait(POLL_S):
                batch.tick()
                session.check_signals()
            with self._asking:  # a teacher that is asked again may use the student
                pass
        finally:
            self.desk.lay(None)
            self.hide()
        people, counts = of_people(queue.items), dict(queue.counts())
        session.run.append(
            BATCHES,
            [
                {
                    "generation": waiting.batch.generation,
                    "step": waiting.batch.step,
                    "opened": opened,
                    "closed": _now(),
                    "why": batch.why,
                    "who": batch.closed_by,
                    "default": review.default,
                    "counts": counts,
                }
            ],
        )
        outcome = ", ".join(f"{n} {state}" for state, n in counts.items())
        session.say(f"step {waiting.batch.step}: {batch.why}; {outcome} ({people})")

    def _ask_again(self, rollout: Rollout, queue: ReviewQueue, closed: threading.Event) -> Guidance | None:
        with self._asking:
            if closed.is_set():
                raise ReviewError("this batch is closed; training has continued")
            behaviors = {b.name: b for b, _ in self.guide.behaviors}
            before = queue[rollout.id].said
            try:
                return ask_again(self.guide, rollout, behaviors[before.behavior], before)
            finally:
                self.session.teaching.write_totals(self.session.run)

    def _show(self, batch: Any) -> None:
        file = self.session.run.path / REVIEW
        with suppress(OSError):  # the page works without it
            file.unlink(missing_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                json.dump({"url": self.url, "step": batch.step, "items": len(batch.queue), "process": os.getpid()}, out)

    def hide(self) -> None:
        """No batch is pending."""
        with suppress(OSError):
            (RunFolder(self.session.run.path).path / REVIEW).unlink(missing_ok=True)


class Saves(TrainerCallback):
    """A checkpoint after each generation, so that a pending batch can be resumed."""

    def __init__(self, span: int):
        self.span = span

    def on_step_end(self, args, state, control, **_):
        if state.global_step % self.span == 0:
            control.should_save = True


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
