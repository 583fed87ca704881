"""Studies and evaluations below a folder as tables: methods or arms by benchmarks or measures."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

from thinklab.errors import RunError
from thinklab.view.library import DEPTH, SKIPPED

STUDY = {"base", "arm", "seed"}
"""Columns that identify the ``table.csv`` of a study (``thinklab/studies/table.py``)."""


def found(root: Path) -> dict[str, dict[str, Any]]:
    """Every study and evaluation in ``root``: ``{id: {"kind", "name", "folder"}}``."""
    grids = {}
    for place, folders, files in os.walk(root):
        path = Path(place)
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.startswith("."))
        if len(path.relative_to(root).parts) >= DEPTH:
            folders.clear()
        id = path.relative_to(root).as_posix()
        if "results.json" in files:
            grids[id] = {"kind": "evaluation", "name": path.name, "folder": path}
        elif "table.csv" in files and set(_rows(path / "table.csv", 1)[0]) >= STUDY:
            grids[id] = {"kind": "study", "name": path.name, "folder": path}
    return grids


def grid(kind: str, folder: Path) -> dict[str, Any]:
    """One table per base of a study, or per measure of an evaluation.

    Returns:
        ``{"tables": [{"title", "columns", "rows": [{"name", "cells": [cell]}]}]}``; a cell is None or
        ``{"value", "low", "high", "each", "unit", "run"}``, of which ``low`` and ``high`` are the range over seeds (study) or
        the 95 % interval (evaluation).

    Raises:
        RunError: when the file cannot be read.
    """
    try:
        return {"tables": _study(folder) if kind == "study" else _evaluation(folder)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}: the table of this {kind} cannot be read ({type(error).__name__}: {error})") from error


def _study(folder: Path) -> list[dict[str, Any]]:
    _, rows = _rows(folder / "table.csv")
    measures = [key for key in rows[0] if key not in ("base", "arm", "seed", "steps", "seconds", "first alarm")] if rows else []
    tables = []
    for base in dict.fromkeys(r["base"] for r in rows):
        lines = []
        for arm in dict.fromkeys(r["arm"] for r in rows if r["base"] == base):
            mine = [r for r in rows if (r["base"], r["arm"]) == (base, arm)]
            lines.append(
                {
                    "name": arm,
                    "note": f"{len(mine)} seed{'s' if len(mine) > 1 else ''}",
                    "cells": [_over_seeds(m, [(r["seed"], float(r[m])) for r in mine if r[m]]) for m in measures],
                    "runs": [f"{base}/{arm}/seed-{r['seed']}" for r in mine],
                }
            )
        tables.append({"title": base, "columns": measures, "rows": lines})
    return tables


def _over_seeds(measure: str, values: list[tuple[str, float]]) -> dict[str, Any] | None:
    if not values:
        return None
    numbers = [v for _, v in values]
    return {
        "value": sum(numbers) / len(numbers),
        "low": min(numbers),
        "high": max(numbers),
        "unit": _unit(measure),
        "each": [f"seed {seed}: {v:g}" for seed, v in values],
    }


def _unit(measure: str) -> str:
    return "%" if measure.startswith(("accuracy", "behav", "first answer")) else ""


def _evaluation(folder: Path) -> list[dict[str, Any]]:
    data = json.loads((folder / "results.json").read_text("utf-8"))
    cells = {(c["method"], c["benchmark"]): c for c in data["cells"]}
    methods, benchmarks = (list(dict.fromkeys(key[k] for key in cells)) for k in (0, 1))

    def table(title: str, make: Any) -> dict[str, Any]:
        return {
            "title": title,
            "columns": benchmarks,
            "rows": [
                {
                    "name": m,
                    "note": "reference" if m == data.get("reference") else "",
                    "cells": [make(cells[m, b]) if (m, b) in cells else None for b in benchmarks],
                }
                for m in methods
            ],
        }

    tables = [
        table(
            "Accuracy",
            lambda c: {
                "value": c["accuracy"],
                "low": c["low"],
                "high": c["high"],
                "unit": "%",
                "each": [f"{c['correct']} of {c['answers']} answers to {c['questions']} questions"],
            },
        ),
        table("Tokens per answer", lambda c: {"value": c["mean_tokens"], "unit": ""}),
    ]
    for behavior in data.get("behaviors") or {}:
        tables.append(
            table(
                f"Shows {behavior}",
                lambda c, b=behavior: (
                    None
                    if b not in c["behaviors"]
                    else {
                        "value": c["behaviors"][b]["value"],
                        "unit": "%",
                        "each": [f"{c['behaviors'][b]['count']} of {c['behaviors'][b]['total']}"],
                    }
                ),
            )
        )
    return tables


def _rows(file: Path, most: int | None = None) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file; nothing for an unreadable one."""
    try:
        with open(file, encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text)
            return list(reader.fieldnames or []), [row for k, row in zip(range(most or 10**6), reader, strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error):
        return [], []
