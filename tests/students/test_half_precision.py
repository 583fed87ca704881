"""What is 16 bit wide in a 16-bit student: weights, keys and values, embeddings and head; and what is not: the adapter."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from tests.support.tiny_llama import make_llama
from thinklab.config.experiment import StudentSection
from thinklab.logprobs import chosen_logprobs
from thinklab.students import load_student

SHAPE = {"hidden": 64, "inner": 128, "layers": 2, "heads": 4, "kv_heads": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_llama(tmp_path_factory.mktemp("llama") / "m", **SHAPE, vocabulary=512)


def load(folder, quantize):
    pytest.importorskip("bitsandbytes")
    return load_student(
        StudentSection(kind="transformers", path=str(folder), dtype="bfloat16", quantize=quantize, lora={"r": 4, "alpha": 8})
    )


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("quantize", ["nf4", "none"])
def test_cache_embeddings_and_head_have_16_bits(folder, quantize, autocast):
    """At the shape of a 3B model a cache of 32 answers is 5.3 GB; in fp32, as it was with nf4, 10.6 GB."""
    model = load(folder, quantize).model.eval()
    cache = DynamicCache(config=model.config)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        model(input_ids=torch.randint(5, 200, (2, 8)), past_key_values=cache, use_cache=True, logits_to_keep=1)
    assert {x.dtype for layer in cache.layers for x in (layer.keys, layer.values)} == {torch.bfloat16}
    assert sum(x.nbytes for layer in cache.layers for x in (layer.keys, layer.values)) == 2 * 2 * (2 * 8 * 2 * 16) * 2
    ends = model.get_input_embeddings(), model.get_output_embeddings()
    assert {module.weight.dtype for module in ends} == {torch.bfloat16}
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}


def test_the_adapter_alone_is_trained_and_its_gradient_is_fp32_and_finite(folder):
    model = load(folder, "nf4").model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    ids = torch.randint(5, 200, (2, 12))
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    mask[1, -2:] = 0
    model.train()
    logps, _ = chosen_logprobs(model, ids, mask, 6)
    logps.sum().backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in n for n in trained)
    assert all(p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() and p.grad.any() for p in trained.values())
