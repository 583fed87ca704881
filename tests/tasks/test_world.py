"""The small world: five kinds of questions, a strict split, held-out lengths, and texts in which every step is right."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from thinklab import load_task
from thinklab.errors import TaskError
from thinklab.tasks.world.acts import ACTS, said_about
from thinklab.tasks.world.drawing import draw
from thinklab.tasks.world.items import KINDS, Chain, Choice, WorldItem, as_text, boxed, from_meta, other_way
from thinklab.tasks.world.split import LENGTHS, TRAIN_LENGTHS, is_held_out


@pytest.fixture(scope="module")
def world():
    return load_task("world")


@pytest.fixture(scope="module")
def splits(world):
    return {split: world.load(split) for split in ("train", "test")}


def items(splits, split: str) -> list[WorldItem]:
    return [from_meta(e.question, e.meta) for e in splits[split]]


def asked_for(item: WorldItem) -> set[str]:
    """What a question is about, read from its own text where it can be: expressions, or the whole chain."""
    if isinstance(item, Chain):
        return {">".join(item.path)}
    if isinstance(item, Choice):
        return set(re.findall(r"\d+(?:\+\d+)+", item.question))
    return {item.claim("").left.split(">")[0].rstrip("=")}


def evaluated(text: str) -> list[str]:
    """Every wrong step in ``text``: results and comparisons, computed here."""
    wrong = []
    for a, sign, b, c in re.findall(r"(?<![\d+-])(\d+)([+-])(\d+)=(\d+)", text):
        if int(a) + int(b) * (1 if sign == "+" else -1) != int(c):
            wrong.append(f"{a}{sign}{b}={c}")
    for a, sign, b, said in re.findall(r"(?<![\d+-])(\d+)([<>])(?:[A-D] )?(\d+)\? (yes|no)", text):
        if (int(a) > int(b)) != ((sign == ">") == (said == "yes")):
            wrong.append(f"{a}{sign}{b}? {said}")
    return wrong


def test_the_checker_of_steps_sees_a_wrong_one():
    assert evaluated("25+7=32. 32>40? no. 40<32? no. A 39>B 37? yes.") == []
    assert evaluated("25+7=33. 32>40? yes. 40<32? yes. A 39>B 47? yes.") == ["25+7=33", "32>40? yes", "40<32? yes", "39>47? yes"]


def test_every_kind_and_length_is_there_and_two_lengths_are_held_out(splits):
    for split, lengths in (("train", TRAIN_LENGTHS), ("test", LENGTHS)):
        cells = [(e.meta["kind"], e.meta["length"]) for e in splits[split]]
        assert set(cells) == set(itertools.product(KINDS, lengths))
        counts = {cell: cells.count(cell) for cell in set(cells)}
        assert max(counts.values()) - min(counts.values()) <= 1
        assert len({e.question for e in splits[split]}) == len({e.id for e in splits[split]}) == len(cells)


def test_no_test_expression_or_chain_occurs_in_training(splits):
    trained = set().union(*map(asked_for, items(splits, "train")))
    tested = [asked_for(item) for item in items(splits, "test")]
    assert all(tested) and not trained & set().union(*tested)


def test_questions_of_one_step_are_added_nowhere_in_training_by_either_method(splits):
    single = {fact for item in items(splits, "test") if item.length == 1 for fact in asked_for(item)}
    for item in items(splits, "train"):
        text = f"{as_text(item.steps())} {as_text(item.second())}"
        used = set(re.findall(r"(?<![\d+-])(\d+[+-]\d+)=", text)) | {f"{a}>{b}" for a, b in re.findall(r"(\w+) to (\w+)", text)}
        used |= {f"{b}>{a}" for a, b in re.findall(r"(\w+) from (\w+)\.", text)}
        assert used and not used & single and not any(map(is_held_out, used))


def test_all_numbers_have_two_digits_and_no_second_method_repeats_the_first(splits):
    for item in [*items(splits, "train"), *items(splits, "test")]:
        if not isinstance(item, Choice):  # which differs in what it compares
            assert item.steps()[0] != item.second()[0]
        assert as_text(item.steps()) != as_text(item.second())
        for total in re.findall(r"=(\d+)", as_text(item.steps())):
            assert len(total) == 2
    assert other_way((25, 7, 6)) == (25, 6, 7) and other_way((25, 7)) == (25, 3, 4)


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_methods_are_right_in_every_step_and_arrive_at_the_answer(world, splits, split):
    for example, item in zip(splits[split], items(splits, split), strict=True):
        assert item.gold == example.gold and not evaluated(example.meta["solution"]) and not evaluated(as_text(item.second()))
        assert world.verify(example.meta["solution"], example) and item.possible(item.gold)
        if item.kind in ("sum", "difference"):
            assert item.steps()[-1].right == item.second()[-1].right == item.gold
        if isinstance(item, Chain):
            assert item.second()[0].left == f"{item.gold} from " and item.second()[-1].right == item.path[0]


def test_answers_are_balanced_and_none_is_given_away(splits):
    for kind, options in (("yes-no", ("yes", "no")), ("choice", "ABCD")):
        golds = [e.gold for e in splits["test"] if e.meta["kind"] == kind]
        assert all(0.7 / len(options) < golds.count(o) / len(golds) < 1.3 / len(options) for o in options)
    for item in items(splits, "test"):
        if isinstance(item, Chain):  # two chains end, so the answer is not just the name that gives nothing
            assert item.aside[-1] != item.gold and item.question.count(" gives to ") == len(item.path) + len(item.aside) - 2


def test_each_kind_has_the_verifier_of_its_form(world, splits):
    for kind in KINDS:
        example = next(e for e in splits["test"] if e.meta["kind"] == kind)
        item = from_meta(example.question, example.meta)
        wrong = item.other(random.Random(0), item.gold)
        assert world.verify(boxed(item.gold), example) and not world.verify(boxed(wrong), example)
        assert world.verify_first(f"{boxed(item.gold)} I check: {boxed(wrong)}", example)
    choice = next(e for e in splits["test"] if e.meta["kind"] == "choice")
    assert world.verify(f"So \\boxed{{({choice.gold})}}.", choice)  # the verifier of the choice tasks


@pytest.mark.parametrize("kind", KINDS)
def test_acts_about_right_and_wrong_answers_end_where_they_should(kind):
    rng = random.Random(kind)
    for _ in range(60):
        item = draw(rng, "train", kind, rng.choice((1, 2, 3, 4)))
        wrong = item.other(rng, item.gold)
        for said, other in ((item.gold, wrong), (wrong, item.gold)):
            response = f"{item.claim(said).text} {boxed(said)}"
            texts = {act: said_about(act, item, said, item.gold, response, other) for act in ACTS}
            for act, text in texts.items():
                assert not evaluated(text.split("The fault is in")[0]), (act, text)
            assert texts["self-conflict"].endswith(f"It is {item.gold}, not {wrong}.")
            assert texts["self-agreement"].endswith("It is the same." if said == item.gold else "It is not the same.")
            fault = "There is none." if said == item.gold else f": it is {item.gold}."
            assert texts["self-critique"].endswith(fault)
            assert as_text(item.steps()) in texts["self-check"] and as_text(item.second()) in texts["self-consultancy"]


def test_a_fault_is_located_in_the_step_where_it_is():
    item = draw(random.Random(5), "train", "sum", 3)
    first, second, third = item.steps()
    slip = f"{first.text} {second.left}99. 99+2=101. {boxed('101')}"
    text = said_about("self-critique", item, "101", item.gold, slip)
    assert (
        text
        == f"Where is the fault? {first.text} {second.text} The fault is in {second.left}99: it is {second.right}. {third.text}"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["sums"]}, "takes kinds, a list of any of sum, difference, choice, yes-no, chain, not"),
        ({"kinds": []}, "takes kinds"),
        ({"kinds": "sum"}, "takes kinds"),
        ({"lengths": [6]}, "takes lengths, a list of any of 1, 2, 3, 4, 5, not"),
        ({"lengths": []}, "takes lengths"),
        ({"lengths": [True]}, "takes lengths"),
    ],
)
def test_wrong_options_are_one_sentence(options, message):
    with pytest.raises(TaskError, match=message):
        load_task("world", **options)


def test_kinds_and_lengths_choose_and_the_same_call_gives_the_same_questions():
    task = load_task("world", kinds=["yes-no", "sum"], lengths=[5])
    found = task.load("test")
    assert {(e.meta["kind"], e.meta["length"]) for e in found} == {("sum", 5), ("yes-no", 5)}
    assert [e.question for e in found] == [
        e.question for e in load_task("world", kinds=["sum", "yes-no"], lengths=[5]).load("test")
    ]
    with pytest.raises(TaskError, match="no split 'dev'; it has train, test"):
        task.load("dev")
