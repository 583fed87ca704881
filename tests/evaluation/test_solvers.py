"""The prompting baselines: what they ask, what they keep, and that every token is counted."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from thinklab.errors import ConfigError
from thinklab.evaluation.solvers import S1, SelfCorrect, SelfVerify, Writer, ZeroShot, load_solver
from thinklab.evaluation.solvers.self_verify import verdict
from thinklab.sampler import Sampler
from thinklab.students import load_student
from thinklab.tasks import load_task

EOS = "<eos>"


@pytest.fixture(scope="module")
def student():
    return load_student("embedded")


@pytest.fixture(scope="module")
def task():
    return load_task("sums", terms=[4])


@dataclass
class Scripted(Writer):
    """A writer whose student says what a script has it say: per question a list of texts, ``EOS`` at the end of one ends it.

    A text longer than its limit is cut, as a sampler would.
    """

    script: dict[str, list[str]] = field(default_factory=dict)
    seen: list[tuple[str, int]] = field(default_factory=list)

    def write(self, prompts, limits=None):
        out = []
        for prompt, limit in zip(prompts, limits or [self.max_new_tokens] * len(prompts), strict=True):
            text = self.decode(prompt)
            said = next(lines for question, lines in self.script.items() if question in text).pop(0)
            self.seen.append((text, limit))
            ids = self.encode_text(said.removesuffix(EOS)) + ([self.student.eos_ids[0]] if said.endswith(EOS) else [])
            out.append(ids[:limit])
        return out


def scripted(student, task, *lines, **options):
    examples = task.load("test")[: len(lines)]
    writer = Scripted(student, 80, script={e.question: list(said) for e, said in zip(examples, lines, strict=True)}, **options)
    return writer, examples


def count(student, text):
    return len(student.tokenizer(text, add_special_tokens=False)["input_ids"])


def test_zero_shot_is_the_sampler_and_nothing_else(student, task):
    examples = task.load("test")[:6]
    answers = ZeroShot()(Writer(student, 40, seed=3), task, examples)
    prompts = [student.encode(task.prompt(e)) for e in examples]
    ids = student.sampler(40)(student.model, prompts, 1, 3 * 1009)
    assert [list(a.turns[0].ids) for a in answers] == ids
    for answer, prompt, own in zip(answers, prompts, ids, strict=True):
        assert (answer.tokens, answer.sampled, answer.inserted, answer.dropped) == (len(own), len(own), 0, 0)
        assert answer.read == len(prompt) and answer.text == student.decode(own)


def test_self_verify_answers_again_only_when_it_calls_itself_wrong(student, task):
    writer, examples = scripted(
        student,
        task,
        ["So \\boxed{1}." + EOS, "Verdict: correct" + EOS],
        ["So \\boxed{2}." + EOS, "No. Verdict: wrong" + EOS, "So \\boxed{3}." + EOS],
        ["So \\boxed{4}." + EOS, "I see." + EOS],
    )
    a, b, c = SelfVerify()(writer, task, examples)
    assert [x.text for x in (a, b, c)] == ["So \\boxed{1}.", "So \\boxed{3}.", "So \\boxed{4}."]
    assert [t.kind for t in b.turns] == ["answer", "check", "answer"] and all(x.finished for x in (a, b, c))
    assert b.sampled == sum(count(student, said) + 1 for said in ("So \\boxed{2}.", "No. Verdict: wrong", "So \\boxed{3}."))
    last, _ = writer.seen[-1]
    assert examples[1].question in last and "So \\boxed{2}." in last and "Verdict: wrong" in last


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Verdict: correct", True),
        ("**Verdict:** Wrong.", False),
        ("verdict: right\nVerdict: incorrect", False),
        ("", None),
        ("It is correct.", None),
        ("Verdict: not correct", False),
        ("My verdict: I do not know", None),
    ],
)
def test_verdicts(text, wanted):
    assert verdict(text) is wanted


def test_self_correct_always_answers_again_and_the_last_counts(student, task):
    writer, examples = scripted(
        student,
        task,
        ["So \\boxed{1}." + EOS, "None." + EOS, "So \\boxed{2}."],
        ["So \\boxed{5}." + EOS, "None." + EOS, "None." + EOS],
    )
    a, b = SelfCorrect()(writer, task, examples)
    assert a.text == "So \\boxed{2}." and not a.finished
    assert b.text == "None.", "a worse last answer counts as well"
    assert [t.read for t in a.turns] == sorted(t.read for t in a.turns), "each turn reads all that came before"


def test_s1_puts_wait_where_the_student_ends_too_early(student, task):
    solver = S1(budget=60, waits=2, wait=" Wait", end=" Final: \\boxed{")
    writer, examples = scripted(student, task, ["So \\boxed{1}." + EOS, " no." + EOS, " So \\boxed{2}." + EOS])
    (answer,) = solver(writer, task, examples)
    assert answer.text == "So \\boxed{1}. Wait no. Wait So \\boxed{2}." and answer.finished
    assert answer.inserted == 2 * count(student, " Wait") and answer.dropped == 2
    assert answer.sampled == count(student, "So \\boxed{1}.") + count(student, " no.") + count(student, " So \\boxed{2}.") + 1
    used = [60]
    for said in ("So \\boxed{1}.", " no."):
        used.append(used[-1] - count(student, said) - count(student, " Wait"))
    assert [limit for _, limit in writer.seen] == used, "each call may use what is left of the budget and no more"


def test_s1_cuts_at_the_budget_and_forces_an_answer(student, task):
    solver = S1(budget=10, waits=4, answer_tokens=7, end=" Final: \\boxed{")
    writer, examples = scripted(student, task, ["1+2=3. 3+4=7. 7+5=12. 12+9=21. So on", "21}." + EOS], ["1" * 40, "9" * 40])
    a, b = solver(writer, task, examples)
    assert a.text.endswith(" Final: \\boxed{21}.") and a.finished
    assert a.turns[0].pieces[0].ids == tuple(writer.encode_text("1+2=3. 3+4=7. 7+5=12. 12+9=21. So on")[:10])
    assert a.sampled == 10 + count(student, "21}.") + 1 and a.inserted == count(student, " Final: \\boxed{")
    assert b.sampled == 10 + 7 and not b.finished, "the forced answer has a limit too"


def test_s1_never_spends_more_than_the_budget_on_thinking(student, task):
    """On the real student: the pieces before the forced answer, "Wait"s included, stay within the budget for every answer."""
    examples = task.load("test")[:48]
    solver = S1(budget=50, waits=None, answer_tokens=8)
    answers = solver(Writer(student, 999, seed=1), task, examples)
    end = tuple(student.tokenizer(solver.end, add_special_tokens=False)["input_ids"])
    forced = waited = 0
    for answer in answers:
        (turn,) = answer.turns
        ids = [p.ids for p in turn.pieces]
        at = ids.index(end) if end in ids else len(ids)
        assert sum(map(len, ids[:at])) <= 50 and sum(len(p) for p in ids[at + 1 :]) <= 8
        assert sum(map(len, ids)) == answer.tokens == answer.sampled + answer.inserted == len(turn.ids)
        eos = [i for p in ids for i in p if i in student.eos_ids]
        assert len(eos) == answer.finished, "an EOS stands at the very end or nowhere"
        assert answer.dropped == sum(p.inserted for p in turn.pieces) - (end in ids)
        forced, waited = forced + (end in ids), waited + (answer.dropped > 0)
    assert forced and waited


def test_no_room_in_the_context_is_said_and_nothing_is_lost(student, task):
    example = task.load("test")[0]
    size = len(student.encode(task.prompt(example)))
    (full,) = ZeroShot()(Writer(student, 40, max_context=size), task, [example])
    assert full.out_of_room and full.turns == () and full.text == "" and not full.finished
    (short,) = SelfCorrect()(Writer(student, 40, max_context=size + 60), task, [example])
    assert short.out_of_room and short.turns[0].kind == "answer" and short.text
    (forced,) = S1(budget=500, waits=None)(Writer(student, 40, max_context=size + 60), task, [example])
    assert forced.tokens - forced.inserted <= 60


def test_limits_differ_by_prompt_in_one_batch(student, task):
    prompts = [student.encode(task.prompt(e)) for e in task.load("test")[:4]]
    sampler = Sampler(30, (), student.tokenizer.pad_token_id, temperature=0.0)
    whole = sampler(student.model, prompts)
    cut = sampler(student.model, prompts, limits=[3, 30, 1, 12])
    assert [len(ids) for ids in cut] == [3, 30, 1, 12]
    assert all(a[: len(b)] == b for a, b in zip(whole, cut, strict=True))


def test_the_same_seed_gives_the_same_answers(student, task):
    examples = task.load("test")[:5]
    one, two, other = (SelfVerify()(Writer(student, 30, seed=s), task, examples) for s in (1, 1, 2))
    assert one == two != other


def test_cut_at_grades_what_there_was(student, task):
    writer, examples = scripted(student, task, ["So \\boxed{1}." + EOS, "None." + EOS, "So \\boxed{2}." + EOS])
    (answer,) = SelfCorrect()(writer, task, examples)
    first = len(answer.turns[0].ids)
    assert answer.cut_at(first, writer.decode) == "So \\boxed{1}." == answer.cut_at(answer.tokens - 1, writer.decode)
    assert answer.cut_at(answer.tokens, writer.decode) == "So \\boxed{2}."
    assert answer.cut_at(first - 3, writer.decode) == writer.decode(answer.turns[0].ids[: first - 3]) != ""
    assert answer.cut_at(0, writer.decode) == ""


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("self_verfy", {}, "did you mean 'self_verify'"),
        ("s1", {"budgets": 3}, "did you mean 'budget'"),
        ("s1", {"budget": 0}, "at least 1"),
        ("s1", {"budget": "2k"}, "whole number"),
        ("self_verify", {"verify": 3}, "must be text"),
        ("zero_shot", {"n": 1}, "it takes none"),
    ],
)
def test_a_wrong_option_is_named(name, options, said):
    with pytest.raises(ConfigError, match=said):
        load_solver(name, **options)
    assert load_solver("s1", waits=None).waits is None
