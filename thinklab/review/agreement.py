"""``agreement``: Cohen's kappa of two reviewers, from ``reviews.jsonl``.

A reviewer's decision about a piece of guidance is their last one that was not undone: *take* (accepted, edited, written) or
*leave* (rejected). Policies (``auto: ...``) are not reviewers. A second reviewer who has seen the first one's decisions agrees more
than one who has not: the pane's filter *not by you* hides them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

TAKES = ("accepted", "edited")
DECIDES = (*TAKES, "rejected")


@dataclass(frozen=True)
class ReviewerAgreement:
    """Agreement of two reviewers."""

    a: str
    b: str
    both_take: int
    both_leave: int
    only_a: int
    """``a`` takes, ``b`` leaves."""
    only_b: int
    same_text: int
    """Of ``both_take``: with the same text."""

    @property
    def n(self) -> int:
        return self.both_take + self.both_leave + self.only_a + self.only_b

    @property
    def observed(self) -> float:
        """Share of items on which they agree."""
        return (self.both_take + self.both_leave) / self.n

    @property
    def kappa(self) -> float | None:
        """1: perfect agreement; 0: chance level. None if chance agreement is already perfect."""
        a, b = (self.both_take + self.only_a) / self.n, (self.both_take + self.only_b) / self.n
        chance = a * b + (1 - a) * (1 - b)
        return None if chance == 1 else (self.observed - chance) / (1 - chance)

    def __str__(self) -> str:
        kappa = "undefined (both always decide the same)" if self.kappa is None else f"{self.kappa:.2f}"
        return (
            f"{self.a} and {self.b}: {self.n} decided by both, {self.both_take} accepted and {self.both_leave} rejected by "
            f"both, {self.only_a} accepted by {self.a} only, {self.only_b} by {self.b} only; kappa {kappa}"
        )


def standing(lines: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], dict[str, tuple[bool, str]]]:
    """Decisions by piece of guidance (rollout, its key, the teacher's text) and reviewer: taken or not, and the text."""
    stacks: dict[tuple[str, str], list[tuple[str, str, str, str]]] = {}
    for line in lines:
        stack = stacks.setdefault((line["rollout"], line["key"]), [])
        if line["action"] == "undo":
            for id in line["undone"]:
                if other := stacks.get((id, line["key"] if id == line["rollout"] else _key_of(stacks, id))):
                    mine = [k for k, (who, *_) in enumerate(other) if who == line["who"]]
                    del other[mine[-1] if mine else -1]
        elif line["action"] not in ("draft", "note"):
            text = line["said"] if line["edited"] is None else line["edited"]
            stack.append((line["who"], line["state"], line["said"], text))
    out: dict[tuple[str, str, str], dict[str, tuple[bool, str]]] = {}
    for (rollout, key), stack in stacks.items():
        for who, state, said, text in stack:
            people = out.setdefault((rollout, key, said), {})
            people.pop(who, None)
            if state in DECIDES and not who.startswith("auto:"):
                people[who] = state in TAKES, text
    return out


def _key_of(stacks: Mapping[tuple[str, str], Any], id: str) -> str:
    """The key of the rollout ``id`` in its latest record."""
    return next((key for rollout, key in reversed(list(stacks)) if rollout == id), "")


def agreement(lines: Iterable[Mapping[str, Any]]) -> list[ReviewerAgreement]:
    """Every pair of reviewers with common items; the pairs with the most first."""
    decided = [people for people in standing(lines).values() if len(people) > 1]
    pairs = sorted({pair for people in decided for pair in combinations(sorted(people), 2)})
    found = []
    for a, b in pairs:
        both = [(people[a], people[b]) for people in decided if a in people and b in people]
        count = Counter((x[0], y[0]) for x, y in both)
        same = sum(x[0] and x == y for x, y in both)
        found.append(
            ReviewerAgreement(a, b, count[True, True], count[False, False], count[True, False], count[False, True], same)
        )
    return sorted(found, key=lambda one: -one.n)
