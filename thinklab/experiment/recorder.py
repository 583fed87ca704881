"""Writes what happens while a run trains: metrics, small probes, checkpoint marks."""

from __future__ import annotations

import time
from dataclasses import asdict

from transformers import TrainerCallback

from thinklab.experiment.session import Session
from thinklab.probing import probe
from thinklab.run.checkpoints import COMPLETE, mark
from thinklab.run.folder import RunFolder
from thinklab.students.fingerprint import fingerprint


class Recorder(TrainerCallback):
    """Writes metrics after each optimizer step, small probes now and then, and marks checkpoints as complete."""

    def __init__(self, session: Session):
        self.session, self.begin = session, time.perf_counter()
        self.probing = 0.0
        self.cap_told = False

    def on_train_begin(self, args, state, control, **_):
        self.begin, self.probing = time.perf_counter(), 0.0
        if self.session.guards is not None:
            self.session.guards.begin()
        if state.global_step == 0 and not any(self.session.run.read("probes")):  # a run that is begun again has it
            self._probe(0)

    def on_step_end(self, args, state, control, **_):
        self._probe(state.global_step)
        self._end_if_stopped(state, control)

    def _end_if_stopped(self, state, control) -> None:
        if state.global_step % self.session.span:  # a checkpoint within a generation could not be continued
            return
        if self.session.stopped or self.session.interrupted:
            control.should_save = control.should_training_stop = True
        elif not self.cap_told and (reached := getattr(self.session.teacher, "cap_reached", "")):
            self.cap_told = control.should_save = True
            self.session.say(f"step {state.global_step}: {reached}. Saved; the run goes on as plain GRPO")
        if self.session.guards is not None and self.session.guards.save_wanted:
            control.should_save, self.session.guards.save_wanted = True, False

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "train_runtime" in logs:
            return
        line = {"step": state.global_step, "seconds": round(time.perf_counter() - self.begin - self.probing, 3), **logs}
        self.session.write_totals()
        if hasattr(self.session.teacher, "brief"):
            line["teacher_summary"] = self.session.teacher.brief()
        guards = self.session.guards
        if guards is not None:
            line |= guards.measure(state.global_step)
        self.session.run.append("metrics", [line])
        if guards is not None:
            guards.act(guards.see(line), kwargs.get("optimizer"), kwargs.get("lr_scheduler"))
            self._end_if_stopped(state, control)
        self.session.tell(line)

    def on_save(self, args, state, control, **_):
        folder = self.session.run.checkpoints / f"checkpoint-{state.global_step}"
        guide = self.session.guide
        trainer = self.session.trainer
        says = fingerprint(
            trainer.accelerator.unwrap_model(trainer.model), self.session.student.tokenizer, trainer.accelerator.autocast
        )
        facts = {
            "step": state.global_step,
            "fingerprint": says,
            "generation": trainer.generation,
            "schedule": asdict(guide.schedule) if guide else None,
            "guidance_counts": dict(guide.counts) if guide else {},
        }
        RunFolder(folder).write_json(COMPLETE, mark(folder, facts))

    def _probe(self, step: int) -> None:
        every = self.session.config.probe.every
        if not every or step % every:
            return
        begin = time.perf_counter()
        samples = self.session.probe("T=1", self.session.config.probe.every_questions)
        line = {"step": step, **probe.summarize(samples).to_json()}
        self.session.run.append("probes", [line])
        if self.session.guards is not None:
            self.session.guards.act(
                self.session.guards.see_probe(line), self.session.trainer.optimizer, self.session.trainer.lr_scheduler
            )
        self.probing += time.perf_counter() - begin
