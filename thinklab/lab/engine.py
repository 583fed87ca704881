"""``Engine``: drives the trainer in pieces (sample, propose, learn): pauses, interrupts, failures, saved state.

The training runs on the worker's thread and pauses at two places: ``generation``, before a generation is sampled, and
``batch``, between sampling and guidance. An early end (an interrupt, a teacher failure, a non-finite loss, a full disk)
unwinds it; the next order restarts it from the last checkpoint with the pending batch from disk. A restarted kernel uses the
same path, so there is only one. A checkpoint is written at the end of every call.

Random states are restored after every pause, so cells that run in between cannot change the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import TrainerCallback

from thinklab.errors import LabError
from thinklab.experiment.probe_run import paired
from thinklab.experiment.questions import answer_limit
from thinklab.experiment.session import Session
from thinklab.guide.guide import Guide
from thinklab.guide.one_by_one import ask, ask_again
from thinklab.lab.learned import Learned, LearnedText
from thinklab.lab.results import LabProbe, LabReach
from thinklab.lab.snapshots import random_state, set_random_state, trained_weights
from thinklab.lab.worker import Worker
from thinklab.probing import reach
from thinklab.probing.result import ProbeResult
from thinklab.probing.sentences import sentences
from thinklab.reports.console import rates
from thinklab.review.queue import ReviewQueue
from thinklab.review.waiting import ASK_AGAIN, Store, Waiting, same_rollouts
from thinklab.rewards import Rewards
from thinklab.teachers.resident import adapter_off, as_found
from thinklab.types import Batch, Guidance, Rollout

GENERATION, BATCH = "generation", "batch"


@dataclass(frozen=True)
class Stand:
    """Advance to the next pause before a generation."""


@dataclass(frozen=True)
class Sample:
    """Sample one batch."""


@dataclass(frozen=True)
class Learn:
    """Train on the pending batch with this guidance."""

    guidance: dict[str, Guidance]


@dataclass(frozen=True)
class Run:
    """Continue unattended up to the step ``until``."""

    until: int
    policy: Any = "accept"
    by: str | None = None
    guidance: dict[str, Guidance] | None = None
    """Guidance for the pending batch."""


class Engine:
    """See the module. All training calls go through ``worker``."""

    def __init__(self, session: Session):
        self.session, self.config, self.student = session, session.config, session.student
        self.guide, self.trainer, self.run = session.teaching.guide, session.trainer, session.run
        assert isinstance(session.trainer.score, Rewards), "what build gives the trainer"
        self.rewards = session.trainer.score
        self.store = Store(session.run)
        self.worker = Worker(self._train)
        self.waiting: Waiting | None = None
        self.lines: list[dict] = []
        """Metrics of the current call."""
        self.span = session.config.train.span
        self._order: Any = Stand()
        self._next: Any = None
        self._started = False
        self._stepping = False  # from an optimizer step until its records and its checkpoint are written
        self._run_from = 0
        self._fresh = random_state()
        found = self.run.last_checkpoint()
        self.loaded_step: int | None = None if found else 0
        """The step of the student's current weights while no training is running; None if they must be loaded."""
        self._initial = None if found else trained_weights(self.student.model)
        self.trainer.guide, self.trainer.recall = _Stage2(self), self._recall
        self.trainer.add_callback(_Pauses(self))
        self._hook = self.student.model.get_input_embeddings().register_forward_pre_hook(self._before_forward)
        session.listen(self._on_metrics)

    @property
    def required_guide(self) -> Guide:
        """The guide, where it is known that the method has one."""
        assert self.guide is not None
        return self.guide

    @property
    def saved_step(self) -> int:
        found = self.run.last_checkpoint()
        return found[1] if found else 0

    @property
    def step(self) -> int:
        """Completed and saved optimizer steps."""
        return self.trainer.state.global_step if self.worker.place else self.saved_step

    def _load_last(self) -> None:
        """The last checkpoint's weights, for a run without remaining steps."""
        found = self.run.last_checkpoint()
        assert found is not None, "a run that has no step left has its last checkpoint"
        self.trainer.load_checkpoint(found[0])
        self.loaded_step = found[1]

    def find_waiting(self) -> None:
        """Look on disk for a pending batch at the last checkpoint."""
        self.waiting = self.store.find(self.saved_step)

    def close(self) -> None:
        self.worker.close()
        self._hook.remove()

    # ---- calls of the Lab, on the caller's thread

    def stand(self) -> None:
        """The student in its current state."""
        if self.worker.place or self.loaded_step == self.step:
            return
        if self.step < self.config.train.steps:
            self.worker.advance(Stand())
        else:
            self.worker.call(self._load_last)

    @property
    def at_batch(self) -> bool:
        """Whether this process's training has sampled the pending batch."""
        return self.worker.place == BATCH

    def sample(self) -> None:
        self.worker.advance(Sample())

    def learn(self, waiting: Waiting, guidance: dict[str, Guidance]) -> Learned:
        """Train on ``waiting`` with ``guidance``; returns the likelihood of that guidance before and after."""
        texts = self._spliced(waiting, guidance)[: reach.MEASURED]
        before = self._likelihood(texts)
        self.worker.advance(Learn(guidance))
        try:
            after = self._likelihood(texts)
        except KeyboardInterrupt:  # the update is done and saved; only its measurement was interrupted
            return Learned()
        found = [LearnedText.of(self.step, rollout, a, b) for rollout, a, b in zip(texts, before, after, strict=True)]
        self.run.append("learned", (t.to_json() for t in found))
        return Learned(found)

    def _spliced(self, waiting: Waiting, guidance: dict[str, Guidance]) -> list[Rollout]:
        """The guided rollouts as trained on, those written by a person first."""
        if self.guide is None:
            return []
        guide = replace(self.guide, counts=Counter())  # counted when it is spliced for training
        guided = [r for r in guide.splice(waiting.batch.rollouts, guidance) if r.guided]
        return sorted(guided, key=lambda r: r.guidance is None or r.guidance.edited is None)

    def _likelihood(self, texts: list[Rollout]) -> list[float]:
        if not texts:
            return []
        rows = min(16, self.config.train.micro_batch or 16)

        def measure() -> list[float]:
            self._deaf = True  # a stop then ends the call with the training unchanged, or with the update done
            try:
                return reach.log_probabilities(self.student, texts, rows)
            finally:
                self._deaf = False

        return self.worker.call(measure, quiet=True)

    def train_to(self, until: int, policy: Any, by: str | None, guidance: dict[str, Guidance] | None) -> None:
        self.worker.advance(Run(until, policy, by, guidance))

    def propose(self, waiting: Waiting) -> None:
        """Ask the teacher about the pending batch."""
        try:
            self.worker.call(lambda: self.ask(waiting, show=True))
        finally:
            self.note_costs()

    def queue(self, waiting: Waiting, by: str | None) -> ReviewQueue:
        return ReviewQueue(
            waiting.batch.rollouts,
            waiting.proposals,
            self.required_guide,
            self.rewards,
            self.run,
            ask=self._ask_again,
            by=by,
            imitates=self.trainer.imitate,
        )

    def _ask_again(self, rollout: Rollout) -> Guidance | None:
        if self.worker.busy:
            raise LabError("the Lab is busy; ask again when the current call has ended")
        before = None if self.waiting is None else self.waiting.proposals.get(rollout.id)
        behaviors = {b.name: b for b in self.session.teaching.behaviors}
        behavior = behaviors[before.behavior] if before is not None else self.session.teaching.behaviors[0]
        try:
            return self.worker.call(lambda: ask_again(self.required_guide, rollout, behavior, before), quiet=True)
        finally:
            self.note_costs()

    def note_costs(self) -> None:
        """The cost of a paid teacher, on disk: a cap covers all sessions."""
        self.session.teaching.write_totals(self.run)

    def probe(self, questions: int | None, samples: int | None, before: bool, full: bool = False) -> LabProbe:
        """See ``Lab.probe``."""
        step = self.step
        return self.worker.call(lambda: self._probe(step, questions, samples, before, full))

    def _probe(self, step: int, questions: int | None, samples: int | None, before: bool, full: bool) -> LabProbe:
        prober, progress = self.session.prober, self.worker.progress
        model, run = self.student.model, self.run
        known = run.read_json("probe.json") or {}
        answers = prober.asked(questions)["measured"] * (samples or self.config.probe.samples)
        fits = prober.is_known(known, questions, samples)
        passes = self._probe_passes(answers)
        if step == 0 or (before and not fits and hasattr(model, "peft_config")):
            progress.begin("probe, before training", passes)
            with as_found(model), adapter_off(model):
                known = {"before": prober.full("before", questions, samples)}
        if step:
            progress.begin("probe", passes)
            known |= {"after": prober.full("after", questions, samples), "steps": step}
            known["difference"] = paired(run)
            if full:
                known |= prober.elsewhere()
        progress.done = passes
        known["questions"] = prober.asked(questions)
        run.write_json("probe.json", known)
        results = {stage: {d: ProbeResult.from_json(r) for d, r in known.get(stage, {}).items()} for stage in ("before", "after")}
        if not step:
            return LabProbe(step, results["before"])
        return LabProbe(step, results["after"], results["before"], known["difference"], sentences(known) if full else ())

    def reach(self, waiting: Waiting) -> LabReach:
        """See ``Lab.reach``."""
        guided = self._spliced(waiting, waiting.proposals)
        if not guided:
            raise LabError("there is no usable guidance in this batch, so there is nothing to measure")
        t, loss = self.config.train, self.config.loss
        found = self.worker.call(lambda: reach.measure(self.student, guided[: reach.MEASURED], loss))
        drawn = t.steps // self.span * t.questions * t.samples
        return LabReach(found, reach.advice(found, loss, drawn))

    def _probe_passes(self, answers: int) -> int:
        """Maximum number of forward passes of a probe: one per answer token, for each batch of both decodings."""
        rows = self.config.train.sample_rows or 256
        questions = min(answers, len(self.session.data.held_out))
        return answer_limit(self.config) * (-(-answers // rows) + -(-questions // rows))

    # ---- on the worker's thread: the training and its pauses

    def _train(self) -> None:
        self._next = self.worker.order
        if self._started:
            self._back()
        self._started, self._stepping = True, False
        self.find_waiting()
        if self.run.last_checkpoint() is None:
            set_random_state(self._fresh)
        self.worker.progress.begin("")
        try:
            self.session.train(resume=True)
        except Exception:
            self.loaded_step = None
            self._save_what_was_done()
            raise
        self.waiting, self.loaded_step = None, self.trainer.state.global_step

    def _back(self) -> None:
        """Reset the trainer: the next ``train`` loads the last checkpoint."""
        guards = self.session.guards
        self.trainer.forget_training()
        if guards is not None:
            guards.forget()
        if self.guide is not None:
            self.guide.failed = ""
        if self.run.last_checkpoint() is None:
            initial = self._initial or {}
            with torch.no_grad():
                for name, parameter in self.student.model.named_parameters():
                    if name in initial:
                        parameter.copy_(initial[name])

    def _save_what_was_done(self) -> None:
        """Save a checkpoint of the steps since the last one, if the weights are at the end of a generation."""
        trainer = self.trainer
        step = trainer.state.global_step
        if self._stepping or step % self.span or step <= self.saved_step:
            return
        set_random_state(self._at_boundary)
        self._deaf = True  # a checkpoint's fingerprint needs a forward pass, which the pending stop would end
        try:
            trainer.save_checkpoint()
        finally:
            self._deaf = False

    def boundary(self, step: int) -> None:
        """Before a generation: wait for an order, unless one is still active."""
        self._at_boundary = random_state()
        if step > 0:
            self._initial = None
        order, self._next = self._next, None
        if order is None and isinstance(self._order, Run) and step < self._order.until and not self.worker.stop.is_set():
            order = self._order
        while order is None or isinstance(order, Stand):
            self._order = Stand()
            order = self._pause(GENERATION)
        if isinstance(order, Run) and order is not self._order:
            self._run_from = step
            self.worker.progress.begin("training", order.until - step)
        self._order = order
        if not isinstance(order, Run):
            t = self.config.train
            chunk = max(1, t.sample_rows // t.samples) if t.sample_rows else t.questions
            self.worker.progress.begin("sampling", t.max_completion_tokens * -(-t.questions // chunk))

    def _pause(self, place: str) -> Any:
        state = random_state()
        order = self.worker.pause(place)
        set_random_state(state)
        self.lines.clear()
        return order

    def stage2(self, rollouts: Sequence[Rollout], step: int, generation: int) -> list[Rollout]:
        """Takes the place of ``Guide`` in an attended run."""
        guide = self.guide
        if guide is not None:
            rollouts = guide.checked(guide.draw(rollouts, generation))
        if isinstance(self._order, Run):
            return self._unattended(rollouts, step, generation, self._order)
        self.worker.progress.done = self.worker.progress.total or 0
        if self.waiting is None or not same_rollouts(self.waiting.batch.rollouts, rollouts):
            scored = tuple(self.rewards(rollouts, log=False))
            self.waiting = self.store.begin(Batch(generation, step, scored, guide.gamma(step) if guide else 0.0))
        order = self._pause(BATCH)
        self._order = order
        micro = self.trainer.args.gradient_accumulation_steps
        if isinstance(order, Run):
            self._run_from = step
            self.worker.progress.begin("training", order.until - step)
        else:
            self.worker.progress.begin("update", self.span * micro)
        return guide.splice(rollouts, order.guidance or {}) if guide is not None else list(rollouts)

    def _unattended(self, rollouts: Sequence[Rollout], step: int, generation: int, order: Run) -> list[Rollout]:
        guide = self.guide
        if guide is None:
            return list(rollouts)
        waiting = self.waiting
        if waiting is None or not same_rollouts(waiting.batch.rollouts, rollouts):
            waiting = Waiting(Batch(generation, step, tuple(rollouts), guide.gamma(step)), "", {})
        try:
            self.ask(waiting, rollouts)
        except Exception:
            if not waiting.key:  # requests that were answered before the failure are not repeated
                kept = self.store.begin(replace(waiting.batch, rollouts=tuple(self.rewards(rollouts, log=False))))
                self.store.add(kept, waiting.proposals.values())
                self.waiting = kept
            raise
        self.waiting = None
        if order.policy == "accept" and not waiting.key:
            return guide.splice(rollouts, waiting.proposals)
        queue = ReviewQueue(rollouts, waiting.proposals, guide, self.rewards, self.run, by=order.by)
        queue.apply(order.policy)
        return guide.splice(rollouts, queue.decided())

    def ask(self, waiting: Waiting, rollouts: Sequence[Rollout] | None = None, show: bool = False) -> None:
        """Ask the teacher about all chosen rollouts without a reply."""
        guide, batch = self.required_guide, waiting.batch
        rollouts = batch.rollouts if rollouts is None else rollouts
        known = {i for i, g in waiting.proposals.items() if g.reason not in ASK_AGAIN}
        chosen = [(r, b) for r, b in guide.choose(rollouts, batch.step, batch.generation) if r.id not in known]
        if show:
            self.worker.progress.begin("guidance", len(chosen))

        def keep(found: list[Guidance]) -> None:
            if waiting.key:
                self.store.add(waiting, found)
            else:
                waiting.proposals |= {g.rollout_id: g for g in found}
            if show:
                self.worker.progress.done += len(found)

        asked = {r.id for r, _ in chosen}
        warm = guide.meanwhile or (lambda rollouts: None)
        self._counting = False
        try:
            ask(guide, chosen, keep, self._check, lambda: warm([r for r in rollouts if r.id not in asked]))
        finally:
            self._counting = True
        if waiting.key:
            self.store.all_asked(waiting)

    def _recall(self, generation: int) -> list[list[int]] | None:
        known = self.waiting
        return known.sampled if known is not None and known.batch.generation == generation else None

    # ---- interrupts and progress

    _counting = True
    _deaf = False
    """Forward passes that an interrupt must not end."""

    def _before_forward(self, *_: Any) -> None:
        if not self.worker.mine:
            return
        progress = self.worker.progress
        if self._counting and progress.text not in ("update", "training"):
            progress.done = min(progress.done + 1, progress.total) if progress.total else progress.done + 1
        self._check()

    def _check(self) -> None:
        """Handle an interrupt now, unless it would undo completed steps."""
        inside = self.trainer.state.global_step % self.span != 0
        if not self._stepping and not self._deaf and not (inside and isinstance(self._order, Run)):
            self.worker.check()

    def _on_metrics(self, line: dict) -> None:
        self.lines.append(line)
        if isinstance(self._order, Run):
            self.worker.progress.done = line["step"] - self._run_from
            self.worker.progress.extra = rates(line)


class _Stage2:
    """The engine as the trainer's ``guide``."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def __call__(self, rollouts: Sequence[Rollout], step: int, generation: int) -> list[Rollout]:
        return self.engine.stage2(rollouts, step, generation)

    def gamma(self, step: int) -> float:
        guide = self.engine.guide
        return guide.gamma(step) if guide is not None else 0.0


class _Pauses(TrainerCallback):
    def __init__(self, engine: Engine):
        self.engine = engine

    def on_step_begin(self, args, state, control, **_):
        self.engine._stepping = False
        if state.global_step % self.engine.span == 0:
            self.engine.boundary(state.global_step)

    def on_pre_optimizer_step(self, args, state, control, **_):
        self.engine._stepping = True

    def on_substep_end(self, args, state, control, **_):
        self._count()

    def on_step_end(self, args, state, control, **_):
        self._count()
        engine, order = self.engine, self.engine._order
        if state.global_step % engine.span:
            return
        if not isinstance(order, Run) or state.global_step >= order.until or engine.worker.stop.is_set():
            control.should_save = True

    def on_save(self, args, state, control, **_):
        if not isinstance(self.engine._order, Run):
            self.engine.waiting = None

    def _count(self) -> None:
        progress = self.engine.worker.progress
        if progress.text == "update":
            progress.done += 1
