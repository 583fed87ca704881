"""``prove``: a teacher in this process generates what its own logits predict, on a few greedy tokens.

A cache that is not filled, or a forward pass that another library has replaced, produces noise without any error. So two known texts
of different length are continued together and the result is compared with plain logits: one text at a time, no cache, no padding.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from thinklab.errors import TeacherError
from thinklab.sampler import Sampler, _eval_mode

TEXTS = ("Tom has 12 figs and finds 4 more. How many figs are there now?", "1 2 3 4")
TOKENS = 8
EXACT, HALF = 0.01, 0.5
"""Tolerance in nats of a chosen token below the most likely one: in float32, and in 16 or 4 bits, where near ties are rounded."""
INSTEAD = (
    "Another library has probably patched its model's code; run it as a separate server (backend openai), or use the teacher "
    "'self'"
)


@torch.no_grad()
def prove(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sampler: Sampler, what: str) -> None:
    """Continue the known texts with ``sampler`` and compare with plain logits.

    Args:
        sampler: greedy, as the teacher uses it.
        what: the teacher's name in the error.

    Raises:
        TeacherError: if it cannot continue them, or continues them with other tokens.
    """
    prompts = [tokenizer(text)["input_ids"] for text in TEXTS]
    narrow = getattr(model, "is_quantized", False) or next(model.parameters()).dtype is not torch.float32
    allowed, gap = HALF if narrow else EXACT, 0.0
    try:
        for some in (prompts, prompts[:1]):  # a batch needs padding, a single text does not
            # without EOS, so that there is something to compare
            answers = replace(sampler, max_new_tokens=TOKENS, eos_ids=(), rows=0)(model, some)
            with _eval_mode(model):
                for prompt, answer in zip(some, answers, strict=True):
                    ids = torch.tensor([[*prompt, *answer]], device=next(model.parameters()).device)
                    every = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
                    chosen = every.gather(-1, ids[0, len(prompt) :, None])[:, 0]
                    gap = max(gap, (every.amax(-1) - chosen).max().item())
    except (RuntimeError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise TeacherError(f"the teacher {what} cannot continue a known text: {why}. {INSTEAD}") from error
    if not gap <= allowed:  # also if it is NaN
        raise TeacherError(
            f"the teacher {what} continues a known text with tokens that are {gap:.2f} nats below "
            f"the most likely ones in its own logits, so it would write noise. {INSTEAD}"
        )
