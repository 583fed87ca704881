"""``RunRecorder``: the callback that writes each step to ``metrics.jsonl``, small probes, and checkpoint marks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from thinklab.experiment.session import Session
from thinklab.probing import probe
from thinklab.run.checkpoints import COMPLETE, mark
from thinklab.run.folder import RunFolder
from thinklab.students.fingerprint import fingerprint
from thinklab.teachers.base import cap_reached
from thinklab.teachers.protocols import SaysBriefly


class RunRecorder(TrainerCallback):
    """The records of every training: a line of metrics after each optimizer step, a small probe every ``probe.every`` steps,
    and the mark of a complete checkpoint. Subclasses add to them through the hooks below.

    Args:
        before: optimizer steps of earlier trainings of the same run; recorded steps continue counting from there.
        run: where the records go; None: the session's run.
    """

    def __init__(self, session: Session, before: int = 0, run: RunFolder | None = None):
        self.session, self.before = session, before
        self.config, self.run, self.student = session.config, run or session.run, session.student
        self.rates: dict[str, float] = {}
        """Of the small probe of this step, for ``reporting``."""
        self.begin, self.probing = time.perf_counter(), 0.0
        """The start time of the training, and the seconds spent in probes since then."""

    # ---- hooks -----------------------------------------------------------------------------------------------------

    def more(self, line: dict[str, Any]) -> dict[str, Any]:
        """Additional metrics of a line. An exception ends the training before the line is written."""
        return {}

    def written(self, line: Mapping[str, Any], state, control, **trained) -> None:
        """Called after a line of metrics was written. ``trained``: the optimizer and so on, as ``on_log`` got them."""

    def probed(self, line: Mapping[str, Any]) -> None:
        """Called after a small probe was written."""

    def tell(self, line: dict[str, Any]) -> None:
        """Pass a written line of metrics to whoever listens to the run."""
        self.session.tell(line)

    def facts(self) -> dict[str, Any]:
        """Additional content of a checkpoint's mark."""
        return {"fingerprint": fingerprint(self.student.model, self.student.tokenizer)}

    # ---- what the trainer calls ------------------------------------------------------------------------------------

    def on_train_begin(self, args, state, control, **_):
        self.begin, self.probing = time.perf_counter(), 0.0
        if self.before + state.global_step == 0 and not any(self.run.read("probes")):  # a restarted run already has it
            self._probe(0)

    def on_step_end(self, args, state, control, **_):
        self._probe(self.before + state.global_step)

    def on_log(self, args, state, control, logs=None, **trained):
        if not logs or "train_runtime" in logs:
            return
        seconds = round(time.perf_counter() - self.begin - self.probing, 3)
        line = {"step": self.before + state.global_step, "seconds": seconds, **logs}
        more = self.more(line)
        line |= more
        logs.update({k: v for k, v in {**more, **self.rates}.items() if isinstance(v, int | float)})  # for `report_to`
        self.rates = {}
        self.run.append("metrics", [line])
        self.written(line, state, control, **trained)
        self.tell(line)

    def on_save(self, args, state, control, **_):
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        RunFolder(folder).write_json(COMPLETE, mark(folder, {"step": state.global_step, **self.facts()}))

    def _probe(self, step: int) -> None:
        every = self.config.probe.every
        if not every or step % every:
            return
        begin = time.perf_counter()
        samples = self.session.prober.sample("T=1", self.config.probe.every_questions)
        line = {"step": step, **probe.summarize(samples).to_json()}
        self.run.append("probes", [line])
        self.rates = {
            f"probe/{name}": rate["value"] for name, rate in {"accuracy": line["accuracy"], **line["behaviors"]}.items()
        }
        self.probed(line)
        self.probing += time.perf_counter() - begin


class Recorder(RunRecorder):
    """For training by policy gradient: also records teacher and guards, and decides when to save or end."""

    def __init__(self, session: Session):
        super().__init__(session)
        self.teaching, self.guards = session.teaching, session.guards
        self.cap_told = False

    def on_train_begin(self, args, state, control, **_):
        if self.guards is not None:
            self.guards.begin()
        super().on_train_begin(args, state, control)

    def on_step_end(self, args, state, control, **_):
        super().on_step_end(args, state, control)
        self._end_if_stopped(state, control)

    def _end_if_stopped(self, state, control) -> None:
        if state.global_step % self.config.train.span:  # a checkpoint within a generation could not be resumed
            return
        if self.session.stopped or self.session.interrupted:
            control.should_save = control.should_training_stop = True
        elif not self.cap_told and (reached := cap_reached(self.teaching.teacher)):
            self.cap_told = control.should_save = True
            self.session.say(f"step {state.global_step}: {reached}. Saved; the run continues as plain GRPO")
        if self.guards is not None and self.guards.save_wanted:
            control.should_save, self.guards.save_wanted = True, False

    def more(self, line: dict[str, Any]) -> dict[str, Any]:
        self.teaching.write_totals(self.run)
        teacher, guards = self.teaching.teacher, self.guards
        told: dict[str, Any] = {"teacher_summary": teacher.brief()} if isinstance(teacher, SaysBriefly) else {}
        return {**told, **({} if guards is None else guards.measure(line["step"]))}

    def written(self, line: Mapping[str, Any], state, control, **trained) -> None:
        if (guards := self.guards) is not None:
            guards.act(guards.see(line), trained.get("optimizer"), trained.get("lr_scheduler"))
            self._end_if_stopped(state, control)

    def probed(self, line: Mapping[str, Any]) -> None:
        if (guards := self.guards) is not None:
            guards.act(guards.see_probe(line), self.session.trainer.optimizer, self.session.trainer.lr_scheduler)

    def facts(self) -> dict[str, Any]:
        guide, trainer = self.teaching.guide, self.session.trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        return {
            "fingerprint": fingerprint(model, self.student.tokenizer, trainer.accelerator.autocast),
            "generation": trainer.generation,
            "schedule": asdict(guide.schedule) if guide else None,
            "guidance_counts": dict(guide.counts) if guide else {},
        }
