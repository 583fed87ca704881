"""Intervals against published values."""

import pytest

from thinklab.probing.stats import Rate


@pytest.mark.parametrize(
    "count, total, low, high",
    [  # Newcombe 1998, Table I, method 3 (Wilson score)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval(count, total, low, high):
    rate = Rate(count, total)
    assert rate.low == pytest.approx(low, abs=5e-5) and rate.high == pytest.approx(high, abs=5e-5)


def test_nothing_seen():
    assert Rate(0, 500).upper_bound == pytest.approx(0.006)
    assert str(Rate(0, 500)) == "0 (< .006)" and Rate(0, 500).percent == "0 (< 0.6)"
    assert str(Rate(491, 500)).startswith(".982 [") and Rate(491, 500).percent.startswith("98.2 [")


def test_no_tries_is_no_knowledge():
    assert (Rate(0, 0).low, Rate(0, 0).high) == (0.0, 1.0)
