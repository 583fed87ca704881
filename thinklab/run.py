"""The run folder: everything a run leaves behind, append-only, readable with a text editor.

    config.yaml      the resolved config, hashes of the behaviours, versions of the libraries
    rollouts.jsonl   every rollout: ids, text, guidance raw and as edited, status and reason, reward parts, advantage
    reviews.jsonl    every decision about guidance: raw, edited, who, when; undo is a line too
    tokens.jsonl     a few guided rollouts per generation, token by token: origin, probability, weight
    metrics.jsonl    one line per optimizer step
    alarms.jsonl     what the guards saw, with the likely cause and what to do
    teacher.json     what a paid teacher has cost so far
    probes.jsonl     one line per probe during training
    probe.json       the last full probe; probe_samples.jsonl every answer behind it
    checkpoints/     checkpoint-N, each complete once its thinklab.json exists
    superseded.jsonl lines after the checkpoint that a resumed run started from

A line is whole or absent: it is written in one call, cut off again when the disk is full, and a torn last line (power
cut) is removed at the next start.
"""
from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from thinklab.errors import RunError
from thinklab.types import Batch, to_json

PACKAGES = ("thinklab", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "unsloth")
COMPLETE = "thinklab.json"        # written last into a checkpoint


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run. ``RunFolder.create`` starts one, ``RunFolder.open`` continues or reads one."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], behaviors: Mapping[str, str]) -> RunFolder:
        """Make the folder and write ``config.yaml``.

        Raises:
            RunError: when there is a run already, or the folder cannot be written.
        """
        run = cls(Path(path))
        if os.path.exists(run.config_file):           # False, not an error, for a name that is too long for a file
            raise RunError(f"{path} already holds a run; continue it with --resume or choose another --out")
        resolved = {"config": dict(config), "behaviors": dict(behaviors), "versions": versions()}
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            with open(run.config_file, "w", encoding="utf-8") as file:
                YAML(typ="safe").dump(resolved, file)
        except OSError as error:
            raise RunError(f"cannot write the run folder {path}: {error.strerror or error}") from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run; removes a torn last line.

        Raises:
            RunError: when there is no run.
        """
        run = cls(Path(path))
        if not os.path.exists(run.config_file):
            raise RunError(f"{path} is not a run folder: it has no config.yaml")
        for file in run.path.glob("*.jsonl"):
            _drop_torn_line(file)
        return run

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def resolved(self) -> dict[str, Any]:
        """``{"config": ..., "behaviors": {name: hash}, "versions": ...}``"""
        with open(self.config_file, encoding="utf-8") as file:
            return YAML(typ="safe").load(file)

    def append(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Add lines to ``<name>.jsonl``: all of them or, when the disk is full, none.

        Raises:
            RunError: with what the system said.
        """
        data = "".join(map(_line, records)).encode("utf-8", "replace")
        file = self.path / f"{name}.jsonl"
        try:
            with open(file, "ab", buffering=0) as out:
                before = out.tell()
                try:
                    written = 0
                    while written < len(data):
                        written += out.write(data[written:])
                except OSError:
                    out.truncate(before)
                    raise
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror or error}. Everything before is kept; free some space and "
                           "continue with --resume") from error

    def add_batch(self, batch: Batch) -> None:
        """Record every rollout of a scored batch."""
        self.append("rollouts", ({"generation": batch.generation, "step": batch.step, **to_json(r)} for r in batch.rollouts))

    def read(self, name: str) -> Iterator[dict[str, Any]]:
        """The lines of ``<name>.jsonl``; nothing when there is no such file. A line still being written is left out."""
        try:
            with open(self.path / f"{name}.jsonl", encoding="utf-8") as file:
                for line in file:
                    if line.endswith("\n"):
                        yield json.loads(line)
        except FileNotFoundError:
            return

    def write_json(self, name: str, data: Any) -> None:
        """Write ``name`` in one go: readers see the old file or the new one."""
        file = self.path / name
        part = file.with_suffix(".part")
        try:
            part.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", "utf-8")
            os.replace(part, file)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror or error}") from error

    def read_json(self, name: str) -> Any:
        """The content of ``name``; None when there is no such file."""
        file = self.path / name
        return json.loads(file.read_text("utf-8")) if file.exists() else None

    def last_checkpoint(self) -> tuple[Path, int] | None:
        """The newest complete checkpoint and its step; None when there is none."""
        found = [(int(m[1]), path) for path in self.checkpoints.glob("checkpoint-*")
                 if (m := re.fullmatch(r"checkpoint-(\d+)", path.name)) and (path / COMPLETE).exists()]
        if not found:
            return None
        step, path = max(found)
        return path, step

    def rewind(self, step: int) -> None:
        """Forget what came after ``step`` optimizer steps: those lines move to ``superseded.jsonl``."""
        sampled = dict.fromkeys(("rollouts", "tokens"), lambda line: line["step"] >= step)
        for name, is_later in {**sampled, "metrics": lambda line: line["step"] > step, "alarms": lambda line: line["step"] > step,
                               "probes": lambda line: line["step"] > step}.items():
            lines = list(self.read(name))
            later = [line for line in lines if is_later(line)]
            if not later:
                continue
            self.append("superseded", ({"from": name, **line} for line in later))
            self.rewrite(name, (line for line in lines if not is_later(line)))

    def rewrite(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines of ``<name>.jsonl`` at once."""
        file = self.path / f"{name}.jsonl"
        part = file.with_suffix(".part")
        try:
            part.write_text("".join(map(_line, records)), "utf-8", "replace")
            os.replace(part, file)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror or error}") from error


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def versions() -> dict[str, str]:
    """Versions of Python and of every package that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _drop_torn_line(file: Path) -> None:
    data = file.read_bytes()
    if data and not data.endswith(b"\n"):
        with open(file, "r+b") as out:
            out.truncate(data.rfind(b"\n") + 1)
