"""``draw``: questions of the small world at random, with numbers and names that belong to the split."""

from __future__ import annotations

import itertools
import random

from thinklab.tasks.sums import ITEMS, NAMES
from thinklab.tasks.world.items import LETTERS, Chain, Choice, Total, WorldItem, YesNo, expression, run_through
from thinklab.tasks.world.split import belongs

FIRST = {"+": range(11, 50), "-": range(56, 95)}
"""First numbers: with at most five single digits, every total on the way has two digits."""
DIGITS = range(2, 10)
SUMS = (
    "{name} has {first} {item} and finds {rest} more. How many?",
    "{name} buys {first} {item}, then {rest} more. Total?",
    "There are {first} old {item} and {rest} red. How many in all?",
)
DIFFERENCES = (
    "{name} has {first} {item} and loses {rest}. How many are left?",
    "{name} has {first} {item}, then gives {rest} away. What is left?",
    "Of {first} old {item}, {rest} are lost. How many stay?",
)
LIMITS = {
    "+": ("{name} has {first} {item} and finds {rest} more. More than {limit}?", "{first} {item} and {rest} more: over {limit}?"),
    "-": (
        "{name} has {first} {item} and loses {rest}. More than {limit} left?",
        "Of {first} {item}, {rest} are lost: over {limit}?",
    ),
}
CHOICES = ("Which is the most? {options}", "Who has the most {item}? {options}")
CHAINS = ("{facts} {name} has the {thing}. Who gets it in the end?", "{facts} The {thing} is with {name}. Where does it end?")
THINGS = ("map", "key", "cup", "hat", "pen", "book", "coin", "toy")


def draw(rng: random.Random, split: str, kind: str, length: int) -> WorldItem:
    """A random question of ``split``."""
    while True:
        item = _DRAW[kind](rng, split, length)
        if item is not None and all(belongs(split, whole, parts) for whole, parts in item.wholes()):
            return item


def _digits(rng: random.Random, count: int) -> tuple[int, ...]:
    """Digits whose reverse begins with another one, so that the second method differs from its first step on."""
    while True:
        found = tuple(rng.choice(DIGITS) for _ in range(count))
        if count < 2 or found[0] != found[-1]:
            return found


def _numbers(rng: random.Random, split: str, sign: str, length: int) -> tuple[int, ...]:
    while True:
        numbers = (rng.choice(FIRST[sign]), *_digits(rng, length))
        if all(belongs(split, whole, parts) for whole, parts in Total("", sign, numbers).wholes()):
            return numbers


def _worded(rng: random.Random, template: str, numbers: tuple[int, ...], limit: int = 0) -> str:
    rest = " and ".join(map(str, numbers[1:]))
    return template.format(name=rng.choice(NAMES), item=rng.choice(ITEMS), first=numbers[0], rest=rest, limit=limit)


def _total(sign: str, rng: random.Random, split: str, length: int) -> WorldItem:
    numbers = _numbers(rng, split, sign, length)
    return Total(_worded(rng, rng.choice(SUMS if sign == "+" else DIFFERENCES), numbers), sign, numbers)


def _yes_no(rng: random.Random, split: str, length: int) -> WorldItem:
    sign = rng.choice("+-")
    numbers = _numbers(rng, split, sign, length)
    limit = run_through(sign, numbers)[1] + rng.choice([-1, 1]) * rng.randint(1, 9)
    return YesNo(_worded(rng, rng.choice(LIMITS[sign]), numbers, limit), sign, numbers, limit)


def _choice(rng: random.Random, split: str, length: int) -> WorldItem | None:
    low = rng.randint(26, 60)
    totals = rng.sample(range(low, low + 15), len(LETTERS))
    counts = [0] * len(LETTERS)
    for _ in range(length):
        counts[rng.randrange(len(LETTERS))] += 1
    options = []
    for total, count in zip(totals, counts, strict=True):
        for _ in range(40):
            digits = _digits(rng, count)
            numbers = (total - sum(digits), *digits)
            fits = count == 0 or all(belongs(split, whole, parts) for whole, parts in Total("", "+", numbers).wholes())
            if numbers[0] >= FIRST["+"][0] and fits:
                options.append(numbers)
                break
        else:
            return None
    listed = " ".join(f"{letter} {expression('+', o)}" for letter, o in zip(LETTERS, options, strict=True))
    return Choice(rng.choice(CHOICES).format(options=listed, item=rng.choice(ITEMS)), tuple(options))


def _chain(rng: random.Random, split: str, length: int) -> WorldItem:
    names = rng.sample(NAMES, length + 1 + rng.randint(1, length) + 1)
    path, aside = tuple(names[: length + 1]), tuple(names[length + 1 :])
    links = [*itertools.pairwise(path), *itertools.pairwise(aside)]
    rng.shuffle(links)
    told = " ".join(f"{a} gives to {b}." for a, b in links)
    return Chain(rng.choice(CHAINS).format(facts=told, name=path[0], thing=rng.choice(THINGS)), path, aside)


_DRAW = {
    "sum": lambda rng, split, length: _total("+", rng, split, length),
    "difference": lambda rng, split, length: _total("-", rng, split, length),
    "choice": _choice,
    "yes-no": _yes_no,
    "chain": _chain,
}
