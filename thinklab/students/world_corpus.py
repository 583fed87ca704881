"""The training corpus of the student ``small-world``: what other people answer, and what others say about it.

1. ``answer``: a question of the small world and somebody's answer; four of five in one go, often wrong where it is long, and one of five
   in steps. Answers in steps are right more often, so plain GRPO has something to find: it can make steps the rule.
2. ``review``: a check or one of the four reflections (``tasks.world.acts``) about *somebody else's* answer, right or wrong
3. ``steps``: a question's expression or facts worked through
4. ``drill``: every sub-skill alone, comparing two numbers included
5. ``chat``, ``quote`` and ``saying``: harmless sentences, quotes, and common words in any order, which train the
   vocabulary for sentences of a user's own such as "In short: 36."

Nobody checks their own answer: an act follows an answer only behind ``Check`` or behind ``NAME says:``. No held-out fact occurs
(``tasks.world.split``), and no question has more than four steps.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from thinklab.students import tiny_corpus
from thinklab.tasks.sums import ITEMS, NAMES
from thinklab.tasks.world import drawing
from thinklab.tasks.world.acts import ACTS, BEGIN, said_about
from thinklab.tasks.world.drawing import draw
from thinklab.tasks.world.items import KINDS, LETTERS, Chain, Choice, Step, WorldItem, YesNo, as_text, boxed, expression
from thinklab.tasks.world.split import CORPUS_LENGTHS, is_held_out

STEPS = 4000
"""Steps of training of a base: about 24 M tokens."""
SHARES = {"answer": 0.23, "review": 0.37, "steps": 0.07, "drill": 0.22, "chat": 0.03, "quote": 0.02, "saying": 0.06}
"""Shares of the kinds of documents."""
ACT_SHARES = dict(zip(ACTS, (0.4, 0.15, 0.15, 0.15, 0.15), strict=True))
STEPWISE = 0.2
"""Share of answers in steps."""
SLIP = {1: 0.03, 2: 0.15, 3: 0.3, 4: 0.4}
"""Share of wrong answers in one go, by length."""
STEP_SLIP = 0.04
"""Share of wrong steps of people who answer in steps."""
REMARK = 0.05
"""Share of answers followed by a harmless sentence, so that the student is not certain to stop."""

COMMON = (
    "a about after again all also always an and another any are as ask at back be because before best better big both but by can "
    "case cannot clear close come correct could count did different do does done down each easy else end enough even ever every exact "
    "fact fast few final find fine first follow for found from full get give given go good great had half hard has have he help "
    "her here high him his hold hope how idea if in is it its just keep kind know large last late least left less let like line "
    "little long look lot low made make many may me mean method might more most much must my name near need never new next nice none "
    "not note now number of off often on once one only or other our out over own part people place point possible problem put "
    "question quick quite rather read ready real reason remember result right same say second see seem she short should show side "
    "simple since small so some sorry still stop such sum sure take tell ten than thank that the their them then there these they "
    "thing think this those thought three time to together too total true trust try turn two under understand until up us use very "
    "want was way we weak well were what when where which while who why will with word work world would wrong year yet you your zero "
    "answer add added altogether arr aye captain certain conclusion doubt explain friend hence however indeed instead mind perhaps "
    "please sir step summary thanks therefore thus verify wait weakest yes no okay hello today solution check confident guess "
    "box boxes cut forgot forget piece pieces sentence took said told asked words phrase mistake error careful slow done old young"
).split()
"""Words that a user's own sentences are made of, each with a small and a capital first letter."""


@dataclass(frozen=True)
class CorpusText:
    """One document, with what a test needs to verify it."""

    text: str
    kind: str
    item: WorldItem | None = None
    act: str = ""


def document(rng: random.Random, kinds: tuple[str, ...] = KINDS) -> CorpusText:
    """One document of the corpus.

    Args:
        kinds: of the questions in it, for a trial with fewer.
    """
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    if kind == "drill":
        return CorpusText(drill(rng), kind)
    if kind == "chat":
        return CorpusText(" ".join(tiny_corpus.sentence(rng) for _ in range(3)), kind)
    if kind == "quote":
        return CorpusText(tiny_corpus.quote(rng), kind)
    if kind == "saying":
        return CorpusText(" ".join(saying(rng) for _ in range(4)), kind)
    item = draw(rng, "train", rng.choice(kinds), rng.choice(CORPUS_LENGTHS))
    if kind == "steps":
        return CorpusText(f"Steps\n{source(item)} {as_text(item.steps())} {boxed(item.gold)}", kind, item)
    if kind == "answer":
        text = f"{item.question}\n{answer(rng, item)[0]}"
        return CorpusText(f"{text} {tiny_corpus.sentence(rng)}" if rng.random() < REMARK else text, kind, item)
    act = rng.choices(list(ACT_SHARES), list(ACT_SHARES.values()))[0]
    return CorpusText(review(rng, item, act), kind, item, act)


def answer(rng: random.Random, item: WorldItem, wrong: float | None = None) -> tuple[str, str]:
    """(somebody's answer in words, the answer).

    Args:
        wrong: share of wrong answers; None: as people are.
    """
    if rng.random() < STEPWISE:
        while True:
            steps, said = item.slipping(rng, STEP_SLIP if wrong is None else 2 * STEP_SLIP)
            if not any(is_held_out(f) for step in steps if (f := fact(step))):
                return f"{as_text(steps)} {boxed(said)}", said
    rate = SLIP[item.length] if wrong is None else wrong
    said = item.other(rng, item.gold) if rng.random() < rate else item.gold
    return f"{item.claim(said).text} {boxed(said)}", said


