"""``RunFolder``: writes and reads ``config.yaml`` and the ``.jsonl`` files; versions, torn lines, rewinding.

    config.yaml      the resolved config, hashes of the behaviors, versions of the libraries, parts that came as objects
    rollouts.jsonl   every rollout: ids, text, guidance (raw and edited), status and reason, reward components, advantage
    reviews.jsonl    every decision about guidance: raw, edited, who, when; undo is a line too
    tokens.jsonl     a few guided rollouts per generation, token by token: origin, probability, weight
    metrics.jsonl    one line per optimizer step
    learned.jsonl    for each step reviewed in the Lab: the likelihood of the guidance before and after it
    alarms.jsonl     warnings of the guards, with the likely cause and what to do
    teacher.json     the cost of a paid teacher so far
    judge.jsonl      every verdict of a judge, with the text and its reply; judge.json the cost of a paid one so far
    probes.jsonl     one line per probe during training
    probe.json       the last full probe; probe_samples.jsonl every answer behind that probe
    checkpoints/     checkpoint-N, each complete once its thinklab.json exists; that names every file with size and hash
    superseded.jsonl lines written after the checkpoint from which a run was resumed
    prime/           texts, metrics and checkpoints of the imitation before the policy gradient, in a run with ``prime``
    run.lock         held by the process that writes here (``thinklab/run/lock.py``)

Writes are atomic: a line is written in one call and truncated again if the disk is full; a torn last line (power loss) is
removed at the next start with a warning. Any other damage is an error that names file and line; nothing is skipped silently.
"""

from __future__ import annotations

import json
import os
import platform
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thinklab.errors import RunError, RunWarning
from thinklab.run import checkpoints, lock
from thinklab.run.checkpoints import COMPLETE
from thinklab.types import Batch, to_json

PACKAGES = ("thinklab", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "unsloth")
FIXES = {
    "probe.json": "delete it, then `thinklab probe {run}` measures it again",
    "teacher.json": "it holds the cost so far: restore it, or delete it to restart the cap from zero",
    "usage.json": "delete it, then `thinklab train --resume {run}` writes it again",
    "waiting.json": "delete it, then the batch is sampled again",
    "questions.json": "delete it, then the same questions are drawn again",
    COMPLETE: "delete that checkpoint's folder",
}
"""How to fix an unreadable file."""
LINE_MEND = "remove that line from the file, or restore it; the other lines are still used"


