"""More sections of a run's page: training figures, guard alarms, extended probe, guidance and its cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

from thinklab.batch_metrics import function_parts
from thinklab.reports import html_page, plots
from thinklab.reports.token_spans import span
from thinklab.run.folder import RunFolder
from thinklab.run.usage import supervised_usage

EXAMPLES = 4
"""Number of guidance examples shown per outcome."""


def training(runs: Mapping[str, RunFolder]) -> str:
    """Curves from ``metrics.jsonl`` of the first run with a teacher, else of the first run."""
    chosen = next(((n, r) for n, r in runs.items() if any("teacher/entropy" in m for m in r.read("metrics"))), None)
    name, run = chosen or next(iter(runs.items()))
    lines = list(run.read("metrics"))
    rewards = [(title, "", dict(keys)) for title, keys in plots.panels(lines)[:1]] if function_parts(lines) else []
    figs = plots.training(lines, [*rewards, *plots.TRAINING])
    return f"<h2>Inside the training of {escape(name)}</h2>{html_page.figures(figs)}" if figs else ""


def primed(runs: Mapping[str, RunFolder]) -> str:
    """What each run imitated before its policy gradient; nothing without such a run."""
    said = []
    for name, run in runs.items():
        before = RunFolder(run.path / RunFolder.PRIME)
        used, losses = supervised_usage(before), [m["loss"] for m in before.read("metrics")]
        if used and losses:
            texts = " and ".join(f"{n} {source}" for source, n in used["texts"].items())
            said.append(
                f"<p>Before its policy gradient, {escape(name)} imitated {escape(texts)} texts of {used['questions']} questions in "
                f"{used['optimizer_steps']} optimizer steps; the loss went from {losses[0]:.3f} to {losses[-1]:.3f}. The steps "
                "below are those of the policy gradient.</p>"
            )
    return "<h2>Primed</h2>" + "".join(said) if said else ""


def alarms(runs: Mapping[str, RunFolder]) -> str:
    rows = [
        [escape(name), str(a["step"]), escape(a["seen"]), escape(a["cause"]), escape(a["mend"])]
        for name, run in runs.items()
        for a in run.read("alarms")
    ]
    if not rows:
        return ""
    return "<h2>Warnings of the guards</h2>" + html_page.table(["run", "step", "seen", "likely cause", "what to do"], rows)


def extended(probes: Mapping[str, Mapping[str, Any]]) -> str:
    """Reach token by token, and spill-over by group, of the runs measured by ``thinklab probe``."""
    parts = []
    for name, known in probes.items():
        if "reach" in known:
            r = known["reach"]
            tokens = "".join(span(t, True, p, k) for t, p, k in r["example"])
            rows = [
                [f"<code>{escape(repr(t)[1:-1])}</code>", f"{p:.2e}", f"{p / (p + r['c']):.3f}" if p + r["c"] else "1", str(n)]
                for t, p, n in r["rarest"]
            ]
            parts.append(
                f"<h3>Reach, {escape(name)}</h3><p>{r['texts']} texts, each after the student's own answer, before training. "
                f"log10 of the mean probability of a text: {r['log10_text']:.1f}. The median text by probability; paler tokens "
                f"get less weight from AAS (advantage {r['advantage']:g}):</p><p class=tokens>{tokens}</p>"
                + html_page.table(["least likely tokens", "probability", "weight k", "texts"], rows)
            )
        if "spill" in known:
            rows = [
                [escape(group), escape(b), _count(known["spill"]["before"].get(group, {}).get(b)), _count(rate)]
                for group, rates in known["spill"]["after"].items()
                for b, rate in rates.items()
            ]
            parts.append(
                f"<h3>Spill-over, {escape(name)}</h3><p>Answers at T=1 to unrelated prompts; all texts are in "
                "spill.jsonl.</p>" + html_page.table(["prompts", "behavior", "before", "after"], rows)
            )
    return "<h2>Reach and spill-over</h2>" + "".join(parts) if parts else ""


def _count(rate: Mapping[str, Any] | None) -> str:
    return (
        ""
        if rate is None
        else f"<b>{rate['count']}</b> of {rate['total']} <small>[{rate['low']:.2f}, {rate['high']:.2f}]</small>"
    )


def guidance(runs: Mapping[str, RunFolder]) -> str:
    """Outcomes of the teacher's comments: counts, the first few of each outcome, and the cost."""
    counts, shown, costs = [], [], []
    for name, run in runs.items():
        outcomes: Counter[tuple[str, str, str]] = Counter()
        weights = run.resolved()["config"].get("behaviors", [])
        for line in run.read("rollouts"):
            g = line.get("guidance")
            if not g:
                continue
            outcome = g["status"] if g["status"] != "rejected" else f"rejected: {g['reason']}"
            key = g.get("behavior", ""), g.get("behavior_hash", ""), outcome
            outcomes[key] += 1
            if outcomes[key] <= EXAMPLES:
                shown.append([escape(name), escape(key[0]), escape(outcome), *_example(line, g)])
        total = sum(outcomes.values())
        share = _shares(weights)
        counts += [
            [escape(name), escape(b), share.get(b, ""), f"<code>{escape(h)}</code>", escape(outcome), str(n), f"{n / total:.0%}"]
            for (b, h, outcome), n in sorted(outcomes.items())
        ]
        if cost := run.read_json("teacher.json"):
            costs.append(
                f"<li>{escape(name)}: " + escape(", ".join(f"{k} {v}" for k, v in cost.items() if not isinstance(v, dict | list)))
            )
    if not counts:
        return ""
    price = f"<p>Cost:</p><ul>{''.join(costs)}</ul>" if costs else "<p>The teacher was free of charge.</p>"
    return (
        "<h2>Guidance</h2>"
        + html_page.table(["run", "behavior", "of the mixture", "template", "outcome", "rollouts", "share"], counts)
        + price
        + f"<details><summary>The first {EXAMPLES} of each outcome</summary>"
        + html_page.table(
            ["run", "behavior", "outcome", "the student's answer", "the teacher's guidance", "as edited, or why it was rejected"],
            shown,
            "answers",
        )
        + "</details>"
    )


def _shares(behaviors: list) -> dict[str, str]:
    """The share of each behavior in a config's mixture, by weight; a file is named by its stem."""
    weights = {str(b["name"]).replace("\\", "/").split("/")[-1].removesuffix(".yaml"): b["weight"] for b in behaviors}
    return {name: f"{weight / sum(weights.values()):.0%}" for name, weight in weights.items()}


def _example(line: Mapping[str, Any], g: Mapping[str, Any]) -> list[str]:
    text = g.get("text") or g.get("raw") or ""
    note = g["edited"] if g.get("edited") is not None else g.get("detail") or g.get("reason") or ""
    return [f"<div class=text>{escape(str(x))}</div>" for x in (line.get("student_text", ""), text, note)]
