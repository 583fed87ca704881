"""``Lab``: the user's methods: rollout, guide, review, update, train, probe, measure, reach, compare, save, push.

    lab = Lab("examples/demo-self-check.yaml", out="runs/mine")
    batch = lab.rollout()      # the student answers
    lab.guide(batch)           # the teacher comments on some of the answers
    lab.review(batch)          # you read, edit, accept, reject
    lab.update(batch)          # the student learns; returns metrics
    lab.train(20)              # twenty more steps, unattended
    lab.probe()                # what the student does without a teacher

Each call blocks until it is done, with everything on disk: a restarted kernel that opens the same folder continues at the same
point. The training is in ``engine.py``; this file defines the order of the calls and their output.
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

if TYPE_CHECKING:  # what loads PyTorch is imported once the student is known: must be imported after Unsloth it
    from thinklab.export.export import Kind
    from thinklab.lab.control import Comparison
    from thinklab.lab.results import LabProbe, LabReach
    from thinklab.review.queue import ReviewQueue


class Lab(LabViews):
    """One run, step by step.

    Args:
        config: an experiment in YAML, the name of a shipped example (``demo-self-check``), an ``Experiment`` or a mapping.
            None: built from the other arguments, or the config of the run in ``out``.
        out: the run folder; default ``runs/NAME``. If it contains a run, that is resumed, with the pending batch and all
            decisions.
        overrides: ``"dotted.key=value"``, as on the command line.
        profile: ``tiny``, ``t4``, ``16gb``, ``24gb`` or ``80gb``: fills in what is not set.
        resume: None resumes an existing run or starts a new one; True requires an existing run; False starts a new run and
            renames the existing one.
        by: the reviewer's name; the account name by default.
        quiet: no progress bars and no messages.
        settings: sections of the config or single keys: ``student=..., task=..., behaviors=[...], teacher=..., steps=20``. A
            section is a name, a mapping, or a ready-made object (``Student``, ``Task``, ``Teacher``, ``Behavior``).

    Works as a context manager; ``close`` frees the memory and the folder. Any call can be stopped (the stop button, Ctrl-C) or
    fail: the batch is kept, and the same call can be repeated.

    Raises:
        ThinklabError: if an argument is invalid, or the folder belongs to another experiment or process.
    """

    # ---- one step at a time

    def rollout(self) -> Batch:
        """Stage 1: the student answers the next questions. Returns the pending batch, if there is one.

        A Lab that is opened on a finished run samples nothing more: this and the calls below show its last reviewed batch.

        Raises:
            LabError: if all steps were completed in this Lab.
        """
        engine = self._open()
        if self._past is not None:
            self._say(f"this run is finished; showing {batch_text(self._past.batch)}")
            return self._past.batch
        waited = engine.waiting is not None
        batch = self._to_batch().batch
        self._say(f"{'the pending batch: ' if waited else ''}{batch_text(batch)}. Next: {self._status().next}")
        return batch

    def guide(self, batch: Batch | None = None) -> Proposals:
        """Stage 2: ask the teacher about some of the answers. Existing replies are not requested again.

        Returns:
            Guidance by rollout id, including unusable replies with the reason.

        Raises:
            TeacherError: if it fails, or answers nothing; call again later.
        """
        waiting, engine = self._mine(batch, "guide"), self._open()
        if engine.guide is None:
            self._say(f"the method {self.config.loss.method!r} has no teacher. Next: lab.update(batch)")
            return Proposals(waiting.batch, {})
        if self._past is not None:
            return Proposals(waiting.batch, dict(waiting.proposals))
        if not waiting.guided or waiting.unanswered:
            waiting = self._to_batch()
            self._decisions.close("the teacher was asked again; lab.review(batch) shows its replies")
            engine.propose(waiting)
        lost = [g for g in waiting.unanswered if g.reason != "waiting"]
        if lost and len(lost) == len(waiting.proposals):
            raise TeacherError(
                f"the teacher answered none of {len(lost)} requests ({lost[0].reason}: {lost[0].detail}). The batch is kept; "
                "lab.guide(batch) retries"
            )
        found = Proposals(waiting.batch, dict(waiting.proposals))
        without = f", {len(found) - len(found.usable)} unusable replies" if len(found) > len(found.usable) else ""
        again = f" ({len(lost)} requests were not answered: lab.guide(batch) retries them)" if lost else ""
        self._say(f"{len(found.usable)} pieces of guidance{without}{again}. Next: {self._status().next}")
        return found

    def review(self, batch: Batch | None = None, auto: Auto | None = None) -> Any:
        """Between the stages: read the teacher's guidance, edit it, accept it, or reject it.

        Args:
            auto: a policy that decides undecided guidance automatically.

        Returns:
            A review pane in a notebook; a text elsewhere or with ``auto``. ``lab.queue`` has every decision.

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
        """For a separate cell after ``review``: stops Run All here, once, while guidance is undecided.

        Returns:
            A summary of the decisions so far.

        Raises:
            YourTurn: the stop. Run the cell again to continue; in a script or under nbconvert it never stops.
        """
        queue = self.queue
        waiting = self._open().waiting
        if waiting is not None:
            left = sum(i.state in ("open", "skipped") for i in queue.items)
            stop_once(self.path, waiting.key, left, len(queue))
        return ReviewText(queue)

    def update(self, batch: Batch | None = None, auto: Auto | None = None) -> Metrics:
        """Stage 3: splice the guidance, score, train, save.

        Args:
            auto: what to do with undecided guidance; None raises an error instead.

        Returns:
            The metrics of the last optimizer step of this batch; ``lab.run.read("metrics")`` has all.

        Raises:
            LabError: if guidance is undecided, or ``guide`` was not called; the message says how to continue.
        """
        waiting, engine = self._mine(batch, "update"), self._open()
        if self._past is not None:
            self._say(f"step {waiting.batch.step + engine.span} was trained before; these are its metrics")
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

        A pending batch comes first, with its decisions. The stop button ends the current generation; earlier generations are
        saved.

        Args:
            auto: decides about all guidance; a function is called on the training thread.

        Returns:
            The metrics of the last step.
        """
        engine = self._open()
        total = self.config.train.steps
        if steps is not None and steps < 1:
            raise LabError(f"train(steps={steps}): at least 1")
        if self.step >= total:
            if steps is None:  # to the end, which is already reached
                self._say(f"all {total} steps are done; these are the metrics of the last one")
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

        Before training, this is the "before" of the run; later, the student's base is also measured if it was not yet and an
        adapter can be switched off. Writes ``probe.json``.

        Args:
            full: after training, also how unlikely the guidance was (reach), whether the behavior occurs where it should not
                (spill-over), and how far the student has moved on neutral text (retention). Requires an adapter. Persistence
                needs training, so it is only in ``thinklab probe RUN --persistence N``.
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
            self._end_of_steps()  # fewer questions than requested, texts without a verdict

    def reach(self, batch: Batch | None = None) -> LabReach:
        """How unlikely this guidance is under the student: its probability token by token, and whether the loss can train it.

        Raises:
            LabError: before ``guide``, or if no guidance is usable.
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
        """Compare this run with plain GRPO: the same reward, questions, seeds, and steps, without a teacher. Trains the control first.

        Args:
            overrides: settings of the control that differ, such as ``["train.learning_rate=0.0003"]`` if plain GRPO needs a
                lower one.

        Raises:
            LabError: before the first step, or if the run has ready-made parts, which another process cannot use.
        """
        from thinklab.lab.control import compare, control_config, run_control

        engine, step = self._open(), self.step
        if not step:
            raise LabError("nothing has been trained yet, so there is nothing to compare: lab.train() or lab.update() first")
        parts = [name for name in ("student", "task", "judge", "behaviors") if getattr(self._parts, name)]
        if parts:
            raise LabError(
                f"the control runs in a separate process, which cannot use the ready-made {', '.join(parts)}: "
                "pass a name or a file instead"
            )
        plan = control_config(self.config, [overrides] if isinstance(overrides, str) else list(overrides))
        control = run_control(self.path / "control", plan, step, questions, samples, self.quiet)
        return compare(engine.run, step, control, self.probe(questions, samples))

    # ---- results

    def save(self, kind: Kind = "adapter", out: str | Path | None = None, *, quantization: str = "q4_k_m") -> Path:
        """Export the last saved student to a folder with a model card: ``adapter``, ``merged`` or ``gguf``; see ``thinklab.export``.

        Args:
            out: the output folder; default ``RUN/export/KIND-step-N``.
            quantization: ``gguf`` only; a quantization name of Unsloth.

        Raises:
            ThinklabError: before the first step, for a kind that is not possible for this run, or if the folder exists already.
        """
        from thinklab.export.export import save_locked

        self._open()
        out = self.path / "export" / f"{kind}-step-{self.step}" if out is None else Path(out)
        folder = save_locked(self.path, kind, out, quantization=quantization)
        self._say(f"saved in {folder}")
        return folder

    def push(self, repo: str, kind: Kind = "adapter", *, private: bool = True, ask: Callable[[str], bool] | None = None) -> str:
        """Save and upload to the hub as ``repo``, after listing the files and asking for confirmation. ``""`` if declined."""
        from thinklab.export.export import push

        folder = self.path / "export" / f"{kind}-step-{self.step}"
        return push(folder if folder.exists() else self.save(kind), repo, private=private, ask=ask)

    @property
    def queue(self) -> ReviewQueue:
        """Every decision about the pending batch."""
        engine = self._open()
        if self._past is not None and engine.guide is not None:
            return finished.queue(engine, self._past)
        return self._decisions.queue(self._mine(None, "review"))

    # ---- inside

    def _mine(self, batch: Batch | None, call: str) -> Waiting:
        """The state of ``batch``, if it is the pending one."""
        return asked_for(self._open().waiting or self._past, batch, call, self.step)

    def _to_batch(self) -> Waiting:
        """Advance the training to the pending batch: sampled, not guided."""
        engine = self._open()
        if not engine.at_batch:
            if self.step >= self.config.train.steps:
                raise self._all_done()
            engine.sample()
        if not engine.at_batch:
            raise LabError(f"the training ended before sampling: {engine.session.stopped or 'no reason given'}")
        assert engine.waiting is not None, "the training stands where a batch waits"
        return engine.waiting

    def _all_done(self) -> LabError:
        t = self.config.train
        more = (
            f"Lab(out={str(self.path)!r}, steps={2 * t.steps}) continues training"
            if t.decay == "constant"
            else (f"its learning rate has decayed to 0 ({t.decay} decay), so start a new run to train more")
        )
        return LabError(f"all {t.steps} steps of this run are done: lab.probe() measures it; {more}")
