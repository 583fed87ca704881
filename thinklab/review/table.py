"""``queue.export``: the decisions as CSV or JSON lines, one row per piece of guidance."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from thinklab.errors import ReviewError
from thinklab.review.item import Item
from thinklab.review.record import generation_of

COLUMNS = (
    "generation", "rollout", "question", "gold", "answer", "answer_correct", "behavior", "verdict", "said", "state", "final",
    "reason", "tags", "note", "who", "when", "raw",
)  # fmt: skip


def row(item: Item) -> dict[str, Any]:
    """One item; ``final`` is the text that would be appended; empty if none."""
    guidance = item.guidance
    reason = item.why if item.state == "rejected" else (item.said.detail or item.said.reason)
    values = (
        generation_of(item.rollout), item.id, item.question, item.rollout.example.gold, item.student_text, item.truth,
        item.behavior, item.verdict, item.said.text, item.state, guidance.final_text if guidance.usable else "", reason,
        list(item.tags), item.note, item.who, item.when, item.said.raw,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def as_text(items: Sequence[Item], kind: str) -> str:
    """All rows.

    Args:
        kind: ``csv`` or ``jsonl``.

    Raises:
        ReviewError: for another kind.
    """
    if kind == "jsonl":
        return "".join(json.dumps(row(i), ensure_ascii=False) + "\n" for i in items)
    if kind != "csv":
        raise ReviewError(f"decisions are exported as .csv or .jsonl, not .{kind}")
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([_cell(v) for v in row(i).values()] for i in items)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """A spreadsheet would run a cell that starts like a formula; an apostrophe keeps it text."""
    if isinstance(value, list):
        value = "; ".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
