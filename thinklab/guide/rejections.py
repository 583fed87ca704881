"""The sentence about all replies at the end of a run: how many were rejected, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

USED = ("proposed", "accepted", "edited")


def outcomes(records: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How often each status or reason occurs in the ``guidance`` of recorded rollouts or texts."""
    found = (record.get("guidance") for record in records)
    return Counter((g["reason"] if g["status"] == "rejected" else "") or g["status"] for g in found if g)


def sentence(counts: Mapping[str, int], otherwise: str = "") -> str:
    """Such as ``replies: 13 of 48 rejected (27%): refusal 7, server 6``; empty if there were no requests.

    Args:
        counts: replies by outcome; those in ``USED`` were usable, every other key is a reason for rejection.
        otherwise: what happened to the rejected ones, added if they are the majority.
    """
    total = sum(counts.values())
    rejected = Counter({reason: n for reason, n in counts.items() if reason not in USED and n})
    bad = sum(rejected.values())
    if not total:
        return ""
    if not bad:
        return f"replies: all {total} used"
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(rejected.items(), key=lambda item: (-item[1], item[0])))
    line = f"{bad} of {total} rejected ({bad / total:.0%}): {reasons}"
    if 2 * bad <= total:
        return f"replies: {line}"
    return f"WARNING: {'no reply was usable' if bad == total else 'most replies were unusable'}: {line}{otherwise}"
