"""Measure a finished run from Python, including one with ready-made objects."""

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
    """The function behind ``thinklab probe RUN``: measure the last checkpoint of ``run`` and write its ``probe.json``.

    Args:
        questions: number of held-out questions; None: as in the run's config.
        samples: sampled answers per question at T=1; None: as in the run's config.
        persistence: additional steps of plain GRPO, to measure how much of the behavior persists; 0 = none.
        student: like the next three, the ready-made object that the run was started with (``Lab(student=...)``); its
            ``config.yaml`` lists them, and without them the run cannot be measured. In its state before training.
        task: the run's.
        behaviors: the run's.
        judge: the run's.
        say: receives messages for the user.

    Returns:
        The content of ``probe.json``; ``thinklab/experiment/probe_run.py`` documents its layout.

    Raises:
        RunError: if there is no run or no checkpoint in it, or an object is missing.
    """
    parts = ReadyMade(student=student, task=task, judge=judge, behaviors={b.name: b for b in behaviors})
    return probe_run(Path(run), questions, samples, persistence, say, parts)
