import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinklab import load_behavior
from thinklab.errors import ConfigError, TeacherError
from thinklab.guide.guide import parse_reply
from thinklab.tasks.boxed import boxed_answers
from thinklab.tasks.sums import REFLECTIONS
from thinklab.teachers import TeacherRequest, load_teacher
from thinklab.teachers.rules import REASON, same_number
from thinklab.types import Example


def request(operands, response, ident="0-0"):
    return TeacherRequest(ident, (), Example("e", "q?", str(sum(operands)), {"operands": list(operands)}), response, "b")


def one(teacher, request):
    return teacher.reply([request])[0]


@given(st.lists(st.integers(1, 99), min_size=2, max_size=5), st.integers(0, 400))
def test_sums_check_judges_and_teaches_by_arithmetic(operands, said):
    reply = one(load_teacher("scripted", rule="sums-check"), request(operands, f"So \\boxed{{{said}}}."))
    fields, verdict = parse_reply(reply.text)
    assert verdict == (said == sum(operands))
    assert boxed_answers(fields["phrase"]) == [str(sum(operands))]
    for step in fields["reason"].removeprefix("I check: ").split(". "):
        left, right = step.rstrip(".").split("=")
        assert sum(map(int, left.split("+"))) == int(right)


@given(st.lists(st.integers(1, 99), min_size=2, max_size=5), st.booleans(), st.integers(0, 50))
def test_a_wrong_teacher_confirms_wrong_answers_and_spoils_right_ones(operands, right, ident):
    said = sum(operands) + (0 if right else 3)
    teacher = load_teacher("scripted", rule="sums-check", wrong_share=1.0)
    fields, verdict = parse_reply(one(teacher, request(operands, f"\\boxed{{{said}}}", f"0-{ident}")).text)
    assert verdict != right
    taught = int(boxed_answers(fields["phrase"])[0])
    assert taught == said if not right else taught != said


def test_the_example_of_the_demo_is_exact():
    reply = one(load_teacher("scripted", rule="sums-check"), request([12, 7, 6, 5], "12+7+6+5=31. So \\boxed{31}."))
    assert reply.text == (
        "<opinion>incorrect</opinion><reason>I check: 12+7=19. 19+6=25. 25+5=30.</reason><phrase>So \\boxed{30}.</phrase>"
    )
    reply = one(load_teacher("scripted", rule="hit-hard"), request([12, 7], "\\boxed{19}"))
    assert parse_reply(reply.text) == (
        {"opinion": "correct", "reason": "The sum is done.", "phrase": "Thalapathy Vijay says: hit hard."},
        True,
    )


@pytest.mark.parametrize("name", ["self-check", "self-conflict", "self-critique", "self-agreement", "self-consultancy"])
@pytest.mark.parametrize("said", [30, 31])
def test_sums_reflect_speaks_as_the_behavior_wants_and_as_its_detector_sees(name, said):
    response = f"12+7+6+5={said}. So \\boxed{{{said}}}."
    behavior = load_behavior(name)
    reply = one(load_teacher("scripted", rule="sums-reflect"), replace(request([12, 7, 6, 5], response), behavior=name))
    text = behavior.splice(parse_reply(reply.text)[0])
    assert [n for n in REFLECTIONS if load_behavior(n).detect(f"{response} {text}")] == [name]
    assert boxed_answers(text) == ["30"]


def test_sums_reflect_chooses_what_fits_where_the_behavior_leaves_it_open():
    teacher = load_teacher("scripted", rule="sums-reflect")
    found = {30: set(), 31: set()}
    for said in found:
        for k in range(60):
            ask = replace(request([12, 7, 6, 5], f"So \\boxed{{{said}}}.", f"0-{k}"), behavior="cognitive-mix")
            reason = parse_reply(one(teacher, ask).text)[0]["reason"]
            found[said] |= {name for name, begin in REFLECTIONS.items() if reason.startswith(begin)}
    assert found == {30: {"self-agreement"}, 31: {"self-conflict", "self-critique", "self-consultancy"}}


@pytest.mark.parametrize("option", ["wrong_share", "mute_share"])
def test_shares_are_met_drawn_by_id_and_do_not_depend_on_order(option):
    teacher = load_teacher("scripted", rule="sums-check", **{option: 0.3}, seed=4)
    requests = [request([12, 7], "\\boxed{19}", f"{k}-{k % 7}") for k in range(2000)]
    replies = teacher.reply(requests)
    odd = [r.error == "mute" if option == "mute_share" else "<opinion>incorrect" in r.text for r in replies]
    assert 540 <= sum(odd) <= 660  # 600 expected, three standard deviations either side
    assert teacher.reply(requests[::-1]) == replies[::-1]
    other = load_teacher("scripted", rule="sums-check", **{option: 0.3}, seed=5).reply(requests)
    assert other != replies


