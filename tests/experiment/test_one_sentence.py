"""A teacher that is one sentence in YAML: no rule, no key, no Python, and the student learns the sentence."""

import pytest

from thinklab import Lab
from thinklab.errors import ConfigError
from thinklab.experiment.train import train
from thinklab.run.folder import RunFolder

BEHAVIOR = """\
name: short-check
title: Checks in one line
description: After its answer the response ends with I check and the result.
version: 1
placement: end
teacher:
  system: Go on as the student.
  few_shots:
    - {question: A box holds 12 red pens and 7 blue ones. How many?, response: '12+7=19. So \\boxed{19}.', verdict: correct,
       reason: I added., phrase: 'I check: 19.'}
splice: {fields: [phrase], separator: " "}
guidance: {longest: 40, must_contain: ["I check: "], must_end_with: ["."]}
detector: {phrase: "I check:", where: last_sentence}
reward: {bonus: 0.5}
"""
CONFIG = """\
name: one-sentence
student: embedded
task: {name: sums, terms: [2]}
behaviors: [./short-check.yaml]
teacher:
  backend: scripted
  phrase: "I check: {gold}."
guidance: {gamma: 0.25, max_tokens: 24}
train: {steps: 44, questions: 8, samples: 8, learning_rate: 0.001, warmup_steps: 2, max_prompt_tokens: 40, max_completion_tokens: 48,
  threads: 1, checkpoint_every: 0}
probe: {questions: 40}
guards: {kl_every: 0}
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "short-check.yaml").write_text(BEHAVIOR)
    (tmp_path / "one.yaml").write_text(CONFIG)
    return tmp_path / "one.yaml"


def test_the_embedded_student_learns_the_sentence(config, tmp_path):
    said = []
    _, out, result = train(config, out=tmp_path / "run", say=said.append)
    rate = {stage: result[stage]["T=1"]["behaviors"]["short-check"] for stage in ("before", "after")}
    assert rate["before"]["count"] == 0 and rate["after"]["value"] > 0.8
    guided = [r for r in RunFolder(out).read("rollouts") if r["guidance"]]
    assert {r["guidance"]["status"] for r in guided} == {"accepted"}
    assert all(r["guidance"]["text"] == f"I check: {r['example']['gold']}." for r in guided)
    assert any(s.startswith("replies: all ") for s in said)


def test_a_lab_guides_with_it_and_a_review_passes_it(config, tmp_path):
    with Lab(config, out=tmp_path / "lab", quiet=True, overrides=["train.samples=4", "probe.questions=8"]) as lab:
        batch = lab.rollout()
        found = lab.guide(batch)
        gold = {r.id: r.example.gold for r in batch.rollouts}
        assert found.usable and {k: g.final_text for k, g in found.usable.items()} == {k: f"I check: {gold[k]}." for k in found}
        lab.review(batch, auto="accept_if_detected")
        assert {i.state for i in lab.queue.items} == {"accepted"}


@pytest.mark.parametrize(
    ("phrase", "why"),
    [
        ("Arr: {gold}.", "the guidance does not contain 'I check: '"),
        ("I check: {gold}", "the guidance does not end with '.'"),
        ("I check: {gold}. I am sure.", "the detector does not find the behavior"),
        ("I check: {gold} and once more and once more and then.", "at most 40 are allowed"),
    ],
)
def test_a_sentence_that_can_never_be_used_is_refused_before_anything_is_sampled(config, tmp_path, phrase, why):
    with pytest.raises(ConfigError) as caught:
        train(config, [f"teacher.phrase={phrase!r}"], tmp_path / "run")
    assert why in str(caught.value) and "'short-check'" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "config.yaml").exists()
