"""``evaluate``: the loop of ``thinklab eval``: trains students, asks every question, appends to ``answers.jsonl``.

    OUT/METHOD/BENCHMARK/answers.jsonl    every answer of every run, with its turns, tokens and verdict
    OUT/METHOD/BENCHMARK/config.yaml      the config of its answers; a different config is rejected
    OUT/questions.json                    which questions were drawn, and how many were too long
    OUT/train/METHOD/seed-N               the training runs, ordinary run folders

Nothing is kept in memory that is not on disk after each chunk of ``rows`` questions; if killed at any time, the next call
resumes and ends with the same answers (``thinklab/run/chunks.py``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from thinklab.config.ready_made import ReadyMade, check_ready_made
from thinklab.errors import RunError
from thinklab.evaluation.plan import Evaluation
from thinklab.evaluation.questions import draw_questions
from thinklab.evaluation.results import judged_behaviors
from thinklab.evaluation.solvers import Answer, Writer, load_solver
from thinklab.evaluation.students import Say, Students, run_folders, silent, train, training_runs
from thinklab.run.chunks import add_chunk, seed_of, whole_chunks
from thinklab.run.folder import RunFolder
from thinklab.run.lock import FolderLock
from thinklab.tasks.base import Task
from thinklab.types import Example

Progress = Callable[[str, int, int], None]
"""``progress(cell, answers done, answers in all)`` over the whole evaluation."""


def evaluate(config: Evaluation, path: Path, out: Path, only: str = "*", say: Say = silent, progress: Progress = silent) -> None:
    """Fill every cell that matches ``only``; existing answers are kept.

    Args:
        path: the evaluation's own file; ``train`` is relative to it.

    Raises:
        ThinklabError: if an input is invalid, a training run failed, or another process is filling one of the cells.
    """
    import torch

    from thinklab.config import cpu_allocator

    cpu_allocator.tune()
    if config.threads:
        torch.set_num_threads(config.threads)
    out = Path(out)
    with ExitStack() as locks:
        for method, benchmark in config.cells(only):  # other cells may be filled by another process
            locks.enter_context(FolderLock(out / method / benchmark))
        _evaluate(config, path, out, only, say, progress)


def _evaluate(config: Evaluation, path: Path, out: Path, only: str, say: Say, progress: Progress) -> None:
    wanted = config.cells(only)
    _, judge = judged_behaviors(config)  # a missing one, or one without a key, fails before any work
    if judge is not None:
        judge.check()
    folders = {cell: open_cell(config, path, out, *cell) for cell in wanted}
    questions = draw_questions(config, out, list(dict.fromkeys(b for _, b in wanted)), say)  # fails before hours of training
    for method in dict.fromkeys(m for m, _ in wanted):
        train(config, path, out, method, say)
    total = sum(config.runs_of(b) * len(questions[b].examples) for _, b in wanted)
    done = 0
    students = Students(config, path, out)
    for method, benchmark in wanted:
        name, asked = f"{method}/{benchmark}", questions[benchmark]
        run, solver = (
            folders[method, benchmark],
            load_solver(config.methods[method].solver.name, **config.methods[method].solver.options),
        )
        known = whole_chunks(run, "answers")
        for number in range(config.runs_of(benchmark)):
            for place in range(0, len(asked.examples), config.rows):
                part = asked.examples[place : place + config.rows]
                key = (number, place)
                if key not in known:
                    writer = Writer(
                        students.get(method, number),
                        config.longest(benchmark),
                        config.temperature,
                        config.rows,
                        seed_of("eval", config.seed, benchmark, number, place),
                    )
                    begin = time.perf_counter()
                    answers = solver(writer, asked.task, part)
                    seconds = round((time.perf_counter() - begin) / len(part), 4)
                    lines = [
                        answer_line(writer, asked.task, e, a, config.cuts(benchmark), number, seconds)
                        for e, a in zip(part, answers, strict=True)
                    ]
                    add_chunk(run, "answers", key, lines)
                done += len(part)
                progress(name, done, total)


def answer_line(
    writer: Writer, task: Task, example: Example, answer: Answer, cuts: Sequence[int], run: int, seconds: float
) -> dict[str, Any]:
    """One line of ``answers.jsonl``. ``tokens`` = ``sampled`` + ``inserted``; ``dropped`` and ``read`` come on top."""
    correct = task.verify(answer.text, example)
    at = {}
    for cut in cuts:  # an answer that had ended by then has its final grade
        at[str(cut)] = correct if cut >= answer.tokens else task.verify(answer.cut_at(cut, writer.decode), example)
    return {
        "run": run,
        "example_id": example.id,
        "question": example.question,
        "gold": example.gold,
        "response": answer.text,
        "correct": correct,
        "finished": answer.finished,
        "out_of_room": answer.out_of_room,
        "tokens": answer.tokens,
        "sampled": answer.sampled,
        "inserted": answer.inserted,
        "dropped": answer.dropped,
        "read": answer.read,
        "correct_at": at,
        "seconds": seconds,
        "turns": [{"kind": t.kind, "text": t.text, "tokens": len(t.ids), "inserted": t.inserted} for t in answer.turns],
    }


# ---- what a cell's answers depend on -------------------------------------------------------------------------------------------


def cell_spec(config: Evaluation, path: Path, out: Path, method: str, benchmark: str) -> dict[str, Any]:
    """Everything that an answer depends on, except ``runs``: more of them only add answers."""
    m, b = config.methods[method], config.benchmarks[benchmark]
    if m.train is not None:
        made: Any = {str(r.seed): r.config().model_dump(mode="json") for r in training_runs(config, path, out, method)}
    elif m.run is not None:
        made = {folder: _made_by(folder) for folder in run_folders(m.run)}
    else:
        made = (m.student or config.student).model_dump(mode="json")
    return json.loads(
        json.dumps(
            {
                "student": made,
                "solver": m.solver.model_dump(mode="json"),
                "task": b.task.model_dump(mode="json"),
                "split": b.split,
                "questions": b.questions,
                "seed": config.seed,
                "temperature": config.temperature,
                "rows": config.rows,
                "max_prompt_tokens": config.max_prompt_tokens,
                "max_new_tokens": config.longest(benchmark),
                "cuts": config.cuts(benchmark),
                "fits": config.student.model_dump(mode="json"),
            }
        )
    )


def _made_by(folder: str) -> dict[str, Any]:
    run = RunFolder.open(Path(folder))
    found = run.last_checkpoint()
    if found is None:
        raise RunError(f"{folder} has no complete checkpoint yet; resume the run with --resume first")
    check_ready_made(folder, run.resolved(), ReadyMade(), ["student"])
    return {"config": run.resolved()["config"], "step": found[1]}


def open_cell(config: Evaluation, path: Path, out: Path, method: str, benchmark: str) -> RunFolder:
    """The folder of a cell, new or continued.

    Raises:
        RunError: if it contains answers made with another config.
    """
    folder, spec = Path(out) / method / benchmark, cell_spec(config, path, out, method, benchmark)
    if not RunFolder(folder).config_file.exists():
        return RunFolder.create(folder, spec, {})
    run = RunFolder.open(folder)
    there = (run.resolved() or {}).get("config") or {}
    if differing := [k for k in spec if spec[k] != there.get(k)]:
        what = " and ".join(map(repr, differing))
        raise RunError(f"{folder} contains answers made with another {what} than in {path}; move it away or choose another --out")
    return run


# ---- students -----------------------------------------------------------------------------------------------------------
