"""Chosen log-probs and entropies without full logits: exact against the plain path, forward and backward."""
from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from thinklab import logprobs
from thinklab.logprobs import chosen_logprobs


def ragged(vocabulary, rows=4, prompt=9, completion=13, seed=0):
    """(ids, mask) with prompts left padded and completions right padded, every length different."""
    torch.manual_seed(seed)
    ids = torch.randint(2, vocabulary, (rows, prompt + completion))
    mask = torch.zeros_like(ids)
    for row in range(rows):
        mask[row, row * 2:prompt + completion - row * 3] = 1
    return ids * mask, mask


def plain(model, ids, mask, completion, temperature):
    """One row at a time without padding, full logits."""
    logps, entropies = torch.zeros(len(ids), completion), torch.zeros(len(ids), completion)
    for row in range(len(ids)):
        real = mask[row].nonzero()[:, 0]
        every = (model(input_ids=ids[row, real][None]).logits[0].float() / temperature).log_softmax(-1)
        for place in real.tolist():
            column = place - (ids.shape[1] - completion)
            if column >= 0:
                predict = every[place - real[0] - 1]
                logps[row, column] = predict[ids[row, place]]
                entropies[row, column] = -(predict.exp() * predict).sum()
    return logps, entropies


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("tile", [8192, 100])
def test_exact_against_the_plain_path(model, temperature, tile, monkeypatch):
    monkeypatch.setattr(logprobs, "VOCABULARY_TILE", tile)
    ids, mask = ragged(model.config.vocab_size)
    model.requires_grad_(True)
    mine, entropy = chosen_logprobs(model, ids, mask, 13, temperature)
    theirs, expected_entropy = plain(model, ids, mask, 13, temperature)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy, expected_entropy, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(theirs)
    grads = [torch.autograd.grad((x * weights).sum(), list(model.parameters())) for x in (mine, theirs)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item() + 1e-8)


def test_padding_gives_zero_and_nothing_else(model):
    ids, mask = ragged(model.config.vocab_size)
    logps, entropies = chosen_logprobs(model, ids, mask, 13)
    padding = mask[:, -13:] == 0
    assert (logps[padding] == 0).all() and (entropies[padding] == 0).all() and (logps[~padding] < 0).all()


def test_an_adapted_head_takes_the_model_s_own_logits(model):
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["lm_head", "q_proj"], init_lora_weights=False))
    ids, mask = ragged(model.config.vocab_size)
    mine, _ = chosen_logprobs(adapted, ids, mask, 13)
    theirs, _ = plain(adapted, ids, mask, 13, 1.0)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
