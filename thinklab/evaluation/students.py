"""``Students``: the trained student behind each method of an evaluation, and the ``training_runs`` that make them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinklab.config.student_section import StudentSection
from thinklab.errors import RunError
from thinklab.evaluation.plan import Evaluation
from thinklab.experiment.children import Children
from thinklab.experiment.training_run import TrainingRun
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder

Say = Callable[[str], None]


def silent(*_: Any) -> None:
    """Says nothing."""


@dataclass
class Students:
    """Loads a student at its first answer, and releases it when another is needed."""

    config: Evaluation
    path: Path
    out: Path
    key: Any = None
    held: Any = None
    folders: dict[str, list[str]] = field(default_factory=dict)

    def get(self, method: str, number: int) -> Any:
        """The student for run ``number`` of ``method``."""
        from thinklab.experiment.trained_student import trained_student
        from thinklab.students import load_student

        m = self.config.methods[method]
        if m.train is not None or m.run is not None:
            if method not in self.folders:
                trained = [str(r.folder) for r in training_runs(self.config, self.path, self.out, method)]
                self.folders[method] = trained or run_folders(m.run or ())
            key: str | StudentSection = self.folders[method][number % len(self.folders[method])]
        else:  # without an adapter: an untrained one has no effect and costs time
            key = (m.student or self.config.student).model_copy(update={"lora": None})
        if key != self.key:
            self.held = None  # two large students do not fit into memory
            self.held = trained_student(Path(key)).student if isinstance(key, str) else load_student(key)
            self.key = key
        return self.held


def student_kinds(config: Evaluation, path: Path, out: Path, methods: Sequence[str]) -> set[str]:
    """The kinds of student that these methods will load: Unsloth must be imported before other heavy modules."""
    kinds = {config.student.kind}
    for method in methods:
        m = config.methods[method]
        kinds |= {m.student.kind} if m.student else set()
        kinds |= {r.config().student.kind for r in training_runs(config, path, out, method)}
        kinds |= {
            experiment_of(RunFolder(Path(f))).student.kind
            for f in run_folders(m.run or ())
            if RunFolder(Path(f)).config_file.exists()
        }
    return kinds


def training_usage(config: Evaluation, path: Path, out: Path) -> dict[str, dict[str, Any]]:
    """The usage of each trained method's training, by ``METHOD, FOLDER``; untrained methods are left out."""
    from thinklab.run.usage import usage

    found = {}
    for method, m in config.methods.items():
        for folder in [str(r.folder) for r in training_runs(config, path, out, method)] or run_folders(m.run or ()):
            if RunFolder(Path(folder)).config_file.exists():
                found[f"{method}, {Path(folder).name}"] = usage(RunFolder(Path(folder)))
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
        runs.append(
            TrainingRun(
                file=(Path(path).parent / m.train).resolve(),
                overrides=overrides,
                folder=Path(out) / "train" / method / f"seed-{seed}",
                seed=seed,
            )
        )
    return runs


def train(config: Evaluation, path: Path, out: Path, method: str, say: Say) -> None:
    """Run the unfinished training runs of a method, one after the other.

    Raises:
        RunError: when a run fails, with the end of its log, or its folder holds another one.
    """
    for run in training_runs(config, path, out, method):
        state = run.state()
        if state == "finished":
            continue
        say(f"training {method}, seed {run.seed}" + (", resuming" if state == "started" else ""))
        with Children() as children:
            child = children.add(f"training {method}, seed {run.seed},", run.start(resume=state == "started"), run.log)
            while not children.ended():
                pass
        if child.failure:
            raise RunError(child.failure)
        say(f"trained {method}, seed {run.seed}, in {child.seconds:.0f} s")
