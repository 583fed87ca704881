"""The lines of ``reviews.jsonl``: one per decision (``line_of``), and which rollout each is about."""

from __future__ import annotations

import getpass
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from thinklab.review.item import Item
from thinklab.types import Rollout, to_json

FILE = "reviews"
QUIET = ("draft", "note")
"""Actions that are not decisions, so undo skips them."""


def line_of(item: Item, action: str, who: str, when: str, together: str = "") -> dict[str, Any]:
    """One line about ``item`` as it stands after ``action``. Empty fields that were added after the first version are omitted.

    Args:
        together: mark of a joint decision.
    """
    line = {
        "generation": generation_of(item.rollout),
        "rollout": item.id,
        "key": key_of(item.rollout),
        "action": action,
        "state": item.state,
        "behavior": item.behavior,
        "raw": item.said.raw,
        "said": item.said.text,
        "edited": item.text if item.text != item.said.text else None,
        "who": who,
        "when": when,
    }
    if together:
        line["together"] = together
    if action != "undo":
        if item.draft is not None:
            line["draft"] = item.draft
        if item.why and item.state == "rejected":
            line["why"] = item.why
    if action == "ask":
        line["guidance"] = to_json(item.said)
    if action == "note":
        line |= {"tags": list(item.tags), "note": item.note}
    return line


def generation_of(rollout: Rollout) -> int:
    """The first part of its id; -1 when it does not begin with a number."""
    head = rollout.id.partition("-")[0]
    return int(head) if head.isdecimal() else -1


def key_of(rollout: Rollout) -> str:
    """Distinguishes this rollout from one with the same id in a restarted run."""
    what = json.dumps([rollout.example.id, rollout.example.question, list(rollout.student_ids)])
    return hashlib.sha256(what.encode()).hexdigest()[:12]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def account() -> str:
    """The account name of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
