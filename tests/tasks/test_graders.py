"""Every grader against a table of answers meant to fool it, in both directions; see ``tests/data/graders.jsonl``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from thinklab.tasks import load_task
from thinklab.types import Example

TABLE = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "graders.jsonl").read_text("utf-8").splitlines()]
QUESTION = "Ann keeps hens and sells the eggs at the market. How many eggs are left per day?"
OPTIONS = ["bank", "library", "department store", "mall", "new york"]
TASKS = {"number": "gsm8k", "math": "math500", "choice": "commonsense_qa", "yesno": "strategyqa", "sums": "sums"}


def graded(row: dict) -> bool:
    meta = {"choices": OPTIONS} if row["kind"] == "choice" else {}
    return load_task(TASKS[row["kind"]]).verify(row["response"], Example("x", QUESTION, row["gold"], meta))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['kind']} {row['response'][:40]!r} for {row['gold'][:20]}")
def test_each(row):
    assert graded(row) is row["right"], row["why"]


def test_the_table_is_large_and_has_both_directions(capsys):
    kinds = Counter((row["kind"], row["right"]) for row in TABLE)
    right = sum(graded(row) is row["right"] for row in TABLE)
    with capsys.disabled():
        print(
            f"\n  graders: {right} of {len(TABLE)} adversarial answers as labeled "
            f"({sum(n for (_, r), n in kinds.items() if r)} right, {sum(n for (_, r), n in kinds.items() if not r)} wrong)"
        )
    assert len({(row["kind"], row["response"], row["gold"]) for row in TABLE}) == len(TABLE) >= 300
    assert all(kinds[kind, verdict] >= 20 for kind in ("number", "math", "choice", "yesno") for verdict in (True, False))


@pytest.mark.parametrize(
    ("answer", "question", "right"),
    [
        ("5 pairs of shoes", "How many pairs of shoes are left?", True),
        ("5 pairs of shoes", "How many shoes are left?", False),
        ("5 dozen", "How many dozen eggs are left?", True),
        ("5 dozen", "How many eggs are left?", False),
        ("5 boxes of cherries", "Each box holds a cherry. How many boxes?", True),
        ("5 clowns", "How many lions?", False),
        ("5 times", "How many times?", True),
        ("5 minus", "What is 6 minus one?", False),
        ("5 squared", "What is squared?", False),
        ("5 halves", "How many halves are there?", False),
        ("5 is", "How much is it?", False),
        ("5 not", "Which is not?", False),
    ],
)
def test_things_are_counted_by_the_nouns_of_the_question(answer, question, right):
    assert load_task("gsm8k").verify(f"\\boxed{{{answer}}}", Example("x", question, "5")) is right
