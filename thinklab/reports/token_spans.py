"""``spans``: the tokens of a traced rollout as HTML spans with origin, probability, and weight."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

RAREST = 1e-6
"""Probabilities below this look the same."""


def look(token: str, teacher: bool, probability: float, weight: float, advantage: float | None = None) -> dict[str, Any]:
    """What a page needs to color one token: ``text``, ``classes``, ``style`` (CSS variables), ``tip``; see ``span``."""
    masked = teacher and weight == 0 and (advantage is None or advantage < 0)
    sign = "" if not advantage else " pos" if advantage > 0 else " neg"
    rarity = abs(min(1.0, math.log(max(probability, RAREST)) / math.log(RAREST)))
    tip = f"{'teacher' if teacher else 'student'}, probability {probability:.3g}"
    if teacher:
        tip += f", weight {weight:.3g}"
    if advantage is not None:
        tip += f", advantage {advantage:.3g}"
    if masked:
        tip += ", masked: no gradient"
    style = {"--w": f"{min(max(weight, 0), 1):.2f}", "--r": f"{rarity:.2f}"}
    if advantage is not None:
        style["--a"] = f"{min(abs(advantage) / 2, 1):.2f}"
    return {
        "text": token.replace("\n", "⏎") or "∅",
        "tip": tip,
        "style": style,
        "classes": f"{'teacher' if teacher else 'student'}{' masked' if masked else ''}{sign}",
    }


def span(token: str, teacher: bool, probability: float, weight: float, advantage: float | None = None) -> str:
    """One token, with what a page's CSS needs to color it.

    ``--w``: weight, 0 to 1; ``--r``: rarity, from 0 (p = 1) to 1 (p <= ``RAREST``), logarithmic; ``--a``: size of the advantage.
    Classes: ``student`` or ``teacher``; ``masked`` for a masked teacher token, ``pos`` and ``neg`` for
    the sign of the advantage.
    """
    found = look(token, teacher, probability, weight, advantage)
    style = ";".join(f"{key}:{value}" for key, value in found["style"].items())
    return f"<span class='{found['classes']}' style='{style}' title='{escape(found['tip'])}'>{escape(found['text'])}</span>"


def spans(trace: Mapping[str, Any]) -> str:
    """All tokens of one line of ``tokens.jsonl``."""
    return "".join(
        span(token, bool(teacher), p, w, trace["advantage"])
        for token, teacher, p, w in zip(trace["tokens"], trace["teacher"], trace["probability"], trace["weight"], strict=True)
    )


def teacher_tokens(traces: Iterable[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """(token, probability, advantage) of every teacher token of some lines of ``tokens.jsonl``."""
    return [
        (token, p, t["advantage"])
        for t in traces
        for token, teacher, p in zip(t["tokens"], t["teacher"], t["probability"], strict=True)
        if teacher
    ]
