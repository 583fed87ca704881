"""A Llama with random weights: as a model, and with thinklab's own tokenizer as a plain Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from thinklab.students.make_tiny import build_tokenizer


def random_llama(
    vocabulary: int, hidden: int, inner: int, layers: int, heads: int, seed: int = 0, **more: Any
) -> LlamaForCausalLM:
    """A model in the default type whose weights follow from ``seed``; ``more`` are fields of ``LlamaConfig``."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            **more,
        )
    )


def make_llama(
    folder: Path,
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    kv_heads: int,
    vocabulary: int | None = None,
    positions: int = 4096,
    ends: float = 0.0,
) -> Path:
    """Weights in bf16; seeded.

    Args:
        vocabulary: may be larger than the tokenizer's, as the memory of a real one needs.
        ends: about how likely an answer ends at each token; 0 leaves that to chance (1 / vocabulary).
    """
    tokenizer = build_tokenizer()
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = random_llama(
            vocabulary or len(tokenizer),
            hidden,
            inner,
            layers,
            heads,
            num_key_value_heads=kv_heads,
            max_position_embeddings=positions,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=tokenizer.bos_token_id,
            tie_word_embeddings=not ends,
            rope_theta=500_000.0,
        )
    finally:
        torch.set_default_dtype(torch.float32)
    if ends:
        _let_it_end(model, tokenizer.eos_token_id, ends)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def _let_it_end(model: LlamaForCausalLM, eos: int, rate: float) -> None:
    """All embeddings get a common part, which the residual stream carries to the head, where it stands for the end."""
    hidden, vocabulary = model.config.hidden_size, model.config.vocab_size
    common = torch.zeros(hidden, dtype=torch.bfloat16)
    common[0] = 1
    model.model.embed_tokens.weight += common / 2
    ids = torch.randint(5, vocabulary, (4, 32))
    level = model.model(input_ids=ids).last_hidden_state[..., 0].float().mean()
    model.lm_head.weight[:, 0] = 0
    model.lm_head.weight[eos] = common * (torch.logit(torch.tensor(rate)) + torch.tensor(float(vocabulary)).log()) / level
