"""``doubts``: reasons to read a piece of guidance before it is accepted (detector, verdict, limit, draft).

Used by *Accept all that pass* and by the order by doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thinklab.review.item import Item, Preview

Kind = Literal["draft", "refused", "verdict", "truth", "detector", "judge", "limit"]
WORDS: dict[Kind, str] = {
    "draft": "with a half-typed draft",
    "refused": "with a rejected reply",
    "verdict": "whose verdict is wrong or missing",
    "truth": "whose answer cannot be verified",
    "detector": "without the behavior",
    "judge": "that only a judge can decide",
    "limit": "over a limit of the behavior or too long",
}
"""Follows a number of items."""


@dataclass(frozen=True)
class Doubt:
    """One reason against accepting."""

    kind: Kind
    what: str
    """The reason, in words, for this item."""


def doubts(item: Item, found: Preview) -> list[Doubt]:
    """Reasons against accepting ``item`` with its current text, the strongest first; [] if it passes.

    Args:
        found: the preview of the current text.
    """
    out = []
    if item.draft is not None:
        out.append(Doubt("draft", "there is an undecided draft"))
    if not item.said.usable and item.text == item.said.text:
        out.append(Doubt("refused", f"the reply was rejected: {item.said.detail or item.said.reason}"))
    if item.verdict is None:
        out.append(Doubt("verdict", "the teacher gave no verdict"))
    elif item.truth is None:
        out.append(Doubt("truth", "the answer cannot be verified, so the verdict may be wrong"))
    elif not item.agrees:
        out.append(Doubt("verdict", "the teacher's verdict is wrong"))
    if found.text and found.found is None:
        out.append(Doubt("judge", "only a judge can tell whether it shows the behavior"))
    elif found.text and not found.found:
        out.append(Doubt("detector", "the detector does not find the behavior"))
    if found.text and (found.problem or found.warning):
        out.append(Doubt("limit", found.problem or found.warning))
    return out
