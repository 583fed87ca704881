"""JSON for a run's pages: ``figures``, ``probe``, ``answers``, traced ``tokens``, ``config_difference``.

Figures are those of the reports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from thinklab.batch_metrics import function_parts
from thinklab.probing.sentences import sentences
from thinklab.reports import plots
from thinklab.reports.token_spans import look
from thinklab.view.library import ListedRun

LEFT_OUT = {"Entropy by origin", "Unguided rollouts", "KL on neutral text"}
"""Figures of ``plots.TRAINING`` that are also in ``plots.PANELS``."""


def figures(runs: Mapping[str, ListedRun]) -> list[dict[str, Any]]:
    """The curves of one run, or of several overlaid.

    Args:
        runs: by display name.
    """
    probes = {name: run.lines("probes") for name, run in runs.items()}
    figs: list[go.Figure] = []
    if any(probes.values()):
        behaviors = list(dict.fromkeys(b for lines in probes.values() for line in lines for b in line["behaviors"]))
        figs.append(plots.curves(probes, "accuracy", "Probe: accuracy"))
        figs += [plots.curves(probes, "behaviors", f"Probe: shows {b}", b) for b in behaviors]
    if len(runs) == 1:
        metrics = next(iter(runs.values())).lines("metrics")
        figs += plots.training(metrics, [(title, "", dict(keys)) for title, keys in plots.panels(metrics)])
        figs += plots.training(metrics, [t for t in plots.TRAINING if t[0] not in LEFT_OUT])
    else:
        figs += _over_each_other({name: run.lines("metrics") for name, run in runs.items()})
    return [json.loads(f.to_json()) for f in figs]


def _over_each_other(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[go.Figure]:
    functions = dict.fromkeys(name for lines in metrics.values() for name in function_parts(lines))
    wanted = [
        ("Unguided answers: right", "own/accuracy"),
        ("Unguided answers: show the behavior", "own/behavior"),
        ("Reward", "reward"),
        *((f"Reward of {name}, unguided answers", f"own/rewards/{name}") for name in functions),
        ("Entropy of the student's tokens, nats", "student/entropy"),
        ("KL on neutral text, nats per token", "neutral_kl"),
        ("Length of the student's part, tokens", "mean_student_tokens"),
    ]
    figs = []
    for title, key in wanted:
        merged: dict[int, dict[str, Any]] = {}
        for name, lines in metrics.items():
            for m in lines:
                merged.setdefault(m["step"], {"step": m["step"]})[name] = m.get(key)
        figs += plots.training([merged[step] for step in sorted(merged)], [(title, "", {name: name for name in metrics})])
    return figs


def probe(run: ListedRun) -> dict[str, Any]:
    """The last probe: rates with intervals by stage and decoding, differences, and a summary in sentences."""
    known = run.folder.read_json("probe.json") or {}
    rows = []
    for stage in ("before", "after"):
        for decoding, r in (known.get(stage) or {}).items():
            rates = {
                "accuracy": r["accuracy"],
                "first answer": r["first_accuracy"],
                **{f"shows {b}": rate for b, rate in r["behaviors"].items()},
                "ended": r["finished"],
            }
            rows.append({"stage": stage, "decoding": decoding, "rates": rates, "tokens": r["mean_tokens"]})
    return {
        "rows": rows,
        "steps": known.get("steps"),
        "stopped": known.get("stopped", ""),
        "sentences": sentences(known) if known else [],
    }


def answers(
    runs: Mapping[str, ListedRun], text: str = "", first: int = 0, count: int = 20, decoding: str = "T=1"
) -> dict[str, Any]:
    """Probed questions with the answers before and after training, of each run.

    Returns:
        ``columns`` and ``rows``; a row has the question, the gold answer and one list of answers per column.
    """
    table: dict[str, dict[str, Any]] = {}
    columns = []
    needle = text.casefold()
    for name, run in runs.items():
        for line in run.lines("probe_samples"):
            if line["decoding"] != decoding or (line["stage"] == "before" and name != next(iter(runs))):
                continue
            column = "before training" if line["stage"] == "before" else name if len(runs) > 1 else "after training"
            if column not in columns:
                columns.append(column)
            row = table.setdefault(line["example_id"], {"question": line["question"], "gold": line["gold"], "answers": {}})
            row["answers"].setdefault(column, []).append(
                {"text": line["text"], "correct": line["correct"], "shows": [b for b, yes in line["behaviors"].items() if yes]}
            )
    rows = [
        r
        for r in table.values()
        if not needle
        or needle in r["question"].casefold()
        or any(needle in a["text"].casefold() for found in r["answers"].values() for a in found)
    ]
    return {"columns": columns, "rows": rows[first : first + count], "total": len(rows)}


def tokens(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line of ``tokens.jsonl``, each token with its style (``token_spans.look``)."""
    return [
        look(token, bool(teacher), p, w, trace["advantage"])
        for token, teacher, p, w in zip(trace["tokens"], trace["teacher"], trace["probability"], trace["weight"], strict=True)
    ]


def config_difference(a: ListedRun, b: ListedRun) -> list[tuple[str, Any, Any]]:
    """(dotted key, value of ``a``, value of ``b``) of every difference between their configs."""
    x, y = (dict(_flat(run.folder.resolved()["config"])) for run in (a, b))
    return [(key, x.get(key), y.get(key)) for key in sorted({*x, *y}) if x.get(key) != y.get(key)]


def _flat(value: Any, place: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{place}.{key}" if place else str(key))]
    if isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
        return [pair for k, inner in enumerate(value) for pair in _flat(inner, f"{place}[{k}]")]
    return [(place, value)]
