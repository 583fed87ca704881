"""``Study``: the YAML file of ``thinklab study``: arms, seeds, student recipes, and the ``Cell`` of each run.

    name: six-losses
    about: Which loss on the teacher's tokens teaches what?
    bases: {self-check: ../demo-self-check.yaml}          # experiments, relative to this file
    seeds: [0, 1, 2, 3, 4]
    control: grpo
    arms:
      grpo: {loss.method: grpo, train.learning_rate: 0.0003}
      aas: {loss.method: aas}

``groups`` cross the arms with another factor, such as the student: each group has its own table and control.
Every cell (base x group x arm x seed) is one ordinary ``thinklab train`` with overrides, so each can be repeated, resumed, and
reported separately.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from thinklab.config import yaml_model
from thinklab.config.experiment import Section
from thinklab.config.names import FolderName, folder_name
from thinklab.config.shipped import find_config
from thinklab.errors import ConfigError, did_you_mean
from thinklab.experiment.training_run import TrainingRun
from thinklab.students import tiny_corpus, world_corpus, world_gate
from thinklab.students.tiny_corpus import Mix

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)


class Recipe(Section):
    """A student made for the study: by ``thinklab.students.make_tiny``, shares as in ``tiny_corpus.Mix``, or by ``make_world``."""

    corpus: Literal["sums", "world"] = "sums"
    """``world``: a base of the small world, which must pass its gate; it has ``steps``, ``questions`` and ``seed`` only."""
    remark: float | None = Field(None, ge=0, le=1)
    """Share of corpus answers followed by a remark: the smaller it is, the more certainly the student stops after its answer."""
    slip: float | None = Field(None, ge=0, le=1)
    check: float | None = Field(None, ge=0)
    """Weight of the documents in which another person's sum is checked: the strength of the sub-skill."""
    weak: float | None = Field(None, ge=0, le=1)
    """Share of the digits that are added wrongly in every step: the weakness of the sub-skill."""
    habit: float | None = Field(None, ge=0, le=1)
    """Share of corpus answers that their own writer checks: the familiarity of the behavior."""
    voices: float | None = Field(None, ge=0, le=1)
    """Share of those documents that check the sum in another voice: doubt, criticism, agreement, an adviser."""
    start: Literal["embedded"] | None = None
    """Continue from the embedded student (150 steps are enough) instead of training from scratch."""
    steps: int | None = Field(None, ge=1)
    """Of training; None: as many as the maker's own default."""
    questions: int | None = Field(None, ge=1)
    """Number of held-out questions of each kind and length for its measurement; None: the maker's own default."""
    seed: int = 0

    @model_validator(mode="after")
    def _of_its_corpus(self) -> Recipe:
        if self.corpus == "world" and (given := [*self._shares(), *(["start"] if self.start else [])]):
            raise yaml_model.fault(
                f"a student of the corpus 'world' has no {given[0]!r}: only steps, questions and seed", given[0]
            )
        return self

    @property
    def maker(self) -> list[str]:
        """The module that makes it, as Python is told to run it."""
        return ["-m", "thinklab.students.make_world"] if self.corpus == "world" else ["-m", "thinklab.students.make_tiny"]

    def _shares(self) -> dict[str, float]:
        names = ("remark", "slip", "check", "weak", "habit", "voices")
        return {k: v for k in names if (v := getattr(self, k)) is not None}

    def made(self, made: Mapping[str, Any]) -> bool:
        """True if the student with this ``made.json`` was built with this recipe."""
        wanted = self.steps or (world_corpus.STEPS if self.corpus == "world" else tiny_corpus.STEPS)
        if self.corpus == "world":
            return (made.get("corpus"), made["steps"], made["seed"]) == ("world", wanted, self.seed)
        usual = asdict(Mix())
        mix = {**usual, **made.get("mix", {})} == {**usual, **self._shares()}  # an older student lacks newer shares
        return mix and (made.get("corpus"), made["steps"], made["seed"], made.get("start")) == (
            None,
            wanted,
            self.seed,
            self.start,
        )

    @staticmethod
    def unfit(made: Mapping[str, Any]) -> str:
        """Why no study may use the student with this ``made.json``; empty if it may."""
        return "; ".join(world_gate.failures(made["figures"])) if made.get("corpus") == "world" else ""

    def arguments(self) -> list[str]:
        mix = [f"--mix-{k}={v}" for k, v in self._shares().items()]
        start = [f"--start={self.start}"] if self.start else []
        steps = [f"--steps={self.steps}"] if self.steps else []
        questions = [f"--questions={self.questions}"] if self.questions else []
        return [*steps, f"--seed={self.seed}", *questions, *mix, *start]


