"""From a config to a trained student: builds every part once, wires them into the trainer, records what happens."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from thinklab.behavior.behavior import Behavior
from thinklab.config.experiment import Experiment
from thinklab.experiment import longest_batch
from thinklab.experiment.guard_actions import Guards
from thinklab.experiment.questions import answer_limit
from thinklab.experiment.run_judge import RunJudge
from thinklab.guide.guide import Guide
from thinklab.probing import probe
from thinklab.run import checkpoints
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.run.signals import Listener
from thinklab.students import Student
from thinklab.tasks.base import Task
from thinklab.teachers import Teacher, TeacherRequest
from thinklab.teachers.money import Estimate
from thinklab.trainer import ThinkTuningTrainer
from thinklab.types import Example


@dataclass
class Session:
    """Everything that one experiment consists of, ready to train."""

    config: Experiment
    student: Student
    task: Task
    behaviors: list[Behavior]
    train_examples: list[Example]
    test_examples: list[Example]
    teacher: Teacher | None
    guide: Guide | None
    trainer: ThinkTuningTrainer
    run: RunFolder
    listeners: list[Callable[[dict], None]] = field(default_factory=list)
    """Called with every line of ``metrics.jsonl``."""
    guards: Guards | None = None
    say: Callable[[str], None] = lambda text: None
    """Called with what a person should read while it trains."""
    fits: longest_batch.DryRun | None = None
    """What the longest possible batch took; None when it was not tried."""
    listener: Listener = field(default_factory=Listener)
    """Hears SIGINT and SIGTERM while it trains; see ``thinklab/run/signals.py``."""
    judge: RunJudge | None = None
    """Who answers for judge detectors; None where no behavior has one."""
    told_of: set[int] = field(default_factory=set)
    """Numbers of probe questions that were more than there are, and that ``say`` was told."""

    def train(self, resume: bool = False) -> None:
        """Train to ``config.train.steps``, from the last checkpoint on when ``resume``.

        A signal that ``listener`` has heard ends it after the generation at work, with a checkpoint. A run that has all its steps
        is only loaded: nothing is sampled and no weight changes.
        """
        checkpoint = None
        if resume:
            found = self.run.last_checkpoint(thorough=True)
            checkpoint, step = found if found else (None, 0)
            if found and step >= self.config.train.steps:
                self.load(*found)
                return
            checkpoints.set_aside(self.run.checkpoints, step)
            self.run.rewind(step)
            if experiment_of(self.run) != self.config:  # more steps, say: the next --resume RUN goes on with them
                self.run.write_config({**self.run.resolved(), "config": self.config.model_dump(mode="json")})
            if self.guards is not None:
                self.guards.remember(self.run.read("metrics"), self.run.read("probes"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*use_cache.*")
            try:
                self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            finally:  # also after an interrupt: a cap holds over the resumed run
                getattr(self.teacher, "settle", lambda: None)()
                self.write_totals()

    def load(self, checkpoint: Path, step: int) -> None:
        """The student as ``checkpoint`` has it; there is no step left to train."""
        self.trainer._load_from_checkpoint(str(checkpoint), self.student.model)
        self.trainer.state.global_step = step

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
        if hasattr(self.teacher, "totals"):
            self.run.write_json("teacher.json", self.teacher.totals())

    @property
    def stopped(self) -> str:
        """Why the run ended early, in words; empty when it did not."""
        return (
            getattr(self.guide, "failed", "")
            or getattr(self.teacher, "should_stop", "")
            or getattr(self.judge, "stopped", "")
            or getattr(self.guards, "stopped", "")
        )

    def estimate(self) -> Estimate | None:
        """What the teacher may cost at most over what is left of the run; None for one that costs nothing."""
        if not hasattr(self.teacher, "estimate"):
            return None
        t, behavior = self.config.train, self.behaviors[0]
        done = self.run.last_checkpoint()
        generations = range(done[1] if done else 0, t.steps, t.iterations * t.minibatches)
        assert self.guide is not None, "a run with a teacher has a guide"
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
            texts += 2 * t.questions * t.samples * (t.steps // (t.iterations * t.minibatches))
        limit = answer_limit(self.config)
        return "; ".join(said for b in self.behaviors if b.needs_judge and (said := self.judge.estimate(b, texts, limit)))

    def held_out(self, wanted: int) -> list[Example]:
        """The first ``wanted`` held-out questions; says so, once, where there are fewer."""
        there = len(self.test_examples)
        if wanted > there and wanted not in self.told_of:
            self.told_of.add(wanted)
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
