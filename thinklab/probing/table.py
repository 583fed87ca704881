"""``ProbeRow``: rows and cells of a probe's before/after table; terminal, page, Lab, and model card render it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thinklab.probing.result import ProbeResult
from thinklab.probing.stats import Rate

TITLE = "% of held-out questions, no guidance, no hint [95 % interval]"
HEAD = ("", "decoding", "accuracy", "first answer", "behavior", "tokens")
WIDE = ("", "decoding", "accuracy", "first answer", "behavior", "ended", "in a box", "tokens")
"""All columns, in order."""


def _listed(shown: Mapping[str, str]) -> str:
    """Formatted rates in one line; a single behavior needs no name."""
    return ", ".join(f"{name} {rate}" if len(shown) > 1 else rate for name, rate in shown.items())


@dataclass(frozen=True)
class ProbeRow:
    """One decoding of one student."""

    label: str
    stage: str
    """``before`` or ``after``."""
    result: ProbeResult

    def cells(
        self,
        columns: Sequence[str] = HEAD,
        show: Callable[[Rate], str] = lambda rate: rate.percent,
        behaviors: Callable[[Mapping[str, str]], str] = _listed,
        digits: int = 0,
    ) -> tuple[str, ...]:
        """The cells under ``columns`` (of ``WIDE``).

        Args:
            show: formats a rate.
            behaviors: joins the formatted rates of all behaviors, by name.
            digits: of the mean number of tokens.
        """
        r = self.result
        rates = {"accuracy": r.accuracy, "first answer": r.first_accuracy, "ended": r.finished, "in a box": r.boxed}
        written = {
            "": self.label,
            "decoding": r.decoding,
            "behavior": behaviors({name: show(rate) for name, rate in r.behaviors.items()}) or "-",
            "tokens": f"{r.mean_tokens:.{digits}f}",
            **{name: "" if rate is None else show(rate) for name, rate in rates.items()},
        }
        return tuple(written[column] for column in columns)


def probe_rows(runs: Mapping[str, Mapping[str, Any]], before: str = "before") -> list[ProbeRow]:
    """Rows for several ``probe.json``, by run name.

    Compared runs start from the same student, so *before* is shown once: from the first run that measured it.

    Args:
        before: label of that row.
    """
    found, told = [], False
    for name, probe in runs.items():
        for stage in ("after",) if told else ("before", "after"):
            results = {d: ProbeResult.from_json(r) for d, r in probe.get(stage, {}).items()}
            found += rows_of(before if stage == "before" else name, stage, results)
        told = told or "before" in probe
    return found


def rows_of(label: str, stage: str, results: Mapping[str, ProbeResult]) -> list[ProbeRow]:
    """One row for each decoding of one stage."""
    return [ProbeRow(label, stage, result) for result in results.values()]
