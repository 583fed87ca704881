"""``Session``: one experiment ready to train: its parts, messages, listeners, signals, and early ends."""

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
    """The listeners of a run during training."""

    say: Callable[[str], None] = lambda text: None
    """Called with messages for the user."""
    metrics: tuple[Callable[[dict], None], ...] = ()
    """Called with every line of ``metrics.jsonl``."""


@dataclass(frozen=True)
class Session:
    """One experiment, ready to train. Fully constructed by ``build``."""

    config: Experiment
    run: RunFolder
    audience: Audience
    student: Student
    data: TaskData
    teaching: Teaching
    prober: Prober
    """Measures the current student."""
    trainer: ThinkTuningTrainer
    guards: Guards | None
    fits: longest_batch.LongestBatch | None
    """Resources used by the longest possible batch; None if it was not run."""
    _signals: Listener = field(init=False, default_factory=lambda: Listener(text=FINISHING))
    _listeners: list[Callable[[dict], None]] = field(init=False, default_factory=list)

    # ---- listeners and early end -------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Tell a person."""
        self.audience.say(text)

    def tell(self, line: dict) -> None:
        """Pass a line of ``metrics.jsonl`` to all listeners."""
        for listener in (*self.audience.metrics, *self._listeners):
            listener(line)

    def listen(self, listener: Callable[[dict], None]) -> None:
        """Also pass every further line of ``metrics.jsonl`` to ``listener``."""
        self._listeners.append(listener)

    def finishing(self) -> AbstractContextManager[Listener]:
        """Inside, SIGINT and SIGTERM only set a flag: the current generation is finished and saved."""
        return listening(self._signals)

    @property
    def interrupted(self) -> bool:
        """Whether a signal has arrived."""
        return bool(self._signals.number)

    def check_signals(self) -> None:
        """Raises Interrupted if a signal has arrived."""
        self._signals.check()

    @property
    def stopped(self) -> str:
        """Why the run ended early; empty if it did not."""
        return self.teaching.stopped or (self.guards.stopped if self.guards is not None else "")

    # ---- training --------------------------------------------------------------------------------------------------

    def check_start(self) -> None:
        """Warn about problems before the first step, but not again on a resumed run."""
        if self.run.last_checkpoint() is not None:
            return
        guide = self.teaching.guide
        if guide is not None and (lossy := guide.check_vocabulary()):
            self.say(f"warning: {lossy}")
        if self.guards is not None:
            self.guards.check_start(self.data.task, self.data.train[0])

    def train(self, resume: bool = False) -> None:
        """Train to ``config.train.steps``, from the last checkpoint on when ``resume``.

        A signal (see ``finishing``) ends it after the current generation, with a checkpoint. A finished run is only loaded:
        nothing is sampled and no weight changes.
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
            if experiment_of(self.run) != self.config:  # such as more steps: the next --resume RUN continues with them
                self.run.change_config(self.config.model_dump(mode="json"))
            if self.guards is not None:
                self.guards.remember(self.run.read("metrics"), self.run.read("probes"))
        with upstream_warnings_off():
            try:
                self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            finally:  # also after an interrupt: a cap covers the resumed run
                settle(self.teaching.teacher)
                self.teaching.write_totals(self.run)

    def load(self, checkpoint: Path, step: int) -> None:
        """Load the student from ``checkpoint``; there is no step left to train."""
        self.trainer.load_checkpoint(checkpoint, step)
