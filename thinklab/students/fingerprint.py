"""``fingerprint``: log-probs on one fixed text, which tell whether two models are the same.

A checkpoint contains the fingerprint of the trained student; an export is compared with it, which detects an adapter
on a different base (a requantized repository, an updated hub model).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from thinklab.logprobs import chosen_logprobs
from thinklab.sampler import _eval_mode

TEXT = (
    "Tom has 12 figs and finds 4 more. How many are there? 12+4=16. So there are 16 figs. The capital of France is Paris, "
    "and water boils at 100 degrees."
)
TOKENS = 64
"""Maximum number of tokens compared."""
CLOSE = 0.05
"""Mean difference in nats per token up to which two models count as the same. Adding an adapter to 16-bit weights rounds them."""


@torch.no_grad()
def fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: Callable = nullcontext) -> list[float]:
    """(T,) log-probs in nats of each token of ``TEXT`` after those before it. The model's state is unchanged.

    Args:
        context: makes the context manager for the forward pass (autocast).
    """
    ids = torch.tensor([tokenizer(TEXT)["input_ids"][:TOKENS]], device=next(model.parameters()).device)
    with _eval_mode(model):
        found, _ = chosen_logprobs(model, ids, torch.ones_like(ids), ids.shape[1] - 1, context=context)
    return [round(x, 4) for x in found[0].tolist()]


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Mean absolute difference, nats per token; infinite for texts of different length."""
    if len(one) != len(other):
        return float("inf")
    return sum(abs(a - b) for a, b in zip(one, other)) / max(1, len(one))
