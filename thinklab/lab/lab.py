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

import atexit
import logging
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from thinklab.config.experiment import Experiment
from thinklab.errors import ConfigError, LabError, RunError, TeacherError
from thinklab.guide.rejections import outcomes, sentence
from thinklab.lab import settings as lab_config
from thinklab.lab.results import Metrics, Proposals, ReviewText, Status, batch_text, in_notebook, show_batches_in_notebook
from thinklab.lab.waiting import Waiting
from thinklab.lab.worker import Progress, bar
from thinklab.run.folder import RunFolder
from thinklab.run.lock import FolderLock
from thinklab.students import unsloth_first
from thinklab.types import Batch, Guidance

if TYPE_CHECKING:  # what loads PyTorch is imported once the student is known: Unsloth must come before it
    from thinklab.behavior.behavior import Behavior
    from thinklab.export.export import Kind
    from thinklab.lab.control import Comparison
    from thinklab.lab.engine import Engine
    from thinklab.lab.results import LabProbe, LabReach
    from thinklab.review.queue import ReviewQueue
    from thinklab.students.base import Student
    from thinklab.tasks.base import Task

Policy = Literal["accept", "accept_if_detected"] | Callable[[Any], bool | str | None]
Auto = Policy | Literal["reject"]
"""``accept``, ``accept_if_detected``, ``reject``, or a function of a ``review.Item`` that returns True (accept), False
(reject), a text (edit) or None (leave it open)."""
_OPEN: weakref.WeakValueDictionary[Path, Lab] = weakref.WeakValueDictionary()


