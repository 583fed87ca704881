"""A backbone that is only causal when it is told so, as Unsloth's is with xformers."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from transformers import LlamaForCausalLM, LlamaModel

from tests.method.test_logprobs import plain, ragged
from thinklab.logprobs import chosen_logprobs


class LowerTriangularMask:
    """What stands for xformers' class here."""


class Backbone(LlamaModel):
    """Drops the padding mask, as Unsloth's does in training; attends to all tokens unless the causal mask is given."""

    def forward(self, input_ids=None, causal_mask=None, attention_mask=None, **kwargs):
        length = input_ids.shape[1]
        seen = torch.ones(length, length).tril() if isinstance(causal_mask, LowerTriangularMask) else torch.ones(length, length)
        additive = ((1 - seen) * torch.finfo(torch.float32).min).expand(len(input_ids), 1, length, length)
        return super().forward(input_ids=input_ids, attention_mask=additive, **kwargs)


@pytest.fixture
def needs_a_mask(model, monkeypatch):
    xformers, ops = types.ModuleType("xformers"), types.ModuleType("xformers.ops")
    ops.LowerTriangularMask = LowerTriangularMask
    monkeypatch.setitem(sys.modules, "xformers", xformers)
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    other = LlamaForCausalLM(model.config)
    other.model = Backbone(model.config)
    other.load_state_dict(model.state_dict())
    return other.train()


def test_log_probs_see_no_later_token(needs_a_mask, model):
    ids, mask = ragged(model.config.vocab_size)
    mine, _ = chosen_logprobs(needs_a_mask, ids, mask, 13)
    theirs, _ = plain(model, ids, mask, 13, 1.0)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_without_xformers_and_for_other_models_nothing_is_passed(model, monkeypatch):
    ids, mask = ragged(model.config.vocab_size)
    monkeypatch.setitem(sys.modules, "xformers", None)
    seen = []
    monkeypatch.setattr(model.model, "forward", lambda *a, real=model.model.forward, **k: seen.append(set(k)) or real(*a, **k))
    chosen_logprobs(model, ids, mask, 13)
    assert seen == [{"input_ids", "attention_mask", "use_cache"}]
