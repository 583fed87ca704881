"""Log-probabilities of chosen tokens, without ever building [B, T, V] logits.

The backbone gives hidden states; TRL's chunked head (``_ChunkedLogProbFunction``, Apache-2.0) turns them into log-probs
and entropies a tile of 2,048 tokens x 8,192 vocabulary entries at a time, forward and backward. It is private to TRL,
which is why TRL is pinned exactly and ``tests/test_logprobs.py`` compares it with the plain path.

Rows are rotated first so that all padding is on the right. Under causal attention that is exact even where a model
drops the attention mask (Unsloth's kernels do), and positions start at 0 in every row.

Shapes: B sequences, P prompt tokens (left padded), C completion tokens (right padded), L = P + C.
"""
from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn
from transformers import PreTrainedModel
from trl.trainer.utils import _ChunkedLogProbFunction

VOCABULARY_TILE = 8192


def chosen_logprobs(model: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor, completion_length: int,
                    temperature: float = 1.0, context=nullcontext) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-prob of every completion token and the entropy at its place.

    Args:
        model: a causal LM, plain or wrapped by PEFT; not wrapped for data parallelism.
        input_ids: (B, L), prompts left padded, completions right padded.
        attention_mask: (B, L), 1 on real tokens.
        completion_length: C.
        temperature: the logits are divided by it.
        context: makes the context manager for the forward pass (autocast).

    Returns:
        logps (B, C) and entropies (B, C), fp32, 0 on padding. Entropies carry no gradient.
    """
    length = input_ids.shape[1]
    left_pads = (attention_mask.cumsum(1) == 0).sum(1)                               # (B,)
    width = int((length - left_pads).max())
    columns = torch.arange(length, device=input_ids.device)
    rotate = (columns[None] + left_pads[:, None]) % length
    ids = input_ids.gather(1, rotate)[:, :width]
    mask = attention_mask.gather(1, rotate)[:, :width]

    wanted = attention_mask.bool().clone()
    wanted[:, :length - completion_length] = False
    rows, places = wanted.nonzero(as_tuple=True)
    targets = input_ids[rows, places]
    before = places - left_pads[rows] - 1                       # the hidden state that predicts each wanted token

    with context():
        logps, entropies = _head(model, ids, mask, rows, before, targets, temperature)
    index = (rows, places - (length - completion_length))
    shape = (len(input_ids), completion_length)
    return (logps.new_zeros(shape).index_put(index, logps),
            entropies.new_zeros(shape).index_put(index, entropies.detach()))


def _head(model, ids, mask, rows, before, targets, temperature) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) log-probs and entropies of the N wanted tokens."""
    inner: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    head, config = inner.get_output_embeddings(), inner.config.get_text_config()
    softcap = getattr(config, "final_logit_softcapping", None)
    scale = getattr(config, "logit_scale", None) or 1.0
    if type(head) is nn.Linear and inner.base_model is not inner:
        hidden = inner.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[rows, before]
        return _ChunkedLogProbFunction.apply(hidden, head.weight, head.bias, targets, temperature, VOCABULARY_TILE,
                                             softcap, scale)
    # A head that is itself adapted (LoRA on lm_head, modules_to_save) has no single weight: take the model's own logits.
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[rows, before].float() / temperature
    every = logits.log_softmax(-1)
    return every.gather(-1, targets[:, None])[:, 0], -(every.exp() * every).sum(-1)
