"""The weight k, its sign, its mask; the table in docs/how-thinktuning-works.md is these numbers."""

import math

import pytest
import torch

from thinklab import aas

# (A, pi, k) of the written formula with c(A) = 0.00025 A: the cases of the authors' slides, worked out by hand
WRITTEN = [
    (1.79, 0.9, 0.9 / (0.9 + 0.0004475)),
    (1.79, 0.1, 0.1 / 0.1004475),
    (1.79, 0.01, 0.01 / 0.0104475),
    (1.79, 0.002, 0.002 / 0.0024475),
    (1.79, 0.001, 0.001 / 0.0014475),
    (1.79, 0.0001, 0.0001 / 0.0005475),
    (-1.79, 0.9, 0.9 / (0.9 - 0.0004475)),
    (-1.79, 0.1, 0.1 / (0.1 - 0.0004475)),
    (-1.79, 0.02, 0.02 / (0.02 - 0.0004475)),
    (-1.79, 0.0101, 0.0101 / (0.0101 - 0.0004475)),
    (-1.79, 0.0099, 0.0),
    (-1.79, 0.0001, 0.0),
]
# what docs and slides say of some of them, to three digits
STATED = [(1.79, 0.9, 0.9995), (-1.79, 0.9, 1.0005), (1.79, 0.01, 0.957), (1.79, 0.001, 0.691), (1.79, 0.0001, 0.183)]


def k(pi, advantage, **constants):
    return aas.weight(
        torch.tensor([[math.log(pi)]], dtype=torch.float64), torch.tensor([[advantage]], dtype=torch.float64), **constants
    ).item()


@pytest.mark.parametrize("advantage, pi, expected", WRITTEN)
def test_weight_at_the_twelve_points(advantage, pi, expected):
    assert k(pi, advantage) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("advantage, pi, stated", STATED)
def test_weight_as_stated(advantage, pi, stated):
    assert k(pi, advantage) == pytest.approx(stated, abs=5e-4)


def test_coefficient_has_the_sign_of_the_advantage_and_is_clamped():
    c = aas.coefficient(torch.tensor([-9.0, -4.0, -1.0, 0.0, 1.0, 4.0, 9.0]))
    assert c.tolist() == pytest.approx([-1e-3, -1e-3, -2.5e-4, 0.0, 2.5e-4, 1e-3, 1e-3])


@pytest.mark.parametrize("advantage", [2.0, 0.5, -0.5, -2.0])
def test_loss_has_the_value_and_gradient_of_the_formula(advantage):
    logp = torch.linspace(math.log(1e-6), math.log(0.999), 40, dtype=torch.float64)[None].requires_grad_()
    a = torch.tensor([[advantage]], dtype=torch.float64)
    loss = aas.loss(logp, a)
    loss.sum().backward()
    for j in range(logp.shape[1]):
        pi, c = math.exp(logp[0, j].item()), 1e-3 * advantage / 4
        dead = advantage < 0 and pi < 0.01
        expected = 0.0 if dead else -advantage * pi / (pi + c)
        assert loss[0, j].item() == pytest.approx(expected, rel=1e-9)
        assert logp.grad[0, j].item() == pytest.approx(expected, rel=1e-9)  # d/dlogp of pi / (sg(pi) + c) is itself


def test_masked_tokens_have_exactly_no_gradient():
    logp = torch.full((1, 3), math.log(0.005), requires_grad=True)
    aas.loss(logp, torch.tensor([[-1.0]])).sum().backward()
    assert logp.grad.tolist() == [[0.0, 0.0, 0.0]]


def test_tokens_of_no_probability_do_no_harm():
    logp = torch.tensor([[-200.0, -104.0, float("-inf")]], requires_grad=True)
    for advantage in (1.0, 0.0, -1.0):
        assert torch.isfinite(aas.weight(logp, torch.tensor([[advantage]]))).all()


def test_authors_variant_is_not_advantage_aware():
    pi = torch.tensor([[0.9, 0.01, 0.002, 0.0011, 0.0005]])
    expected = [0.9 / 0.899, 0.01 / 0.009, 2.0, 11.0, 1.0001]
    for advantage in (1.0, 3.0):
        w = aas.gradient_weight(pi.log(), torch.full_like(pi, advantage), aas.Shaping("authors"))
        assert w[0].tolist() == pytest.approx(expected, rel=1e-3)
    low = aas.gradient_weight(pi.log(), torch.full_like(pi, -1.0), aas.Shaping("authors"))
    assert low[0, 2:].tolist() == [1.0, 1.0, 1.0]  # masked tokens fall back to the plain policy gradient


def test_luffy_weight_is_the_derivative_of_its_loss():
    logp = torch.tensor([[-8.0, -3.0, -1.0, -0.1]], dtype=torch.float64, requires_grad=True)
    (-(logp.exp() / (logp.exp() + 0.1))).sum().backward()
    w = aas.gradient_weight(logp, torch.ones_like(logp), aas.Shaping("luffy"))
    assert torch.allclose(w, -logp.grad)


def test_without_c_the_floor_may_be_anything_because_there_is_no_pole():
    for floor in (0.0, 1e-6, 1.0):
        shaping = aas.Shaping(c_max=0, floor=floor)
        logp, negative = torch.tensor([1e-9, 1e-3, 0.5, 0.999]).log(), torch.full((4,), -1.0)
        expected = torch.tensor([float(p >= floor) for p in (1e-9, 1e-3, 0.5, 0.999)])
        torch.testing.assert_close(aas.gradient_weight(logp, negative, shaping), expected)
        torch.testing.assert_close(aas.gradient_weight(logp, -negative, shaping), torch.ones(4))


@pytest.mark.parametrize(
    "constants",
    [{"c_max": 0.02}, {"floor": 1.5}, {"floor": -0.1}, {"floor": 0}, {"a_max": 0}, {"variant": "aaa"}, {"luffy_gamma": 0}],
)
def test_constants_that_cannot_work_are_refused(constants):
    with pytest.raises(ValueError):
        aas.Shaping(**constants)
