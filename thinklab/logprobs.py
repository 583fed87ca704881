"""``chosen_logprobs``: log-probs and entropies, tile by tile from the LM head, without [B, T, V] logits.

The backbone gives hidden states; the head turns them into log-probs and entropies some hundred tokens at a time, so only
``TILE`` logits exist at once. Where the head's weights are frozen (LoRA) the gradient needs no second pass over the
vocabulary: the derivative of a token's log-prob by its hidden state is a vector that is known when the log-prob is, and
backward only scales it. That is two products with the head's weights, as many as the plain path has. A head that is
trained itself needs the probabilities again, because its own gradient sums over tokens whose weights in the loss are known
only in backward: the logits are computed a second time there, tile by tile. Nothing here comes from TRL, so TRL's private
functions may move from one version to the next; ``tests/method/test_logprobs.py`` compares both with the plain path.

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
from typing import Any, Protocol

import torch
from torch import nn
from transformers import PretrainedConfig

from thinklab.interop.peft_wrapper import without_peft

TILE = 2**25
"""Logits that exist at once: 128 MB in fp32, of which there are two."""


def chosen_logprobs(
    model: nn.Module,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    completion_length: int,
    temperature: float = 1.0,
    context: Callable[[], AbstractContextManager[object]] = nullcontext,
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


def graph_for(
    live: torch.Tensor, forward: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """``forward`` of all rows, with a graph for those alone that have a gradient: the others need no activations.

    Args:
        live: (B,) True for a row with a gradient. Where there is none, the first row counts as one: a loss needs a graph.
        forward: gets row numbers (b,), returns log-probs and entropies (b, C).
    """
    live, every = live.clone(), torch.arange(len(live), device=live.device)
    live[0] |= ~live.any()
    if live.all():
        return forward(every)
    with torch.no_grad():
        idle = forward(every[~live])
    trained = forward(every[live])
    back = torch.cat([every[live], every[~live]]).argsort()
    logps, entropies = (torch.cat(pair)[back] for pair in zip(trained, idle, strict=True))
    return logps, entropies


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
    inner = without_peft(model)
    head, config = inner.get_output_embeddings(), inner.config.get_text_config()
    softcap, scale = getattr(config, "final_logit_softcapping", None), logit_scale(config)
    if type(head) is nn.Linear and inner.base_model is not inner:
        backbone = inner.base_model
        hidden = backbone(input_ids=ids, attention_mask=mask, use_cache=False, **_causal(backbone)).last_hidden_state
        return head_logprobs(hidden[rows, before], head.weight, head.bias, targets, temperature, softcap, scale)
    # A head that is itself adapted (LoRA on lm_head, modules_to_save) has no single weight: take the model's own logits.
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[rows, before].float() / temperature
    every = logits.log_softmax(-1)
    return every.gather(-1, targets[:, None])[:, 0], -(every.exp() * every).sum(-1)


def logit_scale(config: PretrainedConfig) -> float:
    """What a model of this ``config`` multiplies its logits by. Each family has a name of its own for it; two of them divide."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):  # Cohere; Muse; Falcon-H1
        if config.model_type != "mpt" and isinstance(factor := getattr(config, name, None), int | float):
            return float(factor)
    divisor = getattr(config, "logits_scaling", None)  # Granite and MiniCPM3; HyperCLOVA X multiplies by it
    if divisor is None:
        return 1.0
    return float(divisor if config.model_type == "hyperclovax" else 1 / divisor)


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
    trained = torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad))
    head: Callable[..., tuple[torch.Tensor, torch.Tensor]] = _TrainedHead.apply if trained else _FrozenHead.apply
    return head(hidden, weight, bias, targets, temperature, softcap, scale)


def _compute_dtype(hidden: torch.Tensor) -> torch.dtype:
    """What the products with the head are computed in: autocast's type inside autocast."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _logits(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    temperature: float,
    softcap: float | None,
    scale: float,
    wanted: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """One tile: (n, V) logits in fp32, and d capped / d uncapped (n, V) where there is a soft cap and it is ``wanted``."""
    logits = hidden @ weight.t()
    if bias is not None:
        logits += bias.to(logits.dtype)
    logits = logits.float()
    if scale != 1.0:
        logits *= scale
    bend = None
    if softcap is not None:
        logits.div_(softcap).tanh_()
        bend = 1 - logits.square() if wanted else None
        logits *= softcap
    if temperature != 1.0:
        logits /= temperature
    return logits, bend


def _normalize(logits: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(n,) log-probs of ``chosen`` (n, 1) and entropies; (n, V) exponentials and their (n, 1) sums. Overwrites ``logits``."""
    logits -= logits.amax(-1, keepdim=True)
    exps = logits.exp()
    total = exps.sum(-1, keepdim=True)
    norm = total.log()
    logps = (logits.gather(-1, chosen) - norm)[:, 0]
    return logps, (norm - logits.mul_(exps).sum(-1, keepdim=True) / total)[:, 0], exps, total


