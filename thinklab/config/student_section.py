"""``StudentSection`` and ``LoraSection``: the keys under ``student:`` (kind, path, dtype, quantize, lora, chat template)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from thinklab.config import yaml_model
from thinklab.config.section import Section

TEMPLATE_ARGUMENTS = frozenset(
    (
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "max_length",
        "messages",
        "padding",
        "processor_kwargs",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    )
)
"""Names that ``apply_chat_template`` reserves, and what thinklab passes to every template."""


SHIPPED = ("embedded", "small-world")
"""Kinds of students that ship with thinklab: they have no path, and float32 weights."""


class LoraSection(Section):
    """The adapter that is trained on a frozen base."""

    r: int = Field(16, ge=1)
    """Rank of the adapter."""
    alpha: float = Field(32, gt=0)
    """Scale: the adapter is multiplied by ``alpha / r``."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the input of the adapter."""
    targets: str | list[str] = "all-linear"
    """Names of the modules that get an adapter; ``all-linear``: every linear layer except the output head."""
    gaussian_init: bool = False
    """Initialize A from a normal distribution instead of PEFT's default (Kaiming uniform); B is 0 either way."""


class StudentSection(Section):
    """Who learns."""

    kind: str = "embedded"
    """``embedded``, ``small-world``, ``transformers``, ``unsloth``, or the name of an entry point."""
    path: str | None = None
    """Model folder or Hugging Face id."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights; ``auto``: bf16 on GPUs that have it, fp16 on other GPUs, float32 on a CPU."""
    quantize: Literal["none", "nf4"] = "none"
    """``nf4``: the frozen base in 4 bits, by bitsandbytes."""
    lora: LoraSection | None = LoraSection()
    """``null`` trains all weights."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables of the model's chat template, for every prompt of training, probe and evaluation: ``{enable_thinking: false}``
    switches Qwen3's thinking off."""
    fast_inference: bool = False
    """``unsloth`` only: sample with vLLM, which shares the weights; requires vllm."""
    gpu_memory_utilization: float = Field(0.5, gt=0, le=1)
    """``fast_inference`` only: the share of GPU memory that vLLM may use."""

    @field_validator("chat_template_kwargs")
    @classmethod
    def _template_variables(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(TEMPLATE_ARGUMENTS & set(value)):
            raise ValueError(
                f"{', '.join(taken)} is set by thinklab; pass only variables of the chat template, such as enable_thinking"
            )
        return value

    @property
    def ships(self) -> bool:
        """True for a student that ships with thinklab."""
        return self.kind in SHIPPED

    @model_validator(mode="after")
    def _fast_inference(self) -> Self:
        if self.fast_inference and self.kind != "unsloth":
            raise yaml_model.fault(
                "fast_inference belongs to kind unsloth; for other students set train.vllm", "fast_inference", "kind"
            )
        return self
