"""Measure a finished run from Python, also one that was begun with ready-made objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from thinklab.behavior.behavior import Behavior
from thinklab.config.ready_made import ReadyMade
from thinklab.experiment.probe_run import probe_run


def probe(
    run: str | Path,
    *,
    questions: int | None = None,
    samples: int | None = None,
    persistence: int = 0,
    student: Any = None,
    task: Any = None,
    behaviors: Iterable[Behavior] = (),
    judge: Any = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """What ``thinklab probe RUN`` does: measure the last checkpoint of ``run`` and write its ``probe.json``.

    Args:
        questions: held-out questions; None as the run's config says.
        samples: answers to each question at T=1; None as the run's config says.
        persistence: further steps of plain GRPO, to see what is left; 0 = none.
        student, task, behaviors, judge: the ready-made objects that the run was begun with (``Lab(task=...)``); its
            ``config.yaml`` says which, and without them the run cannot be measured. The student as it was before training.
        say: gets what a person should read.

    Returns:
        The content of ``probe.json``; ``thinklab/experiment/probe_run.py`` has its layout.

    Raises:
        RunError: when there is no run or no checkpoint in it, or an object is missing.
    """
    parts = ReadyMade(student=student, task=task, judge=judge, behaviors={b.name: b for b in behaviors})
    return probe_run(Path(run), questions, samples, persistence, say, parts)