class Record(dict[str, Any]):
    """A record from a file of a run that knows its position: a missing key raises an error with file and line.

    Raises:
        RunError: on ``record[key]`` where there is no such key; ``get`` and ``in`` are those of any dict.
    """

    __slots__ = ("place",)

    def __init__(self, data: Mapping[str, Any], place: str):
        super().__init__(data)
        self.place = place

    def __missing__(self, key: str) -> Any:
        raise RunError(
            f"{self.place}: {key!r} is missing, so this record is incomplete or from another version; restore it, or remove it"
        )


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run. ``RunFolder.create`` starts one, ``RunFolder.open`` continues or reads one."""

    path: Path
    PRIME: ClassVar[str] = "prime"
    """The folder of what came before the policy gradient."""

    @classmethod
    def create(
        cls,
        path: Path,
        config: Mapping[str, Any],
        behaviors: Mapping[str, str],
        ready_made: Mapping[str, str] | None = None,
        own_code: Mapping[str, str] | None = None,
    ) -> RunFolder:
        """Create the folder and write ``config.yaml``.

        Args:
            ready_made: parts that came as objects from Python; see ``thinklab/config/ready_made.py``.
            own_code: hashes of the user's files that the config names; see ``thinklab/config/own_parts.py``.

        Raises:
            RunError: if there already is a run, or the folder is not writable.
        """
        run = cls(Path(path))
        if os.path.exists(run.config_file):  # False, not an error, for a name that is too long for a file
            raise RunError(f"{path} already holds a run; continue it with --resume or choose another --out")
        run.write_config(
            {
                "config": dict(config),
                "behaviors": dict(behaviors),
                "versions": versions(),
                **({} if ready_made is None else {"ready_made": dict(ready_made)}),
                **({"own_code": dict(own_code)} if own_code else {}),
            }
        )
        return run

    def write_config(self, resolved: Mapping[str, Any]) -> None:
        """Write ``config.yaml`` atomically."""
        part = self.config_file.with_suffix(".part")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with open(part, "w", encoding="utf-8") as file:
                YAML(typ="safe").dump(dict(resolved), file)
            os.replace(part, self.config_file)
        except OSError as error:
            raise RunError(f"cannot write the run folder {self.path}: {error.strerror or error}") from error

    def change_config(self, config: Mapping[str, Any]) -> None:
        """Replace the run's config by ``config``, and keep the original number of steps as ``started_steps``."""
        found = self.resolved()
        started = found.get("started_steps", found["config"]["train"]["steps"])
        self.write_config({**found, "config": dict(config), "started_steps": started})

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run; removes a torn last line, unless another process is writing here now.

        Raises:
            RunError: when there is no run.

        Warns:
            RunWarning: about every torn line, and about records that are missing although there is a checkpoint.
        """
        run = cls(Path(path))
        if not os.path.exists(run.config_file):
            raise RunError(f"{path} is not a run folder: it has no config.yaml")
        if not lock.held_elsewhere(run.path):
            run.mend()
        run._miss_nothing()
        return run

    def mend(self) -> None:
        """Remove a torn last line from every file of records, with a ``RunWarning``."""
        for file in sorted(self.path.glob("*.jsonl")):
            _drop_torn_line(file)

    def _miss_nothing(self) -> None:
        found = checkpoints.numbered(self.checkpoints)
        if not found or not found[0][0]:
            return
        for name, what in (("metrics", "the metrics of each step"), ("rollouts", "the answers")):
            file = self.path / f"{name}.jsonl"
            baseline = name == "rollouts" and any((self.path / f"{x}.jsonl").exists() for x in ("texts", "rationales"))
            if not file.exists() and not baseline:
                _warn(f"{file} is missing although there is a checkpoint at step {found[0][0]}: {what} up to there are lost")

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def resolved(self) -> dict[str, Any]:
        """``{"config": ..., "behaviors": {name: hash}, "versions": ...}``; ``experiment_of`` turns it into an Experiment.

        Raises:
            RunError: if the file cannot be read or has another structure, with file and line.
        """
        fix = "restore it, or start a new run in another folder"
        try:
            with open(self.config_file, encoding="utf-8") as file:
                found = YAML(typ="safe").load(file)
        except (OSError, UnicodeDecodeError, YAMLError) as error:
            mark = getattr(error, "problem_mark", None)
            why = getattr(error, "problem", None) or getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise RunError(f"{self.config_file}:{mark.line + 1 if mark else 1}: cannot be read: {why}; {fix}") from error
        parts = {"config": dict, "behaviors": dict, "versions": dict}
        if not isinstance(found, dict) or any(not isinstance(found.get(k), kind) for k, kind in parts.items()):
            what = (
                "is empty"
                if found is None
                else f"lacks {' and '.join(k for k in parts if k not in found)}"
                if isinstance(found, dict) and parts.keys() - found.keys()
                else "is not the config of a run"
            )
            raise RunError(f"{self.config_file}:1: {what}; {fix}")
        return found

    def append(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Append lines to ``<name>.jsonl``: all of them or, if the disk is full, none.

        Raises:
            RunError: with the system's error message.
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
            raise RunError(
                f"cannot write {file}: {error.strerror or error}. Everything before it is kept; free some disk space and "
                "continue with --resume"
            ) from error

    def add_batch(self, batch: Batch) -> None:
        """Record every rollout of a scored batch."""
        self.append("rollouts", ({"generation": batch.generation, "step": batch.step, **to_json(r)} for r in batch.rollouts))

    def read(self, name: str) -> Iterator[dict[str, Any]]:
        """The lines of ``<name>.jsonl``; nothing when there is no such file. A line still being written is left out.

        Raises:
            RunError: at an invalid line, with file and line.
        """
        path = self.path / f"{name}.jsonl"
        try:
            with open(path, "rb") as file:
                for number, line in enumerate(file, 1):
                    if line.endswith(b"\n"):
                        yield _record(line, f"{path}:{number}", LINE_MEND)
        except FileNotFoundError:
            return

    def write_json(self, name: str, data: Any) -> None:
        """Write ``name`` atomically: readers see the old file or the new one."""
        file = self.path / name
        part = file.with_suffix(".part")
        try:
            part.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", "utf-8")
            os.replace(part, file)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror or error}") from error

    def read_json(self, name: str) -> Any:
        """The content of ``name``; None when there is no such file.

        Raises:
            RunError: if it cannot be read or is not an object, with file and line.
        """
        file = self.path / name
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        return _record(data, str(file), FIXES.get(name, "restore it or delete it").format(run=self.path))

    def last_checkpoint(self, thorough: bool = False) -> tuple[Path, int] | None:
        """The newest whole checkpoint and its step; None when there is none at all.

        Args:
            thorough: compare the hashes of the files, not only their sizes. Use this before loading it.

        Raises:
            RunError: if there are checkpoints but all are damaged.

        Warns:
            RunWarning: if a newer one is damaged and an older one is used.
        """
        return checkpoints.newest_whole(
            self.checkpoints, thorough, f"start again with `thinklab train {self.config_file} --out ANOTHER-FOLDER`"
        )

    def rewind(self, step: int) -> None:
        """Discard records after ``step`` optimizer steps: those lines move to ``superseded.jsonl``."""
        first_later = {
            "rollouts": step,
            "tokens": step,
            "metrics": step + 1,
            "alarms": step + 1,
            "probes": step + 1,
            "learned": step + 1,
        }
        for name, first in first_later.items():
            lines = list(self.read(name))
            later = [line for line in lines if line["step"] >= first]
            if not later:
                continue
            self.append("superseded", ({"from": name, **line} for line in later))
            self.rewrite(name, (line for line in lines if line["step"] < first))

    def rewrite(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines of ``<name>.jsonl`` atomically."""
        file = self.path / f"{name}.jsonl"
        part = file.with_suffix(".part")
        try:
            part.write_text("".join(map(_line, records)), "utf-8", "replace")
            os.replace(part, file)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror or error}") from error


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _record(data: bytes, place: str, fix: str) -> Record:
    """``data`` as an object.

    Raises:
        RunError: for anything else, with ``place`` and ``fix``.
    """
    try:
        found = json.loads(data.decode("utf-8"), object_hook=lambda inner: Record(inner, place))
    except json.JSONDecodeError as error:
        at = f":{error.lineno}" if data.rstrip().count(b"\n") and place.endswith(".json") else ""
        why = f"is damaged ({error.msg})" if data.strip(b"\0 \n") else "is empty" if not data.strip() else "holds NUL bytes only"
        raise RunError(f"{place}{at}: {why}; {fix}") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RunError(f"{place}: is damaged ({getattr(error, 'reason', None) or error}); {fix}") from error
    if not isinstance(found, Record):
        raise RunError(f"{place}: holds {json.dumps(found)[:40]}, which is not a record; {fix}")
    return found


def _warn(text: str) -> None:
    warnings.warn(text, RunWarning, stacklevel=3)


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
        whole = data.rfind(b"\n") + 1
        number = data.count(b"\n") + 1
        _warn(
            f"{file}:{number}: this last line is incomplete (the write was interrupted) and is removed ({len(data) - whole} bytes)"
        )
        with open(file, "r+b") as out:
            out.truncate(whole)
