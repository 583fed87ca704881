"""A box that holds no answer is passed over, wherever a boxed answer is read."""

from __future__ import annotations

import re
import time

import pytest

from thinklab.behavior.detectors import region
from thinklab.evaluation.harness import LAST_BOX
from thinklab.tasks import _choice, _math, _yesno, sums
from thinklab.tasks._placeholders import placeholder
from thinklab.tasks.base import Task
from thinklab.tasks.boxed import boxed_answers, boxes
from thinklab.teachers import rules
from thinklab.types import Example

EMPTY = [
    "",
    " ",
    "...",
    "\\ldots",
    "\\dots",
    "…",
    "?",
    "__",
    "\\_\\_\\_",
    "answer",
    "your answer",
    "Your Final Answer",
    "\\text{answer}",
    "\\text{ }",
    "[answer]",
    "<answer>",
    "the answer here",
    "ANSWER",
    "number",
    "a number",
    "letter",
    "\\text{final answer}",
    "\\cdots",
    "\\quad",
    "\\square",
    "{}",
    "yes or no",
    "insert your answer here",
    "\\textbf{...}",
]
ANSWERS = [
    "0",
    "-1",
    "()1",
    "x",
    "none",
    "no answer is possible",
    "\\emptyset",
    "\\frac{1}{2}",
    "B",
    "yes",
    "answer: 6",
    "...5",
    "N",
    "1.",
    "1\\ldots",
    "the answer is 6",
    "\\text{number line}",
]
SAID = "I have put it in \\boxed{{{}}} as I was asked to."


@pytest.mark.parametrize("content", EMPTY)
def test_every_reader_passes_over_a_box_without_an_answer(content):
    said = SAID.format(content)
    assert boxed_answers(f"So \\boxed{{18}}. {said}") == ["18"]
    number, letter, yes = Example("x", "?", "18"), Example("x", "?", "B", {"choices": ["tin", "wool"]}), Example("x", "?", "yes")
    assert _math.verify(f"So \\boxed{{18}}. {said}", number) and not _math.verify(f"So \\boxed{{17}}. {said}", number)
    assert sums.verify(f"So \\boxed{{18}}. {said}", number)
    assert _choice.verify(f"So \\boxed{{B}}. {said}", letter) and not _choice.verify(f"So \\boxed{{A}}. {said}", letter)
    assert _yesno.verify(f"So \\boxed{{yes}}. {said}", yes) and not _yesno.verify(f"So \\boxed{{no}}. {said}", yes)
    assert rules.same_number(f"So \\boxed{{18}}. {said}", "18")
    assert re.findall(LAST_BOX, f"So \\boxed{{18}}. {said}")[-1] == "18"
    # in front of the answer it is no first answer either
    task = Task("t", "", lambda split: [], _math.verify)
    assert task.verify_first(f"{said} So \\boxed{{18}}. Or \\boxed{{17}}.", number)
    # nor does it open a place for a behavior
    text = f"So \\boxed{{18}}. I check. {said}"
    assert region(text, "between_answers") == (0, 0) and region(text, "before_answer") == (0, 3)


@pytest.mark.parametrize("content", ANSWERS)
def test_an_answer_is_no_placeholder(content):
    assert not placeholder(content)
    assert boxed_answers(f"\\boxed{{{content}}}") == [content]
    assert re.findall(LAST_BOX, f"\\boxed{{{content}}}") == [content]


def test_only_placeholders_are_no_answer_and_the_other_forms_count():
    assert _math.final_answer("I leave \\boxed{} empty.") is None
    assert _math.final_answer("I leave \\boxed{} empty.\nA: 18") == "18"
    assert _choice.choice("The answer is B. (\\boxed{letter})", ["tin", "wool"]) == "B"
    assert _yesno.yes_or_no("The answer is no, in \\boxed{yes or no}.") is False


def test_an_option_or_a_gold_answer_may_be_such_a_word():
    assert _choice.choice("\\boxed{number}", ["letter", "number", "sound"]) == "B"
    assert _choice.choice("\\boxed{\\text{Letter}} as in \\boxed{...}", ["letter", "number", "sound"]) == "A"
    assert _math.verify("\\boxed{number}", Example("x", "What is a noun for 7?", "number"))
    assert Task("t", "", lambda split: [], _choice.verify).verify_first(
        "\\boxed{number} or \\boxed{sound}", Example("x", "?", "B", {"choices": ["letter", "number", "sound"]})
    )


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("so \\boxed 6", ["6"]),
        ("so $\\boxed 6$.", ["6"]),
        ("\\boxed 12.5, done", ["12.5"]),
        ("\\boxed -3", ["-3"]),
        ("\\boxed6", ["6"]),
        ("\\boxed B.", ["B"]),
        ("\\boxed yes", ["yes"]),
        ("\\boxed 1,800 eggs", ["1,800"]),
        ("in \\boxed form", []),
        ("in \\boxed as I was told", []),
        ("\\boxed A box", []),
        ("the \\boxed command", []),
        ("\\boxed 6^2", []),
        ("\\boxed{5} then \\boxed 6", ["5", "6"]),
        ("\\boxed", []),
    ],
)
def test_a_box_without_braces(text, answers):
    assert boxed_answers(text) == answers


def test_every_labeled_answer_keeps_its_verdict_behind_an_empty_box(real_rows, capsys):
    rows, kept, wrong = real_rows("gsm8k/model_solutions.jsonl"), {True: 0, False: 0}, []
    for row in rows:
        head, mark, last = row["response"].rstrip().rpartition("\nA: ")
        if not mark:
            continue
        response = f"{head}\nSo the answer is \\boxed{{{last}}}. {SAID.format('')}"
        said = _math.verify(response, Example("x", row["question"], row["reference"].rpartition("A:")[2].strip()))
        kept[row["is_correct"]] += said == row["is_correct"]
        wrong += [row] if said != row["is_correct"] else []
    with capsys.disabled():
        print(
            f"\n  gsm8k, boxed and an empty box behind it: {kept[True]} right and {kept[False]} wrong answers as labeled, "
            f"{len(wrong)} not"
        )
    assert wrong == [] and kept[True] > 900


@pytest.mark.parametrize("unit", ["\\boxed{" + " " * 50, "\\boxed{.", "\\boxed ", "\\boxed 1,", "\\boxed{your " * 2, "\\text{"])
def test_stays_linear(unit):
    began = time.process_time()
    boxes(unit * (200_000 // len(unit)))
    re.findall(LAST_BOX, unit * (20_000 // len(unit)))
    placeholder(unit * 40)
    assert time.process_time() - began < 5
