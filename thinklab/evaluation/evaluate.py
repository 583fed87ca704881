"""Runs an evaluation: trains what must be trained, asks every question, writes down every answer. ``thinklab eval``.

    OUT/METHOD/BENCHMARK/answers.jsonl    every answer of every run, with its turns, tokens and verdict
    OUT/METHOD/BENCHMARK/config.yaml      what it was made with; another config is refused
    OUT/questions.json                    which questions were drawn, and how many were too long
    OUT/train/METHOD/seed-N               the training runs, ordinary run folders

Nothing is kept in memory that is not on disk after each chunk of ``rows`` questions; killed at any moment, the next call
goes on and ends with the same answers (``thinklab/chunks.py``).
"""
from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinklab.chunks import add_chunk, seed_of, whole_chunks
from thinklab.config import Experiment, StudentSection
from thinklab.errors import RunError, TaskError
from thinklab.evaluation.config import Evaluation
from thinklab.evaluation.results import judged_behaviors
from thinklab.folder_lock import FolderLock
from thinklab.parts import Parts, check_ready_made
from thinklab.run import RunFolder
from thinklab.run_config import experiment_of
from thinklab.solvers import Answer, Writer, load_solver
from thinklab.studies.run import last_words, start, stop
from thinklab.studies.study import Cell as TrainingRun
from thinklab.tasks import load_task
from thinklab.tasks._ids import by_id
from thinklab.tasks.base import Task
from thinklab.types import Example

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""``progress(cell, answers done, answers in all)`` over the whole evaluation."""
POLL_S = 0.5


def silent(*_: Any) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Questions:
    """What is asked in one benchmark."""

    task: Task
    examples: tuple[Example, ...]
    available: int
    too_long: int


def evaluate(config: Evaluation, path: Path, out: Path, only: str = "*", say: Say = silent, progress: Progress = silent) -> None:
    """Fill every cell that matches ``only``; what is there already is left alone.

    Args:
        path: the evaluation's own file; ``train`` is relative to it.

    Raises:
        ThinklabError: when something cannot be used, a training run failed, or another process fills one of the cells.
    """
    import torch

    from thinklab import allocator
    allocator.tune()
    if config.threads:
        torch.set_num_threads(config.threads)
    out = Path(out)
    with ExitStack() as locks:
        for method, benchmark in config.cells(only):       # other cells may be filled by another process
            locks.enter_context(FolderLock(out / method / benchmark))
        _evaluate(config, path, out, only, say, progress)


def _evaluate(config: Evaluation, path: Path, out: Path, only: str, say: Say, progress: Progress) -> None:
    wanted = config.cells(only)
    _, judge = judged_behaviors(config)                          # one that is missing or has no key fails before anything is made
    if judge is not None:
        judge.check()
    folders = {cell: open_cell(config, path, out, *cell) for cell in wanted}
    questions = draw_questions(config, out, list(dict.fromkeys(b for _, b in wanted)), say)     # fails before hours of training
    for method in dict.fromkeys(m for m, _ in wanted):
        train(config, path, out, method, say)
    total = sum(config.runs_of(b) * len(questions[b].examples) for _, b in wanted)
    done = 0
    students = Students(config, path, out)
    for method, benchmark in wanted:
        name, asked = f"{method}/{benchmark}", questions[benchmark]
        run, solver = folders[method, benchmark], load_solver(config.methods[method].solver.name,
                                                              **config.methods[method].solver.options)
        known = whole_chunks(run, "answers")
        for number in range(config.runs_of(benchmark)):
            for place in range(0, len(asked.examples), config.rows):
                part = asked.examples[place:place + config.rows]
                key = (number, place)
                if key not in known:
                    writer = Writer(students.get(method, number), config.longest(benchmark), config.temperature, config.rows,
                                    seed_of("eval", config.seed, benchmark, number, place))
                    begin = time.perf_counter()
                    answers = solver(writer, asked.task, part)
                    seconds = round((time.perf_counter() - begin) / len(part), 4)
                    lines = [answer_line(writer, asked.task, e, a, config.cuts(benchmark), number, seconds)
                             for e, a in zip(part, answers, strict=True)]
                    add_chunk(run, "answers", key, lines)
                done += len(part)
                progress(name, done, total)


def answer_line(writer: Writer, task: Task, example: Example, answer: Answer, cuts: Sequence[int], run: int, seconds: float
                ) -> dict[str, Any]:
    """One line of ``answers.jsonl``. ``tokens`` = ``sampled`` + ``inserted``; ``dropped`` and ``read`` come on top."""
    correct = task.verify(answer.text, example)
    at = {}
    for cut in cuts:                        # an answer that had ended by then is worth what it is worth in the end
        at[str(cut)] = correct if cut >= answer.tokens else task.verify(answer.cut_at(cut, writer.decode), example)
    return {"run": run, "example_id": example.id, "question": example.question, "gold": example.gold, "response": answer.text,
            "correct": correct, "finished": answer.finished, "out_of_room": answer.out_of_room, "tokens": answer.tokens,
            "sampled": answer.sampled, "inserted": answer.inserted, "dropped": answer.dropped, "read": answer.read,
            "correct_at": at, "seconds": seconds,
            "turns": [{"kind": t.kind, "text": t.text, "tokens": len(t.ids), "inserted": t.inserted} for t in answer.turns]}


# ---- what a cell is made with -------------------------------------------------------------------------------------------


def cell_spec(config: Evaluation, path: Path, out: Path, method: str, benchmark: str) -> dict[str, Any]:
    """Everything that an answer hangs on. ``runs`` is left out: more of them only add answers."""
    m, b = config.methods[method], config.benchmarks[benchmark]
    if m.train is not None:
        made: Any = {str(r.seed): r.config().model_dump(mode="json") for r in training_runs(config, path, out, method)}
    elif m.run is not None:
        made = {folder: _made_by(folder) for folder in run_folders(m.run)}
    else:
        made = (m.student or config.student).model_dump(mode="json")
    return json.loads(json.dumps({
        "student": made, "solver": m.solver.model_dump(mode="json"), "task": b.task.model_dump(mode="json"), "split": b.split,
        "questions": b.questions, "seed": config.seed, "temperature": config.temperature, "rows": config.rows,
        "max_prompt_tokens": config.max_prompt_tokens, "max_new_tokens": config.longest(benchmark),
        "cuts": config.cuts(benchmark), "fits": config.student.model_dump(mode="json")}))


def _made_by(folder: str) -> dict[str, Any]:
    run = RunFolder.open(Path(folder))
    found = run.last_checkpoint()
    if found is None:
        raise RunError(f"{folder} has no complete checkpoint yet; continue the run with --resume first")
    check_ready_made(folder, run.resolved(), Parts(), ["student"])
    return {"config": run.resolved()["config"], "step": found[1]}


def open_cell(config: Evaluation, path: Path, out: Path, method: str, benchmark: str) -> RunFolder:
    """The folder of a cell, new or continued.

    Raises:
        RunError: when it holds answers made with something else.
    """
    folder, spec = Path(out) / method / benchmark, cell_spec(config, path, out, method, benchmark)
    if not RunFolder(folder).config_file.exists():
        return RunFolder.create(folder, spec, {})
    run = RunFolder.open(folder)
    there = (run.resolved() or {}).get("config") or {}
    if differing := [k for k in spec if spec[k] != there.get(k)]:
        what = " and ".join(map(repr, differing))
        raise RunError(f"{folder} holds answers made with another {what} than {path} now asks for; move it away or choose "
                       f"another "
                       "--out")
    return run


def draw_questions(config: Evaluation, out: Path, benchmarks: Sequence[str], say: Say = silent) -> dict[str, Questions]:
    """The questions of each benchmark; drawn once and remembered in ``questions.json``.

    Raises:
        TaskError: when no question fits.
    """
    run, found, encoder = RunFolder(Path(out)), {}, None
    kept = run.read_json("questions.json") or {}
    for name in benchmarks:
        b = config.benchmarks[name]
        task = load_task(b.task.name, path=b.task.path, **b.task.options)
        examples = by_id(task, b.split)
        spec = {"task": b.task.model_dump(mode="json"), "split": b.split, "questions": b.questions, "seed": config.seed,
                "max_prompt_tokens": config.max_prompt_tokens, "student": config.student.model_dump(mode="json")}
        old = kept.get(name)
        if old is None or old["spec"] != spec or not set(old["ids"]) <= set(examples):
            encoder = encoder or _encoder(config.student)
            fitting = [e.id for e in examples.values() if len(encoder.encode(task.prompt(e))) <= config.max_prompt_tokens]
            if not fitting:
                raise TaskError(f"benchmark {name!r}: none of the {len(examples)} prompts has at most {config.max_prompt_tokens} "
                                "tokens; raise max_prompt_tokens")
            ids = fitting
            if b.questions is not None and b.questions < len(fitting):
                ids = random.Random(f"questions {config.seed} {name}").sample(fitting, b.questions)
            old = kept[name] = {"spec": spec, "ids": ids, "available": len(examples), "too_long": len(examples) - len(fitting)}
            run.write_json("questions.json", kept)
        if b.questions is not None and len(old["ids"]) < b.questions:
            say(f"WARNING: {b.questions} questions were asked for in {name!r}, but only {len(old['ids'])} of its "
                f"{old['available']} fit: {len(old['ids'])} are asked")
        found[name] = Questions(task, tuple(examples[k] for k in old["ids"]), old["available"], old["too_long"])
    return found


def _encoder(section: StudentSection) -> Any:
    """The student without its weights where that is possible: only prompts are encoded, and training wants the memory."""
    from transformers import AutoTokenizer

    from thinklab.students import TINY, load_student
    from thinklab.students.base import Student, check, use_template_kwargs
    source = str(TINY) if section.kind == "embedded" else section.path
    if section.kind in ("embedded", "transformers", "unsloth") and source:
        try:
            return use_template_kwargs(check(Student(None, AutoTokenizer.from_pretrained(source), section.kind, source)),
                                       section.chat_template_kwargs)
        except (OSError, ValueError, KeyError):
            pass                                # loading the whole student says better what is wrong
    return load_student(section.model_copy(update={"lora": None}))


# ---- students -----------------------------------------------------------------------------------------------------------


@dataclass
class Students:
    """Loads a student when the first answer needs it, and forgets it when another is needed."""

    config: Evaluation
    path: Path
    out: Path
    key: Any = None
    held: Any = None
    folders: dict[str, list[str]] = field(default_factory=dict)

    def get(self, method: str, number: int) -> Any:
        """The student for run ``number`` of ``method``."""
        from thinklab.students import load_student
        from thinklab.students.checkpoint import trained_student
        m = self.config.methods[method]
        if m.train is not None or m.run is not None:
            if method not in self.folders:
                trained = [str(r.folder) for r in training_runs(self.config, self.path, self.out, method)]
                self.folders[method] = trained or run_folders(m.run)
            key = self.folders[method][number % len(self.folders[method])]
        else:                                  # without an adapter: one that was never trained changes nothing and costs time
            key = (m.student or self.config.student).model_copy(update={"lora": None})
        if key != self.key:
            self.held = None                   # two large students do not fit at once
            self.held = trained_student(Path(key)).student if isinstance(key, str) else load_student(key)
            self.key = key
        return self.held


def student_kinds(config: Evaluation, path: Path, out: Path, methods: Sequence[str]) -> set[str]:
    """The kinds of student that these methods will load: Unsloth must be imported before anything else that is heavy."""
    kinds = {config.student.kind}
    for method in methods:
        m = config.methods[method]
        kinds |= {m.student.kind} if m.student else set()
        kinds |= {r.config().student.kind for r in training_runs(config, path, out, method)}
        kinds |= {experiment_of(RunFolder(Path(f))).student.kind for f in run_folders(m.run or ())
                  if RunFolder(Path(f)).config_file.exists()}
    return kinds


def budgets(config: Evaluation, path: Path, out: Path) -> dict[str, dict[str, Any]]:
    """What the training of each trained method used, by ``METHOD, FOLDER``; methods that are not trained yet are left out."""
    from thinklab.budget import budget
    found = {}
    for method, m in config.methods.items():
        for folder in [str(r.folder) for r in training_runs(config, path, out, method)] or run_folders(m.run or ()):
            if RunFolder(Path(folder)).config_file.exists():
                found[f"{method}, {Path(folder).name}"] = budget(RunFolder(Path(folder)))
    return found


def run_folders(run: str | Sequence[str]) -> list[str]:
    return [run] if isinstance(run, str) else list(run)


def training_runs(config: Evaluation, path: Path, out: Path, method: str) -> list[TrainingRun]:
    """The training runs of a method, one per seed."""
    m = config.methods[method]
    if m.train is None:
        return []
    runs = []
    for seed in m.train_seeds:
        keys = {**m.set, "train.seed": seed, **({"train.threads": config.threads} if config.threads else {})}
        overrides = tuple(f"{k}={json.dumps(v)}" for k, v in keys.items())
        runs.append(TrainingRun("train", method, seed, (Path(path).parent / m.train).resolve(), overrides,
                                Path(out) / "train" / method / f"seed-{seed}"))
    return runs


def train(config: Evaluation, path: Path, out: Path, method: str, say: Say) -> None:
    """Bring the training runs of a method to their end, one after the other.

    Raises:
        RunError: when a run fails, with the end of its log, or its folder holds another one.
    """
    for run in training_runs(config, path, out, method):
        state = run.state()
        if state == "finished":
            continue
        say(f"training {method}, seed {run.seed}" + (", going on" if state == "begun" else ""))
        begin = time.perf_counter()
        process = start(run, state == "begun")
        try:
            while (code := process.poll()) is None:
                time.sleep(POLL_S)
        finally:
            stop([process])
        if code:
            raise RunError(f"training {method}, seed {run.seed}, ended with exit code {code}: "
                           f"{last_words(run.folder)}")
        say(f"trained {method}, seed {run.seed}, in {time.perf_counter() - begin:.0f} s")


def seen_in_training(config: Evaluation, path: Path, out: Path, method: str, questions: Mapping[str, Questions]
                     ) -> dict[str, int]:
    """By benchmark, how many of its questions were also training questions of the method's student; ``{}`` if untrained."""
    from thinklab.training import held_out
    m = config.methods[method]
    known: set[str] = set()
    trained: list[Experiment] = [r.config() for r in training_runs(config, path, out, method)]
    if m.run is not None:
        for run in map(RunFolder.open, map(Path, run_folders(m.run))):
            resolved = run.resolved()
            if "task" in resolved.get("ready_made", {}):       # the config does not describe it: what was asked is on record
                known |= {line["example"]["question"] for line in run.read("rollouts")}
            else:
                trained.append(experiment_of(run))
    elif m.train is None:
        return {}
    for experiment in trained:
        t = experiment.task
        known |= {e.question for e in held_out(load_task(t.name, path=t.path, **t.options))[0]}
    return {name: sum(e.question in known for e in q.examples) for name, q in questions.items()}


def all_seen(config: Evaluation, path: Path, out: Path) -> dict[str, dict[str, int]]:
    """``seen_in_training`` of every trained method whose training has begun, over the questions that were drawn already."""
    drawn = RunFolder(Path(out)).read_json("questions.json") or {}
    questions = draw_questions(config, out, [b for b in config.benchmarks if b in drawn])
    begun = [m for m, section in config.methods.items()
             if section.run is not None or (section.train is not None and (Path(out) / "train" / m).exists())]
    return {m: seen_in_training(config, path, out, m, questions) for m in begun}
