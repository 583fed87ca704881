"""Chosen log-probs and entropies without full logits: exact against the plain path, forward and backward."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from thinklab import logprobs
from thinklab.logprobs import chosen_logprobs


def ragged(vocabulary, rows=4, prompt=9, completion=13, seed=0):
    """(ids, mask) with prompts left padded and completions right padded, every length different."""
    torch.manual_seed(seed)
    ids = torch.randint(2, vocabulary, (rows, prompt + completion))
    mask = torch.zeros_like(ids)
    for row in range(rows):
        mask[row, row * 2 : prompt + completion - row * 3] = 1
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
@pytest.mark.parametrize("frozen", [True, False])
def test_exact_against_the_plain_path(model, temperature, tile, frozen, monkeypatch):
    monkeypatch.setattr(logprobs, "TILE", tile * 20)
    ids, mask = ragged(model.config.vocab_size)
    model.requires_grad_(True)
    if frozen:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone(), requires_grad=False)
    mine, entropy = chosen_logprobs(model, ids, mask, 13, temperature)
    theirs, expected_entropy = plain(model, ids, mask, 13, temperature)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy, expected_entropy, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(theirs)
    trained = [p for p in model.parameters() if p.requires_grad]
    grads = [torch.autograd.grad((x * weights).sum(), trained) for x in (mine, theirs)]
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


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "scale": 0.3}, {"softcap": 3.0, "temperature": 1.3}])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("frozen", [True, False])
def test_the_head_alone_with_every_option(options, with_bias, frozen, monkeypatch):
    """Both ways through the head against the formula written out, in tiles that do not divide the tokens."""
    monkeypatch.setattr(logprobs, "TILE", 7 * 301)
    torch.manual_seed(0)
    hidden, weight = torch.randn(45, 16, requires_grad=True), torch.randn(301, 16, requires_grad=not frozen)
    bias = torch.randn(301, requires_grad=not frozen) if with_bias else None
    targets, pull = torch.randint(0, 301, (45,)), torch.randn(45)
    temperature, softcap, scale = (options.get(k, d) for k, d in (("temperature", 1.0), ("softcap", None), ("scale", 1.0)))
    logits = scale * torch.nn.functional.linear(hidden, weight, bias)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    every = (logits / temperature).log_softmax(-1)
    expected, expected_entropy = every[torch.arange(45), targets], -(every.exp() * every).sum(-1)
    logps, entropy = logprobs.head_logprobs(hidden, weight, bias, targets, temperature, softcap, scale)
    torch.testing.assert_close(logps, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy, expected_entropy.detach(), rtol=1e-5, atol=1e-5, check_stride=False)
    leaves = [x for x in (hidden, weight, bias) if x is not None and x.requires_grad]
    for mine, theirs in zip(*(torch.autograd.grad((x * pull).sum(), leaves) for x in (logps, expected)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


FAMILIES = {
    "granite": {"logits_scaling": 3.0},
    "granitemoe": {"logits_scaling": 3.0, "num_local_experts": 2, "num_experts_per_tok": 1},
    "hyperclovax": {"logits_scaling": 0.4},
    "minicpm3": {
        "dim_model_base": 8,
        "num_key_value_heads": 2,
        "q_lora_rank": 8,
        "kv_lora_rank": 8,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
    },
    "cohere": {"logit_scale": 0.3},
    "cohere2": {"logit_scale": 0.3},
    "falcon_h1": {
        "lm_head_multiplier": 0.3,
        "mamba_d_ssm": 16,
        "mamba_n_heads": 2,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_chunk_size": 8,
        "mamba_n_groups": 1,
    },
    "gemma2": {"final_logit_softcapping": 0.5, "head_dim": 8},
    "gemma3_text": {"final_logit_softcapping": 0.5, "head_dim": 8},
    "vaultgemma": {"final_logit_softcapping": 0.5, "head_dim": 8},
    "nanochat": {"final_logit_softcapping": 0.5},
    "qwen3": {"head_dim": 8},
    "mistral": {},
    "llama": {},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_s_own_factor_and_cap_on_the_logits(family):
    """Each with another name in its config; with the wrong one the log-probs would be those of another temperature."""
    if family not in CONFIG_MAPPING:
        pytest.skip(f"this version of transformers has no {family}")
    shape = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 50,
        "max_position_embeddings": 64,
    }
    tokens = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1}
    config = CONFIG_MAPPING[family](**(shape | tokens | FAMILIES[family]))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.get_output_embeddings().parameters():  # so that a factor or a cap shows
            parameter.normal_(0, 0.5)
    scored = []
    real, logprobs_head = logprobs.head_logprobs, lambda *a: scored.append(a) or real(*a)
    ids, mask = ragged(50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logprobs, "head_logprobs", logprobs_head)
        mine, entropy = chosen_logprobs(model, ids, mask, 13, 0.7)
    theirs, expected = plain(model, ids, mask, 13, 0.7)
    assert scored, "the model's own logits were taken, so nothing was shown"
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(entropy, expected, rtol=1e-4, atol=1e-5)
    if FAMILIES[family].keys() - {"head_dim"}:
        hidden, weight, bias, targets, temperature, *_ = scored[0]
        assert not torch.allclose(real(*scored[0])[0], real(hidden, weight, bias, targets, temperature)[0], atol=1e-3)


@pytest.mark.parametrize("frozen", [True, False])
def test_no_more_logits_than_a_tile_exist_at_once(frozen, monkeypatch):
    """Counts the elements of every tensor that the head makes, forward and backward."""
    from torch.utils._python_dispatch import TorchDispatchMode

    tokens, vocabulary, width = 400, 5000, 8
    monkeypatch.setattr(logprobs, "TILE", 20 * vocabulary)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    hidden, weight = torch.randn(tokens, width, requires_grad=True), torch.randn(vocabulary, width, requires_grad=not frozen)
    with Watch():
        logps, _ = logprobs.head_logprobs(hidden, weight, None, torch.randint(0, vocabulary, (tokens,)))
        logps.sum().backward()
    assert largest == 20 * vocabulary < tokens * vocabulary / 10


def test_no_gradient_means_no_slope():
    """Scoring (old log-probs, idle rows) pays one product with the head, not two."""
    with torch.no_grad():
        logps, entropy = logprobs.head_logprobs(torch.randn(5, 4), torch.randn(9, 4), None, torch.arange(5))
    assert not logps.requires_grad and not entropy.requires_grad


def test_in_16_bits_the_trained_head_is_as_exact_as_the_plain_path(monkeypatch):
    """Against float64: the error of our gradient of the weight is that of plain autograd in bf16 (tiles add a rounding), and
    autocast is heeded."""
    monkeypatch.setattr(logprobs, "TILE", 40 * 301)
    torch.manual_seed(1)
    exact = torch.randn(900, 32, dtype=torch.float64), torch.randn(301, 32, dtype=torch.float64) * 0.2
    targets, pull = torch.randint(0, 301, (900,)), torch.randn(900, dtype=torch.float64)

    def gradients(hidden, weight, through):
        leaves = hidden.clone().requires_grad_(True), weight.clone().requires_grad_(True)
        return torch.autograd.grad((through(*leaves) * pull.to(hidden.dtype)).sum(), leaves)

    def plain_path(hidden, weight):
        return (hidden @ weight.t()).log_softmax(-1).gather(-1, targets[:, None])[:, 0]

    def ours(hidden, weight):
        return logprobs.head_logprobs(hidden, weight, None, targets)[0]

    truth = gradients(*exact, plain_path)
    half = [x.bfloat16() for x in exact]
    errors = {
        name: [(g.double() - t).norm() / t.norm() for g, t in zip(gradients(*half, way), truth, strict=True)]
        for name, way in (("ours", ours), ("plain", plain_path))
    }
    assert all(a <= 1.2 * b for a, b in zip(errors["ours"], errors["plain"], strict=True)), errors
    single = [x.float() for x in exact]
    with torch.autocast("cpu", torch.bfloat16):
        cast = gradients(*single, ours)
    assert all(g.dtype == torch.float32 and 1e-4 < (g - t).norm() / t.norm() < 0.05 for g, t in zip(cast, truth, strict=True))


def test_nothing_private_of_trl_is_imported():
    """TRL renames what begins with an underscore between minor versions: 1.15 moved its chunked log-probs."""
    found = []
    for file in sorted(Path(logprobs.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "trl":
                found += [f"{file.name}: {alias.name}" for alias in node.names if alias.name.startswith("_")]
    assert not found
