"""Spill-over: unrelated prompts, which stand here, and how often the behavior shows up in their answers.

Three groups: a plain greeting, questions that have no answer, and other domains. A text counts if the behavior's detector
finds it, or if it contains one of the behavior's fixed phrases (``guidance.must_contain``): a detector that requires two boxed
answers would miss a check after "Hello!".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from thinklab.behavior.behavior import Behavior
from thinklab.probing.retention import base_model
from thinklab.probing.stats import Rate
from thinklab.students.base import Student

PROMPTS: dict[str, tuple[str, ...]] = {
    "greeting": (
        "Hello!",
        "Hi.",
        "Good morning.",
        "Good evening, how are you?",
        "Thank you.",
        "Nice to meet you.",
        "Hey there!",
        "Have a good weekend.",
    ),
    "no answer": (
        "How many?",
        "What color is seven?",
        "How long is a piece of string?",
        "What did I have for breakfast?",
        "Which number am I thinking of?",
        "Who will win?",
        "What is north of the North Pole?",
        "How many more?",
    ),
    "other domain": (
        "Name a city by the sea.",
        "Write one sentence about rain.",
        "What is a kettle for?",
        "Translate 'bread' into French.",
        "Why is the sky blue?",
        "Give a word that rhymes with hill.",
        "Who wrote Hamlet?",
        "Describe a fox.",
    ),
}
EMBEDDED_DOMAINS = (
    "Say a line",
    "A movie line",
    "Who says what",
    "Line of Ann",
    "Line of Tom",
    "Steps",
    "Tom sees the old fox.",
    "The red ship moves.",
)
"""Prompts that the embedded student knows besides sums; it cannot model English questions."""


def prompts_for(student: Student) -> dict[str, tuple[str, ...]]:
    return {**PROMPTS, "other domain": EMBEDDED_DOMAINS} if student.tiny else PROMPTS


def measure(
    student: Student, behaviors: Sequence[Behavior], n: int = 8, max_new_tokens: int = 96, seed: int = 4242, base: bool = False
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Rates by group and behavior at T=1, and every text behind them.

    Args:
        n: answers to each prompt.
        base: measure with the adapter switched off: the student before training.

    Returns:
        ``{group: {behavior: {count, total, value, low, high}}}`` and the texts.
    """
    rates: dict[str, dict[str, Any]] = {}
    texts: list[dict[str, Any]] = []
    with ((base_model(student) if base else None) or nullcontext)():
        for group, prompts in prompts_for(student).items():
            answers = student.answer([[{"role": "user", "content": p}] for p in prompts], n, max_new_tokens, seed=seed)
            rates[group], verdicts = {}, {b.name: shows(b, answers) for b in behaviors}
            for b in behaviors:
                shown = verdicts[b.name]
                r = Rate.of_groups([[x for x in shown[k : k + n] if x is not None] for k in range(0, len(shown), n)])
                rates[group][b.name] = {
                    "count": r.count,
                    "total": r.total,
                    "value": r.value,
                    "low": r.low,
                    "high": r.high,
                    "effective": r.effective,
                }
            texts += [
                {
                    "group": group,
                    "prompt": prompts[k // n],
                    "text": text,
                    "shows": {name: shown[k] for name, shown in verdicts.items()},
                }
                for k, text in enumerate(answers)
            ]
    return rates, texts


def shows(behavior: Behavior, texts: Sequence[str]) -> list[bool | None]:
    """For each text: whether the detector finds it or it contains a fixed phrase (not the box, which every answer has).

    None: it takes a judge, and the judge gave no verdict.
    """
    words = [w for w in behavior.spec.guidance.must_contain if "boxed" not in w]
    found: dict[int, bool | None] = {k: True for k, text in enumerate(texts) if any(w in text for w in words)}
    left = [k for k in range(len(texts)) if k not in found]
    found |= zip(left, behavior.shown([texts[k] for k in left]), strict=True)
    return [found[k] for k in range(len(texts))]
