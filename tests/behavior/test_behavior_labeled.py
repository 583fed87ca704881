"""Are the shipped detectors good enough? The figures of docs/behaviors.md, the real answers, and the few-shots' origin."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from thinklab.behavior.behavior import list_behaviors, load_behavior

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
FREE_FORM = ("cognitive-mix", "self-check", "thalapathy-vijay", "thalapathy-vijay-aside")

spec = importlib.util.spec_from_file_location("detectors", ROOT / "benchmarks" / "detectors.py")
detectors = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(detectors)


@pytest.mark.parametrize("name", list_behaviors())
def test_labeled_texts(name):
    rows = detectors.read(detectors.TEXTS / f"{name}.jsonl")
    assert len(rows) >= 60 and len({row["text"] for row in rows}) == len(rows)
    assert 0.45 <= sum(not row["shows"] for row in rows) / len(rows) <= 0.55
    score = detectors.score(load_behavior(name), detectors.TEXTS / f"{name}.jsonl")
    assert score.precision >= 0.98 and score.recall >= 0.97


@pytest.mark.parametrize("name", [name for name in list_behaviors() if name not in FREE_FORM])
def test_unseen_texts(name):
    """The patterns were not tuned on these; see docs/behaviors.md for why paraphrases are found so seldom."""
    form = detectors.score(load_behavior(name), detectors.SETS["form"] / f"{name}.jsonl")
    assert form.precision >= 0.9 and form.recall >= 0.95
    free = detectors.score(load_behavior(name), detectors.SETS["paraphrase"] / f"{name}.jsonl")
    assert free.false_alarms <= 1


def test_the_sets_do_not_overlap():
    for name in list_behaviors():
        texts = [
            row["text"]
            for folder in detectors.SETS.values()
            if (folder / f"{name}.jsonl").is_file()
            for row in detectors.read(folder / f"{name}.jsonl")
        ]
        assert len(set(texts)) == len(texts), name


def test_the_page_has_the_measured_table():
    """After a wanted change, put the output of python benchmarks/detectors.py between the two marks."""
    page = (ROOT / "docs" / "behaviors.md").read_text(encoding="utf-8")
    assert page.split("<!-- table -->\n")[1].split("\n<!-- end -->")[0] == detectors.table()
    for name in list_behaviors():
        assert f"| `{name}` |" in page


@pytest.fixture(scope="module")
def answers() -> list[str]:
    path = SHARED / "gsm8k" / "model_solutions.jsonl"
    if not path.is_file():
        pytest.skip("needs gsm8k/model_solutions.jsonl in shared/data/ beside the repository, which is not there")
    return [json.loads(line)["response"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", list_behaviors())
def test_at_most_one_percent_false_alarms_in_real_answers(name, answers):
    assert len(answers) > 2000
    for form, count in detectors.false_alarms(load_behavior(name), answers).items():
        assert count <= 0.01 * len(answers), form


def runs_of_words(text: str, length: int = 8) -> set[str]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {" ".join(words[k : k + length]) for k in range(len(words) - length + 1)}


def test_no_few_shot_comes_from_a_benchmark():
    """No few-shot question shares eight words in a row with any question that we have of the benchmarks."""
    files = [p for p in SHARED.glob("*/*.jsonl") if p.name != "model_solutions.jsonl"] if SHARED.is_dir() else []
    if not files:
        pytest.skip("needs the benchmark questions in shared/data/ beside the repository, which are not there")
    known: set[str] = set()
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            known |= runs_of_words(row.get("question") or row.get("problem") or "")
    assert len(known) > 10_000
    for name in list_behaviors():
        for shot in load_behavior(name).spec.teacher.few_shots:
            assert not runs_of_words(shot.question) & known, shot.question
