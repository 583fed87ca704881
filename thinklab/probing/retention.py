"""``Retention``: KL to the base model on neutral passages, which stand here.

KL(base || student) per token, over whole next-token distributions, on a fixed set of neutral texts. 0 = untouched. The
direction measures how surprised the trained student is by what the base would write. It is measured on the same forward
path as training, with the LoRA adapter on and off.

For the embedded student, neutral text is the part of its corpus that is not word problems (chat, quotes, drills), because it
cannot model English prose. For any other student it is the passages below, written for this purpose.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from thinklab.probing.stats import Estimate, mean_interval
from thinklab.students.base import Student

PASSAGES = (
    "The river bends twice before it reaches the old bridge, and in spring the fields beside it stand under water.",
    "She unlocked the shop at seven, swept the step, and set the first tray of bread in the window.",
    "Dear Martin, thank you for your letter. We are all well here, and the garden has begun to look like a garden again.",
    "A compiler translates source code into machine code. It first splits the text into tokens and then builds a syntax tree.",
    "The committee met on Tuesday and agreed to postpone the vote until the missing documents had arrived.",
    "Whales are mammals: they breathe air, bear live young, and feed them with milk.",
    "To make the dough, rub the butter into the flour, add cold water by the spoonful, and let it rest for an hour.",
    "The train was late again. Nobody on the platform seemed surprised, and a few people had brought folding chairs.",
    "In the winter of that year the harbour froze, and people walked from one shore to the other carrying lanterns.",
    'def mean(values):\n    """The arithmetic mean."""\n    return sum(values) / len(values)\n',
    "Contracts are read most carefully after they have been signed. This one was no exception.",
    "Light from the nearest star takes more than four years to reach us, so we always see it as it was.",
)
EMBEDDED_TEXTS, MAX_TOKENS = 32, 64


def neutral_texts(student: Student) -> list[str]:
    """The fixed texts for this kind of student."""
    if not student.tiny:
        return list(PASSAGES)
    from thinklab.students.tiny_corpus import drill, quote, sentence

    rng = random.Random("neutral")
    makers = (lambda: " ".join(sentence(rng) for _ in range(3)), lambda: quote(rng), lambda: drill(rng))
    return [makers[k % len(makers)]() for k in range(EMBEDDED_TEXTS)]


def base_model(student: Student):
    """A context in which the student's model acts as its own base; None if there is no adapter to switch off."""
    return student.model.disable_adapter if hasattr(student.model, "disable_adapter") else None


@dataclass
class Retention:
    """Measures the KL repeatedly against a base that is stored once: ``Retention.of(student).kl()``."""

    student: Student
    ids: torch.Tensor
    mask: torch.Tensor
    base: torch.Tensor
    """(B, T, V) log-probabilities of the base, in half precision on the CPU."""

    @classmethod
    def of(cls, student: Student, texts: Sequence[str] | None = None, max_tokens: int = MAX_TOKENS) -> Retention:
        """Store the base's distributions; without an adapter, the current student is the base."""
        rows = [student.tokenizer(t, add_special_tokens=True)["input_ids"][:max_tokens] for t in texts or neutral_texts(student)]
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), student.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for k, row in enumerate(rows):
            ids[k, : len(row)], mask[k, : len(row)] = torch.tensor(row), 1
        with (base_model(student) or nullcontext)():
            return cls(student, ids, mask, _log_probs(student.model, ids, mask).half())

    def per_text(self) -> list[float]:
        """KL(base || student) in nats, mean over the tokens of each text."""
        base = self.base.float()
        gap = (base.exp() * (base - _log_probs(self.student.model, self.ids, self.mask))).sum(-1)
        wanted = self.mask[:, 1:].float()
        return ((gap * wanted).sum(1) / wanted.sum(1).clamp(min=1)).clamp(min=0).tolist()

    def kl(self) -> float:
        """Mean over the texts, nats per token."""
        values = self.per_text()
        return sum(values) / len(values)

    def estimate(self) -> Estimate:
        """The same with a 95 % t-interval over the texts."""
        return mean_interval(self.per_text())


@torch.no_grad()
def _log_probs(model, ids: torch.Tensor, mask: torch.Tensor, rows: int = 8) -> torch.Tensor:
    """(B, T - 1, V) log-probabilities of the next token, fp32 on the CPU."""
    training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        parts = [
            model(input_ids=i.to(device), attention_mask=m.to(device), use_cache=False)
            .logits[:, :-1]
            .float()
            .log_softmax(-1)
            .cpu()
            for i, m in zip(ids.split(rows), mask.split(rows), strict=True)
        ]
        return torch.cat(parts)
    finally:
        model.train(training)
