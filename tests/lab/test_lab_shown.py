"""What the Lab shows: text in a script, HTML in a notebook, and never markup out of a model's mouth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from thinklab.lab.learned import Learned, LearnedText
from thinklab.lab.results import LabProbe, Metrics, Proposals, ReviewText, Status, batch_html, batch_text
from thinklab.probing.result import ProbeResult
from thinklab.probing.stats import Rate
from thinklab.review.queue import ReviewQueue
from thinklab.types import Batch, Example, Guidance, Rollout

BAD = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def rollout(k: int, text: str) -> Rollout:
    return Rollout(f"0-{k}", 0, Example(f"e{k}", BAD, "1"), (1,), (2, 3), True, text, text, checks={"student_correct": True})


def clean(html: str) -> None:
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html


def test_markup_in_questions_answers_guidance_and_names_is_text(tokenizer):
    from thinklab import load_behavior
    from thinklab.guide.guide import Guide

    batch = Batch(0, 0, tuple(rollout(k, BAD) for k in range(12)))
    guidance = {
        "0-0": Guidance("0-0", "self-check", "h", "proposed", text=BAD),
        "0-1": Guidance("0-1", "self-check", "h", "rejected", reason="server", detail=BAD),
    }
    clean(batch_html(batch))
    assert "and 4 more" in batch_html(batch) and batch_text(batch) == "12 answers to 1 questions, 12 of them right"
    clean(Proposals(batch, guidance)._repr_html_())
    queue = ReviewQueue(batch.rollouts, guidance, Guide(None, [(load_behavior("self-check"), 1.0)], tokenizer))
    clean(ReviewText(queue)._repr_html_())
    clean(Status(BAD, BAD, 1, 2, {"student": BAD}, "guide", BAD, BAD, BAD, (BAD,)).html())
    text = LearnedText(1, "0-0", BAD, True, 5, 1.0, -60.0, -30.0)
    clean(Metrics({"step": BAD}, Learned([text]))._repr_html_())
    result = ProbeResult("T=1", Rate(1, 4), Rate(1, 4), Rate(1, 4), {BAD: Rate(0, 4), "b": Rate(1, 4)}, 3.0)
    clean(LabProbe(3, {"T=1": result, "greedy": result})._repr_html_())


def test_the_status_marks_the_stage_that_comes_next_for_those_who_see_and_those_who_hear():
    status = Status("mine", "runs/mine", 3, 60, {"teacher": "scripted"}, "review", "8 answers", "lab.review(batch)")
    assert "<li aria-current=step>review</li>" in status.html() and status.html().count("aria-current=step") == 1
    assert status.text().splitlines()[0] == "Lab 'mine' in runs/mine: step 3 of 60" and "next: lab.review(batch)" in status.text()


def test_a_rollout_that_is_guided_shows_in_the_text_of_the_proposals():
    batch = Batch(0, 0, (rollout(0, "1+1=3."),))
    text = repr(
        Proposals(
            batch,
            {
                "0-0": Guidance("0-0", "b", "h", "proposed", text="Wait:\n1+1=2."),
                "0-1": Guidance("0-1", "b", "h", "rejected", reason="timeout", detail="10 s"),
            },
        )
    )
    assert text.splitlines() == ["1 pieces of guidance, 1 without", "  0-0  Wait: 1+1=2.", "  0-1  (timeout: 10 s)"]


def test_an_example_config_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    from thinklab.config.shipped import find_config

    monkeypatch.chdir(tmp_path)
    found = {
        find_config(name)
        for name in (
            "demo-self-check",
            "demo-self-check.yaml",
            "examples/demo-self-check.yaml",
            "../examples/demo-self-check.yaml",
        )
    }
    assert len(found) == 1 and found.pop().is_file()
    (tmp_path / "demo-self-check.yaml").write_text("name: mine\n")
    assert find_config("demo-self-check.yaml").resolve() == tmp_path / "demo-self-check.yaml"


@pytest.mark.slow
def test_compare_runs_plain_grpo_with_the_same_questions_and_seeds(make, tmp_path):
    lab = make()
    with pytest.raises(Exception, match="nothing has been trained yet"):
        lab.compare()
    lab.train(2)
    found = lab.compare()
    control = tmp_path / "run" / "control"
    assert found.step == 2 and set(found.difference) == {"T=1", "greedy"} and "plain GRPO, step 2" in repr(found)
    import json

    first = {
        name: json.loads((folder / "rollouts.jsonl").read_text().splitlines()[0])
        for name, folder in (("run", tmp_path / "run"), ("control", control))
    }
    assert first["run"]["student_ids"] == first["control"]["student_ids"]  # the same sample of the same question
    lines = [json.loads(line) for line in (control / "rollouts.jsonl").read_text().splitlines()]
    assert not any(r["teacher_ids"] for r in lines) and len(lines) == 16
    stamp = (control / "probe.json").stat().st_mtime_ns
    assert repr(lab.compare()) == repr(found) and (control / "probe.json").stat().st_mtime_ns == stamp  # not run again
    assert found.control["T=1"].accuracy.total == found.run["T=1"].accuracy.total == 12
    assert replace(found, difference={}).sentences() == []
