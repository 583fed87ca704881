"""The probe's parts: honest intervals, pairing, reach, retention, spill-over; and the report's quadrants."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch

from thinklab.aas import weight
from thinklab.behavior.behavior import load_behavior
from thinklab.config.experiment import LossSection
from thinklab.probing import probe, reach, spill_over
from thinklab.probing.retention import Retention
from thinklab.probing.stats import Rate, mean_interval, paired_difference
from thinklab.reports import quadrants as report_tokens
from thinklab.students import load_student
from thinklab.tasks import load_task
from thinklab.types import Rollout

CHECK = " I check: 12+7=19. So \\boxed{19}."


@pytest.fixture(scope="module")
def student():
    return load_student("embedded")


def rollout(student, example, text=CHECK):
    prompt = student.encode(load_task("sums").prompt(example))
    own = student.tokenizer("12+7=18. So \\boxed{18}.", add_special_tokens=False)["input_ids"]
    eos = student.tokenizer.eos_token_id
    added = student.tokenizer(text, add_special_tokens=False)["input_ids"]
    return Rollout(
        id="0-0",
        group=0,
        example=example,
        prompt_ids=tuple(prompt),
        student_ids=(*own, eos),
        finished=True,
        text="",
        student_text="",
        teacher_ids=(*added, eos),
    )


# ---- intervals


def test_answers_that_agree_count_once_and_independent_ones_all():
    same = Rate.of_groups([[True] * 4] * 20 + [[False] * 4] * 20)
    assert (same.count, same.total) == (80, 160) and same.effective == pytest.approx(40, rel=0.05)
    single = Rate(20, 40)
    assert same.high - same.low == pytest.approx(single.high - single.low, rel=0.03)
    rng = random.Random(1)
    apart = Rate.of_groups([[rng.random() < 0.5 for _ in range(4)] for _ in range(400)])
    assert 1200 < apart.effective <= 1600
    assert Rate.of_groups([[False] * 8] * 10).upper_bound == pytest.approx(0.3)


def test_the_paired_interval_covers_the_truth_about_as_often_as_it_says():
    rng, held = random.Random(0), 0
    for trial in range(120):
        before, after = {}, {}
        for q in range(60):
            level = rng.random()
            before[str(q)] = [float(rng.random() < 0.7 * level)]
            after[str(q)] = [float(rng.random() < 0.7 * level + 0.2)]
        found = paired_difference(before, after, draws=500, seed=trial)
        held += found.low <= 0.2 <= found.high
    assert 0.88 <= held / 120 <= 0.99
    with pytest.raises(ValueError, match="no question in common"):
        paired_difference({"a": [1.0]}, {"b": [1.0]})


@pytest.mark.parametrize("values, low, high", [([0.0, 1.0], -5.853, 6.853), ([1, 2, 3, 4, 5], 1.0368, 4.9632)])
def test_interval_of_a_mean_over_seeds(values, low, high):
    found = mean_interval(values)  # t quantiles 12.706 and 2.776 from any table
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-3), pytest.approx(high, abs=2e-3))
    assert mean_interval([0.5]).high == math.inf


# ---- probe


def test_several_samples_belong_to_their_question(student):
    task, behaviors = load_task("sums"), [load_behavior("self-check")]
    examples = task.load("test")[:5]
    found = probe.sample(student, task, behaviors, examples, max_new_tokens=40, n=3)
    assert [s.example_id for s in found] == [e.id for e in examples for _ in range(3)]
    assert all(s.correct == task.verify(s.text, next(e for e in examples if e.id == s.example_id)) for s in found)
    result = probe.summarize(found)
    assert result.samples == 3 and result.accuracy.total == 15
    better = [replace(s, correct=True, tokens=s.tokens + 2) for s in found]
    gap = probe.differences(found, better)
    assert gap["accuracy"]["value"] == pytest.approx(1 - result.accuracy.value) and gap["tokens"]["value"] == pytest.approx(2)
    assert probe.differences(found, [replace(s, example_id="other") for s in found]) == {}


# ---- reach


def test_reach_equals_the_base_models_own_probabilities(student):
    examples = load_task("sums").load("train")[:3]
    rollouts = [rollout(student, e) for e in examples]
    with torch.no_grad():
        for p in student.model.parameters():
            if p.requires_grad:
                p.add_(0.05)  # a trained adapter must not count: reach is about the base
    try:
        found = reach.measure(student, rollouts, LossSection(c_max=1e-3), rows=2)
        totals, lowest = [], []
        with student.model.disable_adapter(), torch.no_grad():
            for r in rollouts:
                ids = torch.tensor([[*r.prompt_ids, *r.completion_ids]])
                logps = student.model(input_ids=ids).logits.float().log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None])[:, 0]
                tail = logps[-len(r.teacher_ids) :].double()
                totals.append(tail.sum().item())
                lowest.append(tail.min().exp().item())
    finally:
        with torch.no_grad():
            for p in student.model.parameters():
                if p.requires_grad:
                    p.sub_(0.05)
    mean = math.log10(sum(map(math.exp, totals)) / len(totals))
    assert found.log10_text == pytest.approx(mean, abs=1e-3)
    assert found.expected_samples == pytest.approx(10**-mean, rel=1e-2)
    assert found.lowest == pytest.approx(sorted(lowest)[1], rel=1e-2)
    for _, p, k in found.example:
        expected = weight(torch.tensor([[p]]).log(), torch.tensor([[1.0]]), c_max=1e-3).item()
        assert k == pytest.approx(expected, rel=1e-4)


def test_advice_follows_from_the_weakest_token():
    loss = LossSection(c_max=1e-3)

    def said(lowest, samples=100, **more):
        found = {
            "expected_samples": 1 / lowest,
            "log10_text": math.log10(lowest),
            "lowest": lowest,
            "c": 2.5e-4,
            "advantage": 1.0,
            "under_c": 0.1,
            **more,
        }
        return " ".join(reach.advice(found, loss, samples))

    assert "may find it without a teacher" in said(0.5) and "can train even" in said(0.5)
    weak = said(1e-6)
    assert "cannot reinforce" in weak and "loss.c_max=4e-06 would give it k = 0.5" in weak
    assert reach.weight(1e-6, 4e-6 / 4) == pytest.approx(0.5)
    assert "any c" in said(1e-20)
    with pytest.raises(ValueError, match="no"):
        reach.measure(None, [], loss)


# ---- retention and spill-over


def test_retention_is_nothing_for_the_base_and_grows_with_the_change(student):
    kept = Retention.of(student)
    assert kept.kl() < 1e-4
    changed = [p for n, p in student.model.named_parameters() if p.requires_grad and "lora_B" in n]
    seen = []
    try:
        for _ in range(2):
            with torch.no_grad():
                for p in changed:
                    p.add_(0.01)
            seen.append(kept.kl())
    finally:
        with torch.no_grad():
            for p in changed:
                p.zero_()
    assert 2e-4 < seen[0] < seen[1]


def test_a_fixed_phrase_counts_as_spill_over_where_the_detector_is_strict():
    behavior = load_behavior("self-check")
    assert not behavior.detect("Hello! I check: all is well.") and spill_over.shows(behavior, ["Hello! I check: all is well."])[0]
    assert not spill_over.shows(behavior, ["So \\boxed{4}."])[0]


# ---- the report's quadrants


def test_quadrants_count_teacher_tokens_alone():
    traces = [
        {
            "advantage": 1.0,
            "tokens": list("abcd"),
            "teacher": [0, 1, 1, 1],
            "probability": [0.9, 0.9, 0.001, 0.01],
            "weight": [1, 0.99, 0.05, 0.9],
        },
        {"advantage": -1.0, "tokens": list("ef"), "teacher": [1, 1], "probability": [0.5, 0.002], "weight": [1.01, 0.0]},
        {"advantage": 0.0, "tokens": ["g"], "teacher": [1], "probability": [0.5], "weight": [1.0]},
    ]
    found, idle = report_tokens.quadrants(report_tokens.traced(traces), floor=0.01)
    counts = {key: (q.count, q.masked, q.no_grip) for key, q in found.items()}
    assert (
        counts == {(True, True): (2, 0, 0), (True, False): (1, 0, 1), (False, True): (1, 0, 0), (False, False): (1, 1, 1)}
        and idle == 1
    )
    assert found[True, True].examples == ["b", "d"] and found[True, True].low == 0.9
