"""The scripted teacher of the small world: every reply is accepted by its behavior, and it is wrong as often as it should be."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.conftest import ROOT
from thinklab import load_behavior, load_task, load_teacher
from thinklab.errors import TeacherError
from thinklab.guide.guide import as_guidance, request_for
from thinklab.tasks.world.items import KINDS, as_text, boxed, from_meta
from thinklab.types import Example

FOLDER = ROOT / "examples" / "studies" / "behaviors"
NAMES = ("conflict", "critique", "agreement", "consultancy", "mix")


@pytest.fixture(scope="module")
def task():
    return load_task("world")


@pytest.fixture(scope="module")
def attempts(task):
    """(example, response, is it right) of right and wrong answers in one go and in steps, to all kinds and lengths."""
    rng, found = random.Random(0), []
    for example in task.load("test")[:250]:
        item = from_meta(example.question, example.meta)
        wrong = item.other(rng, item.gold)
        found += [(example, f"{item.claim(a).text} {boxed(a)}", a == item.gold) for a in (item.gold, wrong)]
        steps, said = item.slipping(rng, 0.3)
        found.append((example, f"{as_text(steps)} {boxed(said)}", said == item.gold))
    return found


def replies(rule, behavior, attempts, **options):
    """(attempt, guidance or None for silence)."""
    teacher = load_teacher("scripted", rule=rule, **options)
    requests = [request_for(str(k), e, r, behavior) for k, (e, r, _) in enumerate(attempts)]
    answered = teacher.reply(requests)
    return [
        (a, None if reply.error == "mute" else as_guidance(reply, behavior, a[1]))
        for a, reply in zip(attempts, answered, strict=True)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_behaviors_pass_their_own_tests(name):
    found = subprocess.run(
        [sys.executable, "-m", "thinklab", "behaviors", "test", str(FOLDER / f"world-{name}.yaml")],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0 and " ok" in found.stdout, found.stdout + found.stderr


@pytest.mark.parametrize("name", ["self-check", *(f"world-{n}" for n in NAMES)])
@pytest.mark.parametrize("wrong_share", [0.0, 0.5])
def test_every_reply_is_accepted_by_its_behavior(task, attempts, name, wrong_share):
    behavior = load_behavior(name if name == "self-check" else FOLDER / f"{name}.yaml")
    rule = "world-check" if name == "self-check" else "world-reflect"
    silent, kinds = 0, set()
    for (example, response, right), guidance in replies(rule, behavior, attempts, wrong_share=wrong_share):
        if guidance is None:
            silent += 1
            continue
        assert guidance.usable, (guidance.reason, guidance.detail, response, guidance.raw)
        kinds.add(example.meta["kind"])
        if not wrong_share:
            assert task.verify(f"{response} {guidance.text}", example) and guidance.verdict == right
    assert kinds == set(KINDS)
    expected = {"world-agreement", "world-critique"}
    assert (0.3 < silent / len(attempts) < 0.7) if name in expected else silent == 0


def test_agreement_is_for_right_answers_and_faults_are_for_wrong_ones(attempts):
    for name, about in (("world-agreement", True), ("world-critique", False)):
        behavior = load_behavior(FOLDER / f"{name}.yaml")
        found = replies("world-reflect", behavior, attempts)
        assert all((guidance is not None) == (right == about) for (_, _, right), guidance in found)


def test_where_the_teacher_chooses_it_agrees_with_right_answers_only(attempts):
    behavior = load_behavior(FOLDER / "world-mix.yaml")
    begins = {True: set(), False: set()}
    for (_, _, right), guidance in replies("world-reflect", behavior, attempts):
        begins[right].add(" ".join(guidance.text.split()[:2]))
    assert begins == {True: {"Once more:"}, False: {"Wait, is", "Where is", "Another way:"}}


@pytest.mark.parametrize("rule", ["world-check", "world-reflect"])
def test_a_wrong_teacher_is_wrong_in_that_share_and_consistently(task, attempts, rule):
    behavior = load_behavior("self-check")
    found = replies(rule, behavior, attempts, wrong_share=0.5)
    wrong = [(a, g) for a, g in found if g.verdict != a[2]]
    assert 0.43 < len(wrong) / len(found) < 0.57
    for (example, response, right), guidance in wrong:
        assert not task.verify(f"{response} {guidance.text}", example)
        if not right:  # it confirms the wrong answer of the student
            assert f"\\boxed{{{response.rsplit('{', 1)[1].split('}')[0]}}}" in guidance.text
    assert [g.text for _, g in found] == [g.text for _, g in replies(rule, behavior, attempts, wrong_share=0.5)]
    assert [g.text for _, g in found] != [g.text for _, g in replies(rule, behavior, attempts, wrong_share=0.5, seed=1)]


def test_the_working_of_a_wrong_teacher_leads_to_what_it_says(attempts):
    """The last step, or for a choice every comparison, has the result that the taught answer needs."""
    behavior = load_behavior("self-check")
    for (example, _, _), guidance in replies("world-check", behavior, attempts, wrong_share=1.0):
        item, taught = from_meta(example.question, example.meta), guidance.text.rsplit("{", 1)[1].split("}")[0]
        assert taught != item.gold
        steps = guidance.fields["reason"].removeprefix("I check: ").split(". ")
        last = steps[-1].rstrip(".")
        if example.meta["kind"] == "choice":
            assert f"{taught} " in last and last.endswith("yes" if last.startswith(f"{taught} ") else "no")
        else:
            assert last.endswith(taught)


def test_a_response_without_a_box_is_worked_out_and_never_confirmed(task):
    example = task.load("test")[0]
    behavior = load_behavior("self-check")
    (_, guidance), *_ = replies("world-check", behavior, [(example, "I do not know.", False)])
    assert guidance.verdict is False and guidance.fields["phrase"] == boxed(example.gold)
    conflict = load_behavior(FOLDER / "world-conflict.yaml")
    assert replies("world-reflect", conflict, [(example, "I do not know.", False)])[0][1] is None


def test_a_question_of_another_task_is_an_error_in_words():
    teacher = load_teacher("scripted", rule="world-check")
    behavior = load_behavior("self-check")
    request = request_for("r", Example("own-1", "How many?", "4"), "So \\boxed{4}.", behavior)
    with pytest.raises(TeacherError, match=r"'world-check' needs a question of the task 'world'; the example 'own-1' is none"):
        teacher.reply([replace(request)])
