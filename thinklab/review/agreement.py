"""How far two reviewers agree: Cohen's kappa over what both have decided, with the counts behind it. Reads ``reviews.jsonl``.

Somebody's decision about a piece of guidance is the last one that was not taken back: *take* (accepted, edited, written) or *leave*
(rejected). Policies (``auto: ...``) are no reviewers. A second reviewer who has seen the first one's decisions agrees more
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
    """Of two people."""

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
        """Share on which they agree."""
        return (self.both_take + self.both_leave) / self.n

    @property
    def kappa(self) -> float | None:
        """1: always the same; 0: as often as chance would have it. None where chance alone would make them agree always."""
        a, b = (self.both_take + self.only_a) / self.n, (self.both_take + self.only_b) / self.n
        chance = a * b + (1 - a) * (1 - b)
        return None if chance == 1 else (self.observed - chance) / (1 - chance)

    def __str__(self) -> str:
        kappa = "not defined (both decide always alike)" if self.kappa is None else f"{self.kappa:.2f}"
        return (
            f"{self.a} and {self.b}: {self.n} decided by both, {self.both_take} taken and {self.both_leave} left by both, "
            f"{self.only_a} taken by {self.a} alone, {self.only_b} by {self.b} alone; kappa {kappa}"
        )


def standing(lines: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], dict[str, tuple[bool, str]]]:
    """By piece of guidance (rollout, its key, what the teacher said), each person's decision: taken?, and the text."""
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
    """The key of the rollout ``id`` that was written about last."""
    return next((key for rollout, key in reversed(list(stacks)) if rollout == id), "")


def agreement(lines: Iterable[Mapping[str, Any]]) -> list[ReviewerAgreement]:
    """Every two people who have decided about the same guidance; those with the most in common first."""
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
