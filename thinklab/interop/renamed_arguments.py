"""Arguments that transformers renamed in 5.24: the KV cache, activation checkpointing; upstream warnings off.

To support the whole range in
pyproject.toml, each function checks which name the installed library accepts.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from thinklab.interop.peft_wrapper import without_peft


def cache_argument(model: Any, cache: Any) -> dict[str, Any]:
    """The key and value cache as a keyword of ``model``'s forward: ``cache``, or ``past_key_values`` before 5.24 and under Unsloth,
    which replaces the forward."""
    return {_cache_name(type(without_peft(model)).forward): cache}


@functools.cache
def _cache_name(forward: Any) -> str:
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"


def activation_checkpointing(on: bool) -> dict[str, Any]:
    """The switch for recomputing activations, as a keyword of ``TrainingArguments``; ``gradient_checkpointing`` before 5.24."""
    from transformers import TrainingArguments  # not at the head: Unsloth must be imported before transformers

    known = {f.name for f in fields(TrainingArguments)}
    return {"activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing": on}


def is_checkpointing(model: Any) -> bool:
    """True when ``model`` recomputes activations, or is not a transformers model, so that it is unknown."""
    name = "is_activation_checkpointing"
    return bool(getattr(model, name if hasattr(model, name) else "is_gradient_checkpointing", True))


@contextmanager
def upstream_warnings_off() -> Iterator[None]:
    """Silences what TRL and PEFT cause in transformers: their use of old names, and a remark about the cache while activations
    are recomputed. Users cannot fix either."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`\w*gradient_checkpointing\w*` is deprecated")
        warnings.filterwarnings("ignore", message=".*use_cache.*")
        yield
