"""Runs a study: every unfinished cell as a ``thinklab train`` process of its own, as many at once as there are cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from thinklab.errors import RunError
from thinklab.run import signals
from thinklab.run.lock import FolderLock
from thinklab.studies.forked_run import ForkedRun, can_fork
from thinklab.studies.study import Cell, Study, student_folder

POLL_S = 0.5
Say = Callable[[str], None]


def run_study(study: Study, cells: Sequence[Cell], out: Path, jobs: int | None = None, say: Say = print) -> list[str]:
    """Bring every cell to its end; what is finished is left alone, what was killed is resumed.

    Args:
        jobs: processes at once; None = the cores that this process may use. Each has one thread.

    Returns:
        One line per cell that failed. The others' results stand.

    Raises:
        RunError: when a folder holds something else, or a student could not be made.
        Interrupted: by SIGINT or SIGTERM; every run has saved what it had.
    """
    with signals.raising():
        return _run_cells(study, cells, out, jobs, say)


def _run_cells(study: Study, cells: Sequence[Cell], out: Path, jobs: int | None, say: Say) -> list[str]:
    states = {cell.name: cell.state() for cell in cells}
    waiting = [cell for cell in cells if states[cell.name] != "finished"]
    if done := len(cells) - len(waiting):
        say(f"{done} of {len(cells)} runs are finished already")
    make_students(study, waiting, out, say)
    jobs = jobs or cores()
    running: dict[str, tuple[Cell, subprocess.Popen | ForkedRun, float]] = {}
    failed: list[str] = []
    total, ended = len(waiting), 0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                running[cell.name] = (cell, start(cell, states[cell.name] == "begun"), time.perf_counter())
            time.sleep(POLL_S)
            for name, (cell, process, begun) in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[name]
                ended += 1
                if code:
                    failed.append(f"{name} ended with exit code {code}: {last_words(cell.folder)}")
                say(f"[{ended}/{total}] {name}: {'failed' if code else 'done'} in {time.perf_counter() - begun:.0f} s")
    finally:
        if running:
            say(f"{len(running)} runs finish the generation at work and save")
        stop([process for _, process, _ in running.values()])
    return failed


def stop(processes: Iterable[subprocess.Popen | ForkedRun]) -> None:
    """Let runs finish the generation at work and save; a second signal to this process ends them and it at once."""
    working = [p for p in processes if p.poll() is None]

    def kill() -> None:
        for process in working:
            process.kill()

    signals.at_once.append(kill)
    try:
        for process in working:
            process.terminate()
        for process in working:
            process.wait()
    finally:
        signals.at_once.remove(kill)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(cell: Cell, resume: bool, fork: bool | None = None) -> subprocess.Popen | ForkedRun:
    """Begin or resume a run in a process of its own; what it says goes to its ``log.txt``.

    Args:
        fork: from a server that has the libraries loaded; None: where that is safe.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    if can_fork() if fork is None else fork:
        return ForkedRun(cell, resume, cell.folder / "log.txt")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(cell.folder / "log.txt", "ab") as log:
        command = [sys.executable, "-m", "thinklab", "train", *cell.arguments(resume)]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)


def make_students(study: Study, cells: Sequence[Cell], out: Path, say: Say) -> None:
    """Train the students that unfinished cells need and that are not there yet; about four minutes each on two cores."""
    for name, recipe in study.students.items():
        folder = student_folder(out, name)
        needed = any(f'"{folder}"' in text for cell in cells for text in cell.overrides)
        if not needed:
            continue
        if (folder / "made.json").exists():
            if not recipe.made(json.loads((folder / "made.json").read_text("utf-8"))):
                raise RunError(f"{folder} was made by another recipe than {name!r} has now; move it and its runs away")
            continue
        say(f"making the student {name!r}")
        command = [sys.executable, "-m", "thinklab.students.make_tiny", "--out", str(folder), *recipe.arguments()]
        folder.mkdir(parents=True, exist_ok=True)
        with FolderLock(folder), open(folder.parent / f"{name}.log", "ab") as log:
            if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode:
                raise RunError(f"the student {name!r} could not be made; see {folder.parent / name}.log")


def last_words(folder: Path) -> str:
    """The end of a failed run's log in one line."""
    log = folder / "log.txt"
    lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    return f"{' / '.join(lines[-2:]) or 'no output'} (whole log: {log})"