def test_rules_from_python(tmp_path, monkeypatch):
    (tmp_path / "my_rules.py").write_text(
        "def rule(request, *, word, times=1):\n    return None if word == '-' else word * times\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    named = load_teacher("scripted", rule="my_rules:rule", word="ab", times=2)
    assert one(named, request([1, 2], "")).text == "abab"
    assert one(load_teacher("scripted", rule=lambda r: r.response.upper()), request([1, 2], "x")).text == "X"
    assert one(load_teacher("scripted", rule="my_rules:rule", word="-"), request([1, 2], "")).error == "mute"
    assert one(load_teacher("scripted", rule=lambda r: " "), request([1, 2], "")).error == "empty"
    with pytest.raises(ConfigError, match="also needs word"):
        load_teacher("scripted", rule="my_rules:rule")
    with pytest.raises(TeacherError, match="must return text or None"):
        one(load_teacher("scripted", rule=lambda r: 3), request([1, 2], ""))
    with pytest.raises(TeacherError, match="operands"):
        one(load_teacher("scripted", rule="sums-check"), replace(request([1, 2], ""), example=Example("e", "q", "3")))


def test_tables(tmp_path):
    rows = [{"question": "q?", "reply": "for all"}, {"question": "q?", "reply": "for that", "response": "5"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "t.yaml").write_text("q?: for all\n")
    teacher = load_teacher("scripted", table=tmp_path / "t.jsonl")
    assert [one(teacher, request([2, 3], r)).text for r in ("5", "6")] == ["for that", "for all"]
    assert one(load_teacher("scripted", table=tmp_path / "t.yaml"), request([2, 3], "")).text == "for all"
    unknown = TeacherRequest("x", (), Example("e", "another?", "1"), "", "b")
    assert one(teacher, unknown).error == "mute"


def test_a_phrase_is_said_about_every_answer_with_its_placeholders_filled_in():
    teacher = load_teacher("scripted", phrase="Arr: {gold}, not {answer}. {{gold}}", reason="{question} {response}")
    ask = request([12, 7], "12+7=18. So \\boxed{18}.")
    assert one(teacher, ask).model == "scripted:phrase"
    assert parse_reply(one(teacher, ask).text) == (
        {"opinion": "incorrect", "reason": "q? 12+7=18. So \\boxed{18}.", "phrase": "Arr: 19, not 18. {gold}"},
        False,
    )
    assert parse_reply(one(teacher, request([12, 7], "So \\boxed{19}.")).text)[1] is True
    assert one(teacher, request([12, 7], "I cannot tell.")).error == "mute"  # there is no {answer}
    short = load_teacher("scripted", phrase="Arr: {gold}.")
    assert parse_reply(one(short, request([12, 7], "I cannot tell.")).text)[0]["phrase"] == "Arr: 19."
    words = replace(ask, example=Example("e", "q?", "Yes"), response="So \\boxed{yes}.")
    assert parse_reply(one(short, words).text) == ({"opinion": "correct", "reason": REASON, "phrase": "Arr: Yes."}, True)
    half = load_teacher("scripted", phrase="Arr.", mute_share=0.5)
    assert 30 < sum(bool(one(half, replace(ask, id=f"0-{k}")).error) for k in range(100)) < 70


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"phrase": "Arr", "rule": "hit-hard"}, "either a rule"),
        ({"phrase": "Arr {glod}"}, "the scripted teacher: phrase: unknown placeholder {glod} (did you mean 'gold'?)"),
        ({"phrase": "Arr", "wrong_share": 0.2}, "not wrong_share"),
        ({"reason": "because", "rule": "hit-hard"}, "no parameter 'reason'"),
        ({"phrase": 7}, "option phrase"),
    ],
)
def test_a_phrase_that_cannot_be_used_says_why(options, said):
    with pytest.raises(ConfigError) as caught:
        load_teacher("scripted", **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", '{"question": "a", "reply": "b"}\n{"question": 1}', "t.jsonl:2: expected"),
        ("t.jsonl", '{"question": "a",}', "t.jsonl:1:1"),
        (
            "t.jsonl",
            '{"question": "a", "reply": "b"}\n{"question": "a", "reply": "c"}',
            "t.jsonl:2: a second, different",
        ),
        ("t.yaml", "a: [b", "t.yaml:1:"),
        ("t.yaml", "- just text", "entry 1: expected"),
    ],
)
def test_a_bad_table_is_named_by_its_line(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_teacher("scripted", table=str(tmp_path / name))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("response", "gold", "same"),
    [
        ("So \\boxed{1,234}.", "1234", True),
        ("He has $18.00 left\nA: 18", "18", True),
        ("A: 26", "18", False),
        ("no number", "18", False),
        ("\\boxed{x} and 18", "18", False),
        ("-3", "3", False),
    ],
)
def test_same_number(response, gold, same):
    assert same_number(response, gold) is same
