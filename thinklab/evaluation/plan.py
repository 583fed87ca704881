"""``Evaluation``: the YAML file of ``thinklab eval``: methods, solvers, benchmarks, runs; ``load_evaluation``.

    name: my-table
    student: {kind: transformers, path: DIR, lora: null}      # the student before any training
    runs: 10
    benchmarks:
      gsm8k: {task: gsm8k}
      aime: {task: aime}                                       # at least 16 runs, regardless of ``runs``
    methods:
      zero-shot: {}
      s1: {solver: {name: s1, budget: 2048}}
      sft: {train: ../train/sft.yaml}                          # trained first, in OUT/train/sft; a path relative to this file
      mine: {run: runs/mine}                                   # a finished run
    reference: zero-shot

Paths of data, models, and runs are relative to the working directory, as in an experiment, and otherwise to the file's
folder.
"""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from thinklab.config import yaml_model
from thinklab.config.experiment import JudgeSection, Section, StudentSection, TaskSection
from thinklab.config.load import paths_beside
from thinklab.config.names import FolderName, folder_name
from thinklab.config.shipped import beside, find_config
from thinklab.errors import ConfigError, did_you_mean
from thinklab.evaluation.solvers import load_solver

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)
FOUR = ["self-agreement", "self-conflict", "self-consultancy", "self-critique"]
"""The cognitive behaviors of the paper."""
AIME_RUNS = 16
TAKEN = ("train", "results.json", "index.html")


class BenchmarkSection(Section):
    """Which questions."""

    task: TaskSection
    split: str = "test"
    questions: int | None = Field(None, ge=1)
    """Number of questions, drawn by ``seed`` from those whose prompt fits; None = all that fit."""
    runs: int | None = Field(None, ge=1)
    max_new_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any):
        return {**data, "task": {"name": data["task"]}} if isinstance(data, dict) and isinstance(data.get("task"), str) else data


