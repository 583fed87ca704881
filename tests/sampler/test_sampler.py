"""The sampler draws from the model's own distribution, keeps ids as drawn, and leaves no trace."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from thinklab.sampler import Sampler

QUESTIONS = [
    "Tom has 12 figs and finds 4 more. How many?\n",
    "Zoe buys 37 pens, then 9 and 8 and 2 more. Total?\n",
    "Say a line\n",
    "There are 44 old keys and 5 and 5 and 6 red. How many in all?\n",
]


@pytest.fixture
def prompts(tokenizer):
    return tokenizer(QUESTIONS)["input_ids"]


def sampler(tokenizer, **options):
    return Sampler(**{"max_new_tokens": 48, "eos_ids": (tokenizer.eos_token_id,), "pad_id": tokenizer.pad_token_id, **options})


def test_greedy_equals_generate(model, tokenizer, prompts):
    mine = sampler(tokenizer, temperature=0.0)(model, prompts, n=2)
    for k, prompt in enumerate(prompts):
        theirs = model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=48, do_sample=False)[0, len(prompt) :].tolist()
        assert mine[2 * k] == mine[2 * k + 1] == theirs


def test_first_tokens_follow_the_model_s_distribution(model, tokenizer, prompts):
    """Chi-square over 20,000 draws, with rare tokens pooled; the limit is far beyond chance for the fixed seed."""
    n = 20_000
    drawn = Counter(ids[0] for ids in sampler(tokenizer, max_new_tokens=1)(model, [prompts[2]], n=n, seed=5))
    with torch.no_grad():
        probs = model(input_ids=torch.tensor([prompts[2]])).logits[0, -1].softmax(-1)
    common = [t for t in range(len(probs)) if probs[t] * n >= 10]
    observed = [drawn[t] for t in common] + [n - sum(drawn[t] for t in common)]
    expected = [probs[t].item() * n for t in common] + [(1 - probs[common].sum().item()) * n]
    chi2 = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    freedom = len(expected) - 1
    assert freedom >= 10
    assert chi2 < freedom + 5 * (2 * freedom) ** 0.5


def test_later_tokens_follow_it_too_when_rows_leave_the_batch(model, tokenizer, prompts):
    """Mean log-prob of what was drawn must equal the mean negative entropy at those places: true only of exact sampling."""
    answers = sampler(tokenizer)(model, prompts, n=300, seed=9)
    assert len({len(a) for a in answers}) > 5, "the lengths should be uneven"
    gaps = []
    for k, ids in enumerate(answers[:400]):
        prompt = prompts[k // 300]
        with torch.no_grad():
            every = model(input_ids=torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        entropy = -(every.exp() * every).sum(-1)
        gaps.append((every.gather(-1, torch.tensor(ids)[:, None])[:, 0] + entropy).sum().item())
    mean, spread = sum(gaps) / len(gaps), torch.tensor(gaps).std().item()
    assert abs(mean) < 4 * spread / len(gaps) ** 0.5


def test_ids_end_in_eos_or_at_the_limit_and_hold_no_padding(model, tokenizer, prompts):
    using = sampler(tokenizer, max_new_tokens=20)
    answers = using(model, prompts, n=50, seed=1)
    assert len(answers) == 200
    for ids in answers:
        assert 1 <= len(ids) <= 20 and tokenizer.pad_token_id not in ids and tokenizer.eos_token_id not in ids[:-1]
        assert using.finished(ids) == (ids[-1] == tokenizer.eos_token_id) and (using.finished(ids) or len(ids) == 20)
    assert {using.finished(ids) for ids in answers} == {True, False}


def test_seeded_and_without_a_trace(model, tokenizer, prompts):
    model.train()
    before = torch.get_rng_state()
    first, second, other = (sampler(tokenizer)(model, prompts, n=4, seed=s) for s in (3, 3, 4))
    assert first == second != other
    assert torch.equal(torch.get_rng_state(), before) and model.training


def test_rows_limits_the_batch_not_the_answers(model, tokenizer, prompts):
    greedy = sampler(tokenizer, temperature=0.0)
    assert sampler(tokenizer, temperature=0.0, rows=2)(model, prompts, n=2) == greedy(model, prompts, n=2)


def test_top_p_never_leaves_the_nucleus(model, tokenizer, prompts):
    with torch.no_grad():
        probs, order = model(input_ids=torch.tensor([prompts[2]])).logits[0, -1].softmax(-1).sort(descending=True)
    nucleus = set(order[: int((probs.cumsum(0) < 0.5).sum()) + 1].tolist())
    drawn = sampler(tokenizer, max_new_tokens=1, top_p=0.5)(model, [prompts[2]], n=2000)
    assert {ids[0] for ids in drawn} <= nucleus and len(nucleus) > 1


@pytest.mark.parametrize("rows", [0, 6])
def test_each_prompt_is_told_once_with_its_answers_when_they_have_ended(model, tokenizer, prompts, rows):
    told = []
    plain = sampler(tokenizer, rows=rows)(model, prompts, n=3, seed=4)
    answers = sampler(tokenizer, rows=rows)(model, prompts, n=3, seed=4, on_done=lambda k, ids: told.append((k, ids)))
    assert answers == plain and sorted(k for k, _ in told) == list(range(len(prompts)))
    assert all(ids == answers[3 * k : 3 * k + 3] for k, ids in told)
