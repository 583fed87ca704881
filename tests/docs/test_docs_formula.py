"""The figures of docs/how-thinktuning-works.md are computed, not typed."""

from __future__ import annotations

import re

import torch

from tests.conftest import ROOT
from thinklab import aas

PAGE = (ROOT / "docs" / "how-thinktuning-works.md").read_text()
TOKENS = {"`No`": 0.00002, "`,`": 0.6, "`19`": 0.05, "EOS": 0.97}


def test_the_worked_example():
    rewards = torch.tensor([1.0, 1, 0, 0])
    advantage = (rewards[0] - rewards.mean()) / (rewards.std() + 1e-4)
    logp = torch.tensor([list(TOKENS.values())]).log().requires_grad_()
    loss = aas.loss(logp, advantage.reshape(1, 1))
    loss.sum().backward()
    k = aas.weight(logp, advantage.reshape(1, 1))
    said = f"A = {advantage:.3f} and c = 0.001 x {advantage:.3f} / 4 = {aas.coefficient(advantage):.6f}"
    assert said in PAGE.replace("\n", " ")
    for name, pi, weight, value, slope in zip(TOKENS, TOKENS.values(), k[0], loss[0], logp.grad[0], strict=True):
        row = f"| {name} | {pi:.5f}".rstrip("0") + f" | {weight:.4f} | {value:.4f} | {slope:.4f} |"
        assert row in PAGE, row


def test_the_same_with_a_wrong_answer():
    k = aas.weight(torch.tensor([list(TOKENS.values())]).log(), torch.tensor([[-0.866]]))[0]
    assert k[0] == 0
    assert f"`,` would get k = {k[1]:.4f}, `19` {k[2]:.4f} and EOS {k[3]:.4f}" in PAGE


def test_the_table_of_cases():
    for a, pi, stated in re.findall(r"A = ([\d.]+), pi = ([\d.]+): ([\d.]+)\)", PAGE):
        k = aas.weight(torch.tensor([[float(pi)]]).log(), torch.tensor([[float(a)]])).item()
        assert f"{k:.{len(stated.split('.')[1])}f}" == stated
    for pi, stated in [("0.01", "0.957"), ("0.001", "0.691"), ("0.0001", "0.183")]:
        assert f"{pi}: {stated}" in PAGE
        assert f"{aas.weight(torch.tensor([[float(pi)]]).log(), torch.tensor([[1.79]])).item():.3f}" == stated
    assert f"{aas.weight(torch.tensor([[0.9]]).log(), torch.tensor([[-1.79]])).item():.4f}" == "1.0005"
    assert f"{aas.weight(torch.tensor([[1e-7]]).log(), torch.tensor([[1.0]])).item():.4f}" == "0.0004"