class Study(Section):
    """The whole file."""

    name: FolderName
    about: str = ""
    bases: dict[str, str] = Field(min_length=1)
    """Experiment files by their name in the table."""
    seeds: list[int] = Field(min_length=1)
    control: str | None = None
    """The arm to which all others are compared."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Overrides for every arm: dotted keys of an experiment."""
    arms: dict[str, dict[str, Any]] = Field(min_length=1)
    """Overrides by arm. ``student: "@NAME"`` is a student of ``students``, ``"@file:NAME"`` a file in the same folder."""
    groups: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Overrides by group, crossed with all arms; settings of an arm take precedence. Values as in ``arms``."""
    students: dict[str, Recipe] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sensible(self):
        for name in (*self.bases, *self.arms, *self.groups, *self.students):
            folder_name(name)
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} becomes a folder: letters, digits, '.', '_' and '-' only")
        if self.control is not None and self.control not in self.arms:
            raise yaml_model.fault(f"control {self.control!r} is not an arm{did_you_mean(self.control, self.arms)}", "control")
        if len(set(self.seeds)) < len(self.seeds):
            raise yaml_model.fault("a seed occurs twice", "seeds")
        parts = [("set", self.set)]
        parts += [(f"arm {name!r}", keys) for name, keys in self.arms.items()]
        parts += [(f"group {name!r}", keys) for name, keys in self.groups.items()]
        for what, keys in parts:
            wanted = str(keys.get("student", ""))
            if wanted.startswith("@") and wanted[1:] not in self.students:
                raise ValueError(
                    f"{what}: there is no student {wanted[1:]!r}{did_you_mean(wanted[1:], self.students)} under 'students'"
                )
            if "train.seed" in keys:
                raise ValueError("train.seed belongs under 'seeds'")
        return self

    def places(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Every table of the study by its name: (the base's file, the group's overrides)."""
        if not self.groups:
            return {base: (file, {}) for base, file in self.bases.items()}
        return {
            group if len(self.bases) == 1 else f"{base}.{group}": (file, keys)
            for base, file in self.bases.items()
            for group, keys in self.groups.items()
        }


@dataclass(frozen=True, kw_only=True)
class Cell(TrainingRun):
    """One run of a study."""

    base: str
    """The table that it belongs to: a name in ``Study.places``."""
    arm: str

    @property
    def name(self) -> str:
        return f"{self.base}/{self.arm}/seed-{self.seed}"


def load_study(path: str | Path) -> Study:
    """Read a study file, or the shipped study of that name.

    Raises:
        ConfigError: with file, line and column.
    """
    return yaml_model.validate(Study, yaml_model.read(find_config(path, "study"), ConfigError), ConfigError)


def cells(study: Study, path: Path, out: Path, only: str = "*") -> list[Cell]:
    """Every run of the study, seed by seed, so that an interrupted study has all arms at the same number of seeds.

    Args:
        path: the study's own file; bases are relative to it.
        only: a pattern over ``base/arm/seed-N``, such as ``self-check/*`` or ``*/aas/*``.

    Raises:
        ConfigError: if an arm is not a valid experiment, or nothing matches ``only``.
    """
    found = []
    for seed in study.seeds:
        for base, (file, group) in study.places().items():
            for arm, keys in study.arms.items():
                overrides = {**study.set, **group, **keys, "train.seed": seed, "train.threads": 1}
                cell = Cell(
                    base=base,
                    arm=arm,
                    seed=seed,
                    file=(Path(path).parent / file).resolve(),
                    overrides=tuple(_overrides(overrides, Path(path).parent, out)),
                    folder=Path(out) / base / arm / f"seed-{seed}",
                )
                if fnmatch(cell.name, only):
                    found.append(cell)
    if not found:
        raise ConfigError(
            f"no run of {study.name!r} matches {only!r}; they are called BASE/ARM/seed-N with BASE one of "
            f"{', '.join(study.places())} and ARM one of {', '.join(study.arms)}"
        )
    for cell in found:
        try:
            cell.config()
        except ConfigError as error:
            raise ConfigError(f"{path}: {cell.base}, arm {cell.arm!r}: {error}") from error
    return found


def student_folder(out: Path, name: str) -> Path:
    return Path(out).resolve() / "students" / name


def _overrides(keys: dict[str, Any], folder: Path, out: Path) -> list[str]:
    texts = []
    for key, value in keys.items():
        if key == "student" and str(value).startswith("@"):
            texts += [
                "student.kind=transformers",
                f"student.path={json.dumps(str(student_folder(out, value[1:])))}",
                "student.dtype=float32",
            ]
        else:
            texts.append(f"{key}={json.dumps(_with_files(value, folder))}")
    return texts


def _with_files(value: Any, folder: Path) -> Any:
    """``"@file:NAME"``, at any depth, becomes the path of NAME in the study file's folder."""
    if isinstance(value, dict):
        return {k: _with_files(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_files(v, folder) for v in value]
    if isinstance(value, str) and value.startswith("@file:"):
        return str((folder / value.removeprefix("@file:")).resolve())
    return value
