"""``ProbeResult``: the rates of one probe, as in ``probe.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thinklab.probing.stats import Rate


@dataclass(frozen=True)
class ProbeResult:
    """Rates over one set of samples of one decoding."""

    decoding: str
    accuracy: Rate
    first_accuracy: Rate
    finished: Rate
    behaviors: Mapping[str, Rate]
    mean_tokens: float
    samples: int = 1
    """Answers to each question."""
    boxed: Rate | None = None
    """Answers in the required format, with a readable ``\\boxed{}``. None in an older ``probe.json`` without this measurement."""

    def to_json(self) -> dict[str, Any]:
        def rate(r: Rate) -> dict[str, float]:
            return {
                "count": r.count,
                "total": r.total,
                "value": r.value,
                "low": r.low,
                "high": r.high,
                **({} if r.effective is None else {"effective": r.effective}),
            }

        return {
            "decoding": self.decoding,
            "accuracy": rate(self.accuracy),
            "first_accuracy": rate(self.first_accuracy),
            "finished": rate(self.finished),
            "behaviors": {n: rate(r) for n, r in self.behaviors.items()},
            "mean_tokens": self.mean_tokens,
            "samples": self.samples,
            **({} if self.boxed is None else {"boxed": rate(self.boxed)}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProbeResult:
        def rate(r: Mapping[str, Any]) -> Rate:
            return Rate(r["count"], r["total"], r.get("effective"))

        return cls(
            data["decoding"],
            rate(data["accuracy"]),
            rate(data["first_accuracy"]),
            rate(data["finished"]),
            {n: rate(r) for n, r in data["behaviors"].items()},
            data["mean_tokens"],
            data.get("samples", 1),
            rate(data["boxed"]) if "boxed" in data else None,
        )
