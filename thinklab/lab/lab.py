"""``Lab``: ThinkTuning one step at a time, with a person between the teacher and the student; or all at once.

    lab = Lab("examples/demo-self-check.yaml", out="runs/mine")
    batch = lab.rollout()      # the student answers
    lab.guide(batch)           # the teacher comments on some of the answers
    lab.review(batch)          # you read, edit, accept, reject
    lab.update(batch)          # the student learns; returns metrics
    lab.train(20)              # the same twenty times, unattended
    lab.probe()                # what is left without a teacher

Each call returns when it is done and leaves everything at rest and on disk: a restarted kernel that opens the same folder stands
where the last one stood. What trains is in ``engine.py``; this file is the order of the calls and what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinklab.errors import LabError, TeacherError
from thinklab.guide.rejections import outcomes, sentence
from thinklab.lab import finished
from thinklab.lab.decisions import Auto, policy
from thinklab.lab.results import Metrics, Proposals, ReviewText, batch_text, in_notebook
from thinklab.lab.stop import stop_once
from thinklab.lab.views import LabViews
from thinklab.review.waiting import Waiting, asked_for
from thinklab.types import Batch

if TYPE_CHECKING:  # what loads PyTorch is imported once the student is known: Unsloth must come before it
    from thinklab.export.export import Kind
    from thinklab.lab.control import Comparison
    from thinklab.lab.results import LabProbe, LabReach
    from thinklab.review.queue import ReviewQueue


class Lab(LabViews):
    """One run, step by step.

    Args:
        config: an experiment in YAML, the name of a shipped example (``demo-self-check``), an ``Experiment`` or a mapping. None:
            what the other arguments say, or the config of the run in ``out``.
        out: the run folder; default ``runs/NAME``. One that holds a run is continued, with the batch that was waiting and
            all decisions.
        overrides: ``"dotted.key=value"``, as on the command line.
        profile: ``tiny``, ``t4``, ``16gb``, ``24gb`` or ``80gb``: fills in what is not set.
        resume: None continues a run that is there and begins one where there is none; True insists on a run; False begins
            anew and renames what was there.
        by: who decides in the review; the name of the account by default.
        quiet: no progress bars and no messages.
        settings: sections of the config or single keys: ``student=..., task=..., behaviors=[...], teacher=..., steps=20``. A
            section is a name, a mapping, or a ready-made object (``Student``, ``Task``, ``Teacher``, ``Behavior``).

    Works as a context manager; ``close`` frees the memory and the folder. Any call can be stopped (the stop button, Ctrl-C) and
    any call may fail: the batch stays, and the same call can be made again.

    Raises:
        ThinklabError: when something cannot be used, or the folder belongs to another experiment or process.
    """

    # ---- one step at a time

    def rollout(self) -> Batch:
        """Stage 1: the student answers the next questions. The batch that waits, where one does.

        A Lab that is opened on a finished run samples nothing more: this and the calls below show its last reviewed batch.

        Raises:
            LabError: when all steps are done since this Lab was opened.
        """
        engine = self._open()
        if self._past is not None:
            self._say(f"this run is finished; on record is {batch_text(self._past.batch)}")
            return self._past.batch
        waited = engine.waiting is not None
        batch = self._to_batch().batch
        self._say(f"{'the batch that was waiting: ' if waited else ''}{batch_text(batch)}. Next: {self._status().next}")
        return batch

    def guide(self, batch: Batch | None = None) -> Proposals:
        """Stage 2: ask the teacher about some of the answers. What it has said already is not asked again.

        Returns:
            Guidance by rollout id; what could not be used is among it, with the reason.

        Raises:
            TeacherError: when it cannot work, or nothing was answered; call again when it can.
        """
        waiting, engine = self._mine(batch, "guide"), self._open()
        if engine.guide is None:
            self._say(f"the method {self.config.loss.method!r} has no teacher. Next: lab.update(batch)")
            return Proposals(waiting.batch, {})
        if self._past is not None:
            return Proposals(waiting.batch, dict(waiting.proposals))
        if not waiting.guided or waiting.unanswered:
            waiting = self._to_batch()
            self._decisions.close("the teacher was asked again; lab.review(batch) shows what it said")
            engine.propose(waiting)
        lost = [g for g in waiting.unanswered if g.reason != "waiting"]
        if lost and len(lost) == len(waiting.proposals):
            raise TeacherError(
                f"the teacher answered none of {len(lost)} requests ({lost[0].reason}: {lost[0].detail}). The batch is "
                "kept; lab.guide(batch) asks again"
            )
        found = Proposals(waiting.batch, dict(waiting.proposals))
        without = f", {len(found) - len(found.usable)} replies that cannot be used" if len(found) > len(found.usable) else ""
        again = f" ({len(lost)} were not answered: lab.guide(batch) asks again)" if lost else ""
        self._say(f"{len(found.usable)} pieces of guidance{without}{again}. Next: {self._status().next}")
        return found

    def review(self, batch: Batch | None = None, auto: Auto | None = None) -> Any:
        """Between the stages: read what the teacher wrote, change it, accept or reject it.

        Args:
            auto: a policy decides what is undecided, without anyone there.

        Returns:
            A review pane in a notebook, a text elsewhere and where ``auto`` decides. ``lab.queue`` has every decision.

        Raises:
            LabError: before ``guide``.
        """
        waiting = self._mine(batch, "review")
        if self._past is not None:
            return ReviewText(self.queue)
        queue = self._decisions.queue(waiting)
        if auto is not None:
            queue.apply(policy(auto))
            text = ReviewText(queue)
            self._say(text.lines[0] + f". Next: {self._status().next}")
            return text
        if in_notebook():
            from thinklab.widgets import ReviewPane

            pane = ReviewPane(queue)
            pane.owner = self.path.resolve()
            return pane
        return ReviewText(queue)

    def stop_here(self) -> ReviewText:
        """A cell of its own after ``review``: Run All ends here, once, while a person still has something to decide.

        Returns:
            What has been decided so far, in short.

        Raises:
            YourTurn: the stop. Run the cell again and it goes on; with nobody there (a script, nbconvert) it never stops.
        """
        queue = self.queue
        waiting = self._open().waiting
        if waiting is not None:
            left = sum(i.state in ("open", "skipped") for i in queue.items)
            stop_once(self.path, waiting.key, left, len(queue))
        return ReviewText(queue)

    def update(self, batch: Batch | None = None, auto: Auto | None = None) -> Metrics:
        """Stage 3: splice the guidance on, score, train, save.

        Args:
            auto: what to do with guidance that nobody has decided on; None refuses to go on then.

        Returns:
            The figures of the last optimizer step of this batch; ``lab.run.read("metrics")`` has all.

        Raises:
            LabError: when guidance is undecided, or ``guide`` was not called; the message says how to go on.
        """
        waiting, engine = self._mine(batch, "update"), self._open()
        if self._past is not None:
            self._say(f"step {waiting.batch.step + engine.span} was trained before; these are its figures")
            return finished.metrics(self.run, waiting, engine.span)
        guidance = self._decisions.guidance(waiting, auto)
        self._to_batch()
        learned = engine.learn(waiting, guidance)
        line = Metrics({k: v for part in engine.lines for k, v in part.items()}, learned)
        self._decisions.close()
        self._end_of_steps()
        self._say(
            f"step {self.step} of {self.config.train.steps} is trained and saved. Next: {self._status().next or 'lab.probe()'}"
        )
        return line

    # ---- all at once

    def train(self, steps: int | None = None, auto: Auto = "accept") -> Metrics:
        """All stages, unattended, for ``steps`` further optimizer steps (None: to the end of the run).

        A batch that is waiting comes first, with what was decided about it. The stop button ends the generation at work, and
        what was done before it is saved.

        Args:
            auto: decides about all guidance; a function is called on the training's own thread.

        Returns:
            The figures of the last step.
        """
        engine = self._open()
        total = self.config.train.steps
        if steps is not None and steps < 1:
            raise LabError(f"train(steps={steps}): at least 1")
        if self.step >= total:
            if steps is None:  # to the end, which is reached
                self._say(f"all {total} steps are done; these are the figures of the last one")
                return finished.last_metrics(self.run)
            raise self._all_done()
        until = total if steps is None else min(total, -(-(self.step + steps) // engine.span) * engine.span)
        guidance = None
        if engine.waiting is not None and engine.guide is not None:
            if not engine.waiting.guided:
                self.guide()
            guidance = self._decisions.guidance(engine.waiting, auto)
        if engine.waiting is not None:
            self._to_batch()
        try:
            engine.train_to(until, policy(auto), self.by, guidance)
        finally:
            if engine.waiting is None:
                self._decisions.close()
        line = Metrics({k: v for part in engine.lines[-engine.span :] for k, v in part.items()})
        why = engine.session.stopped
        self._end_of_steps()
        if self.step >= total and (replies := sentence(outcomes(engine.run.read("rollouts")))):
            self._say(replies)
        self._say(
            f"step {self.step} of {total} is trained and saved"
            + (f"; stopped: {why}" if why and self.step < until else "")
            + f". Next: {self._status().next or 'lab.probe()'}"
        )
        return line

    def probe(self, questions: int | None = None, samples: int | None = None, full: bool = False) -> LabProbe:
        """Rates on held-out questions, without guidance or hint, at T = 1 and greedy, with 95 % intervals.

        Before training it is the "before" of the run; later the student's base is measured as well where that was not done and an
        adapter can be switched off. Writes ``probe.json``.

        Args:
            full: after training, also how unknown the guidance was (reach), whether the behavior shows where it should not
                (spill-over), and how far the student has moved on neutral text (retention). Wants an adapter. Persistence
                trains, so it is left to ``thinklab probe RUN --persistence N``.
        """
        return self.measure(questions, samples, full=full)

    def measure(
        self, questions: int | None = None, samples: int | None = None, before: bool = True, full: bool = False
    ) -> LabProbe:
        """``probe``; with ``before=False`` the base is not measured."""
        engine = self._open()
        engine.stand()
        try:
            return engine.probe(questions, samples, before, full)
        finally:
            self._end_of_steps()  # fewer questions than asked for, texts without a verdict

    def reach(self, batch: Batch | None = None) -> LabReach:
        """How unknown this guidance is to the student: its probability token by token, and whether the loss gets a grip on it.

        Raises:
            LabError: before ``guide``, or where no guidance is usable.
        """
        waiting, engine = self._mine(batch, "reach"), self._open()
        if not waiting.guided:
            raise LabError("the teacher has not been asked yet: lab.guide(batch) first")
        if self._past is None:
            self._to_batch()
        else:
            engine.stand()
        return engine.reach(waiting)

    def compare(self, overrides: Iterable[str] = (), questions: int | None = None, samples: int | None = None) -> Comparison:
        """This run beside plain GRPO: the same reward, questions, seeds and steps, no teacher. Runs the control first.

        Args:
            overrides: what the control has otherwise, such as ``["train.learning_rate=0.0003"]`` where plain GRPO wants a
                lower one.

        Raises:
            LabError: before the first step, or where the run has ready-made parts that another process cannot have.
        """
        from thinklab.lab.control import compare, control_config, run_control

        engine, step = self._open(), self.step
        if not step:
            raise LabError("nothing has been trained yet, so there is nothing to compare: lab.train() or lab.update() first")
        parts = [name for name in ("student", "task", "judge", "behaviors") if getattr(self._parts, name)]
        if parts:
            raise LabError(
                f"the control runs in a process of its own, which cannot have the ready-made {', '.join(parts)}: "
                "give a name or a file instead"
            )
        plan = control_config(self.config, [overrides] if isinstance(overrides, str) else list(overrides))
        control = run_control(self.path / "control", plan, step, questions, samples, self.quiet)
        return compare(engine.run, step, control, self.probe(questions, samples))

    # ---- what there is

    def save(self, kind: Kind = "adapter", out: str | Path | None = None, *, quantization: str = "q4_k_m") -> Path:
        """The student as last saved, in a folder with a model card: ``adapter``, ``merged`` or ``gguf``; see ``thinklab.export``.

        Args:
            out: the folder to make; default ``RUN/export/KIND-step-N``.
            quantization: ``gguf`` only; a name that Unsloth knows.

        Raises:
            ThinklabError: before the first step, for a kind that this run cannot have, or where the folder is taken.
        """
        from thinklab.export.export import save_locked

        self._open()
        out = self.path / "export" / f"{kind}-step-{self.step}" if out is None else Path(out)
        folder = save_locked(self.path, kind, out, quantization=quantization)
        self._say(f"saved in {folder}")
        return folder

    def push(self, repo: str, kind: Kind = "adapter", *, private: bool = True, ask: Callable[[str], bool] | None = None) -> str:
        """Save and upload to the hub as ``repo``; lists what would leave this machine and asks first. ``""``: it was a no."""
        from thinklab.export.export import push

        folder = self.path / "export" / f"{kind}-step-{self.step}"
        return push(folder if folder.exists() else self.save(kind), repo, private=private, ask=ask)

    @property
    def queue(self) -> ReviewQueue:
        """Every decision about the batch that waits."""
        engine = self._open()
        if self._past is not None and engine.guide is not None:
            return finished.queue(engine, self._past)
        return self._decisions.queue(self._mine(None, "review"))

    # ---- inside

    def _mine(self, batch: Batch | None, call: str) -> Waiting:
        """What is known about ``batch``, if it is the one that waits."""
        return asked_for(self._open().waiting or self._past, batch, call, self.step)

    def _to_batch(self) -> Waiting:
        """Bring the training to where the batch waits: sampled, not guided."""
        engine = self._open()
        if not engine.at_batch:
            if self.step >= self.config.train.steps:
                raise self._all_done()
            engine.sample()
        if not engine.at_batch:
            raise LabError(f"the training ended before it had sampled: {engine.session.stopped or 'no reason given'}")
        assert engine.waiting is not None, "the training stands where a batch waits"
        return engine.waiting

    def _all_done(self) -> LabError:
        t = self.config.train
        more = (
            f"Lab(out={str(self.path)!r}, steps={2 * t.steps}) goes on"
            if t.decay == "constant"
            else (f"its learning rate has fallen to 0 ({t.decay} decay), so begin another run for more")
        )
        return LabError(f"all {t.steps} steps of this run are done: lab.probe() measures it; {more}")
