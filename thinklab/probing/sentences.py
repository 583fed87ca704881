"""``sentences``: the results in ``probe.json`` in words: reach, spill-over, retention, persistence.

A view of ``probe.json``: imports nothing that computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sentences(known: Mapping[str, Any]) -> list[str]:
    """The results of the extended probe in sentences; nothing for parts that were not measured."""
    said = list(filter(None, [_fewer(known.get("questions", {})), *_undecided(known)]))
    for decoding, gap in known.get("difference", {}).items():
        parts = [f"accuracy {_points(gap['accuracy'])}", *(f"{name} {_points(e)}" for name, e in gap["behaviors"].items())]
        said.append(f"Paired difference, after minus before, {decoding}: {', '.join(parts)} percentage points.")
    said += known.get("reach", {}).get("advice", [])
    if "spill" in known:
        groups = []
        for group, rates in known["spill"]["after"].items():
            for name, rate in rates.items():
                was = known["spill"]["before"].get(group, {}).get(name)
                groups.append(f"{group} {rate['count']} of {rate['total']}" + (f" (before: {was['count']})" if was else ""))
        said.append(f"Spill-over, answers that show the behavior to unrelated prompts: {'; '.join(groups)}.")
    if "retention" in known:
        kl = known["retention"]["kl"]
        said.append(
            f"Retention: KL to the base on {known['retention']['texts']} neutral texts is {kl['value']:.4f} nats per token "
            f"[{kl['low']:.4f}, {kl['high']:.4f}]."
        )
    if "persistence" in known:
        p = known["persistence"]
        rates = p["after"]["T=1"]
        left = ", ".join(f"{name} {r['value']:.2f} [{r['low']:.2f}, {r['high']:.2f}]" for name, r in rates["behaviors"].items())
        said.append(
            f"Persistence: after {p['steps']} additional steps of plain GRPO without any bonus: {left}, accuracy "
            f"{rates['accuracy']['value']:.2f}."
        )
    return said


def _fewer(questions: Mapping[str, int]) -> str:
    wanted, measured = questions.get("wanted", 0), questions.get("measured", 0)
    return (
        ""
        if wanted <= measured
        else f"{wanted} held-out questions were requested, but there are only {measured}; all were measured."
    )


def _undecided(known: Mapping[str, Any]) -> list[str]:
    """Notes about answers without a verdict of the judge."""
    return [
        f"The judge gave no verdict on {missing} of {result['accuracy']['total']} answers, {stage}, {decoding}: excluded from {name}."
        for stage in ("before", "after")
        for decoding, result in known.get(stage, {}).items()
        for name, rate in result["behaviors"].items()
        if (missing := result["accuracy"]["total"] - rate["total"])
    ]


def _points(e: Mapping[str, float]) -> str:
    return f"{100 * e['value']:+.1f} [{100 * e['low']:+.1f}, {100 * e['high']:+.1f}]"
