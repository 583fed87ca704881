"""``measure`` a student on the small world; ``failures``: the gate that a base must pass before training.

A habit of checking can only pay if a check is worth something: in a first attempt at such a world, checks were right in .47 and .59 of
two tasks, and a perfectly learned habit gained nothing there. So of every kind of question, a check that the student is
made to write must be right in ``GATE`` of the lengths that its corpus has.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thinklab.tasks.boxed import boxed_answers
from thinklab.tasks.world.acts import BEGIN
from thinklab.tasks.world.drawing import draw
from thinklab.tasks.world.items import KINDS, WorldItem
from thinklab.tasks.world.split import CORPUS_LENGTHS, LENGTHS

GATE = 0.9
"""Least share of right forced checks, of each kind of question, over ``CORPUS_LENGTHS``."""
Ask = Callable[[list[str]], list[str]]
"""Continuations of texts, one for each, sampled at T=1."""
Figures = dict[str, dict[str, dict[str, float]]]
"""kind -> length -> name of the figure -> rate."""
CHECK = "right after a forced check"


def measure(ask: Ask, questions: int = 100, kinds: Sequence[str] = KINDS, lengths: Sequence[int] = LENGTHS) -> Figures:
    """Rates over held-out questions, ``questions`` of each kind and length.

    ``in one go`` and ``in steps`` force the first words of such an answer; a forced act follows the student's own answer.
    """
    rng = random.Random(999)
    figures: Figures = {}
    for kind in kinds:
        for length in lengths:
            items = [draw(rng, "test", kind, length) for _ in range(questions)]
            figures.setdefault(kind, {})[str(length)] = _of(ask, items)
    return figures


def _of(ask: Ask, items: list[WorldItem]) -> dict[str, float]:
    prompts = [f"{i.question}\n" for i in items]
    own = ask(prompts)
    rates = {
        "right as it answers": right(own, items),
        "answers in one go": sum(a.startswith(i.claim("").left) for a, i in zip(own, items, strict=True)) / len(items),
        "right in one go": right(_begun(ask, prompts, [i.claim("").left for i in items]), items),
        "right in steps": right(_begun(ask, prompts, [i.steps()[0].left for i in items]), items),
    }
    for act, begin in BEGIN.items():
        forced = ask([f"{p}{a} {begin}" for p, a in zip(prompts, own, strict=True)])
        rates[f"right after a forced {act.removeprefix('self-')}"] = right(forced, items)
    return {name: round(rate, 3) for name, rate in rates.items()}


def _begun(ask: Ask, prompts: list[str], begins: list[str]) -> list[str]:
    return ask([p + b for p, b in zip(prompts, begins, strict=True)])


def right(answers: Sequence[str], items: Sequence[WorldItem]) -> float:
    """The share of texts whose last box is right."""
    found = [boxed_answers(text)[-1:] == [item.gold] for text, item in zip(answers, items, strict=True)]
    return sum(found) / len(found)


def unprompted(ask: Ask, questions: int = 2000) -> dict[str, float]:
    """How often each act begins in answers to training questions that nobody asks to be checked; counts."""
    rng = random.Random(998)
    lengths = CORPUS_LENGTHS[:-1]
    prompts = [f"{draw(rng, 'train', KINDS[k % len(KINDS)], rng.choice(lengths)).question}\n" for k in range(questions)]
    answers = ask(prompts)
    counts = {f"{begin} in {questions} answers": sum(begin in text for text in answers) for begin in BEGIN.values()}
    return {**counts, f"remarks in {questions} answers": sum(not text.endswith("}.") for text in answers)}


def forced_check(figures: Figures, kind: str) -> float:
    """The rate that the gate is about: the mean over the lengths of the corpus that were measured."""
    rates = [figures[kind][str(n)][CHECK] for n in CORPUS_LENGTHS if str(n) in figures[kind]]
    return sum(rates) / len(rates)


def failures(figures: Figures) -> list[str]:
    """One sentence per kind of question that fails the gate."""
    rates = {kind: forced_check(figures, kind) for kind in figures}
    return [
        f"{kind}: a forced check is right in {rate:.3f} of the questions of {CORPUS_LENGTHS[0]} to {CORPUS_LENGTHS[-1]} steps; "
        f"at least {GATE} is needed"
        for kind, rate in rates.items()
        if rate < GATE
    ]


def table(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """All figures as a Markdown table, one row per kind and length."""
    names = list(next(iter(next(iter(figures.values())).values())))
    head = f"| task | steps | {' | '.join(names)} |\n| --- | --- |{' --- |' * len(names)}"
    rows = [
        f"| {kind} | {length} | {' | '.join(str(rates[name]) for name in names)} |"
        for kind, by_length in figures.items()
        for length, rates in by_length.items()
    ]
    return "\n".join([head, *rows])
