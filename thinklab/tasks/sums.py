"""The built-in task: sums told in words (``draw``, ``Sum``), worked ``steps``, held-out operands, verifier.

    There are 25 old pens and 7 and 6 and 5 red. How many in all?      gold: 43

The split is by operands and strict, so that a right answer to a test question cannot be remembered:

- a quarter of the two-number sums is never *added* anywhere outside the test split: not in a training question, not
  as a step inside a longer sum, not in the embedded student's corpus;
- a quarter of the four-number sums is test only as well. Their single steps are sums that may be seen elsewhere: what
  such a question tests is the whole.

Left out: subtraction, negative numbers, decimals. The embedded student could learn them, the demo does not need them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from thinklab.errors import TaskError
from thinklab.tasks.base import Task
from thinklab.tasks.boxed import boxed_answers
from thinklab.types import Example

NAMES = (
    "Tom",
    "Ann",
    "Bob",
    "Vera",
    "Jay",
    "Kim",
    "Lee",
    "Max",
    "Zoe",
    "Ivy",
    "Hal",
    "Gus",
    "Una",
    "Pat",
    "Quin",
    "Ray",
    "Sue",
    "Wes",
    "Xan",
    "Yul",
    "Cy",
    "Dot",
    "Eve",
    "Fay",
    "Ned",
    "Oz",
)
ITEMS = ("figs", "pens", "cups", "hats", "jars", "keys", "maps", "nuts", "pins", "toys", "books", "coins")
TEMPLATES = (
    "{name} has {first} {item} and finds {rest} more. How many?",
    "{name} buys {first} {item}, then {rest} more. Total?",
    "There are {first} old {item} and {rest} red. How many in all?",
)
FIRST = range(11, 50)  # the first operand; all others are single digits from OTHERS
OTHERS = range(2, 10)
REFLECTIONS = {
    "self-check": "I check:",
    "self-conflict": "Wait, does it fit?",
    "self-critique": "I should have added:",
    "self-agreement": "I am sure of it:",
    "self-consultancy": "An aunt would ask:",
}
"""How somebody begins who works a sum again, by the behavior whose detector sees it."""
SPLITS = ("train", "test")
SIZE = {"train": 6000, "test": 2000}
TEST_SHARE = 4  # one in four


@lru_cache
def _held_out() -> tuple[frozenset[tuple[int, int]], frozenset[tuple[int, int, int, int]]]:
    """(pairs, quadruples) that belong to the test split."""
    pairs = [(a, b) for a in FIRST for b in OTHERS]
    quads = [(a, b, c, d) for a, b in pairs for c in OTHERS for d in OTHERS]
    for items in (pairs, quads):
        random.Random(0).shuffle(items)
    return frozenset(pairs[: len(pairs) // TEST_SHARE]), frozenset(quads[: len(quads) // TEST_SHARE])


def steps(operands: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """(running total, next operand, new total) for each addition, from the left."""
    total = operands[0]
    for operand in operands[1:]:
        yield total, operand, total + operand
        total += operand


def is_held_out(operands: tuple[int, ...]) -> bool:
    """True when no training question and no corpus document may contain this sum."""
    pairs, quads = _held_out()
    return operands in quads or any((a, b) in pairs for a, b, _ in steps(operands))


@lru_cache
def operand_pool(split: str, terms: int) -> tuple[tuple[int, ...], ...]:
    """All operand tuples of one length in one split."""
    pairs, quads = _held_out()
    if terms == 2:
        return tuple((a, b) for a in FIRST for b in OTHERS if ((a, b) in pairs) == (split == "test"))
    every = ((a, b, c, d) for a in FIRST for b in OTHERS for c in OTHERS for d in OTHERS)
    return tuple(q for q in every if (q in quads) == (split == "test") and not any((a, b) in pairs for a, b, _ in steps(q)))


@dataclass(frozen=True)
class Sum:
    """One sum and its wording. ``operands``: 2 or 4 positive integers."""

    operands: tuple[int, ...]
    question: str

    @property
    def total(self) -> int:
        return sum(self.operands)

    @property
    def expression(self) -> str:
        return "+".join(map(str, self.operands))

    @property
    def worked(self) -> str:
        """The sum step by step, ending in the boxed total."""
        return " ".join(f"{a}+{b}={c}." for a, b, c in steps(self.operands)) + f" So \\boxed{{{self.total}}}."


def draw(rng: random.Random, split: str, terms: tuple[int, ...] = (2, 4), short_share: float = 0.35) -> Sum:
    """A random question of ``split``; ``short_share`` of them have two numbers when both lengths are asked for."""
    length = terms[0] if len(terms) == 1 else (2 if rng.random() < short_share else 4)
    operands = rng.choice(operand_pool(split, length))
    template = rng.choice(TEMPLATES)
    question = template.format(
        name=rng.choice(NAMES), item=rng.choice(ITEMS), first=operands[0], rest=" and ".join(map(str, operands[1:]))
    )
    return Sum(operands, question)


def examples(split: str, terms: tuple[int, ...] = (2, 4), short_share: float = 0.35) -> list[Example]:
    """``SIZE[split]`` different questions, the same ones at every call."""
    if split not in SPLITS:
        raise TaskError(f"the task 'sums' has no split {split!r}; it has {', '.join(SPLITS)}")
    rng = random.Random(f"sums {split} {terms}")
    seen: dict[str, Sum] = {}
    while len(seen) < SIZE[split]:
        item = draw(rng, split, terms, short_share)
        seen.setdefault(item.question, item)
    return [
        Example(
            id=f"sums-{split}-{k}",
            question=s.question,
            gold=str(s.total),
            meta={"operands": list(s.operands), "solution": s.worked},
        )
        for k, s in enumerate(seen.values())
    ]


def verify(response: str, example: Example) -> bool:
    """True when the last boxed answer is the total. Plain integers, so no algebra is needed."""
    answers = boxed_answers(response)
    return bool(answers) and answers[-1].strip() == example.gold


def task(terms: list[int] | tuple[int, ...] = (2, 4), short_share: float = 0.35) -> Task:
    """The sums task. ``terms``: lengths of the sums, any of 2 and 4."""
    known = isinstance(terms, list | tuple) and all(type(t) is int for t in terms)
    if not known or not terms or not set(terms) <= {2, 4}:
        raise TaskError(f"the task 'sums' takes terms [2], [4] or [2, 4], not {terms!r:.60}")
    if not isinstance(short_share, int | float) or not 0 <= short_share <= 1:
        raise TaskError(f"the task 'sums' takes short_share from 0 to 1, not {short_share!r:.60}")
    terms = tuple(sorted(set(terms)))
    return Task(name="sums", instruction="", load=lambda split: examples(split, terms, short_share), verify=verify)
