"""``usage``: questions, answers, tokens, and teacher texts that a run has used, counted from its records."""

from __future__ import annotations

from itertools import chain
from typing import Any

from thinklab.run.folder import RunFolder

FILE = "usage.json"
FORMER = "budget.json"
"""Its name in older versions."""


def supervised_usage(run: RunFolder) -> dict[str, Any] | None:
    """The usage record that a supervised run writes after its last step; None for any other run."""
    return run.read_json(FILE) or run.read_json(FORMER)


def usage(run: RunFolder) -> dict[str, Any]:
    """Any kind of run: by policy gradient, SFT or STaR. What a run imitated before its policy gradient (``prime/``) counts as well.

    Returns:
        ``{questions, different_questions, student_answers, student_tokens, teacher_texts, teacher_tokens, texts}``. Repeated
        questions count each time; only teacher tokens that were trained on count; ``texts`` counts imitated texts by source.
    """
    used = {"student_answers": 0, "student_tokens": 0, "teacher_texts": 0, "teacher_tokens": 0}
    texts: dict[str, int] = {}
    primed = RunFolder(run.path / RunFolder.PRIME)
    asked: set[tuple[int, int]] = set()
    different: set[str] = set()
    for line in run.read("rollouts"):
        asked.add((line["generation"], line["group"]))
        different.add(line["example"]["id"])
        used["student_answers"] += 1
        used["student_tokens"] += len(line["student_ids"])
        used["teacher_texts"] += bool(line["teacher_ids"])
        used["teacher_tokens"] += len(line["teacher_ids"] or ())
    for line in run.read("rationales"):
        different.add(line["example_id"])
        used["student_answers"] += 1
        used["student_tokens"] += len(line["answer_ids"])
        if line["kept"]:
            texts[line["source"]] = texts.get(line["source"], 0) + 1
    for line in chain(run.read("texts"), primed.read("texts")):
        different.add(line["example_id"])
        if line["source"] == "guided":
            used["student_answers"] += 1
            used["student_tokens"] += line["student_tokens"]
            used["teacher_texts"] += bool(line["answer_ids"])
            used["teacher_tokens"] += max(0, len(line["answer_ids"]) - line["student_tokens"] + 1) if line["answer_ids"] else 0
        if line["answer_ids"]:
            texts[line["source"]] = texts.get(line["source"], 0) + 1
    questions = (supervised_usage(run) or {}).get("questions", len(asked)) + (supervised_usage(primed) or {}).get("questions", 0)
    return {"questions": questions, "different_questions": len(different), **used, "texts": texts}
