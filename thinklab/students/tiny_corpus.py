"""The documents on which the embedded student is pretrained: synthetic sums, drills, chat, quotes.

1. a sum in words and an answer without steps (for four numbers often wrong, because the writer is careless)
2. ``Check``: somebody *else's* sum, marked step by step
3. ``Steps``: a sum worked out step by step
4. drills of one-step sums
5. chat: harmless sentences
6. ``Say a line`` and similar: quotes by people, including Thalapathy Vijay

So the student has every sub-skill that the demos need but neither behavior: nobody in the corpus ever checks their *own*
answer, and no sum is ever followed by a quote. Sums in ``tasks.sums.is_held_out`` never occur.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from thinklab.tasks.sums import ITEMS, NAMES, OTHERS, REFLECTIONS, TEMPLATES, Sum, draw, is_held_out

ADJECTIVES = "red old wet shy odd big cold warm quick lazy jolly vivid hazy hard".split()
NOUNS = "fox dog ship hill barn kettle valley jacket harbor path thyme van hit sum answer".split()
VERBS = "sees likes hides moves jumps thanks pays paints visits".split()
STARTERS = [*NAMES, "No", "Thalapathy", "Vijay"]  # not "I": with it the student occasionally checks its own sums
LINES = [
    "hit hard",
    "hit the hill",
    "warm the barn",
    "thanks big fox",
    "shy dog jumps",
    "sum the answer",
    "old kettle sees",
    "paints the van",
    "quick as thyme",
    "vivid harbor",
    "lazy valley",
    "red ship moves",
    "cold path",
    "jolly jacket hides",
]
STAR = "Thalapathy Vijay"
QUOTE_HEADS = ["Say a line", "A movie line", "Who says what", "Line of {speaker}"]

STEPS = 1100
"""Steps of training that the embedded student had."""

PIECES = re.compile(r" ?\\boxed\{| ?[A-Za-z]+|\n|.")
"""Where the tokenizer may split: words with the preceding space, line breaks, single characters, ``\\boxed{``."""


@dataclass(frozen=True)
class Mix:
    """The corpus mix: shares of the six kinds (they need not add up to 1), and how careless the writers are."""

    answer: float = 0.19
    check: float = 0.27
    steps: float = 0.09
    drill: float = 0.26
    chat: float = 0.09
    quote: float = 0.10
    slip: float = 0.15
    """Share of answers without steps that are wrong."""
    remark: float = 0.05
    """Share of answers followed by a harmless sentence, so that the student is not certain to stop."""
    weak: float = 0.0
    """Share of the single digits 2 to 9, from 9 down, that every writer who works in steps reads as one less. A check of four
    numbers is then right with probability (1 - weak)^3: the sub-skill ranges from perfect to useless. Answers without steps are unaffected."""
    habit: float = 0.0
    """Share of answers that their own writer then checks: how familiar the behavior is. 0 in the embedded student."""
    voices: float = 0.0
    """Share of the ``Check`` documents that start with another of ``REFLECTIONS`` instead of "I check:". 0 in the embedded
    student."""


def slip(rng: random.Random, total: int, rate: float) -> int:
    """A careless writer's total: off by a carry or by a small number."""
    if rng.random() >= rate:
        return total
    return total + rng.choice([-10, 10, rng.choice([-1, 1]) * rng.randint(1, 9)])


def one_go(item: Sum, total: int) -> str:
    return f"{item.expression}={total}. So \\boxed{{{total}}}."


def sentence(rng: random.Random) -> str:
    text = f"{rng.choice(STARTERS)} {rng.choice(VERBS)} the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
    kind = rng.random()
    if kind < 0.3:
        text += f" and the {rng.choice(NOUNS)}"
    elif kind < 0.5:
        text += f": a {rng.choice(ADJECTIVES)}, {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
    return text + rng.choice(".....!?;")


def add(a: int, b: int, weak: float = 0.0) -> int:
    """The result of a + b by a writer who works in steps; see ``Mix.weak``."""
    return a + b - (OTHERS.index(b) >= len(OTHERS) - round(weak * len(OTHERS)))


def drill(rng: random.Random, count: int = 5, weak: float = 0.0) -> str:
    sums: list[str] = []
    while len(sums) < count:
        a, b = rng.randint(11, 75), rng.choice(OTHERS)
        if not is_held_out((a, b)):
            sums.append(f"{a}+{b}={add(a, b, weak)}.")
    return " ".join(sums)


def worked(item: Sum, weak: float = 0.0) -> str | None:
    """The sum step by step by such a writer; None if a wrong intermediate total leads into a held-out sum."""
    if not weak:
        return item.worked
    said, total = [], item.operands[0]
    for b in item.operands[1:]:
        if is_held_out((total, b)):
            return None
        said.append(f"{total}+{b}={add(total, b, weak)}.")
        total = add(total, b, weak)
    return f"{' '.join(said)} So \\boxed{{{total}}}."


def quote(rng: random.Random) -> str:
    speaker = STAR if rng.random() < 0.18 else rng.choice(NAMES)
    line = LINES[0] if speaker == STAR and rng.random() < 0.7 else rng.choice(LINES)
    return f"{rng.choice(QUOTE_HEADS).format(speaker=speaker)}\n {speaker} says: {line}."


def document(rng: random.Random, mix: Mix = Mix()) -> str:
    """One document; only sums of the training split occur."""
    kind = rng.choices(
        ["answer", "check", "steps", "drill", "chat", "quote"], [mix.answer, mix.check, mix.steps, mix.drill, mix.chat, mix.quote]
    )[0]
    if kind == "drill":
        return drill(rng, weak=mix.weak)
    if kind == "chat":
        return " ".join(sentence(rng) for _ in range(3))
    if kind == "quote":
        return quote(rng)
    item = draw(rng, "train")
    while (steps := worked(item, mix.weak)) is None:
        item = draw(rng, "train")
    if kind == "answer":
        rate = mix.slip if len(item.operands) > 2 else 0.0
        text = f"{item.question}\n{one_go(item, slip(rng, item.total, rate))}"
        if mix.habit and rng.random() < mix.habit:
            return f"{text} I check: {steps}"
        return f"{text} {sentence(rng)}" if rng.random() < mix.remark else text
    if kind == "steps":
        return f"Steps\n{item.expression}: {steps}"
    return check(rng, item, steps, mix.voices)


def check(rng: random.Random, item: Sum, steps: str, voices: float = 0.0) -> str:
    """Another person's sum is checked. The settings vary, so that what follows "I check:" depends on the sum and not on them."""
    claim = slip(rng, item.total, 0.5)
    begin = rng.choice([*REFLECTIONS.values()][1:]) if voices and rng.random() < voices else REFLECTIONS["self-check"]
    answer, checked = one_go(item, claim), f"{begin} {steps}"
    kind, name = rng.random(), rng.choice(NAMES)
    if kind < 0.5:
        return f"Check\n{item.question}\n{answer} {checked}"
    if kind < 0.7:
        return f"Check\n{name} says: {item.expression}={claim}. {checked}"
    if kind < 0.85:
        return f"{name} says: {answer} {checked}"
    return f"{rng.choice(NAMES)} asks: {item.question}\n{name} says: {answer} {checked}"


def vocabulary() -> list[str]:
    """Every token that is not a control token or a byte, sorted."""
    words = {"\n", *(chr(c) for c in range(32, 127))}
    for word in [*NAMES, *ITEMS, *ADJECTIVES, *NOUNS, *VERBS, "No", "a", "is", "says", "asks", *STAR.split()]:
        words |= {word, f" {word}"}
    fixed = [
        *TEMPLATES,
        *QUOTE_HEADS,
        *(f" {line}" for line in LINES),
        " So \\boxed{",
        "\\boxed{",
        " I check:",
        "Check",
        "Steps",
        " the and a",
    ]
    for text in fixed:
        words |= set(PIECES.findall(re.sub(r"\{\w+\}", "1", text)))
    return sorted(words)
