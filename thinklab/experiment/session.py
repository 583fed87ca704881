"""From a config to a trained student: builds every part once, wires them into the trainer, records what happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from thinklab.behavior.behavior import Behavior
from thinklab.config.experiment import Experiment
from thinklab.experiment import longest_batch
from thinklab.experiment.guard_actions import Guards
from thinklab.experiment.questions import answer_limit
from thinklab.experiment.run_judge import RunJudge
from thinklab.guide.guide import Guide
from thinklab.interop.renamed_arguments import upstream_warnings_off
from thinklab.probing import probe
from thinklab.run import checkpoints
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.run.signals import FINISHING, Listener, listening
from thinklab.students import Student
from thinklab.tasks.base import Task
from thinklab.teachers import Teacher, TeacherRequest
from thinklab.teachers.base import settle, should_stop
from thinklab.teachers.money import CostEstimate
from thinklab.teachers.protocols import Estimates, KeepsAccount
from thinklab.trainer import ThinkTuningTrainer
from thinklab.types import Example


@dataclass(frozen=True)
class Audience:
    """Who hears of a run while it trains."""

    say: Callable[[str], None] = lambda text: None
    """Called with what a person should read."""
    metrics: tuple[Callable[[dict], None], ...] = ()
    """Called with every line of ``metrics.jsonl``."""


@dataclass(frozen=True)
class Session:
    """One experiment, ready to train. ``build`` makes it whole; nothing is filled in later."""

    config: Experiment
    student: Student
    task: Task
    behaviors: list[Behavior]
    train_examples: list[Example]
    test_examples: list[Example]
    teacher: Teacher | None
    guide: Guide | None
    judge: RunJudge | None
    """Who answers for judge detectors; None where no behavior has one."""
    guards: Guards | None
    trainer: ThinkTuningTrainer
    run: RunFolder
    fits: longest_batch.LongestBatch | None
    """What the longest possible batch took; None when it was not tried."""
    audience: Audience
    _signals: Listener = field(init=False, default_factory=lambda: Listener(text=FINISHING))
    _listeners: list[Callable[[dict], None]] = field(init=False, default_factory=list)
    _told_of: set[int] = field(init=False, default_factory=set)
    """Numbers of probe questions that were more than there are, and that ``say`` was told."""

    def say(self, text: str) -> None:
        """Tell a person."""
        self.audience.say(text)

    def tell(self, line: dict) -> None:
        """Hand a line of ``metrics.jsonl`` on to all who listen."""
        for listener in (*self.audience.metrics, *self._listeners):
            listener(line)

    def listen(self, listener: Callable[[dict], None]) -> None:
        """Also hand every further line of ``metrics.jsonl`` to ``listener``."""
        self._listeners.append(listener)

    def finishing(self) -> AbstractContextManager[Listener]:
        """Within it SIGINT and SIGTERM are only noted: the generation at work is finished and saved."""
        return listening(self._signals)

    @property
    def interrupted(self) -> bool:
        """A signal has been noted."""
        return bool(self._signals.number)

    def check_signals(self) -> None:
        """Raises Interrupted when a signal has been noted."""
        self._signals.check()

    @property
    def span(self) -> int:
        """Optimizer steps for each generation; a checkpoint within one could not be continued."""
        return self.config.train.iterations * self.config.train.minibatches

    def train(self, resume: bool = False) -> None:
        """Train to ``config.train.steps``, from the last checkpoint on when ``resume``.

        A signal that was noted (``finishing``) ends it after the generation at work, with a checkpoint. A run that has all its
        steps is only loaded: nothing is sampled and no weight changes.
        """
        checkpoint = None
        if resume:
            found = self.run.last_checkpoint(thorough=True)
            checkpoint, step = found if found else (None, 0)
            if found and step >= self.config.train.steps:
                self.load(checkpoint, step)
                return
            checkpoints.set_aside(self.run.checkpoints, step)
            self.run.rewind(step)
            if experiment_of(self.run) != self.config:  # more steps, say: the next --resume RUN goes on with them
                self.run.change_config(self.config.model_dump(mode="json"))
            if self.guards is not None:
                self.guards.remember(self.run.read("metrics"), self.run.read("probes"))
        with upstream_warnings_off():
            try:
                self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            finally:  # also after an interrupt: a cap holds over the resumed run
                settle(self.teacher)
                self.write_totals()

    def load(self, checkpoint: Path, step: int) -> None:
        """The student as ``checkpoint`` has it; there is no step left to train."""
        self.trainer.load_checkpoint(checkpoint, step)

    def check_start(self) -> None:
        """Warn of what can be seen before the first step; nothing on a run that goes on, which was warned then."""
        if self.run.last_checkpoint() is not None:
            return
        if self.guide is not None and (lossy := self.guide.check_vocabulary()):
            self.say(f"warning: {lossy}")
        if self.guards is not None:
            self.guards.check_start(self.task, self.train_examples[0])

    def write_totals(self) -> None:
        """What the teacher has cost so far, into ``teacher.json``."""
        if isinstance(self.teacher, KeepsAccount):
            self.run.write_json("teacher.json", self.teacher.totals())

    @property
    def stopped(self) -> str:
        """Why the run ended early, in words; empty when it did not."""
        return (
            (self.guide.failed if self.guide is not None else "")
            or should_stop(self.teacher)
            or (self.judge.stopped if self.judge is not None else "")
            or (self.guards.stopped if self.guards is not None else "")
        )

    def estimate(self) -> CostEstimate | None:
        """What the teacher may cost at most over what is left of the run; None for one that costs nothing."""
        if not isinstance(self.teacher, Estimates):
            return None
        t, behavior = self.config.train, self.behaviors[0]
        done = self.run.last_checkpoint()
        generations = range(done[1] if done else 0, t.steps, self.span)
        calls = sum(self.guide.schedule.count(step, t.samples) for step in generations) * t.questions
        answer = "word " * t.max_completion_tokens
        sample = [
            TeacherRequest(
                id=e.id, messages=tuple(behavior.messages(e.question, answer)), example=e, response=answer, behavior=behavior.name
            )
            for e in self.train_examples[:8]
        ]
        return self.teacher.estimate(sample, calls)

    def estimate_judge(self) -> str:
        """What the judge may cost at most over the whole run, in words; empty for one that costs nothing."""
        if self.judge is None:
            return ""
        p, t, held = self.config.probe, self.config.train, len(self.test_examples)
        texts = 2 * min(p.questions, held) * (p.samples + 1)  # before and after, at T=1 and greedily
        texts += (t.steps // p.every + 1) * min(p.every_questions, held) if p.every else 0
        if self.config.judge is not None and self.config.judge.rollouts:  # the student's own text, and the guided one
            texts += 2 * t.questions * t.samples * (t.steps // self.span)
        limit = answer_limit(self.config)
        return "; ".join(said for b in self.behaviors if b.needs_judge and (said := self.judge.estimate(b, texts, limit)))

    def held_out(self, wanted: int) -> list[Example]:
        """The first ``wanted`` held-out questions; says so, once, where there are fewer."""
        there = len(self.test_examples)
        if wanted > there and wanted not in self._told_of:
            self._told_of.add(wanted)
            self.say(
                f"WARNING: {wanted} questions were asked for in the probe, but the task {self.task.name!r} has only {there} "
                f"held out: {there} are measured, and the intervals are those of {there}"
            )
        return self.test_examples[:wanted]

    def probe(self, decoding: str, questions: int | None = None, samples: int = 1) -> list[probe.ProbeSample]:
        """``samples`` answers of the student as it is now to each held-out question."""
        c = self.config
        found = probe.sample(
            self.student,
            self.task,
            self.behaviors,
            self.held_out(questions or c.probe.questions),
            decoding,
            answer_limit(c),
            c.probe.seed,
            c.train.sample_rows or 256,
            n=samples,
        )
        self.say_undecided()
        return found

    def say_undecided(self) -> None:
        """Say how many texts the judge has left without a verdict since this was last called; nothing when none."""
        if self.judge is not None and (complaint := self.judge.complaint()):
            self.say(complaint)
