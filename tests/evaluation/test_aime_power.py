"""What AIME can show: the table on the page is the computed one, and the formula agrees with the paired test of ``thinklab eval``."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import ROOT
from thinklab.evaluation.paired_stats import sign_flip
from tools import aime_power as power


def test_the_page_has_the_computed_table():
    assert power.table() in (ROOT / "docs" / "the-paper-table.md").read_text("utf-8")


def test_which_figures_can_occur():
    assert not power.can_occur(2.23, 300) and not power.can_occur(2.23, 480), "30 questions at 10 and at 16 runs"
    assert power.can_occur(2.23, 900) and power.can_occur(2.23, 9330)
    assert power.can_occur(33.33, 3) and power.can_occur(33.34, 3) and not power.can_occur(33.32, 3)


def test_more_questions_and_more_runs_detect_less():
    assert power.detectable(933, 10) < power.detectable(90, 10) < power.detectable(30, 10)
    assert power.detectable(90, math.inf) < power.detectable(90, 16) < power.detectable(90, 10)
    assert power.runs_needed(30) is None and power.detectable(30, 10**6) > power.GAIN
    needed = power.runs_needed(90)
    assert power.detectable(90, needed) <= power.GAIN < power.detectable(90, needed - 1)


@pytest.mark.parametrize(("questions", "runs"), [(90, 26), (200, 10)])
def test_the_paired_test_finds_the_detectable_difference_four_times_out_of_five(questions, runs):
    """Answers are drawn by the assumptions of the formula: the accuracy of a question is beta distributed with mean m and correlation
    rho, its gain is of mean g and standard deviation tau among the questions that can be solved at all."""
    gain = power.detectable(questions, runs) / 100
    rng, weight = np.random.default_rng(0), 1 / power.RHO - 1
    found = never = 0
    for _ in range(120):
        p = rng.beta(power.ACCURACY * weight, (1 - power.ACCURACY) * weight, questions)
        share = gain**2 / (gain**2 + power.TAU**2)  # so many questions gain g / share each: mean g, standard deviation tau
        q = np.clip(p + np.where(rng.random(questions) < share, gain / share, 0), 0, 1)
        one, same, other = (rng.binomial(runs, x) / runs for x in (p, p, q))
        values = [{str(k): [v] for k, v in enumerate(x)} for x in (one, same, other)]
        found += sign_flip(values[0], values[2], draws=1000) < 0.05
        never += sign_flip(values[0], values[1], draws=1000) < 0.05
    assert 0.68 <= found / 120 <= 0.92, "80 %"
    assert never / 120 <= 0.1, "5 %"