class Lab:
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

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | Experiment | None = None,
        *,
        out: str | Path | None = None,
        overrides: Iterable[str] = (),
        profile: str | None = None,
        resume: bool | None = None,
        by: str | None = None,
        quiet: bool = False,
        **settings: Any,
    ):
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it names an optional kernel for CPUs at every import
        self._engine: Engine | None = None
        self._queue: ReviewQueue | None = None
        self._queue_for = ""  # key of the batch that the queue is about
        self._said: list[str] = []
        self._told = 0
        self.by, self.quiet = by, quiet
        if config is None and out is None and not settings and not overrides:
            raise ConfigError('Lab() needs a config, such as Lab("demo-self-check"), or student=, task=, behaviors= and teacher=')
        out = None if out is None else Path(out)
        self.config, parts = lab_config.experiment(
            config, [overrides] if isinstance(overrides, str) else overrides, profile, settings, out
        )
        self._parts = parts
        self.path = out or Path("runs") / self.config.name
        there = RunFolder(self.path).config_file.exists()
        if resume and not there:
            raise RunError(f"{self.path} holds no run that could be continued; leave resume out to begin one there")
        before = _OPEN.get(self.path.resolve())
        if before is not None:  # a cell that makes the Lab was run again: the new one takes over
            before.close()
        lock = FolderLock(self.path)
        if there and resume is False:
            there = False
            _move_away(self.path, self._say)
            lock.release()
            lock = FolderLock(self.path)
        try:
            unsloth_first.import_first(self.config.student.kind)
            from thinklab.experiment.build import build
            from thinklab.lab.engine import Engine

            session = build(self.config, self.path, there, parts)
            self._lock = lock
        except BaseException:
            lock.release()
            raise
        session.say = self._said.append
        if session.guards is not None:
            session.guards.say = self._said.append
        session.say = self._said.append
        session.check_start()
        self._engine = Engine(session)
        self._engine.worker.quiet = quiet
        _OPEN[self.path.resolve()] = self
        show_batches_in_notebook()
        if there:
            self._engine.find_waiting()
            self._say(
                f"continues {self.path} at step {self.step} of {self.config.train.steps}: {self._status().now}. "
                f"Next: {self._status().next or 'nothing'}"
            )
        else:
            for who, cost in (("teacher", session.estimate()), ("judge", session.estimate_judge())):
                if cost:
                    self._say(f"{who}, for the whole run: {cost}")

    # ---- one step at a time

    def rollout(self) -> Batch:
        """Stage 1: the student answers the next questions. The batch that waits, where one does.

        Raises:
            LabError: when all steps are done.
        """
        engine = self._open()
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
        waiting = self._mine(batch, "guide")
        engine = self._open()
        if engine.session.guide is None:
            self._say(f"the method {self.config.loss.method!r} has no teacher. Next: lab.update(batch)")
            return Proposals(waiting.batch, {})
        if not waiting.guided or waiting.unanswered:
            waiting = self._to_batch()
            self._close_queue("the teacher was asked again; lab.review(batch) shows what it said")
            engine.guide(waiting)
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
        queue = self._queue_of(self._mine(batch, "review"))
        if auto is not None:
            queue.apply(_policy(auto))
            text = ReviewText(queue)
            self._say(text.lines[0] + f". Next: {self._status().next}")
            return text
        if in_notebook():
            from thinklab.widgets.review_pane import ReviewPane

            return ReviewPane(queue)
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
        waiting = self._mine(batch, "update")
        guidance = self._decided(waiting, auto)
        engine = self._open()
        self._to_batch()
        engine.learn(guidance)
        line = Metrics({k: v for part in engine.lines for k, v in part.items()})
        self._close_queue()
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
            raise self._all_done()
        until = total if steps is None else min(total, -(-(self.step + steps) // engine.span) * engine.span)
        guidance = None
        if engine.waiting is not None and engine.session.guide is not None:
            if not engine.waiting.guided:
                self.guide()
            guidance = self._decided(engine.waiting, auto)
        if engine.waiting is not None:
            self._to_batch()
        try:
            engine.run(until, _policy(auto), self.by, guidance)
        finally:
            if engine.waiting is None:
                self._close_queue()
        line = Metrics({k: v for part in engine.lines[-engine.span :] for k, v in part.items()})
        why = engine.session.stopped
        self._end_of_steps()
        if self.step >= total and (replies := sentence(outcomes(engine.session.run.read("rollouts")))):
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
        waiting = self._mine(batch, "reach")
        if not waiting.guided:
            raise LabError("the teacher has not been asked yet: lab.guide(batch) first")
        self._to_batch()
        return self._open().reach(waiting)

    def compare(self, overrides: Iterable[str] = (), questions: int | None = None, samples: int | None = None) -> Comparison:
        """This run beside plain GRPO: the same reward, questions, seeds and steps, no teacher. Runs the control first.

        Args:
            overrides: what the control has otherwise, such as ``["train.learning_rate=0.0003"]`` where plain GRPO wants a
                lower one.

        Raises:
            LabError: before the first step, or where the run has ready-made parts that another process cannot have.
        """
        from thinklab.lab.control import Comparison, control_config, differences, run_control

        engine, step = self._open(), self.step
        if not step:
            raise LabError("nothing has been trained yet, so there is nothing to compare: lab.train() or lab.update() first")
        parts = [name for name in ("student", "task", "judge", "behaviors") if getattr(self._parts, name)]
        if parts:
            raise LabError(
                f"the control runs in a process of its own, which cannot have the ready-made {', '.join(parts)}: "
                "give a name or a file instead"
            )
        folder = self.path / "control"
        plan = control_config(self.config, [overrides] if isinstance(overrides, str) else list(overrides))
        progress = Progress()
        progress.begin("control: plain GRPO", step)

        def show(done: int) -> None:
            progress.done = min(done, step)
            draw()

        with bar(progress, self.quiet) as draw:
            control = run_control(folder, plan, step, questions, samples, show)
        mine = self.probe(questions, samples)
        engine.session.run.write_json("compare.json", {"step": step, "difference": differences(RunFolder(folder), self.run)})
        return Comparison(step, mine.before, control, mine.after, differences(RunFolder(folder), self.run))

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
    def step(self) -> int:
        """Optimizer steps done and saved."""
        return self._open().step

    @property
    def batch(self) -> Batch | None:
        """The batch that waits; None where none does."""
        waiting = self._open().waiting
        return None if waiting is None else waiting.batch

    @property
    def proposals(self) -> dict[str, Guidance]:
        """What the teacher said about the batch that waits, by rollout id."""
        waiting = self._open().waiting
        return {} if waiting is None else dict(waiting.proposals)

    @property
    def queue(self) -> ReviewQueue:
        """Every decision about the batch that waits."""
        return self._queue_of(self._mine(None, "review"))

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def student(self) -> Student:
        return self._open().session.student

    @property
    def task(self) -> Task:
        return self._open().session.task

    @property
    def behaviors(self) -> list[Behavior]:
        return self._open().session.behaviors

    def __repr__(self) -> str:
        return self._status().text()

    def _repr_html_(self) -> str:
        return self._status().html()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the worker, free the memory and the folder. What was waiting waits on disk."""
        if self._engine is not None:
            self._close_queue(f"this Lab is closed; Lab(out={str(self.path)!r}) continues where it was")
            self._shut()

    def _shut(self) -> None:
        engine, self._engine = self._open(), None
        engine.close()
        self._lock.release()
        if _OPEN.get(self.path.resolve()) is self:
            del _OPEN[self.path.resolve()]
        sys.modules["torch"].cuda.empty_cache()  # does nothing where there is no GPU

    # ---- inside

    def _open(self) -> Engine:
        if self._engine is None:
            raise LabError(f"this Lab is closed; Lab(out={str(self.path)!r}) continues where it was")
        return self._engine

    def _mine(self, batch: Batch | None, call: str) -> Waiting:
        """What is known about ``batch``, if it is the one that waits."""
        waiting = self._open().waiting
        if batch is not None and not isinstance(batch, Batch):
            raise LabError(f"lab.{call}(batch) takes what lab.rollout() returned, not {type(batch).__name__}")
        if waiting is None:
            raise LabError(
                "there is no batch yet: batch = lab.rollout() first"
                if batch is None or self.step <= batch.step
                else f"batch {batch.generation} has been trained on already; batch = lab.rollout() gives the next one"
            )
        if batch is not None and (batch.generation, batch.step) != (waiting.batch.generation, waiting.batch.step):
            raise LabError(
                f"batch {batch.generation} is not the one that waits, which is batch {waiting.batch.generation}: "
                "lab.rollout() returns it"
            )
        return waiting

    def _to_batch(self) -> Waiting:
        """Bring the training to where the batch waits: sampled, not guided."""
        engine = self._open()
        if not engine.at_batch:
            if self.step >= self.config.train.steps:
                raise self._all_done()
            engine.sample()
        if not engine.at_batch:
            raise LabError(f"the training ended before it had sampled: {engine.session.stopped or 'no reason given'}")
        assert engine.waiting is not None, "sampling leaves the batch that waits"
        return engine.waiting

    def _all_done(self) -> LabError:
        t = self.config.train
        more = (
            f"Lab(out={str(self.path)!r}, steps={2 * t.steps}) goes on"
            if t.decay == "constant"
            else (f"its learning rate has fallen to 0 ({t.decay} decay), so begin another run for more")
        )
        return LabError(f"all {t.steps} steps of this run are done: lab.probe() measures it; {more}")

    def _queue_of(self, waiting: Waiting) -> ReviewQueue:
        guide = self._open().session.guide
        if guide is None:
            raise LabError(
                f"the method {self.config.loss.method!r} has no teacher, so there is nothing to review: lab.update(batch)"
            )
        if not waiting.guided:
            raise LabError("the teacher has not been asked yet: lab.guide(batch) first")
        if self._queue is None or self._queue_for != waiting.key:
            self._queue, self._queue_for = self._open().queue(waiting, self.by), waiting.key
        return self._queue

    def _decided(self, waiting: Waiting, auto: Auto | None) -> dict[str, Guidance]:
        if self._open().session.guide is None:
            return {}
        queue = self._queue_of(waiting)
        if auto is not None:
            queue.apply(_policy(auto))
        left = [i for i in queue.items if i.state in ("open", "skipped")]
        if left:
            raise LabError(
                f"{len(left)} of {len(queue)} pieces of guidance are undecided ({', '.join(i.id for i in left[:5])}"
                f"{', …' if len(left) > 5 else ''}): decide in lab.review(batch), or take them as the teacher wrote them "
                "with lab.update(batch, auto='accept'), or leave them out with auto='reject'"
            )
        return queue.decided()

    def _close_queue(self, why: str = "this batch has been trained on; its decisions stand") -> None:
        """A pane that is still open must not take decisions that change nothing; it becomes static HTML."""
        if self._queue is not None:
            self._queue.closed = why
            self._queue = None

    def _end_of_steps(self) -> None:
        for text in self._said[self._told :]:
            self._say(text)
        self._told = len(self._said)

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text, flush=True)

    def _status(self) -> Status:
        config, t = self.config, self.config.train
        parts = {
            "student": config.student.path or config.student.kind,
            "task": config.task.name,
            "behaviors": ", ".join(b.name for b in config.behaviors) or "none",
            "teacher": config.teacher.backend if config.loss.method != "grpo" else "none",
            "method": config.loss.method,
        }
        engine = self._engine
        if engine is None:
            saved = RunFolder(self.path).last_checkpoint()
            return Status(
                config.name,
                str(self.path),
                saved[1] if saved else 0,
                t.steps,
                parts,
                "closed",
                "closed",
                f"Lab(out={str(self.path)!r})",
            )
        stage, now, then = self._stage()
        last = next(iter(engine.lines[-1:]), None)
        return Status(
            config.name,
            str(self.path),
            self.step,
            t.steps,
            parts,
            stage,
            now,
            then,
            repr(Metrics(last)) if last else "",
            tuple(self._said[-3:]),
        )

    def _stage(self) -> tuple[str, str, str]:
        engine = self._open()
        if engine.worker.busy:
            return "", f"at work: {engine.worker.progress.text}", ""
        waiting = engine.waiting
        if waiting is None:
            if self.step >= self.config.train.steps:
                return "done", "all steps are done", "lab.probe()"
            return "rollout", "nothing is waiting", "batch = lab.rollout()"
        what = batch_text(waiting.batch)
        if engine.session.guide is None:
            return "update", what, "lab.update(batch)"
        if not waiting.guided:
            return "guide", what, "lab.guide(batch)"
        queue = self._queue_of(waiting)
        left = sum(i.state in ("open", "skipped") for i in queue.items)
        if left:
            return "review", f"{what}; {left} of {len(queue)} pieces of guidance undecided", "lab.review(batch)"
        return "update", f"{what}; {len(queue)} pieces of guidance, all decided", "lab.update(batch)"


def _policy(auto: Auto) -> Policy:
    return (lambda item: False) if auto == "reject" else auto


def _move_away(path: Path, say: Callable[[str], None]) -> None:
    """Make room for a new run without losing the old one."""
    number = next(n for n in range(1, 10_000) if not path.with_name(f"{path.name}.{n}").exists())
    try:
        path.rename(path.with_name(f"{path.name}.{number}"))
    except OSError as error:
        raise RunError(f"cannot rename {path}: {error.strerror or error}") from error
    say(f"the run that was in {path} is now in {path.name}.{number}")


@atexit.register
def _close_all() -> None:
    for lab in list(_OPEN.values()):
        lab._shut()
