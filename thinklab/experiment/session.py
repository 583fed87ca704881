"""One experiment, ready to train: its parts, who hears of it, and what ends it early."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from thinklab.config.experiment import Experiment
from thinklab.experiment import longest_batch
from thinklab.experiment.guard_actions import Guards
from thinklab.experiment.prober import Prober
from thinklab.experiment.questions import TaskData
from thinklab.experiment.teaching import Teaching
from thinklab.interop.renamed_arguments import upstream_warnings_off
from thinklab.run import checkpoints
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.run.signals import FINISHING, Listener, listening
from thinklab.students.base import Student
from thinklab.teachers.base import settle
from thinklab.trainer import ThinkTuningTrainer


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
    run: RunFolder
    audience: Audience
    student: Student
    data: TaskData
    teaching: Teaching
    prober: Prober
    """Measures the student as it is now."""
    trainer: ThinkTuningTrainer
    guards: Guards | None
    fits: longest_batch.LongestBatch | None
    """What the longest possible batch took; None when it was not tried."""
    _signals: Listener = field(init=False, default_factory=lambda: Listener(text=FINISHING))
    _listeners: list[Callable[[dict], None]] = field(init=False, default_factory=list)

    # ---- who hears of it, and what ends it -------------------------------------------------------------------------

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
    def stopped(self) -> str:
        """Why the run ended early, in words; empty when it did not."""
        return self.teaching.stopped or (self.guards.stopped if self.guards is not None else "")

    # ---- training --------------------------------------------------------------------------------------------------

    def check_start(self) -> None:
        """Warn of what can be seen before the first step; nothing on a run that goes on, which was warned then."""
        if self.run.last_checkpoint() is not None:
            return
        guide = self.teaching.guide
        if guide is not None and (lossy := guide.check_vocabulary()):
            self.say(f"warning: {lossy}")
        if self.guards is not None:
            self.guards.check_start(self.data.task, self.data.train[0])

    def train(self, resume: bool = False) -> None:
        """Train to ``config.train.steps``, from the last checkpoint on when ``resume``.

        A signal that was noted (``finishing``) ends it after the generation at work, with a checkpoint. A run that has all its
        steps is only loaded: nothing is sampled and no weight changes.
        """
        checkpoint: Path | None = None
        if resume:
            step = 0
            if found := self.run.last_checkpoint(thorough=True):
                checkpoint, step = found
                if step >= self.config.train.steps:
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
                settle(self.teaching.teacher)
                self.teaching.write_totals(self.run)

    def load(self, checkpoint: Path, step: int) -> None:
        """The student as ``checkpoint`` has it; there is no step left to train."""
        self.trainer.load_checkpoint(checkpoint, step)
