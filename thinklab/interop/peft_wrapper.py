"""``without_peft``: the transformers model inside PEFT's wrapper."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Unsloth must be imported before transformers
    from transformers import PreTrainedModel


def without_peft(model: Any) -> PreTrainedModel:
    """``model`` itself, with its adapters still in place, where PEFT has wrapped it; anything else as it is."""
    unwrap: Callable[[], PreTrainedModel] | None = getattr(model, "get_base_model", None)
    found: PreTrainedModel = model if unwrap is None else unwrap()
    return found
