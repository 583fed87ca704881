"""``Library``: finds the runs below a folder; status and summary of each (``ListedRun``) for the first page.

Read-only; follows running runs.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinklab.errors import RunError, did_you_mean
from thinklab.run import lock
from thinklab.run.folder import RunFolder
from thinklab.view.lines import Kept

DEPTH = 6
"""Maximum folder depth of the search: ``runs/study/base/arm/seed-0``, plus one."""
SKIPPED = {"checkpoints", "node_modules", "__pycache__"}
FRESH_S = 2.0
POINTS = 48
"""Points of the sparkline in the table."""
REVIEW = "review.json"
"""Written by a training run that waits for review; see ``thinklab/view/gate.py``."""


@dataclass
class ListedRun:
    """One run folder and its cached files."""

    id: str
    """Its path relative to the root, with ``/``; ``.`` for the root itself."""
    folder: RunFolder
    files: dict[str, Kept] = field(default_factory=dict)
    _summary: tuple[Any, dict[str, Any]] | None = None

    def lines(self, name: str) -> list[dict[str, Any]]:
        """All records of ``<name>.jsonl``."""
        if name not in self.files:
            self.files[name] = Kept(self.folder.path / f"{name}.jsonl")
        return self.files[name].all()

    def version(self) -> tuple[Any, ...]:
        """Changes with every file of the summary."""
        names = ("config.yaml", "metrics.jsonl", "probes.jsonl", "alarms.jsonl", "probe.json", "teacher.json", "reviews.jsonl")
        found: list[tuple[int, int] | None] = []
        for name in names:
            try:
                status = os.stat(self.folder.path / name)
                found.append((status.st_size, status.st_mtime_ns))
            except OSError:
                found.append(None)
        return tuple(found)

    def summary(self) -> dict[str, Any]:
        """One line of the table. An unreadable run becomes a line with the reason."""
        version = self.version()
        if self._summary is None or self._summary[0] != version:
            try:
                self._summary = version, self._read()
            except (RunError, KeyError, TypeError, ValueError, AttributeError) as error:
                named = isinstance(error, RunError)
                why = str(error) if named else f"it is not a run's record ({type(error).__name__}: {error})"
                self._summary = version, {"id": self.id, "name": self.folder.path.name, "error": why}
        known = self._summary[1]
        held = lock.held_here(self.folder.path) or lock.held_elsewhere(self.folder.path)
        status = "damaged" if "error" in known else self._status(known, held)
        return {**known, "status": status, "version": hash(version) % 2**31}

    def _status(self, known: Mapping[str, Any], held: bool) -> str:
        if held:
            return "in review" if (self.folder.path / REVIEW).exists() else "running"
        return "finished" if known["finished"] else "stopped" if known["step"] else "not started"

    def _read(self) -> dict[str, Any]:
        config = self.folder.resolved()["config"]
        metrics = self.lines("metrics")
        last = metrics[-1] if metrics else {}
        known = self.folder.read_json("probe.json") or {}
        after = (known.get("after") or {}).get("T=1") or {}
        before = (known.get("before") or {}).get("T=1") or {}
        trained, loss = config.get("train") or {}, config.get("loss") or {}
        steps = int(trained.get("steps") or 0)
        step = int(known.get("steps") or last.get("step") or 0)
        baseline, prime = config.get("baseline") or {}, config.get("prime") or {}
        taught = loss.get("method") != "grpo"
        shown = (after or before).get("behaviors") or {}
        own = [m["own/accuracy"] for m in metrics if m.get("own/accuracy") is not None]
        habit = [m["own/behavior"] for m in metrics if m.get("own/behavior") is not None]
        return {
            "id": self.id,
            "name": config.get("name") or self.folder.path.name,
            "step": step,
            "steps": 0 if baseline else steps,
            "finished": "after" in known,
            "method": baseline.get("kind") or (f"prime ({prime.get('texts')}) + " if prime else "") + loss.get("method", ""),
            "behaviors": [_stem(b["name"]) for b in config.get("behaviors") or []],
            "student": _stem((config.get("student") or {}).get("path") or (config.get("student") or {}).get("kind", "")),
            "teacher": (config.get("teacher") or {}).get("backend", "") if prime.get("texts") != "gold" or taught else "",
            "task": (config.get("task") or {}).get("name", ""),
            "seed": trained.get("seed"),
            "stopped": known.get("stopped") or "",
            "accuracy": after.get("accuracy"),
            "accuracy_before": before.get("accuracy"),
            "behavior": next(iter(shown.values()), None) if after else None,
            "last_accuracy": own[-1] if own else None,
            "last_behavior": habit[-1] if habit else None,
            "curve": thinned(own),
            "curve_behavior": thinned(habit),
            "kl": last.get("neutral_kl"),
            "alarms": len(self.lines("alarms")),
            "seconds": last.get("seconds"),
            "changed": max(f[1] for f in self.version() if f) / 1e9,
        }


class Library:
    """All runs in ``root``; refreshed every few seconds."""

    def __init__(self, root: Path):
        self.root = Path(root).resolve()
        self._runs: dict[str, ListedRun] = {}
        self._looked = float("-inf")

    def runs(self) -> dict[str, ListedRun]:
        """By id."""
        if time.monotonic() - self._looked > FRESH_S:
            found = {}
            for folder in run_folders(self.root):
                id = folder.relative_to(self.root).as_posix()
                found[id] = self._runs.get(id) or ListedRun(id, RunFolder(folder))
            self._runs, self._looked = found, time.monotonic()
        return self._runs

    def run(self, id: str) -> ListedRun:
        """One of ``runs``: an id is looked up, never used as a path.

        Raises:
            RunError: if there is none with that id.
        """
        runs = self.runs()
        if id not in runs:
            raise RunError(f"there is no run {id!r} in {self.root.name}{did_you_mean(id, runs)}")
        return runs[id]


def run_folders(root: Path) -> list[Path]:
    """Every folder with a run's ``config.yaml``; symbolic links are not followed."""
    found = []
    for place, folders, files in os.walk(root):
        path = Path(place)
        if len(path.relative_to(root).parts) >= DEPTH:
            folders.clear()
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.startswith("."))
        if "config.yaml" in files and "answers.jsonl" not in files:  # a cell of an evaluation
            found.append(path)
    return found


def thinned(values: list[float], points: int = POINTS) -> list[float]:
    """At most ``points`` means of neighbors, for a sparkline."""
    if len(values) <= points:
        return [round(v, 4) for v in values]
    cuts = [len(values) * k // points for k in range(points + 1)]
    return [round(sum(values[a:b]) / (b - a), 4) for a, b in itertools.pairwise(cuts)]


def _stem(name: Any) -> str:
    """``self-check`` of ``behaviors/self-check.yaml``; the last part of a model's path."""
    return str(name or "").replace("\\", "/").rstrip("/").split("/")[-1].removesuffix(".yaml")
