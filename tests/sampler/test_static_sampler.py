"""The static-cache sampler gives the very same answers, and its decode step can be replayed as a CUDA graph is."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import MistralConfig, MistralForCausalLM

from tests.sampler.test_sampler import QUESTIONS, sampler
from tests.support.tiny_llama import random_llama
from thinklab import sampler as plain
from thinklab.errors import TrainingError
from thinklab.sampler import static as static_sampler
from thinklab.sampler.answers import Answers
from thinklab.sampler.static import StaticSampler, can_be_static, sampler_for


@pytest.fixture
def prompts(tokenizer):
    found = tokenizer(QUESTIONS)["input_ids"]
    assert len(set(map(len, found))) == len(found)  # uneven, so padded
    return found


class Recording(TorchDispatchMode):
    """Every operation in order, with the tensors that it read and wrote."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out


def recorded(step, undo):
    """What a CUDA graph does, on a CPU: the operations of one call again, on the same memory, without any Python of the model.

    Whatever the model keeps in Python (a count of tokens, a shape) is frozen at its value while recording, and asking a tensor for its
    value is an error, as in a capture.
    """
    with Recording() as recording:
        step()
    undo()
    assert not any(
        str(func).startswith(("aten._local_scalar_dense", "aten.nonzero", "aten.equal")) for func, *_ in recording.calls
    )

    def replay():
        replay.count += 1
        for func, args, kwargs, out in recording.calls:
            again = func(*args, **kwargs)
            for old, new in zip(*(x if isinstance(x, (tuple, list)) else (x,) for x in (out, again)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    replay.count = 0
    return replay


def static(tokenizer, **options):
    return StaticSampler(
        **{"max_new_tokens": 48, "eos_ids": (tokenizer.eos_token_id,), "pad_id": tokenizer.pad_token_id, **options}
    )


@pytest.mark.parametrize("capture", [None, recorded])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_p": 0.9}, {"rows": 6}, {"check_every": 1}, {"check_every": 7}])
def test_the_very_same_samples(options, capture, model, tokenizer, prompts, monkeypatch):
    """No row is dropped in either, so the draws are the same: padding, uneven prompts, EOS found late, parts one after the
    other."""
    monkeypatch.setattr(plain, "COMPACT_BELOW", 0.0)
    only = {k: v for k, v in options.items() if k != "check_every"}
    expected = sampler(tokenizer, **only)(model, prompts, n=3, seed=7)
    assert static(tokenizer, capture=capture, **options)(model, prompts, n=3, seed=7) == expected
    assert {a[-1] == tokenizer.eos_token_id for a in expected} == {True, False} or len({len(a) for a in expected}) > 2


@pytest.mark.parametrize("capture", [None, recorded])
def test_greedy_is_the_same_where_rows_leave_and_the_cache_grows(capture, model, tokenizer, prompts, monkeypatch):
    monkeypatch.setattr(static_sampler, "SEGMENT", 5)
    expected = sampler(tokenizer, temperature=0.0)(model, prompts, n=2)
    assert static(tokenizer, temperature=0.0, capture=capture)(model, prompts, n=2) == expected


def test_draws_are_the_same_over_segments(model, tokenizer, prompts, monkeypatch):
    monkeypatch.setattr(plain, "COMPACT_BELOW", 0.0)
    monkeypatch.setattr(static_sampler, "SEGMENT", 5)
    assert static(tokenizer)(model, prompts, n=3, seed=2) == sampler(tokenizer)(model, prompts, n=3, seed=2)


def test_limits_and_the_news_of_ended_prompts(model, tokenizer, prompts, monkeypatch):
    monkeypatch.setattr(plain, "COMPACT_BELOW", 0.0)
    limits, told = [3, 48, 1, 20], []
    expected = sampler(tokenizer)(model, prompts, n=3, seed=4, limits=limits)
    answers = static(tokenizer, check_every=4)(
        model, prompts, n=3, seed=4, limits=limits, on_done=lambda k, ids: told.append((k, ids))
    )
    assert answers == expected and sorted(k for k, _ in told) == [0, 1, 2, 3]
    assert all(ids == answers[3 * k : 3 * k + 3] for k, ids in told) and told[0][0] != 1


def test_the_generator_is_left_where_the_plain_sampler_leaves_it(model, tokenizer, prompts, monkeypatch):
    monkeypatch.setattr(plain, "COMPACT_BELOW", 0.0)
    states = []
    for kind in (sampler(tokenizer), static(tokenizer, check_every=16)):
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            answers = Answers(1, 2, kind.max_new_tokens, tokenizer.pad_token_id, torch.device("cpu"))
            kind._sample(model.eval(), prompts[:1], answers, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_broken_weights_are_one_clear_error(model, tokenizer, prompts):
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="not finite"):
        static(tokenizer)(model, prompts)


class Count(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count, self.reads = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        self.reads += str(func).startswith("aten._local_scalar_dense")
        return func(*args, **(kwargs or {}))


class Calls:
    """Function calls of the interpreter, those into C included."""

    count = 0

    def __enter__(self):
        sys.setprofile(self.note)
        return self

    def note(self, frame, event, arg):
        self.count += event in ("call", "c_call")

    def __exit__(self, *_):
        sys.setprofile(None)


def host_calls(using, model, prompts, tokens):
    """Operations that the host issues for each token after the first half of ``tokens``, values it asks the device for, and
    function calls of the interpreter."""
    found = []
    for count in (tokens // 2, tokens):
        with Count() as counter:
            using(count)(model, prompts, 2, 0)
        with Calls() as calls:
            using(count)(model, prompts, 2, 0)
        found.append((counter.count, counter.reads, calls.count))
    return [(later - earlier) / (tokens - tokens // 2) for earlier, later in zip(*found, strict=True)]


def test_a_tenth_of_the_host_calls_at_28_layers(tokenizer):
    """What runs outside the captured step, with the replay as one call, against the plain sampler at the depth of a 3B model."""
    more = {"num_key_value_heads": 1, "max_position_embeddings": 256, "pad_token_id": 0}
    deep = random_llama(97, 16, 16, layers=28, heads=2, **more).eval()

    class Silent:
        """The replay, uncounted but for the one call that it is."""

        def __init__(self, step, undo):
            self.step = step

        def __call__(self):
            counting, counter = sys.getprofile(), torch.utils._python_dispatch._get_current_dispatch_mode()
            if counter is not None:
                counter.count += 1
            sys.setprofile(None)
            with torch.utils._python_dispatch._disable_current_modes():
                self.step()
            sys.setprofile(counting)

    shape = {"eos_ids": (1_000,), "pad_id": 0}
    before = host_calls(lambda n: plain.Sampler(n, **shape), deep, [[5, 6, 7], [8, 9]], 64)
    after = host_calls(lambda n: StaticSampler(n, capture=Silent, **shape), deep, [[5, 6, 7], [8, 9]], 64)
    for what, old, new in zip(("operations", "values read back", "function calls"), before, after, strict=True):
        print(f"\n{what} a token: {old:.2f} -> {new:.2f}")
    assert after[0] < before[0] / 10 and before[0] > 1000
    assert after[1] <= 0.3 and before[1] >= 1
    assert after[2] < before[2] / 10 and before[2] > 2000


def test_models_with_another_attention_keep_the_plain_sampler(model):
    assert can_be_static(model) and sampler_for(model) is plain.Sampler  # no GPU here
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 31,
    }
    assert not can_be_static(MistralForCausalLM(MistralConfig(sliding_window=8, **small)))
    assert can_be_static(MistralForCausalLM(MistralConfig(sliding_window=None, **small)))
