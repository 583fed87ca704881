"""A script of its own with ``ThinkTuningTrainer`` on two processes: the loss goes in through the data-parallel wrapper."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import ROOT
from tests.method.test_trainer_formula import SHAPING, lora, written_formula
from tests.support.warm_start import start
from thinklab.through_wrapper import through_wrapper


def test_two_processes_take_the_step_of_the_formula(model, tmp_path):
    """The step is the mean of both processes' gradients, so the wrapper's hooks have run; each loss is the formula's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "CUDA_VISIBLE_DEVICES": ""}
    ranks = [
        start(tmp_path / f"{rank}.pt", entry="tests.support.one_rank:main", cwd=ROOT, **env, RANK=rank, LOCAL_RANK=rank)
        for rank in (0, 1)
    ]
    for process in ranks:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said[-2000:]
    said = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)]
    gradients, guided = [], 0
    for one in said:
        ((wrapper, before, seen, loss),) = one["calls"]
        assert wrapper == "DistributedDataParallel"
        guided += int(seen["teacher_mask"].any(1).sum())
        plain = lora(model) if not hasattr(model, "peft_config") else model
        plain.load_state_dict(before, strict=False)
        plain.zero_grad()
        found = dict.fromkeys(["masked teacher", "negative teacher", "positive teacher", "clipped student", "left padded"], 0)
        expected = 2 * written_formula(
            plain, seen, SimpleNamespace(**one["args"]), SHAPING, 1, found
        )  # of all tokens' number, a half
        expected.backward()
        assert loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
        gradients.append({n: p.grad.clone() for n, p in plain.named_parameters() if p.requires_grad})
        model = plain
    assert guided == 2 and not all(torch.allclose(gradients[0][n], gradients[1][n]) for n in gradients[0])
    moved = 0.0
    for name, first in said[0]["calls"][0][1].items():
        assert torch.equal(first, said[1]["calls"][0][1][name]) and torch.equal(said[0]["after"][name], said[1]["after"][name])
        step = said[0]["rate"] * (gradients[0][name] + gradients[1][name]) / 2
        torch.testing.assert_close(said[0]["after"][name] - first, -step, rtol=1e-3, atol=1e-5)
        moved = max(moved, step.abs().max().item())
    assert moved > 1e-3


def test_the_function_runs_inside_the_wrapper_and_forward_is_back_afterward():
    inner = torch.nn.Linear(2, 1)
    wrapper = torch.nn.Sequential(inner)  # calls it once, as a data-parallel wrapper does
    seen = []

    def loss(plain, given):
        seen.append(plain is inner and "forward" not in plain.__dict__)
        return plain(given).sum()

    out = through_wrapper(wrapper, inner, loss, torch.ones(1, 2))
    assert seen == [True] and torch.equal(out, inner(torch.ones(1, 2)).sum())
    with pytest.raises(RuntimeError):
        through_wrapper(wrapper, inner, loss, torch.ones(1, 3))
    inner.forward = patched = lambda given: given * 3
    assert through_wrapper(wrapper, inner, lambda plain, given: plain(given), torch.ones(1)) == 3 and inner.forward is patched
