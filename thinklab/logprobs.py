"""Log-probabilities of chosen tokens, without ever building [B, T, V] logits.

The backbone gives hidden states; the head turns them into log-probs and entropies some hundred tokens at a time, so only
``TILE`` logits exist at once. Where the head's weights are frozen (LoRA) the gradient needs no second pass over the
vocabulary: the derivative of a token's log-prob by its hidden state is a vector that is known when the log-prob is, and
backward only scales it. That is two products with the head's weights, as many as the plain path has. A head that is
trained itself goes through TRL's chunked function (``_ChunkedLogProbFunction``, Apache-2.0), which computes the logits
twice; it is private to TRL, which is why TRL is pinned exactly and ``tests/method/test_logprobs.py`` compares both with
the plain path.

Rows are rotated first so that all padding is on the right. Under causal attention that is exact even where a model
drops the attention mask (Unsloth's kernels do), and positions start at 0 in every row.

Left out: gradients of the entropy (it is only logged; the trainer refuses TRL's entropy bonus).

Shapes: B sequences, P prompt tokens (left padded), C completion tokens (right padded), L = P + C; N wanted tokens, H
hidden size, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from trl.trainer.utils import _ChunkedLogProbFunction

TILE = 2**25
"""Logits that exist at once: 128 MB in fp32, of which there are two."""
VOCABULARY_TILE = 8192
"""Vocabulary entries at once where TRL's function is used."""


def chosen_logprobs(
    model: nn.Module,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    completion_length: int,
    temperature: float = 1.0,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[torch.Tensor, torch.Tensor]:
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
    left_pads = (attention_mask.cumsum(1) == 0).sum(1)  # (B,)
    width = int((length - left_pads).max())
    columns = torch.arange(length, device=input_ids.device)
    rotate = (columns[None] + left_pads[:, None]) % length
    ids = input_ids.gather(1, rotate)[:, :width]
    mask = attention_mask.gather(1, rotate)[:, :width]

    wanted = attention_mask.bool().clone()
    wanted[:, : length - completion_length] = False
    rows, places = wanted.nonzero(as_tuple=True)
    targets = input_ids[rows, places]
    before = places - left_pads[rows] - 1  # the hidden state that predicts each wanted token

    with context():
        logps, entropies = _head(model, ids, mask, rows, before, targets, temperature)
    index = (rows, places - (length - completion_length))
    shape = (len(input_ids), completion_length)
    return (logps.new_zeros(shape).index_put(index, logps), entropies.new_zeros(shape).index_put(index, entropies.detach()))


def _head(
    model: nn.Module,
    ids: torch.Tensor,
    mask: torch.Tensor,
    rows: torch.Tensor,
    before: torch.Tensor,
    targets: torch.Tensor,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) log-probs and entropies of the N wanted tokens."""
    whole: Any = model  # plain, or wrapped by PEFT
    inner: PreTrainedModel = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
    head, config = inner.get_output_embeddings(), inner.config.get_text_config()
    softcap = getattr(config, "final_logit_softcapping", None)
    scale = getattr(config, "logit_scale", None) or 1.0
    if type(head) is nn.Linear and inner.base_model is not inner:
        backbone = inner.base_model
        hidden = backbone(input_ids=ids, attention_mask=mask, use_cache=False, **_causal(backbone)).last_hidden_state
        return head_logprobs(hidden[rows, before], head.weight, head.bias, targets, temperature, softcap, scale)
    # A head that is itself adapted (LoRA on lm_head, modules_to_save) has no single weight: take the model's own logits.
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[rows, before].float() / temperature
    every = logits.log_softmax(-1)
    return every.gather(-1, targets[:, None])[:, 0], -(every.exp() * every).sum(-1)


def _causal(backbone: nn.Module) -> dict[str, Any]:
    """Unsloth's causal LM hands its backbone the mask for xformers, and so must whoever calls the backbone alone.

    Without it xformers attends to later tokens, which the attention mask, dropped in training, does not forbid either. Some of
    Unsloth's versions guard against that themselves (2026.10.7 does, 2026.9.1 does not). Its other attention functions are
    causal by themselves and leave this mask aside.
    """
    if "causal_mask" not in inspect.signature(type(backbone).forward).parameters:
        return {}
    try:
        from xformers.ops import LowerTriangularMask
    except ImportError:
        return {}
    return {"causal_mask": LowerTriangularMask()}


def head_logprobs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    temperature: float = 1.0,
    softcap: float | None = None,
    scale: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) log-probs of ``targets`` and entropies, fp32, from hidden states (N, H) and the head's ``weight`` (V, H).

    ``bias`` is (V,), ``targets`` (N,). Logits are ``scale`` * (W h + b), then soft-capped, then divided by ``temperature``.
    Only log-probs carry a gradient, to ``hidden`` and, where they ask for it, to ``weight`` and ``bias``.
    """
    if torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad)):
        found = _ChunkedLogProbFunction.apply(hidden, weight, bias, targets, temperature, VOCABULARY_TILE, softcap, scale)
    else:
        found = _FrozenHead.apply(  # type: ignore[no-untyped-call]  # PyTorch's
            hidden, weight, bias, targets, temperature, softcap, scale
        )
    logps, entropies = found
    return logps, entropies


class _FrozenHead(torch.autograd.Function):
    """Log-probs, entropies and, at the same time, d log-prob / d hidden: (W[target] - p W) / temperature."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        softcap: float | None,
        scale: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        dtype = torch.get_autocast_dtype(hidden.device.type) if torch.is_autocast_enabled(hidden.device.type) else hidden.dtype
        wanted = ctx.needs_input_grad[0]
        count, vocabulary = len(hidden), len(weight)
        weight = weight.to(dtype)
        logps, entropies = (torch.empty(count, device=hidden.device, dtype=torch.float32) for _ in range(2))
        slope = torch.empty_like(hidden) if wanted else None  # (N, H)
        size = max(1, TILE // vocabulary)
        for start in range(0, count, size):
            part = slice(start, start + size)
            logits = hidden[part].to(dtype) @ weight.t()  # (n, V)
            if bias is not None:
                logits += bias.to(dtype)
            logits = logits.float()
            if scale != 1.0:
                logits *= scale
            bend = None  # d capped / d uncapped
            if softcap is not None:
                logits.div_(softcap).tanh_()
                bend = 1 - logits.square() if wanted else None
                logits *= softcap
            if temperature != 1.0:
                logits /= temperature
            chosen = targets[part, None]
            logits -= logits.amax(-1, keepdim=True)
            probs = logits.exp()
            total = probs.sum(-1, keepdim=True)  # (n, 1)
            norm = total.log()
            logps[part] = (logits.gather(-1, chosen) - norm)[:, 0]
            entropies[part] = (norm - logits.mul_(probs).sum(-1, keepdim=True) / total)[:, 0]
            if slope is None:
                continue
            del logits
            probs.mul_(-1 / total).scatter_add_(-1, chosen, torch.ones_like(total))  # 1[target] - p
            if bend is not None:
                probs *= bend
            slope[part] = (probs.to(dtype) @ weight).to(hidden.dtype) * (scale / temperature)
        ctx.save_for_backward(*([] if slope is None else [slope]))
        ctx.mark_non_differentiable(entropies)
        return logps, entropies

    @staticmethod
    def backward(ctx: Any, grad_logps: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return (grad_logps[:, None] * slope).to(slope.dtype), *[None] * 6
