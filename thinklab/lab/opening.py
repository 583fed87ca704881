"""``OpenRun``: opens and closes the run of a Lab: folder and lock, session, messages, signals."""

from __future__ import annotations

import atexit
import logging
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from thinklab.config import tested_versions
from thinklab.config.experiment import Experiment
from thinklab.config.hardware import check_device
from thinklab.errors import ConfigError, LabError, RunError
from thinklab.lab import settings as lab_config
from thinklab.lab.decisions import Decisions
from thinklab.lab.finished import on_record
from thinklab.lab.guard_lines import is_guard, show_guard
from thinklab.lab.results import Status, show_batches_in_notebook
from thinklab.lab.status import status
from thinklab.review.waiting import Waiting
from thinklab.run.folder import RunFolder
from thinklab.run.lock import FolderLock
from thinklab.students import unsloth_first
from thinklab.types import Batch, Guidance
from thinklab.widgets.freezing import freeze

if TYPE_CHECKING:  # what loads PyTorch is imported once the student is known: must be imported after Unsloth it
    from thinklab.behavior.behavior import Behavior
    from thinklab.lab.engine import Engine
    from thinklab.students.base import Student
    from thinklab.tasks.base import Task

_OPEN: weakref.WeakValueDictionary[Path, OpenRun] = weakref.WeakValueDictionary()


class OpenRun:
    """Opens or starts the run of a Lab and holds it until ``close``. Takes the arguments of ``Lab``."""

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
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it mentions an optional CPU kernel at every import
        tested_versions.warn_once()
        self._engine: Engine | None = None
        self._decided: Decisions | None = None
        self._past: Waiting | None = None
        """For a run that was already finished when opened: the batch that its calls show."""
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
        if found := next((key for key in ("prime", "baseline") if getattr(self.config, key) is not None), None):
            raise ConfigError(
                f"a Lab trains batch by batch and imitates no prepared texts: remove {found!r}, or use `thinklab train` and "
                "`thinklab probe`, which do"
            )
        self.path = out or Path("runs") / self.config.name
        lock, there = _take(self.path, resume, self._say)
        try:
            check_device(self.config)
            unsloth_first.import_first(self.config.student.kind)
            from thinklab.experiment.build import build
            from thinklab.experiment.session import Audience
            from thinklab.lab.engine import Engine

            session = build(self.config, self.path, there, parts, Audience(self._said.append))
            self._lock = lock
        except BaseException:
            lock.release()
            raise
        session.check_start()
        self._engine = Engine(session)
        self._engine.worker.quiet = quiet
        self._decided = Decisions(self._engine, by)
        _OPEN[self.path.resolve()] = self
        show_batches_in_notebook()
        if there:
            self._engine.find_waiting()
            if self.step >= self.config.train.steps:
                self._past = on_record(self.run)
            then = "Its calls show the records" if self._past else f"Next: {self._status().next or 'nothing'}"
            self._say(f"resuming {self.path} at step {self.step} of {self.config.train.steps}: {self._status().now}. {then}")
        else:
            teaching = session.teaching
            for who, cost in (
                ("teacher", teaching.estimate(self.config, session.data, 0)),
                ("judge", teaching.estimate_judge(self.config, session.data)),
            ):
                if cost:
                    self._say(f"{who}, for the whole run: {cost}")

    def _open(self) -> Engine:
        if self._engine is None:
            raise LabError(f"this Lab is closed; Lab(out={str(self.path)!r}) resumes it")
        return self._engine

    @property
    def _decisions(self) -> Decisions:
        """Of the pending batch."""
        self._open()
        assert self._decided is not None  # it exists as long as the engine
        return self._decided

    @property
    def step(self) -> int:
        """Completed and saved optimizer steps."""
        return self._open().step

    @property
    def batch(self) -> Batch | None:
        """The pending batch; None if there is none."""
        waiting = self._open().waiting
        return None if waiting is None else waiting.batch

    @property
    def proposals(self) -> dict[str, Guidance]:
        """The teacher's replies about the pending batch, by rollout id."""
        waiting = self._open().waiting
        return {} if waiting is None else dict(waiting.proposals)

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def student(self) -> Student:
        return self._open().session.student

    @property
    def task(self) -> Task:
        return self._open().session.data.task

    @property
    def behaviors(self) -> list[Behavior]:
        return self._open().session.teaching.behaviors

    def _status(self) -> Status:
        return status(self.config, self.path, self._engine, self._decided, self._said)

    def __repr__(self) -> str:
        return self._status().text()

    def _repr_html_(self) -> str:
        return self._status().html()

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text, flush=True)

    def _end_of_steps(self) -> None:
        for text in self._said[self._told :]:
            show_guard(text) if is_guard(text) and not self.quiet else self._say(text)
        self._told = len(self._said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the worker, and release the memory and the folder. The pending batch stays on disk.

        Its widgets become static HTML, so that the saved notebook shows them; with the last Lab of the kernel, so do those that
        belong to none, such as the behavior studio.
        """
        if self._engine is not None:
            self._end()
            if not _OPEN:
                freeze(None)

    def _end(self) -> None:
        self._decisions.close(f"this Lab is closed; Lab(out={str(self.path)!r}) resumes it")
        self._shut()
        freeze(self.path.resolve())

    def _shut(self) -> None:
        """Release the memory and the folder, without notifying open panes."""
        engine, self._engine, self._decided = self._open(), None, None
        engine.close()
        self._lock.release()
        if _OPEN.get(self.path.resolve()) is self:
            del _OPEN[self.path.resolve()]
        sys.modules["torch"].cuda.empty_cache()  # does nothing without a GPU


def _take(path: Path, resume: bool | None, say: Callable[[str], None]) -> tuple[FolderLock, bool]:
    """Lock ``path``; also returns True if it contains a run to resume. Closes a Lab of this process that has it open.

    Args:
        resume: as for ``Lab``.

    Raises:
        RunError: if there is no run to resume, or another process has locked the folder.
    """
    there = RunFolder(path).config_file.exists()
    if resume and not there:
        raise RunError(f"{path} contains no run to resume; omit resume to start one there")
    before = _OPEN.get(path.resolve())
    if before is not None:  # the cell that creates the Lab was run again: the new one takes over
        before._end()
    lock = FolderLock(path)
    if there and resume is False:
        there = False
        _move_away(path, say)
        lock.release()
        lock = FolderLock(path)
    return lock, there


def _move_away(path: Path, say: Callable[[str], None]) -> None:
    """Rename the old run to make room for a new one."""
    number = next(n for n in range(1, 10_000) if not path.with_name(f"{path.name}.{n}").exists())
    try:
        path.rename(path.with_name(f"{path.name}.{number}"))
    except OSError as error:
        raise RunError(f"cannot rename {path}: {error.strerror or error}") from error
    say(f"the previous run in {path} is now in {path.name}.{number}")


@atexit.register
def _close_all() -> None:
    for lab in list(_OPEN.values()):
        lab._shut()
