"""Fewer held-out questions than were asked for: said aloud, and the real number is on record."""

from __future__ import annotations

import json

import pytest

from tests.lab import conftest as lab
from thinklab import Lab
from thinklab.config.experiment import Experiment
from thinklab.evaluation.grid import evaluate
from thinklab.evaluation.plan import Evaluation
from thinklab.experiment.probe_run import probe_run
from thinklab.experiment.train import run_experiment
from thinklab.probing.sentences import sentences
from thinklab.run.folder import RunFolder


@pytest.fixture
def rows(tmp_path):
    """A task of 30 training and 5 test questions."""
    for split, start, count in (("train", 10, 30), ("test", 50, 5)):
        lines = (
            {"question": f"Ann had {k} bags and got 3 more bags. How many?", "answer": str(k + 3)}
            for k in range(start, start + count)
        )
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "name": str(tmp_path / "train.jsonl"),
        "path": {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "test")},
    }


def small(rows, questions, every=0):
    return {
        **lab.SMALL,
        "task": rows,
        "train": {**lab.SMALL["train"], "steps": 1, "questions": 1, "samples": 2, "max_prompt_tokens": 80},
        "guidance": {"gamma": 1, "max_tokens": 60},
        "probe": {"questions": questions, "every": every, "every_questions": 7},
    }


def test_ten_that_became_five_are_said_once_and_recorded(rows, tmp_path):
    said = []
    result = run_experiment(Experiment.model_validate(small(rows, 10, every=1)), tmp_path / "run", say=said.append)
    warnings = [text for text in said if text.startswith("WARNING: ") and "held out" in text]
    assert len(warnings) == 2 and warnings[0].startswith("WARNING: 10 questions were requested for the probe")
    assert "only 5 held out: 5 are measured" in warnings[0] and "WARNING: 7 questions" in warnings[1]
    assert result["questions"] == {"wanted": 10, "measured": 5} and result["after"]["T=1"]["accuracy"]["total"] == 5
    assert RunFolder(tmp_path / "run").read_json("probe.json")["questions"] == {"wanted": 10, "measured": 5}
    assert "10 held-out questions were requested, but there are only 5" in sentences(result)[0]
    said.clear()
    known = probe_run(tmp_path / "run", questions=6, say=said.append)
    assert sum("WARNING: 6 questions" in text for text in said) == 1 and known["questions"] == {"wanted": 6, "measured": 5}


def test_as_many_as_there_are_is_nothing_to_say(rows, tmp_path):
    said = []
    result = run_experiment(Experiment.model_validate(small(rows, 5)), tmp_path / "run", say=said.append)
    assert result["questions"] == {"wanted": 5, "measured": 5} and not any("held out" in text for text in said)
    assert not any("asked for" in text for text in sentences(result))


def test_the_lab_says_it_too(rows, tmp_path, capsys):
    with Lab(small(rows, 10), out=tmp_path / "run") as made:
        made.probe()
    out = "".join(capsys.readouterr())
    assert "WARNING: 10 questions were requested for the probe" in out
    assert made.run.read_json("probe.json")["questions"] == {"wanted": 10, "measured": 5}


def test_a_benchmark_with_too_few_questions_says_it(rows, tmp_path):
    config = Evaluation.model_validate(
        {
            "name": "x",
            "benchmarks": {"mine": {"task": rows, "questions": 9}},
            "methods": {"zero-shot": {}},
            "behaviors": [],
            "max_new_tokens": 16,
        }
    )
    said = []
    evaluate(config, tmp_path / "eval.yaml", tmp_path / "out", say=said.append)
    assert said == ["WARNING: 9 questions were requested for 'mine', but only 5 of its 5 fit: 5 are used"]