class _Context(Protocol):
    """What autograd hands to both passes of a function, and what the first leaves there for the second."""

    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[torch.Tensor, ...]
    dtype: torch.dtype
    options: tuple[float, float | None, float]
    """Temperature, soft cap, scale."""

    def save_for_backward(self, *tensors: torch.Tensor | None) -> None: ...

    def mark_non_differentiable(self, *outputs: torch.Tensor) -> None: ...


class _FrozenHead(torch.autograd.Function):
    """Log-probs, entropies and, at the same time, d log-prob / d hidden: (W[target] - p W) / temperature."""

    @staticmethod
    def forward(
        ctx: _Context,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        softcap: float | None,
        scale: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        dtype = _compute_dtype(hidden)
        wanted = ctx.needs_input_grad[0]
        count = len(hidden)
        weight = weight.to(dtype)
        logps, entropies = (torch.empty(count, device=hidden.device, dtype=torch.float32) for _ in range(2))
        slope = torch.empty_like(hidden if wanted else hidden[:0])  # (N, H)
        for part in _tiles(count, len(weight)):
            chosen = targets[part, None]
            logits, bend = _logits(hidden[part].to(dtype), weight, bias, temperature, softcap, scale, wanted)
            logps[part], entropies[part], probs, total = _normalize(logits, chosen)
            if not wanted:
                continue
            del logits
            probs.mul_(-1 / total).scatter_add_(-1, chosen, torch.ones_like(total))  # 1[target] - p
            if bend is not None:
                probs *= bend
            slope[part] = (probs.to(dtype) @ weight).to(hidden.dtype) * (scale / temperature)
        ctx.save_for_backward(*([slope] if wanted else []))
        ctx.mark_non_differentiable(entropies)
        return logps, entropies

    @staticmethod
    def backward(ctx: _Context, grad_logps: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return (grad_logps[:, None] * slope).to(slope.dtype), *[None] * 6


class _TrainedHead(torch.autograd.Function):
    """The same where weight or bias ask for a gradient; backward computes each tile's logits again. Their gradients are
    summed in fp32: a sum over thousands of tokens loses its small terms in 16 bit."""

    @staticmethod
    def forward(
        ctx: _Context,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        softcap: float | None,
        scale: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.dtype, ctx.options = _compute_dtype(hidden), (temperature, softcap, scale)
        ctx.save_for_backward(hidden, weight, bias, targets)
        head, count = weight.to(ctx.dtype), len(hidden)
        logps, entropies = (torch.empty(count, device=hidden.device, dtype=torch.float32) for _ in range(2))
        for part in _tiles(count, len(weight)):
            logits, _ = _logits(hidden[part].to(ctx.dtype), head, bias, temperature, softcap, scale, False)
            logps[part], entropies[part], *_ = _normalize(logits, targets[part, None])
        ctx.mark_non_differentiable(entropies)
        return logps, entropies

    @staticmethod
    def backward(ctx: _Context, grad_logps: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, targets = ctx.saved_tensors
        temperature, softcap, scale = ctx.options
        head = weight.to(ctx.dtype)
        for_hidden, for_weight, for_bias = (
            torch.zeros(x.shape, device=x.device, dtype=torch.float32) if wanted else None
            for x, wanted in zip((hidden, weight, bias), ctx.needs_input_grad[:3], strict=True)
        )
        for part in _tiles(len(hidden), len(weight)):
            some, chosen, pull = hidden[part].to(ctx.dtype), targets[part, None], grad_logps[part, None].float()
            logits, bend = _logits(some, head, bias, temperature, softcap, scale, True)
            slope = logits.sub_(logits.amax(-1, keepdim=True)).exp_()  # (n, V), in place to the end
            slope.mul_(-pull / slope.sum(-1, keepdim=True)).scatter_add_(-1, chosen, pull)  # g (1[target] - p)
            if bend is not None:
                slope *= bend
            slope *= scale / temperature
            if for_bias is not None:
                for_bias += slope.sum(0)
            slope = slope.to(ctx.dtype)
            if for_hidden is not None:
                for_hidden[part] = (slope @ head).float()
            if for_weight is not None:
                for_weight += slope.t() @ some
        grads = (g if g is None else g.to(x.dtype) for g, x in zip((for_hidden, for_weight, for_bias), (hidden, weight, bias)))
        return *grads, *[None] * 4


def _tiles(count: int, vocabulary: int) -> list[slice]:
    """Slices over ``count`` tokens whose logits are at most ``TILE`` each."""
    size = max(1, TILE // vocabulary)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
