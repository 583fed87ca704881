"""``WorldItem``: the questions of the small world (``Total``, ``YesNo``, ``Choice``, ``Chain``), their steps and texts.

    sum         Tom has 25 pens and finds 7 and 6 more. How many?         25+7=32. 32+6=38.
    difference  Tom has 65 pens and loses 7 and 6. How many are left?     65-7=58. 58-6=52.
    choice      Most? A 34+5 B 37 C 29+4 D 38                             A: 34+5=39. C: 29+4=33. A 39>B 37? yes. ...
    yes-no      Tom has 25 pens and finds 7 more. More than 40?           25+7=32. 32>40? no.
    chain       Ann gives to Bob. Tom gives to Ann. Tom has a map. ...    Tom to Ann. Ann to Bob.

They share their sub-skills (adding and subtracting a digit, comparing two numbers, looking a fact up), so a student that has learned
these can check an answer of any kind. The *second method* of each is another computation with the same result: another order, or a
digit in two parts; eliminating options from the last to the first; following the chain backwards.

A comparison is written as a question, ``32>40? no``, with its answer behind both numbers. In a first attempt at such a world it was
``32<40``: the sign had to be written before the second number was known, so no drill could teach it, and checks were
right in .47 and .59 of the questions that need it.
"""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from thinklab.tasks.sums import NAMES

LETTERS = "ABCD"
Calc = Callable[[str, int, int], int]
"""(sign, a, b) -> result: exact, or that of a careless writer."""


class Step(NamedTuple):
    """One step as it is written: what is asked, and what comes out."""

    left: str
    right: str

    @property
    def text(self) -> str:
        return f"{self.left}{self.right}."


def exact(sign: str, a: int, b: int) -> int:
    return a + b if sign == "+" else a - b


def careless(rng: random.Random, rate: float) -> Calc:
    """A writer whose steps are off by a carry or a small number at ``rate``."""

    def calc(sign: str, a: int, b: int) -> int:
        result = exact(sign, a, b)
        return result if rng.random() >= rate else near(rng, result)

    return calc


def near(rng: random.Random, number: int) -> int:
    """Another number of two digits, as careless people write it."""
    while True:
        found = number + rng.choice([-10, 10, rng.choice([-1, 1]) * rng.randint(1, 9)])
        if 10 <= found <= 99:
            return found


def run_through(sign: str, numbers: Sequence[int], calc: Calc = exact, label: str = "") -> tuple[list[Step], int]:
    """(the steps from left to right, the result)."""
    steps: list[Step] = []
    total = numbers[0]
    for number in numbers[1:]:
        left, total = f"{total}{sign}{number}=", calc(sign, total, number)
        steps.append(Step(label + left if not steps else left, str(total)))
    return steps, total


def expression(sign: str, numbers: Sequence[int]) -> str:
    return sign.join(map(str, numbers))


