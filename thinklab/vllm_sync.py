"""``keep_base_frozen``: sends merged LoRA weights to vLLM without ever writing to the student's frozen base.

TRL merges the adapter into the base at every weight sync, sends the result and subtracts the adapter again. In 16 bit the
subtraction does not give back what was there: the base that the method keeps frozen drifts a little with every step (0.3 %
after 50 syncs in bf16), and in 4 bit, where a merge rounds to sixteen levels, it is lost (92 %). Here PEFT merges a copy of one
matrix at a time, TRL names and sends it, and the copy is dropped: one matrix more of memory, and nothing to restore.

Left out: sharded models (FSDP, ZeRO-3), whose matrices are not whole where TRL reads them; they are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from trl.generation.vllm_generation import VLLMGeneration

from thinklab.errors import TrainingError


def keep_base_frozen(generation: VLLMGeneration) -> None:
    """Make every later ``generation.sync_weights()`` leave the model's weights bit for bit as they are.

    A model without an adapter is synced as TRL does it.

    Raises:
        TrainingError: from the sync, when the base is quantized or sharded, or an adapter is none of LoRA's.
    """
    model, plain = generation.model, generation._iter_named_params
    if not isinstance(model, PeftModel):
        return

    def merged_copies() -> Iterator[tuple[str, torch.Tensor]]:
        layers = {_weight(layer).data_ptr(): layer for layer in model.modules() if isinstance(layer, LoraLayer)}
        _refuse(layers.values())
        sent = set()
        with _without_merging(model):
            for name, value in plain():
                layer = layers.get(value.data_ptr())
                if layer is None:
                    yield name, value
                    continue
                sent.add(value.data_ptr())
                yield name, merged(layer)
        if missing := len(layers) - len(sent):
            raise TrainingError(
                f"{missing} of the {len(layers)} adapted matrices did not reach vLLM under their own storage; a "
                "sharded student cannot be sampled with vLLM here: leave train.vllm out"
            )

    generation._iter_named_params = merged_copies  # type: ignore[method-assign]  # TRL asks nobody else what to send


def merged(layer: LoraLayer) -> torch.Tensor:
    """(out, in) the layer's weight with its adapters merged, a copy; computed by PEFT's own ``merge``."""
    weight, bias = _weight(layer), getattr(layer.get_base_layer(), "bias", None)
    kept = [(p, p.data) for p in (weight, bias) if p is not None]
    try:
        for parameter, data in kept:
            parameter.data = data.clone()
        layer.merge()
        return weight.data
    finally:
        layer.merged_adapters.clear()
        for parameter, data in kept:
            parameter.data = data


def _weight(layer: LoraLayer) -> torch.Tensor:
    weight = layer.get_base_layer().weight
    assert isinstance(weight, torch.Tensor), "an adapter of LoRA lies on a layer with one matrix"
    return weight


def _refuse(layers: Iterable[LoraLayer]) -> None:
    for layer in layers:
        weight = _weight(layer)
        if not weight.is_floating_point() or hasattr(weight, "quant_state"):
            raise TrainingError(
                "vLLM's weight sync would merge the adapter into 4-bit or 8-bit weights, which loses it in rounding: set "
                "student.quantize=none, or use student.kind=unsloth with student.fast_inference=true"
            )


@contextmanager
def _without_merging(model: PeftModel) -> Iterator[None]:
    """TRL's calls of PEFT's merge and unmerge do nothing inside."""
    names = ("merge_adapter", "unmerge_adapter")
    for name in names:
        setattr(model, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name in names:
            delattr(model, name)
