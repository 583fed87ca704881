"""``Reach``: how unlikely a behavior's tokens are under the student, the samples it would take, and advice.

Teacher-forced: the student's probability of each token of the guidance, right after the answer that it wrote itself. From
these it derives

- the probability that it writes exactly this text unprompted, and the expected number of samples until it does (what plain GRPO needs);
- the weight k = p / (p + c) that AAS gives each token at a positive advantage. Where k < 0.1 (p < c / 9), the token hardly
  learns: AAS has almost no effect there, and a smaller ``loss.c_max`` is needed.

The probability is that of the exact wording, so it is a lower bound: the behavior in other words may be more likely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from thinklab.config.experiment import LossSection
from thinklab.logprobs import chosen_logprobs
from thinklab.probing.retention import base_model
from thinklab.students.base import Student
from thinklab.types import Rollout

NO_GRIP = 0.1
"""Weight under which a token is out of reach."""
MEASURED = 48
"""Number of texts that is enough for a figure."""
HOPELESS = 1e-12
"""Below this, no c helps in an ordinary run: single-precision probabilities and gradients underflow near here."""


@dataclass(frozen=True)
class Reach:
    """What was measured over N texts."""

    texts: int
    log10_text: float
    """log10 of the mean probability of a whole text after its answer."""
    advantage: float
    """The advantage at which k was computed."""
    c: float
    """c at that advantage."""
    under_c: float
    """Share of tokens with k < 0.1."""
    rarest: Sequence[tuple[str, float, int]]
    """The least likely tokens: (token, geometric mean of its probability in context, number of texts)."""
    example: Sequence[tuple[str, float, float]]
    """One text token by token: (token, probability, k)."""
    lowest: float
    """Probability of the least likely token: the median over the texts."""

    @property
    def expected_samples(self) -> float:
        """Expected samples until the text occurs once; infinite if a double overflows."""
        return 10.0**-self.log10_text if self.log10_text > -300 else math.inf

    def to_json(self) -> dict[str, Any]:
        samples = self.expected_samples
        return {
            "texts": self.texts,
            "log10_text": self.log10_text,
            "expected_samples": samples if math.isfinite(samples) else None,
            "advantage": self.advantage,
            "c": self.c,
            "under_c": self.under_c,
            "lowest": self.lowest,
            "rarest": [list(x) for x in self.rarest],
            "example": [list(x) for x in self.example],
        }


@torch.no_grad()
def measure(student: Student, rollouts: Sequence[Rollout], loss: LossSection, advantage: float = 1.0, rows: int = 16) -> Reach:
    """Reach of the guidance in ``rollouts`` for the student's *base* (with its adapter, if any, switched off).

    Args:
        rollouts: guided ones, with their token ids; unguided ones are skipped.
        loss: gives c_max and a_max.
        advantage: a positive one; guidance that turns a wrong answer right earns about 1.

    Raises:
        ValueError: when no rollout is guided.
    """
    guided = [r for r in rollouts if r.guided]
    if not guided:
        raise ValueError("reach needs guided rollouts, and none of these is guided")
    c = loss.c_max * min(1.0, advantage / loss.a_max)
    logps = [
        x for k in range(0, len(guided), rows) for x in _teacher_logps(student, guided[k : k + rows], base=True)
    ]  # one (G,) list per text
    totals = [sum(x) for x in logps]
    top = max(totals)
    mean_text = (top + math.log(sum(math.exp(t - top) for t in totals) / len(totals))) / math.log(10)
    seen: dict[tuple[int, str], list[float]] = {}
    for rollout, values in zip(guided, logps, strict=True):
        for place, (token, value) in enumerate(zip(rollout.teacher_ids, values, strict=True)):
            seen.setdefault((place, _token(student, token)), []).append(value)
    common = {key: v for key, v in seen.items() if len(v) >= max(1, len(guided) // 4)} or seen
    rarest = sorted(((token, math.exp(sum(v) / len(v)), len(v)) for (_, token), v in common.items()), key=lambda x: x[1])[:8]
    middle = sorted(range(len(guided)), key=lambda k: totals[k])[len(guided) // 2]
    example = [
        (_token(student, i), math.exp(v), weight(math.exp(v), c))
        for i, v in zip(guided[middle].teacher_ids, logps[middle], strict=True)
    ]
    every = [v for values in logps for v in values]
    lowest = sorted(min(values) for values in logps)[len(logps) // 2]
    return Reach(
        len(guided),
        mean_text,
        advantage,
        c,
        sum(weight(math.exp(v), c) < NO_GRIP for v in every) / len(every),
        rarest,
        example,
        math.exp(lowest),
    )


@torch.no_grad()
def log_probabilities(student: Student, rollouts: Sequence[Rollout], rows: int = 16) -> list[float]:
    """Natural log of the probability that the *current* student continues with exactly this guidance: one value per rollout.

    Args:
        rollouts: guided ones.
        rows: rollouts in one forward pass.
    """
    return [sum(x) for k in range(0, len(rollouts), rows) for x in _teacher_logps(student, rollouts[k : k + rows], base=False)]


def _token(student: Student, token: int) -> str:
    text = student.tokenizer.decode([token])
    assert isinstance(text, str), "the ids of one text decode to one text"
    return text


def weight(p: float, c: float) -> float:
    """k = p / (p + c) at a positive advantage; 1 where c is 0."""
    return p / (p + c) if p + c > 0 else 1.0


def advice(found: Reach | Mapping[str, Any], loss: LossSection, samples: int) -> list[str]:
    """Advice, in sentences. ``samples``: rollouts that the whole run samples."""
    r = found.to_json() if isinstance(found, Reach) else found
    waiting, lowest = r["expected_samples"], r["lowest"]
    said = []
    if waiting is not None and waiting <= samples:
        said.append(
            f"Unprompted, the student writes such a text about once in {waiting:,.0f} answers, and this run samples {samples:,}: "
            "plain GRPO may find it without a teacher, so compare with "
            "it."
        )
    else:
        shown = f"{waiting:,.0f}" if waiting is not None and waiting < 1e9 else f"10^{-r['log10_text']:.0f}"
        said.append(
            f"Unprompted, the student would write such a text once in about {shown} answers; this run samples {samples:,}. "
            "Plain GRPO cannot reinforce what it never sees."
        )
    if loss.method != "aas":
        return said
    if lowest < HOPELESS:
        said.append(
            f"Its least likely token has a probability of about {lowest:.1e}: out of reach for any c in an ordinary run. Choose "
            "a wording that is more likely under the student, or train on it first (loss.method=sft for a few "
            "steps)."
        )
    elif weight(lowest, r["c"]) < NO_GRIP:
        wanted = lowest * loss.a_max / r["advantage"]
        said.append(
            f"{r['under_c']:.0%} of the teacher's tokens have k < {NO_GRIP}: AAS has almost no effect on them at loss.c_max="
            f"{loss.c_max:g}. The least likely one has p = {lowest:.1e}; loss.c_max={wanted:.0e} would give it k = 0.5."
        )
    else:
        said.append(f"AAS can train even the least likely token (p = {lowest:.1e}, k = {weight(lowest, r['c']):.2f}).")
    return said


def _teacher_logps(student: Student, rollouts: Sequence[Rollout], base: bool) -> list[list[float]]:
    """Log-prob of each teacher token, the adapter switched off for the ``base``."""
    width = max(len(r.prompt_ids) for r in rollouts)
    tail = max(len(r.completion_ids) for r in rollouts)
    device = next(student.model.parameters()).device
    ids = torch.full((len(rollouts), width + tail), student.tokenizer.pad_token_id, device=device)
    mask = torch.zeros_like(ids)
    for k, r in enumerate(rollouts):
        for start, part in ((width - len(r.prompt_ids), r.prompt_ids), (width, r.completion_ids)):
            ids[k, start : start + len(part)] = torch.tensor(part, device=device)
            mask[k, start : start + len(part)] = 1
    training = student.model.training
    student.model.eval()
    try:
        with ((base_model(student) if base else None) or nullcontext)():
            logps, _ = chosen_logprobs(student.model, ids, mask, tail)
    finally:
        student.model.train(training)
    return [logps[k, len(r.kept_student_ids) : len(r.completion_ids)].cpu().double().tolist() for k, r in enumerate(rollouts)]