class SolverSection(Section):
    """The solver. Keys other than ``name`` are options of the solver."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "zero_shot"

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _known(self):
        load_solver(self.name, **self.options)
        return self


class MethodSection(Section):
    """One row of the table: a solver, a trained student, or both."""

    solver: SolverSection = SolverSection()
    student: StudentSection | None = None
    """A student other than the file's."""
    run: str | list[str] | None = None
    """A finished run folder, or several with different training seeds; run r of the evaluation uses the (r mod n)-th."""
    train: str | None = None
    """An experiment, relative to this file, that is trained first."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Overrides for it: dotted keys."""
    train_seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    row: str | None = None
    """The corresponding row of the paper's table; None = by its name."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any):
        data = {} if data is None else data
        if isinstance(data, dict):
            for key, inner in (("solver", "name"), ("student", "kind")):
                if isinstance(data.get(key), str):
                    data = {**data, key: {inner: data[key]}}
        return data

    @model_validator(mode="after")
    def _one_student(self):
        given = [k for k in ("student", "run", "train") if getattr(self, k) is not None]
        if len(given) > 1:
            raise yaml_model.fault(f"{' and '.join(given)} specify different students; keep one", given[-1])
        if self.set and self.train is None:
            raise yaml_model.fault("'set' changes what is trained: it needs 'train'", "set")
        return self


class Evaluation(Section):
    """The whole file."""

    model_config = ConfigDict(validate_by_name=True)

    name: FolderName
    about: str = ""
    student: StudentSection = StudentSection()
    benchmarks: dict[str, BenchmarkSection] = Field(min_length=1)
    methods: dict[str, MethodSection] = Field(min_length=1)
    reference: str | None = None
    """The method to which all others are compared; None = the first."""
    runs: int = Field(1, ge=1)
    """Answers per question and method, each run with its own seed."""
    seed: int = 0
    temperature: float = Field(1.0, ge=0)
    """0 is greedy; then there is only one run, also for AIME."""
    rows: int = Field(64, ge=1)
    """Questions per batch. Part of the seed: another value gives different answers."""
    max_prompt_tokens: int = Field(1024, ge=1)
    """Questions with a longer prompt are excluded for all methods, and counted."""
    max_new_tokens: int = Field(1024, ge=1)
    """Longest turn."""
    cut_at: list[int] = Field(default_factory=list, validation_alias=AliasChoices("cut_at", "budgets"))
    """Token limits at which to report the accuracy of truncated answers. Empty: eight steps up to the longest turn. The former
    name, ``budgets``, is still accepted."""
    behaviors: list[str] = Field(default_factory=lambda: list(FOUR))
    judge: JudgeSection | None = None
    """Required if one of ``behaviors`` has a judge detector. Verdicts go to OUT/judge.jsonl, costs to OUT/judge.json."""
    threads: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any):
        short = isinstance(data, dict) and isinstance(data.get("student"), str)
        return {**data, "student": {"kind": data["student"]}} if short else data

    @model_validator(mode="after")
    def _sensible(self):
        for name in (*self.benchmarks, *self.methods):
            folder_name(name)
            if not NAME.fullmatch(name) or name in TAKEN:
                raise ValueError(f"{name!r} becomes a folder: letters, digits, '.', '_' and '-' only, and not {', '.join(TAKEN)}")
        if self.reference is not None and self.reference not in self.methods:
            raise yaml_model.fault(
                f"reference {self.reference!r} is not a method{did_you_mean(self.reference, self.methods)}", "reference"
            )
        return self

    @property
    def compared_with(self) -> str:
        return self.reference or next(iter(self.methods))

    def runs_of(self, benchmark: str) -> int:
        """Runs of one benchmark: its own number, else the file's, and at least 16 for AIME; always 1 for greedy decoding."""
        if self.temperature == 0:
            return 1
        b = self.benchmarks[benchmark]
        return b.runs or (max(AIME_RUNS, self.runs) if b.task.name == "aime" else self.runs)

    def longest(self, benchmark: str) -> int:
        return self.benchmarks[benchmark].max_new_tokens or self.max_new_tokens

    def cuts(self, benchmark: str) -> list[int]:
        """Token limits at which truncated answers are graded."""
        top = self.longest(benchmark)
        return sorted(set(self.cut_at)) or sorted({max(1, round(top * k / 8)) for k in range(1, 9)})

    def cells(self, only: str = "*") -> list[tuple[str, str]]:
        """(method, benchmark) pairs whose ``METHOD/BENCHMARK`` matches ``only``.

        Raises:
            ConfigError: if none matches.
        """
        found = [(m, b) for m in self.methods for b in self.benchmarks if fnmatch(f"{m}/{b}", only)]
        if not found:
            raise ConfigError(
                f"no cell of {self.name!r} matches {only!r}; they are called METHOD/BENCHMARK with METHOD one of "
                f"{', '.join(self.methods)} and BENCHMARK one of {', '.join(self.benchmarks)}"
            )
        return found


def load_evaluation(path: str | Path) -> Evaluation:
    """Read the file, or the shipped example of that name.

    Raises:
        ConfigError: with file, line and column.
    """
    file = find_config(path, "evaluation")
    document = yaml_model.read(file, ConfigError)
    parts = [
        document.data,
        *(
            part
            for key in ("benchmarks", "methods")
            if isinstance(named := document.data.get(key), dict)
            for part in named.values()
            if isinstance(part, dict)
        ),
    ]
    for part in parts:
        paths_beside(part, file.parent)
        runs = part.get("run")
        if isinstance(runs, str | list):
            found = [
                beside(run, file.parent) if isinstance(run, str) else run for run in ([runs] if isinstance(runs, str) else runs)
            ]
            part["run"] = found[0] if isinstance(runs, str) else found
    return yaml_model.validate(Evaluation, document, ConfigError)
