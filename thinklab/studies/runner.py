"""``run_study``: the unfinished cells of a study as processes, as many as cores; ``make_students``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from thinklab.errors import RunError
from thinklab.experiment.children import Children, spawn
from thinklab.run import signals
from thinklab.run.lock import FolderLock
from thinklab.studies.study import Cell, Study, student_folder

Say = Callable[[str], None]


def run_study(study: Study, cells: Sequence[Cell], out: Path, jobs: int | None = None, say: Say = print) -> list[str]:
    """Run every unfinished cell; killed ones are resumed.

    Args:
        jobs: processes at once; None = the cores that this process may use. Each has one thread.

    Returns:
        One line per failed cell; the results of the others are valid.

    Raises:
        RunError: if a folder contains something else, or a student could not be built.
        Interrupted: by SIGINT or SIGTERM; every run has saved its progress.
    """
    with signals.raising():
        return _run_cells(study, cells, out, jobs, say)


def _run_cells(study: Study, cells: Sequence[Cell], out: Path, jobs: int | None, say: Say) -> list[str]:
    states = {cell.name: cell.state() for cell in cells}
    waiting = [cell for cell in cells if states[cell.name] != "finished"]
    if done := len(cells) - len(waiting):
        say(f"{done} of {len(cells)} runs are already finished")
    make_students(study, waiting, out, say)
    failed: list[str] = []
    total, ended = len(waiting), 0
    with Children(stopping=lambda number: say(f"{number} runs finish their current generation and save")) as children:
        while waiting or children.running:
            while waiting and len(children.running) < (jobs or cores()):
                cell = waiting.pop(0)
                children.add(cell.name, cell.start(resume=states[cell.name] == "started"), cell.log)
            for child in children.ended():
                ended += 1
                if child.failure:
                    failed.append(child.failure)
                say(f"[{ended}/{total}] {child.name}: {'failed' if child.failure else 'done'} in {child.seconds:.0f} s")
    return failed


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_students(study: Study, cells: Sequence[Cell], out: Path, say: Say) -> None:
    """Train the missing students that unfinished cells need, or resume: about four minutes each on two cores, an hour for a small world."""
    for name, recipe in study.students.items():
        folder = student_folder(out, name)
        needed = any(f'"{folder}"' in text for cell in cells for text in cell.overrides)
        if not needed:
            continue
        if (folder / "made.json").exists():
            made = json.loads((folder / "made.json").read_text("utf-8"))
            if not recipe.made(made):
                raise RunError(f"{folder} was built with another recipe than {name!r} has now; move it and its runs away")
            if unfit := recipe.unfit(made):
                raise RunError(f"the student {name!r} fails its gate: {unfit}. Move {folder} away and give {name!r} more steps")
            continue
        say(f"making the student {name!r}")
        command = [sys.executable, *recipe.maker, "--out", str(folder), *recipe.arguments()]
        folder.mkdir(parents=True, exist_ok=True)
        log = folder.parent / f"{name}.log"
        with FolderLock(folder), Children() as children:
            child = children.add(f"making the student {name!r}", spawn(command, log), log)
            while not children.ended():
                pass
        if child.failure:
            raise RunError(child.failure)
