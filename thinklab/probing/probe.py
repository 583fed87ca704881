"""``sample`` and ``summarize``: answers to held-out questions at T=1 and greedily, as rates; paired ``differences``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from thinklab.behavior.behavior import Behavior
from thinklab.probing.result import ProbeResult
from thinklab.probing.stats import Rate, paired_difference
from thinklab.students.base import Student
from thinklab.tasks.base import Task
from thinklab.tasks.boxed import boxed_answers
from thinklab.types import Example

DECODINGS = {"T=1": 1.0, "greedy": 0.0}


@dataclass(frozen=True)
class ProbeSample:
    """One answer to one held-out question, with everything that the rates need."""

    example_id: str
    question: str
    gold: str
    decoding: str
    text: str
    tokens: int
    finished: bool
    correct: bool
    """The last answer is right."""
    first_correct: bool
    """The first answer is right, whatever follows it."""
    behaviors: Mapping[str, bool | None]
    """Which behaviors the text shows; None: it takes a judge, and the judge gave no verdict."""


def sample(
    student: Student,
    task: Task,
    behaviors: Sequence[Behavior],
    examples: Sequence[Example],
    decoding: str = "T=1",
    max_new_tokens: int = 256,
    seed: int = 4242,
    rows: int = 256,
    n: int = 1,
) -> list[ProbeSample]:
    """``n`` answers to each example, side by side.

    Args:
        decoding: a key of ``DECODINGS``.
        rows: answers sampled at once; the same seed and rows give the same answers.
        n: answers per question; greedy decoding gives one, regardless of ``n``.
    """
    sampler = student.sampler(max_new_tokens, DECODINGS[decoding], rows)
    prompts = [student.encode(task.prompt(e)) for e in examples]
    n = n if DECODINGS[decoding] else 1
    answers = sampler(student.model, prompts, n, seed)
    examples = [e for e in examples for _ in range(n)]
    texts = student.tokenizer.batch_decode(answers, skip_special_tokens=True)
    shown = {b.name: b.shown(texts) for b in behaviors}  # all texts at once: a judge is called in batches
    return [
        ProbeSample(
            example_id=e.id,
            question=e.question,
            gold=e.gold,
            decoding=decoding,
            text=text,
            tokens=len(ids),
            finished=sampler.finished(ids),
            correct=task.verify(text, e),
            first_correct=task.verify_first(text, e),
            behaviors={name: found[k] for name, found in shown.items()},
        )
        for k, (e, ids, text) in enumerate(zip(examples, answers, texts, strict=True))
    ]


T = TypeVar("T")


def by_question(samples: Iterable[Any], value: Callable[[Any], T | None]) -> dict[str, list[T]]:
    """The values of all answers to each question, by its id; answers whose value is None (no verdict) are left out."""
    groups: dict[str, list[T]] = {}
    for s in samples:
        if (v := value(s)) is not None:
            groups.setdefault(_get(s, "example_id"), []).append(v)
    return groups


def summarize(samples: Sequence[ProbeSample]) -> ProbeResult:
    """The rates of samples of one decoding; at least one sample."""

    def rate(value: Callable[[ProbeSample], bool | None]) -> Rate:
        return Rate.of_groups(list(by_question(samples, value).values()))

    questions = len({s.example_id for s in samples})
    return ProbeResult(
        decoding=samples[0].decoding,
        accuracy=rate(lambda s: s.correct),
        first_accuracy=rate(lambda s: s.first_correct),
        finished=rate(lambda s: s.finished),
        boxed=rate(lambda s: bool(boxed_answers(s.text))),
        behaviors={name: rate(partial(_behavior, name=name)) for name in samples[0].behaviors},
        mean_tokens=sum(s.tokens for s in samples) / len(samples),
        samples=round(len(samples) / questions),
    )


def differences(before: Sequence[Any], after: Sequence[Any]) -> dict[str, Any]:
    """Paired changes on the common questions, with 95 % bootstrap intervals; ``{}`` if there are none.

    Args:
        before, after: ``ProbeSample``s or lines of ``probe_samples.jsonl``, of one decoding.

    Returns:
        ``{"accuracy": {value, low, high}, "first_accuracy": ..., "finished": ..., "tokens": ..., "behaviors": {name: ...}}``
    """
    if not {_get(s, "example_id") for s in before} & {_get(s, "example_id") for s in after}:
        return {}

    def gap(value: Callable[[Any], float | None]) -> dict[str, float] | None:
        one, other = (by_question(samples, lambda s: _number(value(s))) for samples in (before, after))
        return paired_difference(one, other).to_json() if one.keys() & other.keys() else None

    plain = {"accuracy": "correct", "first_accuracy": "first_correct", "finished": "finished", "tokens": "tokens"}
    return {
        **{name: gap(partial(_get, key=key)) for name, key in plain.items()},
        "behaviors": {
            b: found
            for b in _get(after[0], "behaviors")
            if b in _get(before[0], "behaviors") and (found := gap(partial(_behavior, name=b))) is not None
        },
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _behavior(sample: Any, name: str) -> bool | None:
    shown: bool | None = _get(sample, "behaviors")[name]
    return shown


def _get(sample: Any, key: str) -> Any:
    return sample[key] if isinstance(sample, Mapping) else getattr(sample, key)
