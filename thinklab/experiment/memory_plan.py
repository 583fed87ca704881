"""``memory_parts``: GPU memory of a run by arithmetic on the model's shape, part by part; what cannot be computed is left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinklab.config.experiment import Experiment

SHAPES: dict[str, dict[str, Any]] = {
    "llama-3.2-3b": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    },
    "qwen3-4b": {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    },
}
"""Shapes of the recipes' models, from their public config.json, for a plan before the model is downloaded."""
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Bytes a weight in nf4 with double quantization: 4 bits, an 8-bit constant per 64 weights, and a 32-bit one per 256 of those."""
TRAINED = 16
"""Bytes a trained weight: fp32 value, gradient, and Adam's two states."""


@dataclass(frozen=True)
class MemoryPart:
    """One part of the memory."""

    what: str
    bytes: float
    when: str = "always"
    """``always``, or the phase that needs it: ``sampling`` or ``training``. The phases follow each other."""


def memory_parts(config: Experiment) -> list[MemoryPart]:
    """The parts that follow from the config and the model's shape; empty for a model whose shape is not on this machine."""
    shape = _shape(config.student.path) if config.student.path else None
    if shape is None:
        return []
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    s, t = config.student, config.train
    linear = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and not n.endswith("lm_head")}
    inside = sum(m.weight.numel() for m in linear.values())
    total = sum(p.numel() for p in model.parameters())
    width = 4 if s.dtype == "float32" else 2
    kind = "nf4, the rest in 16 bits" if s.quantize == "nf4" else f"{8 * width} bits"
    weights = inside * NF4 + (total - inside) * 2 if s.quantize == "nf4" else total * width
    parts = [MemoryPart(f"{total / 1e9:.2f} billion weights, {kind}", weights)]
    if s.lora is None:
        parts.append(MemoryPart("gradients and optimizer states of all weights", total * (TRAINED - width)))
    elif s.lora.targets == "all-linear":
        trained = s.lora.r * sum(m.in_features + m.out_features for m in linear.values())
        parts.append(MemoryPart(f"adapter of {trained / 1e6:.0f} million weights with Adam, fp32", trained * TRAINED))
    rows = min(t.sample_rows or t.questions * t.samples, t.questions * t.samples)
    heads = getattr(shape, "num_key_value_heads", shape.num_attention_heads)
    head = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    length = t.max_prompt_tokens + t.max_completion_tokens
    cache = 2 * rows * length * shape.num_hidden_layers * heads * head * width
    parts.append(
        MemoryPart(f"cache of {rows} answers of {t.max_prompt_tokens} + {t.max_completion_tokens} tokens", cache, "sampling")
    )
    micro = t.micro_batch or t.questions * t.samples // t.minibatches
    tokens = micro * (length + (config.guidance.max_tokens if config.loss.method != "grpo" else 0))
    if t.gradient_checkpointing:
        kept = tokens * shape.hidden_size * shape.num_hidden_layers * width
        parts.append(MemoryPart(f"checkpoints of {micro} rollouts, {tokens:,} tokens", kept, "training"))
    return parts


def at_least(parts: list[MemoryPart]) -> float:
    """Bytes that the larger of the two phases needs; kernels, fragmentation, and one layer's activations come on top."""
    always = sum(p.bytes for p in parts if p.when == "always")
    return always + max(sum(p.bytes for p in parts if p.when == phase) for phase in ("sampling", "training"))


def _shape(path: str) -> Any:
    """The model's config: of a folder, of the hub's cache on this machine, or one of ``SHAPES``; None without network access."""
    from huggingface_hub import try_to_load_from_cache
    from transformers import AutoConfig

    folder: str | Path = Path(path).expanduser()
    if not (Path(folder) / "config.json").is_file():
        known = next((shape for name, shape in SHAPES.items() if Path(path).name.lower().startswith(name)), None)
        if known is not None:
            rest = {k: v for k, v in known.items() if k != "model_type"}
            return AutoConfig.for_model(known["model_type"], **rest)
        try:
            found = try_to_load_from_cache(path, "config.json")
        except ValueError:  # not a hub id
            return None
        if not isinstance(found, str):
            return None
        folder = Path(found).parent
    return AutoConfig.from_pretrained(folder)
