"""What speaks against taking a piece of guidance unseen. *Accept all that pass* and the order by doubt both go by this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thinklab.review.item import Item, Preview

Kind = Literal["draft", "refused", "verdict", "truth", "detector", "judge", "limit"]
WORDS: dict[Kind, str] = {
    "draft": "with a half-typed draft",
    "refused": "with a refused reply",
    "verdict": "whose verdict is wrong or missing",
    "truth": "whose answer no rule can check",
    "detector": "without the behavior",
    "judge": "that only a judge can tell",
    "limit": "over a limit of the behavior or too long",
}
"""Behind a number of items."""


@dataclass(frozen=True)
class Doubt:
    """One thing that speaks against it."""

    kind: Kind
    what: str
    """In words, about this item."""


def doubts(item: Item, found: Preview) -> list[Doubt]:
    """What speaks against ``item`` with its text as it stands, the weightiest first; [] for one that passes.

    Args:
        found: the preview of the text as it stands.
    """
    out = []
    if item.draft is not None:
        out.append(Doubt("draft", "a text was begun and nobody has decided on it"))
    if not item.said.usable and item.text == item.said.text:
        out.append(Doubt("refused", f"the reply was refused: {item.said.detail or item.said.reason}"))
    if item.verdict is None:
        out.append(Doubt("verdict", "the teacher gave no verdict"))
    elif item.truth is None:
        out.append(Doubt("truth", "no rule can tell whether the verdict is right"))
    elif not item.agrees:
        out.append(Doubt("verdict", "the teacher's verdict is wrong"))
    if found.text and found.found is None:
        out.append(Doubt("judge", "only a judge can tell whether it shows the behavior"))
    elif found.text and not found.found:
        out.append(Doubt("detector", "the detector does not find the behavior"))
    if found.text and (found.problem or found.warning):
        out.append(Doubt("limit", found.problem or found.warning))
    return out
