"""lm-evaluation-harness: writes the model and its task files, and compares the scores (``Agreement``).

    thinklab harness export runs/mine examples/eval/tiny-grid.yaml --out runs/harness       # prints the next line
    lm-eval run --model hf --model_args pretrained=runs/harness/model,dtype=float32 --include_path runs/harness/tasks ...
    thinklab harness check runs/harness

The harness loads the model, applies the chat template, generates, and grades by itself, without thinklab. Its grade is an
exact match of the last box, so equivalent LaTeX (``0.5`` for ``\\frac12``) counts as wrong there but right here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from thinklab.config.student_section import SHIPPED, StudentSection
from thinklab.errors import RunError
from thinklab.evaluation.plan import Evaluation
from thinklab.evaluation.questions import Questions, draw_questions
from thinklab.evaluation.solvers.base import Writer
from thinklab.evaluation.solvers.zero_shot import ZeroShot
from thinklab.tasks import load_task
from thinklab.tasks._ids import by_id
from thinklab.tasks._placeholders import NO_ANSWER_AHEAD

PREFIX = "thinklab_"
LAST_BOX = rf"\\boxed\{{{NO_ANSWER_AHEAD}\s*" r"((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*?)\s*\}"
"""The answer for the harness: the last box that contains one, with braces nested up to two deep."""


@dataclass(frozen=True)
class Agreement:
    """One benchmark, scored by both."""

    task: str
    items: int
    same_text: int
    """Number of identical responses."""
    same_grade: int
    ours: float
    """Accuracy with thinklab's generation and grading."""
    harness: float
    differing: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        return (
            f"{self.task}: {self.items} items, {self.same_text} responses equal, {self.same_grade} grades equal, "
            f"accuracy {self.ours:.4f} here, {self.harness:.4f} in the harness"
        )


def export_model(source: str, out: Path) -> Path:
    """Write a student as a plain Hugging Face folder to ``out/model``, with the adapter merged.

    Args:
        source: a run folder (its last checkpoint), ``embedded``, ``small-world``, or a model folder or hub id.

    Raises:
        RunError: if the run has no checkpoint yet, or the folder exists already or is not writable.
        StudentError: when the model cannot be loaded.
    """
    from thinklab.export.export import save
    from thinklab.students import load_student

    folder = Path(out) / "model"
    if (Path(source) / "config.yaml").exists():
        return save(source, "merged", folder)
    kind = source if source in SHIPPED else "transformers"
    student = load_student(StudentSection(kind=kind, path=None if kind in SHIPPED else source, lora=None))
    try:
        student.model.save_pretrained(folder)
        student.tokenizer.save_pretrained(folder)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def export_tasks(config: Evaluation, out: Path) -> list[str]:
    """Write every benchmark as a task of the harness, with the questions that ``thinklab eval`` draws; returns their names."""
    folder = Path(out) / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for benchmark, questions in draw_questions(config, Path(out), list(config.benchmarks)).items():
        name = PREFIX + benchmark.replace("-", "_").replace(".", "_")
        data = (folder / f"{benchmark}.jsonl").resolve()
        data.write_text(
            "".join(json.dumps(_doc(questions, k), ensure_ascii=False) + "\n" for k in range(len(questions.examples))), "utf-8"
        )
        _write_yaml(
            folder / f"{name}.yaml",
            {
                "task": name,
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(data)}},
                "test_split": "test",
                "output_type": "generate_until",
                "doc_to_text": "{{prompt}}",
                "doc_to_target": "{{gold}}",
                "num_fewshot": 0,
                "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": config.longest(benchmark)},
                "filter_list": [
                    {
                        "name": "last_box",
                        "filter": [
                            {"function": "regex", "regex_pattern": LAST_BOX, "group_select": -1, "fallback": "[none]"},
                            {"function": "take_first"},
                        ],
                    }
                ],
                "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True}],
                "metadata": {"version": 1.0},
            },
        )
        names.append(name)
    (Path(out) / "evaluation.json").write_text(config.model_dump_json(indent=1) + "\n", "utf-8")
    return names


def command(out: Path, names: Iterable[str], dtype: str = "float32") -> str:
    """The command to run."""
    return (
        f"lm-eval run --model hf --model_args pretrained={out}/model,dtype={dtype} --include_path {out}/tasks --tasks "
        f"{','.join(names)} --apply_chat_template --batch_size 8 --output_path {out}/results --log_samples"
    )


def check(out: Path, say=lambda text: None) -> list[Agreement]:
    """Answer the exported questions greedily here and compare with what the harness logged under ``out/results``.

    Raises:
        RunError: if there is no export, or no logged samples for it.
    """
    from thinklab.students import load_student

    out = Path(out)
    if not (out / "evaluation.json").exists():
        raise RunError(f"{out} contains no export; create one with: thinklab harness export SOURCE EVAL.yaml --out {out}")
    config = Evaluation.model_validate_json((out / "evaluation.json").read_text("utf-8"))
    student, found = load_student(StudentSection(kind="transformers", path=str(out / "model"), lora=None)), []
    for benchmark in config.benchmarks:
        name = PREFIX + benchmark.replace("-", "_").replace(".", "_")
        logs = sorted((out / "results").rglob(f"samples_{name}_*.jsonl"))
        if not logs:
            continue
        say(f"{benchmark}: answering {out.name}'s questions here")
        logged = [json.loads(line) for line in logs[-1].read_text("utf-8").splitlines()]
        found.append(_compare(config, benchmark, name, student, logged, out))
    if not found:
        raise RunError(
            f"{out}/results contains no samples_{PREFIX}*.jsonl; run the harness with --log_samples --output_path {out}/results"
        )
    return found


def _compare(config: Evaluation, benchmark: str, name: str, student: Any, logged: list[dict], out: Path) -> Agreement:
    b = config.benchmarks[benchmark]
    task = load_task(b.task.name, path=b.task.path, **b.task.options)
    questions = by_id(task, b.split)
    examples = [questions[line["doc"]["example_id"]] for line in logged]
    answers = []
    for place in range(0, len(examples), config.rows):
        part = examples[place : place + config.rows]
        answers += ZeroShot()(Writer(student, config.longest(benchmark), 0.0, config.rows), task, part)
    texts = [a.text for a in answers]
    grades = [task.verify(text, e) for text, e in zip(texts, examples, strict=True)]
    theirs = [line["resps"][0][0] for line in logged]
    scores = [bool(line["exact_match"]) for line in logged]
    differing = tuple(
        {"id": e.id, "gold": e.gold, "ours": t, "harness": o, "grade": g, "harness_grade": s}
        for e, t, o, g, s in zip(examples, texts, theirs, grades, scores, strict=True)
        if t != o or g != s
    )
    return Agreement(
        name,
        len(logged),
        sum(t == o for t, o in zip(texts, theirs, strict=True)),
        sum(g == s for g, s in zip(grades, scores, strict=True)),
        sum(grades) / len(grades),
        sum(scores) / len(scores),
        differing,
    )


def _doc(questions: Questions, k: int) -> dict[str, str]:
    example = questions.examples[k]
    (message,) = questions.task.prompt(example)
    return {"example_id": example.id, "prompt": message["content"], "gold": example.gold}


def _write_yaml(path: Path, data: dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(data, file)


__all__ = ["Agreement", "check", "command", "export_model", "export_tasks"]
