"""The statistics of an evaluation against textbook cases and hand counts."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from thinklab.evaluation import paper_table
from thinklab.evaluation.paired_stats import average, average_gap, holm, ratio, sign_flip, within_question
from thinklab.evaluation.results import Filled


def single(values):
    return {f"q{k}": [v] for k, v in enumerate(values)}


@pytest.mark.parametrize(("won", "lost", "same"), [(5, 1, 30), (0, 0, 9), (7, 0, 1), (3, 3, 4)])
def test_with_one_run_it_is_mcnemar_s_exact_test(won, lost, same):
    one = single([0] * won + [1] * lost + [1] * same)
    other = single([1] * won + [0] * lost + [1] * same)
    n, k = won + lost, min(won, lost)
    exact = min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0
    assert sign_flip(one, other) == pytest.approx(exact)


def test_many_differing_questions_are_sampled_and_agree_with_the_normal_limit():
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2, (300, 4))
    one = {k: list(row) for k, row in enumerate(base)}
    other = {k: list(np.clip(row + (rng.random(4) < 0.1), 0, 1)) for k, row in enumerate(base)}
    assert sign_flip(one, other) < 0.001
    shuffled = {k: list(rng.permutation(row)) for k, row in enumerate(base)}
    assert sign_flip(one, shuffled) == 1.0, "the same answers in another order are no difference"


def test_false_alarms_come_as_often_as_they_should():
    rng, alarms = np.random.default_rng(2), 0
    for trial in range(200):
        one, other = (single(rng.integers(0, 2, 60)) for _ in range(2))
        alarms += sign_flip(one, other, draws=500, seed=trial) < 0.05
    assert alarms <= 22, "200 trials at 5 % give 10; 22 is beyond four standard deviations"


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


def test_average_gives_each_benchmark_the_same_weight():
    small, large = single([1, 1]), single([0] * 100)
    found = average([small, large])
    assert found.value == 0.5 and found.low == found.high == 0.5
    gap = average_gap([(small, single([0, 1])), (large, single([0] * 50 + [1] * 50))])
    assert gap.value == pytest.approx((-0.5 + 0.5) / 2) and gap.low < 0 < gap.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(3), 0
    for trial in range(150):
        a, b = single(rng.random(80) < 0.3), single(rng.random(50) < 0.6)
        found = average([a, b], seed=trial)
        covered += found.low <= 0.45 <= found.high
    assert covered >= 130, "95 % of 150 are 142"


def test_ratio_of_lengths():
    found = ratio({"a": [10, 20], "b": [30]}, {"b": [33], "a": [15, 18]})
    assert found.value == pytest.approx((16.5 + 33) / (15 + 30) - 1) and found.low <= found.value <= found.high
    assert np.isnan(ratio({"a": [0]}, {"a": [3]}).value)


def test_length_within_a_question_ignores_how_hard_it_is():
    """Hard questions are long and wrong; within each, the longer answer is the right one."""
    tokens = {"easy": [10, 20], "hard": [110, 120], "solved": [5, 6]}
    correct = {"easy": [0, 1], "hard": [0, 1], "solved": [1, 1]}
    gap, count = within_question(tokens, correct)
    assert gap.value == 10 and count == 2
    assert within_question({"a": [1]}, {"a": [1]}) == (None, 0)


def test_curves_and_quarters_are_counted_right():
    lines = tuple(
        {"run": 0, "example_id": str(k), "tokens": t, "correct": c, "correct_at": {"10": a, "20": c}}
        for k, (t, c, a) in enumerate([(5, True, True), (20, True, False), (15, False, False), (8, False, False)])
    )
    cell = Filled("m", "b", "sums", lines, 1, 1)
    assert cell.curve() == [(10, 0.25, (5 + 10 + 10 + 8) / 4), (20, 0.5, 12.0)]
    assert [(t, r.count) for t, r in cell.by_length()] == [(5, 1), (8, 0), (15, 0), (20, 1)]
    assert cell.accuracy.count == 2 and cell.each_run == [0.5]


def test_several_runs_of_a_question_are_not_counted_as_independent():
    lines = tuple({"run": r, "example_id": str(k), "correct": k < 10} for r in range(16) for k in range(20))
    rate = Filled("m", "b", "aime", lines, 16, 16).accuracy
    assert rate.value == 0.5 and rate.total == 320 and rate.high - rate.low > 0.35, "20 questions, whatever the number of runs"


def test_the_paper_s_figures_are_those_that_a_source_gives():
    assert len(paper_table.ACCURACY) == 4 and len(paper_table.BENCHMARKS) == 8 and len(paper_table.ROWS) == 8
    assert paper_table.shown("thinktuning", "math500") == "47.54 (second hand); GRPO + 2.08 (abstract)"
    assert paper_table.shown("grpo", "gpqa_diamond") == "24.19 (second hand)"
    assert paper_table.shown("star", "gsm8k") == paper_table.shown("zero-shot", "average") == "?"
    assert paper_table.shown("grpo", "sums") == paper_table.shown(None, "gsm8k") == ""
    known = [1 for r in paper_table.ROWS for t in paper_table.BENCHMARKS if paper_table.shown(r, t) != "?"]
    assert len(known) == 8, "the other 56 cells are unknown"
    assert paper_table.row_of("S1") == "s1-2048" and paper_table.row_of("ThinkTuning") == "thinktuning"
    assert paper_table.row_of("mine") is None