def other_way(numbers: Sequence[int]) -> tuple[int, ...]:
    """The second method: the other numbers in reverse order; of one number, in two parts."""
    first, *rest = numbers
    return (first, rest[0] // 2, rest[0] - rest[0] // 2) if len(rest) == 1 else (first, *reversed(rest))


def facts(sign: str, numbers: Sequence[int]) -> list[str]:
    """The facts of one step that adding (or subtracting) ``numbers`` from the left uses."""
    return [step.left.rstrip("=") for step in run_through(sign, numbers)[0]]


def as_text(steps: Sequence[Step]) -> str:
    return " ".join(step.text for step in steps)


def boxed(answer: str) -> str:
    return f"So \\boxed{{{answer}}}."


@dataclass(frozen=True)
class WorldItem(ABC):
    """One question. ``answer=`` makes a method end in that answer instead of the right one: a teacher that is wrong."""

    question: str

    @property
    @abstractmethod
    def kind(self) -> str: ...

    @property
    @abstractmethod
    def length(self) -> int:
        """Steps of the task's own sub-skill; the comparisons of ``choice`` and ``yes-no`` come on top."""

    @property
    @abstractmethod
    def gold(self) -> str: ...

    @abstractmethod
    def wholes(self) -> list[tuple[str, list[str]]]:
        """(whole, parts) of everything in the question that the split is about; see ``split.belongs``."""

    @abstractmethod
    def claim(self, answer: str) -> Step:
        """The line of somebody who answers in one go."""

    @abstractmethod
    def steps(self, answer: str | None = None) -> list[Step]: ...

    @abstractmethod
    def slipping(self, rng: random.Random, rate: float) -> tuple[list[Step], str]:
        """(steps, answer) of a writer who slips at ``rate`` per step and goes on from there."""

    @abstractmethod
    def second(self, answer: str | None = None, said: str = "") -> list[Step]:
        """The steps of the second method, about somebody's answer ``said``."""

    @abstractmethod
    def other(self, rng: random.Random, answer: str) -> str:
        """An answer other than ``answer`` that somebody might believe."""

    @abstractmethod
    def possible(self, answer: str) -> bool:
        """True if ``answer`` has the form of an answer to this question."""

    @abstractmethod
    def data(self) -> dict[str, Any]:
        """What ``from_meta`` needs beside the question."""

    def meta(self) -> dict[str, Any]:
        """For ``Example.meta``."""
        solution = f"{as_text(self.steps())} {boxed(self.gold)}"
        return {"kind": self.kind, "length": self.length, "solution": solution, **self.data()}


@dataclass(frozen=True)
class Total(WorldItem):
    """``sum`` and ``difference``."""

    sign: str
    numbers: tuple[int, ...]

    @property
    def kind(self) -> str:
        return "sum" if self.sign == "+" else "difference"

    @property
    def length(self) -> int:
        return len(self.numbers) - 1

    @property
    def total(self) -> int:
        return run_through(self.sign, self.numbers)[1]

    @property
    def gold(self) -> str:
        return str(self.total)

    def wholes(self) -> list[tuple[str, list[str]]]:
        return [_whole(self.sign, self.numbers)]

    def claim(self, answer: str) -> Step:
        return Step(f"{expression(self.sign, self.numbers)}=", answer)

    def steps(self, answer: str | None = None) -> list[Step]:
        return _ending(run_through(self.sign, self.numbers)[0], answer)

    def slipping(self, rng: random.Random, rate: float) -> tuple[list[Step], str]:
        steps, total = run_through(self.sign, self.numbers, careless(rng, rate))
        return steps, str(total)

    def second(self, answer: str | None = None, said: str = "") -> list[Step]:
        return _ending(run_through(self.sign, other_way(self.numbers))[0], answer)

    def other(self, rng: random.Random, answer: str) -> str:
        return str(near(rng, int(answer) if self.possible(answer) else self.total))

    def possible(self, answer: str) -> bool:
        return answer.isascii() and answer.isdigit() and len(answer) == 2

    def data(self) -> dict[str, Any]:
        return {"sign": self.sign, "numbers": list(self.numbers)}


@dataclass(frozen=True)
class YesNo(Total):
    """``yes-no``: is a total more than a limit?"""

    limit: int

    @property
    def kind(self) -> str:
        return "yes-no"

    @property
    def gold(self) -> str:
        return _yes(self.total > self.limit)

    def claim(self, answer: str) -> Step:
        return Step(f"{expression(self.sign, self.numbers)}>{self.limit}? ", answer)

    def steps(self, answer: str | None = None) -> list[Step]:
        steps, total = run_through(self.sign, self.numbers)
        return [*steps, Step(f"{total}>{self.limit}? ", answer or self.gold)]

    def slipping(self, rng: random.Random, rate: float) -> tuple[list[Step], str]:
        steps, total = run_through(self.sign, self.numbers, careless(rng, rate))
        answer = _yes(total > self.limit)
        return [*steps, Step(f"{total}>{self.limit}? ", answer)], answer

    def second(self, answer: str | None = None, said: str = "") -> list[Step]:
        steps, total = run_through(self.sign, other_way(self.numbers))
        return [*steps, Step(f"{self.limit}<{total}? ", answer or self.gold)]

    def other(self, rng: random.Random, answer: str) -> str:
        return _yes(answer != "yes")

    def possible(self, answer: str) -> bool:
        return answer in ("yes", "no")

    def data(self) -> dict[str, Any]:
        return {**super().data(), "limit": self.limit}


@dataclass(frozen=True)
class Choice(WorldItem):
    """``choice``: which of four sums is the largest? No two are equal."""

    options: tuple[tuple[int, ...], ...]

    @property
    def kind(self) -> str:
        return "choice"

    @property
    def length(self) -> int:
        return sum(len(numbers) - 1 for numbers in self.options)

    @property
    def gold(self) -> str:
        totals = list(map(sum, self.options))
        return LETTERS[totals.index(max(totals))]

    def wholes(self) -> list[tuple[str, list[str]]]:
        return [_whole("+", numbers) for numbers in self.options if len(numbers) > 1]

    def claim(self, answer: str) -> Step:
        return Step("The most is ", answer)

    def steps(self, answer: str | None = None) -> list[Step]:
        steps, totals = self._totals(exact)
        return [*steps, *self._tournament(LETTERS, totals, answer)[0]]

    def slipping(self, rng: random.Random, rate: float) -> tuple[list[Step], str]:
        steps, totals = self._totals(careless(rng, rate))
        compared, best = self._tournament(LETTERS, totals)
        return [*steps, *compared], best

    def second(self, answer: str | None = None, said: str = "") -> list[Step]:
        """From the last option to the first, each time saying which one is out."""
        steps, totals = self._totals(exact)
        return [*steps, *self._tournament(LETTERS[::-1], totals, answer, ", {} is out")[0]]

    def _totals(self, calc: Calc) -> tuple[list[Step], dict[str, int]]:
        steps, totals = [], {}
        for letter, numbers in zip(LETTERS, self.options, strict=True):
            added, totals[letter] = run_through("+", numbers, calc, f"{letter}: ")
            steps += added
        return steps, totals

    @staticmethod
    def _tournament(order: str, totals: Mapping[str, int], answer: str | None = None, remark: str = "") -> tuple[list[Step], str]:
        """(each option against the best so far, the winner)."""
        steps, best = [], order[0]
        for rival in order[1:]:
            stays = totals[best] > totals[rival] if answer not in (best, rival) else best == answer
            left = f"{best} {totals[best]}>{rival} {totals[rival]}? "
            best, out = (best, rival) if stays else (rival, best)
            steps.append(Step(left, _yes(stays) + remark.format(out)))
        return steps, best

    def other(self, rng: random.Random, answer: str) -> str:
        return rng.choice([letter for letter in LETTERS if letter != answer])

    def possible(self, answer: str) -> bool:
        return len(answer) == 1 and answer in LETTERS

    def data(self) -> dict[str, Any]:
        return {"options": [list(o) for o in self.options], "choices": [expression("+", o) for o in self.options]}


@dataclass(frozen=True)
class Chain(WorldItem):
    """``chain``: who gets it in the end? ``aside`` is a second chain that leads elsewhere."""

    path: tuple[str, ...]
    aside: tuple[str, ...]

    @property
    def kind(self) -> str:
        return "chain"

    @property
    def length(self) -> int:
        return len(self.path) - 1

    @property
    def gold(self) -> str:
        return self.path[-1]

    def wholes(self) -> list[tuple[str, list[str]]]:
        own = _links(self.path) if self.length > 1 else []
        return [(">".join(self.path), [*own, *_links(self.aside)])]

    def claim(self, answer: str) -> Step:
        return Step("The last is ", answer)

    def steps(self, answer: str | None = None) -> list[Step]:
        return _ending([Step(f"{a} to ", b) for a, b in zip(self.path, self.path[1:], strict=False)], answer)

    def slipping(self, rng: random.Random, rate: float) -> tuple[list[Step], str]:
        """A slip reads a line of the other chain, and goes on there."""
        gives, steps, at = self._gives(), [], self.path[0]
        while at in gives:
            to = gives[at] if rng.random() >= rate or at not in self.path else rng.choice(self.aside[1:])
            steps.append(Step(f"{at} to ", to))
            at = to
        return steps, at

    def second(self, answer: str | None = None, said: str = "") -> list[Step]:
        """Backwards from who has it in the end; first from ``said``, if it is the other end: that leads to no one."""
        if answer not in (None, self.gold):
            for names in (self.path, self.aside):
                if answer in names[1:]:
                    return _backwards(names[: names.index(str(answer)) + 1])
            return [Step(f"{answer} from ", self.path[0])]
        nowhere = [*_backwards(self.aside), Step(f"{self.aside[0]} from ", "no one")] if said == self.aside[-1] else []
        return [*nowhere, *_backwards(self.path)]

    def _gives(self) -> dict[str, str]:
        return {a: b for names in (self.path, self.aside) for a, b in itertools.pairwise(names)}

    def other(self, rng: random.Random, answer: str) -> str:
        return rng.choice([name for name in (*self.path[1:], *self.aside[1:], self.aside[-1]) if name != answer])

    def possible(self, answer: str) -> bool:
        return answer in NAMES

    def data(self) -> dict[str, Any]:
        return {"path": list(self.path), "aside": list(self.aside)}


KINDS = ("sum", "difference", "choice", "yes-no", "chain")


def from_meta(question: str, meta: Mapping[str, Any]) -> WorldItem:
    """The item of an example of the task ``world``.

    Raises:
        KeyError: if ``meta`` is not that of such an example.
    """
    kind = meta["kind"]
    if kind == "chain":
        return Chain(question, tuple(meta["path"]), tuple(meta["aside"]))
    if kind == "choice":
        return Choice(question, tuple(map(tuple, meta["options"])))
    if kind == "yes-no":
        return YesNo(question, meta["sign"], tuple(meta["numbers"]), meta["limit"])
    return Total(question, meta["sign"], tuple(meta["numbers"]))


def _whole(sign: str, numbers: tuple[int, ...]) -> tuple[str, list[str]]:
    own = facts(sign, numbers) if len(numbers) > 2 else []
    return expression(sign, numbers), [*own, *facts(sign, other_way(numbers))]


def _links(names: Sequence[str]) -> list[str]:
    return [f"{a}>{b}" for a, b in itertools.pairwise(names)]


def _backwards(names: Sequence[str]) -> list[Step]:
    return [Step(f"{b} from ", a) for a, b in zip(names[-2::-1], names[:0:-1], strict=True)]


def _ending(steps: list[Step], answer: str | None) -> list[Step]:
    return steps if answer is None else [*steps[:-1], Step(steps[-1].left, answer)]


def _yes(true: bool) -> str:
    return "yes" if true else "no"
