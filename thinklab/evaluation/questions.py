"""``draw_questions``: the questions of an evaluation, by seed, and which of them a student has seen in training."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from thinklab.config.experiment import Experiment, StudentSection
from thinklab.errors import TaskError
from thinklab.evaluation.plan import Evaluation
from thinklab.evaluation.students import Say, run_folders, silent, training_runs
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.tasks import load_task
from thinklab.tasks._ids import by_id
from thinklab.tasks.base import Task
from thinklab.types import Example


@dataclass(frozen=True)
class Questions:
    """The questions of one benchmark."""

    task: Task
    examples: tuple[Example, ...]
    available: int
    too_long: int


def draw_questions(config: Evaluation, out: Path, benchmarks: Sequence[str], say: Say = silent) -> dict[str, Questions]:
    """The questions of each benchmark; drawn once and stored in ``questions.json``.

    Raises:
        TaskError: if no question fits.
    """
    run, found, encoder = RunFolder(Path(out)), {}, None
    kept = run.read_json("questions.json") or {}
    for name in benchmarks:
        b = config.benchmarks[name]
        task = load_task(b.task.name, path=b.task.path, **b.task.options)
        examples = by_id(task, b.split)
        spec = {
            "task": b.task.model_dump(mode="json"),
            "split": b.split,
            "questions": b.questions,
            "seed": config.seed,
            "max_prompt_tokens": config.max_prompt_tokens,
            "student": config.student.model_dump(mode="json"),
        }
        old = kept.get(name)
        if old is None or old["spec"] != spec or not set(old["ids"]) <= set(examples):
            encoder = encoder or _encoder(config.student)
            fitting = [e.id for e in examples.values() if len(encoder.encode(task.prompt(e))) <= config.max_prompt_tokens]
            if not fitting:
                raise TaskError(
                    f"benchmark {name!r}: none of the {len(examples)} prompts has at most {config.max_prompt_tokens} "
                    "tokens; raise max_prompt_tokens"
                )
            ids = fitting
            if b.questions is not None and b.questions < len(fitting):
                ids = random.Random(f"questions {config.seed} {name}").sample(fitting, b.questions)
            old = kept[name] = {"spec": spec, "ids": ids, "available": len(examples), "too_long": len(examples) - len(fitting)}
            run.write_json("questions.json", kept)
        if b.questions is not None and len(old["ids"]) < b.questions:
            say(
                f"WARNING: {b.questions} questions were requested for {name!r}, but only {len(old['ids'])} of its "
                f"{old['available']} fit: {len(old['ids'])} are used"
            )
        found[name] = Questions(task, tuple(examples[k] for k in old["ids"]), old["available"], old["too_long"])
    return found


def _encoder(section: StudentSection) -> Any:
    """The student without its weights if possible: only prompts are encoded, and training needs the memory."""
    from transformers import AutoTokenizer

    from thinklab.students import load_student, shipped_folder
    from thinklab.students.base import Student, check, use_template_kwargs

    source = str(shipped_folder(section.kind)) if section.ships else section.path
    if (section.ships or section.kind in ("transformers", "unsloth")) and source:
        try:
            no_weights = cast(Any, None)  # a student for encoding only
            student = Student(no_weights, AutoTokenizer.from_pretrained(source), section.kind, source)
            return use_template_kwargs(check(student), section.chat_template_kwargs)
        except (OSError, ValueError, KeyError):
            pass  # loading the whole student gives a clearer error
    return load_student(section.model_copy(update={"lora": None}))


def seen_in_training(
    config: Evaluation, path: Path, out: Path, method: str, questions: Mapping[str, Questions]
) -> dict[str, int]:
    """By benchmark, how many of its questions were also training questions of the method's student; ``{}`` if untrained."""
    from thinklab.experiment.questions import split

    m = config.methods[method]
    known: set[str] = set()
    trained: list[Experiment] = [r.config() for r in training_runs(config, path, out, method)]
    if m.run is not None:
        for run in map(RunFolder.open, map(Path, run_folders(m.run))):
            resolved = run.resolved()
            if "task" in resolved.get("ready_made", {}):  # the config does not describe it: use the recorded questions
                known |= {line["example"]["question"] for line in run.read("rollouts")}
            else:
                trained.append(experiment_of(run))
    elif m.train is None:
        return {}
    for experiment in trained:
        t = experiment.task
        known |= {e.question for e in split(load_task(t.name, path=t.path, **t.options)).train}
    return {name: sum(e.question in known for e in q.examples) for name, q in questions.items()}


def all_seen(config: Evaluation, path: Path, out: Path) -> dict[str, dict[str, int]]:
    """``seen_in_training`` of every trained method whose training has started, over the questions drawn so far."""
    drawn = RunFolder(Path(out)).read_json("questions.json") or {}
    questions = draw_questions(config, out, [b for b in config.benchmarks if b in drawn])
    started = [
        m
        for m, section in config.methods.items()
        if section.run is not None or (section.train is not None and (Path(out) / "train" / m).exists())
    ]
    return {m: seen_in_training(config, path, out, m, questions) for m in started}