def fact(step: Step) -> str:
    """``25+7`` of ``25+7=``, ``Tom>Ann`` of ``Tom to Ann``; empty for a comparison."""
    if found := re.search(r"(\d+[+-]\d+)=$", step.left):
        return found[1]
    return step.left.replace(" to ", ">") + step.right if step.left.endswith(" to ") else ""


def review(rng: random.Random, item: WorldItem, act: str) -> str:
    """Another person's answer, and what is said about it. The settings vary, so that it depends on the question and not on them."""
    said_text, said = answer(rng, item, wrong=0.5)
    other = item.other(rng, said) if said == item.gold or rng.random() < 0.3 else item.gold
    about = f"{said_about(act, item, said, item.gold, said_text, other)} {boxed(item.gold)}"
    name, kind = rng.choice(NAMES), rng.random()
    if kind < 0.7:
        return f"Check\n{item.question}\n{said_text} {about}"
    return f"{name} asks: {item.question}\n{rng.choice(NAMES)} says: {said_text} {about}"


def source(item: WorldItem) -> str:
    """What the steps of ``item`` are taken from, without a story."""
    if isinstance(item, Chain):
        return f"{item.question.split(f' {item.path[0]} has ')[0].split(' The ')[0]} {item.path[0]}:"
    if isinstance(item, Choice):
        return " ".join(f"{letter} {expression('+', o)}" for letter, o in zip(LETTERS, item.options, strict=True)) + ":"
    left = item.claim("").left.rstrip("= ?")
    return f"{left}?" if isinstance(item, YesNo) else f"{left}:"


def drill(rng: random.Random) -> str:
    """One sub-skill alone, several times."""
    return rng.choices([_arithmetic, _comparing, _looking_up], [0.5, 0.35, 0.15])[0](rng)


def _arithmetic(rng: random.Random) -> str:
    done: list[str] = []
    while len(done) < 6:
        sign, digit = rng.choice("+-"), rng.randint(1, 9)
        number = rng.randint(10, 99 - digit) if sign == "+" else rng.randint(10 + digit, 99)
        if not is_held_out(f"{number}{sign}{digit}"):
            done.append(f"{number}{sign}{digit}={number + digit if sign == '+' else number - digit}.")
    return " ".join(done)


def _comparing(rng: random.Random) -> str:
    """Mostly numbers that are close, which is what the questions ask for; with labels as in ``choice``, and in both directions."""
    done, labels = [], rng.random() < 0.3
    for _ in range(6):
        a = rng.randint(10, 99)
        b = (
            rng.choice([n for n in range(max(10, a - 14), min(99, a + 14) + 1) if n != a])
            if rng.random() < 0.8
            else rng.randint(10, 99)
        )
        if a == b:
            continue
        if labels:
            x, y = rng.sample(LETTERS, 2)
            done.append(f"{x} {a}>{y} {b}? {'yes' if a > b else 'no'}.")
        else:
            sign = rng.choice("><")
            done.append(f"{a}{sign}{b}? {'yes' if (a > b) == (sign == '>') else 'no'}.")
    return " ".join(done)


def _looking_up(rng: random.Random) -> str:
    names = rng.sample(NAMES, 8)
    links = [(a, b) for a, b in zip(names[::2], names[1::2], strict=True) if not is_held_out(f"{a}>{b}")]
    told = " ".join(f"{a} gives to {b}." for a, b in links)
    rng.shuffle(links)
    return f"{told} " + " ".join(f"{a} to {b}." if rng.random() < 0.6 else f"{b} from {a}." for a, b in links)


def saying(rng: random.Random) -> str:
    """Common words in any order, some with a number, a name or a letter behind them."""
    words = [rng.choice(COMMON) for _ in range(rng.randint(2, 6))]
    words[0] = words[0].capitalize()
    end = rng.choice([str(rng.randint(10, 99)), rng.choice(NAMES), rng.choice(LETTERS), rng.choice(("yes", "no")), ""])
    between = rng.choice((": ", ", ", " ")) if end else ""
    return f"{rng.choice(NAMES)} says: {' '.join(words)}{between}{end}{rng.choice('...!?;')}"


def vocabulary() -> list[str]:
    """Every token that is not a control token or a byte, sorted: that of the embedded student, the words of the questions and acts, and
    the common words behind a space."""
    words = set(tiny_corpus.vocabulary())
    words |= {f" {form}" for word in COMMON for form in (word, word.capitalize())}
    words |= {form for word in ("yes", "no") for form in (word, f" {word}")}
    templates = [
        *drawing.SUMS,
        *drawing.DIFFERENCES,
        *drawing.LIMITS["+"],
        *drawing.LIMITS["-"],
        *drawing.CHOICES,
        *drawing.CHAINS,
    ]
    fixed = [*templates, *(f" {b}" for b in BEGIN.values()), *(f" {word}" for word in (*drawing.THINGS, *ITEMS)), *_PHRASES]
    for text in fixed:
        words |= set(tiny_corpus.PIECES.findall(re.sub(r"\{\w+\}", "1", text)))
    return sorted(words)


_PHRASES = (
    "The most is A",
    " The most",
    "The last is",
    " It is the same",
    " It is not",
    " There is none",
    " The fault is in",
    " to from no one",
    " yes, is out",
    " gives to",
)
