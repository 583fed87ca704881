"""Was it instilled? Held-out questions, no guidance, no hint, sampled at T = 1 and greedily; rates with intervals."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thinklab.behavior import Behavior
from thinklab.probe_result import ProbeResult
from thinklab.stats import Rate
from thinklab.students.base import Student
from thinklab.tasks.base import Task
from thinklab.types import Example

DECODINGS = {"T=1": 1.0, "greedy": 0.0}


@dataclass(frozen=True)
class ProbeSample:
    """One answer to one held-out question, and everything a rate is made of."""

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
    """The first answer is right, whatever came after it."""
    behaviors: Mapping[str, bool]
    """Which behaviours the text shows."""


def sample(student: Student, task: Task, behaviors: Sequence[Behavior], examples: Sequence[Example], decoding: str = "T=1",
           max_new_tokens: int = 256, seed: int = 4242, rows: int = 256) -> list[ProbeSample]:
    """One answer to each example.

    Args:
        decoding: a key of ``DECODINGS``.
        rows: answers sampled at once; with the same seed and rows the same answers come back.
    """
    sampler = student.sampler(max_new_tokens, DECODINGS[decoding], rows)
    prompts = [student.encode(task.prompt(e)) for e in examples]
    answers = sampler(student.model, prompts, 1, seed)
    texts = student.tokenizer.batch_decode(answers, skip_special_tokens=True)
    return [ProbeSample(
        example_id=e.id, question=e.question, gold=e.gold, decoding=decoding, text=text, tokens=len(ids),
        finished=sampler.finished(ids), correct=task.verify(text, e), first_correct=task.verify_first(text, e),
        behaviors={b.name: bool(b.detect(text)) for b in behaviors})
        for e, ids, text in zip(examples, answers, texts, strict=True)]


def summarise(samples: Sequence[ProbeSample]) -> ProbeResult:
    """The rates of samples of one decoding; at least one sample."""
    def rate(values) -> Rate:
        values = list(values)
        return Rate(sum(values), len(values))
    return ProbeResult(
        decoding=samples[0].decoding, accuracy=rate(s.correct for s in samples),
        first_accuracy=rate(s.first_correct for s in samples), finished=rate(s.finished for s in samples),
        behaviors={name: rate(s.behaviors[name] for s in samples) for name in samples[0].behaviors},
        mean_tokens=sum(s.tokens for s in samples) / len(samples))
