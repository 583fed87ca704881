"""Reading a choice, a yes or a no: right where a person reads one, silent where there is none."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinklab.tasks import load_task
from thinklab.tasks._choice import choice
from thinklab.tasks._choice import verify as verify_choice
from thinklab.tasks._yesno import verify as verify_yesno
from thinklab.tasks._yesno import yes_or_no
from thinklab.types import Example

LABELED = Path(__file__).parents[1] / "data" / "choice_responses.jsonl"


def test_agrees_with_the_hand_labels(capsys):
    rows = [json.loads(line) for line in LABELED.read_text(encoding="utf-8").splitlines()]
    read = [(row["label"], choice(row["response"], row["options"]), row["response"]) for row in rows]
    wrong = [r for r in read if r[0] != r[1]]
    guessed = [r for r in wrong if r[0] is None]
    none = sum(row["label"] is None for row in rows)
    with capsys.disabled():
        print(
            f"\n  choices: {len(rows) - len(wrong)} of {len(rows)} as labeled by hand; "
            f"{len(guessed)} letters guessed from {none} responses that choose none"
        )
    assert len(rows) >= 150 and none >= 40
    assert len(wrong) <= 0.02 * len(rows), wrong
    assert guessed == []


@pytest.mark.parametrize(
    ("name", "file"), [("arc_challenge", "arc_challenge/test.jsonl"), ("commonsense_qa", "commonsense_qa/validation.jsonl")]
)
@pytest.mark.parametrize(
    "form",
    [
        "The answer is {text}.",
        "{letter}. {text}",
        "({letter}) {text}",
        "\\boxed{{{letter}}}",
        "{text}",
        "{text} is the correct answer.",
    ],
)
def test_every_real_option_is_read_as_itself(real, name, file, form):
    """No option's own words ("How tall is it?", "no choice", "a good answer") may confuse the reader."""
    wrong, total = [], 0
    for example in load_task(name, path=real(file)).load("test")[:200]:
        options = example.meta["choices"]
        if len({o.casefold() for o in options}) < len(options):
            continue  # one text under two letters: only a letter can tell
        for letter, text in zip("ABCDE", options, strict=False):
            total += 1
            if choice(form.format(letter=letter, text=text.rstrip(".")), options) != letter:
                wrong.append((letter, options))
    assert total > 500
    assert len(wrong) <= 0.01 * total, wrong


YES_NO = [
    ("\\boxed{yes}", True),
    ("\\boxed{\\text{No}}", False),
    ("\\boxed{True}", True),
    ("\\boxed{yes} hm, \\boxed{no}", False),
    ("The answer is yes.", True),
    ("So the answer is **no**.", False),
    ("Answer: No", False),
    ("Final answer: True", True),
    ("A: no", False),
    ("#### yes", True),
    ("Yes.", True),
    ("no", False),
    ("FALSE", False),
    ("Yes, because Albany in Georgia is smaller.", True),
    ("No. The two are unrelated.", False),
    ("Rome is older than that. Yes.", True),
    ("He died in 1821, before it was built.\n\nNo", False),
    ("Yes, at first sight. But the language is English-based, so the answer is no.", False),
    ("The answer is yes. Wait, that was 1920. The answer is no.", False),
    ("Therefore, the answer is: yes", True),
    ("So, yes.", True),
    ("Thus, the correct answer is 'no'.", False),
    ("The statement is wrong. Answer: false.", False),
    ("I would say yes.", True),
    ("Probably no.", False),
    ("I'm sorry, I can't answer that.", None),
    ("I don't know.", None),
    ("", None),
    ("It depends.", None),
    ("There is no information about this.", None),
    ("No idea.", None),
    ("No one knows.", None),
    ("Yes or no?", None),
    ("It is not clear whether the answer is yes.", None),
    ("The answer is not yes.", None),
    ("Is the answer yes?", None),
    ("\\boxed{maybe}", None),
    ("If the answer is yes, then it floats.", None),
    ("Notable examples are cats.", None),
    ("I have no way to tell whether that is true or false.", None),
    ("Yesterday it rained.", None),
]


@pytest.mark.parametrize(("response", "said"), YES_NO)
def test_yes_or_no(response, said):
    assert yes_or_no(response) is said


def test_yes_no_verdicts():
    yes = Example("x", "?", "yes")
    assert verify_yesno("Yes.", yes) and not verify_yesno("No.", yes) and not verify_yesno("Who knows?", yes)


WORDS = st.lists(
    st.sampled_from(
        [
            "answer",
            "is",
            "the",
            "A",
            "B",
            "(C)",
            "I",
            "not",
            "or",
            ":",
            ".",
            "\n",
            " ",
            "bank",
            "correct",
            "\\boxed{",
            "}",
            "option",
            "yes",
            "no",
            "####",
            "**",
            "?",
            "cannot",
        ]
    ),
    max_size=60,
).map(" ".join)


@settings(max_examples=200, deadline=2000, derandomize=True)
@given(st.one_of(st.text(max_size=300), WORDS))
def test_never_raises(response):
    assert choice(response, ["bank", "A", "not the answer", "yes"]) in {None, *"ABCD"}
    assert yes_or_no(response) in (None, True, False)


@pytest.mark.parametrize(
    "unit",
    [
        " ",
        "\n",
        "answer is ",
        "B is correct ",
        "is A: ",
        "it is A ",
        "A. x\n",
        ". is",
        "((",
        "\\text{",
        "\\boxed{",
        "A: ",
        "yes no ",
        "answer" + " " * 500,
    ],
)
def test_never_hangs(unit):
    response, began = unit * (400_000 // len(unit)), time.process_time()  # a busy machine is no fault
    verify_choice(response, Example("x", "?", "A", {"choices": ["bank", "library", "a", "is"]}))
    verify_yesno(response, Example("x", "?", "yes"))
    assert time.process_time() - began < 5
