"""Stage 2: schedule, choice, strict parsing, splice on token ids."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinklab import load_behavior
from thinklab.guide.guide import REJECT_REASONS, Guide, Rejected, Schedule, encode_as_text, parse_reply, select
from thinklab.types import Example, Rollout, TeacherReply

GOOD = "<opinion>incorrect</opinion><reason>I check: 12+7=19.</reason><phrase>So \\boxed{19}.</phrase>"


# ---- schedule


def test_a_share_is_taken_of_the_group_halves_up():
    assert [Schedule(0.25).count(0, n) for n in (2, 4, 5, 8)] == [1, 1, 1, 2]
    assert [Schedule(3).count(0, n) for n in (2, 8)] == [2, 3]


@pytest.mark.parametrize("kind, middle", [("linear", 0.125), ("cosine", 0.125), ("exp", 0.25 * (1e-9 / 0.25) ** 0.5)])
def test_schedules_move_from_start_to_end_and_stay(kind, middle):
    schedule = Schedule(0.25, 0.0, 40, kind)
    assert schedule.value(0) == pytest.approx(0.25)
    assert schedule.value(20) == pytest.approx(middle)
    assert schedule.value(40) == schedule.value(1000) == pytest.approx(0.0)


def test_the_off_point_is_a_step_one_can_see():
    schedule = Schedule(2, off_at=8)
    assert [schedule.count(step, 5) for step in (0, 7, 8, 100)] == [2, 2, 0, 0]


# ---- choice


def rollouts(n=8, finished=lambda k: True, right=lambda k: False):
    return [
        Rollout(
            id=f"0-{k}",
            group=0,
            example=Example("e", "q", "1"),
            prompt_ids=(5,),
            student_ids=(7, 1),
            finished=finished(k),
            text="x",
            student_text="x",
            checks={"student_correct": right(k)},
        )
        for k in range(n)
    ]


def test_only_finished_rollouts_are_chosen_without_replacement_and_with_the_seed():
    group = rollouts(finished=lambda k: k % 2 == 0)
    chosen = select(group, 3, "random", random.Random(1), lambda r: True)
    assert len(set(chosen)) == 3 and all(k % 2 == 0 for k in chosen)
    assert chosen == select(group, 3, "random", random.Random(1), lambda r: True)
    assert select(group, 99, "random", random.Random(1), lambda r: True) == [0, 2, 4, 6]


def test_random_choice_is_even():
    counts = Counter(k for seed in range(2000) for k in select(rollouts(), 2, "random", random.Random(seed), lambda r: True))
    assert max(counts.values()) - min(counts.values()) < 150  # 500 each, standard deviation about 19


def test_wrong_answers_come_first_when_asked():
    group = rollouts(right=lambda k: k < 6)
    for seed in range(20):
        assert select(group, 2, "wrong_first", random.Random(seed), lambda r: True) == [6, 7]
        assert {6, 7} < set(select(group, 3, "wrong_first", random.Random(seed), lambda r: True))


# ---- parsing


def test_a_good_reply_is_parsed():
    fields, verdict = parse_reply("\n" + GOOD.replace("><", ">\n\n<") + "\n")
    assert fields == {"opinion": "incorrect", "reason": "I check: 12+7=19.", "phrase": "So \\boxed{19}."} and verdict is False
    assert parse_reply(GOOD.replace("incorrect", " Correct. "))[1] is True


@pytest.mark.parametrize(
    "reason, reply",
    [
        ("missing-tag", "no tags at all"),
        ("missing-tag", GOOD.replace("</phrase>", "")),
        ("missing-tag", ""),
        ("repeated-tag", GOOD + "<phrase>again</phrase>"),
        ("repeated-tag", GOOD.replace("</reason>", "</reason></reason>")),
        ("outside-text", "Sure! " + GOOD),
        ("outside-text", GOOD + " Done."),
        ("outside-text", GOOD.replace("><r", ">and<r")),
        ("outside-text", "<phrase>p</phrase><reason>r</reason><opinion>correct</opinion>"),
        ("empty-field", GOOD.replace("So \\boxed{19}.", "  ")),
        ("bad-opinion", GOOD.replace("incorrect", "perhaps")),
        ("too-long", GOOD.replace("12+7", "1" * 30_000)),
        ("too-long", "x" * 1_000_000),
        ("control-tokens", GOOD.replace("12+7", "<eos>")),
        ("control-tokens", GOOD.replace("12+7", "\x1b[2J")),
        ("control-tokens", GOOD.replace("12+7", "\x00")),
    ],
)
def test_each_malformed_reply_is_rejected_for_its_reason(reason, reply):
    with pytest.raises(Rejected) as caught:
        parse_reply(reply, control_tokens=["<eos>", "<pad>"])
    assert caught.value.reason == reason and reason in REJECT_REASONS


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ["<opinion>", "</opinion>", "correct", "<reason>", "</reason>", "r", "<phrase>", "</phrase>", " ", "\n", "<eos>"]
        )
    ).map("".join)
)
def test_no_reply_raises_anything_but_rejected(text):
    try:
        fields, _ = parse_reply(text, ["<eos>"])
    except Rejected as why:
        assert why.reason in REJECT_REASONS
    else:
        assert all(fields.values()) and set(fields) == {"opinion", "reason", "phrase"}


# ---- splice


@dataclass
class FixedTeacher:
    """Answers with the next text each time; a text may be a reply with an error."""

    texts: list
    name = "fixed"

    def reply(self, requests):
        out = []
        for request in requests:
            text = self.texts.pop(0)
            out.append(replace(text, id=request.id) if isinstance(text, TeacherReply) else TeacherReply(request.id, text))
        return out


def real_rollout(tokenizer, text="12+7=18. So \\boxed{18}.", finished=True, group=0, key="0-0"):
    ids = tokenizer(text)["input_ids"] + ([tokenizer.eos_token_id] if finished else [])
    return Rollout(
        id=key,
        group=group,
        example=Example("e", "Tom has 12 figs and finds 7 more. How many?", "19"),
        prompt_ids=(5, 6),
        student_ids=tuple(ids),
        finished=finished,
        text=text,
        student_text=text,
    )


def guide(tokenizer, texts, **options):
    options = {"schedule": Schedule(1), **options}
    return Guide(FixedTeacher(list(texts)), [(load_behavior("self-check"), 1.0)], tokenizer, **options)


def test_guidance_is_spliced_on_ids_and_nothing_else_changes(tokenizer):
    rollout = real_rollout(tokenizer)
    (out,) = guide(tokenizer, [GOOD])([rollout], 0, 0)
    spliced = " I check: 12+7=19. So \\boxed{19}."
    assert out.completion_ids[: len(rollout.student_ids) - 1] == rollout.student_ids[:-1]  # never encoded again
    assert tokenizer.decode(out.teacher_ids) == spliced + "<eos>"
    assert sum(out.teacher_mask) == len(out.teacher_ids) and out.completion_ids.count(tokenizer.eos_token_id) == 1
    assert out.text == rollout.text + spliced and tokenizer.decode(out.completion_ids[:-1]) == out.text
    assert out.guidance.status == "accepted" and out.guidance.verdict is False and out.guidance.raw == GOOD


@pytest.mark.parametrize(
    "reply, reason",
    [
        ("nonsense", "missing-tag"),
        (TeacherReply("", error="timeout", detail="60 s"), "timeout"),
        (GOOD.replace("12+7", "12+7+" * 300), "constraint"),
    ],
)
def test_a_rejected_rollout_stays_as_it_was(tokenizer, reply, reason):
    rollout = real_rollout(tokenizer)
    using = guide(tokenizer, [reply], max_tokens=60)
    (out,) = using([rollout], 0, 0)
    assert (out.completion_ids, out.text, out.teacher_ids) == (rollout.student_ids, rollout.text, ())
    assert out.guidance.reason == reason and out.guidance.status == "rejected" and using.counts == {reason: 1}


def test_guidance_that_does_not_fit_is_refused_not_cut(tokenizer):
    (out,) = guide(tokenizer, [GOOD], max_tokens=12)([real_rollout(tokenizer)], 0, 0)
    assert out.guidance.reason == "does-not-fit" and not out.guided and "12" in out.guidance.detail


def test_unfinished_rollouts_are_never_guided(tokenizer):
    (out,) = guide(tokenizer, [GOOD])([real_rollout(tokenizer, finished=False)], 0, 0)
    assert out.guidance is None


def test_one_that_shows_the_behavior_by_itself_is_left_alone(tokenizer):
    text = "12+7=18. So \\boxed{18}. I check: 12+7=19. So \\boxed{19}."
    assert guide(tokenizer, [GOOD])([real_rollout(tokenizer, text)], 0, 0)[0].guidance is None
    assert guide(tokenizer, [GOOD], skip_if_shown=False)([real_rollout(tokenizer, text)], 0, 0)[0].guided


def test_spelled_out_control_tokens_are_text(tokenizer):
    ids = encode_as_text(tokenizer, "So <eos> and <pad> are words.")
    assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & set(ids)
    assert tokenizer.decode(ids) == "So <eos> and <pad> are words."


def test_a_person_s_edit_is_what_is_spliced(tokenizer):
    def edit(rollout, item):
        return replace(item, edited="I check: 12+7=19, really. So \\boxed{19}.", status="edited")

    using = guide(tokenizer, [GOOD], review=edit)
    (out,) = using([real_rollout(tokenizer)], 0, 0)
    assert tokenizer.decode(out.teacher_ids) == " I check: 12+7=19, really. So \\boxed{19}.<eos>"
    assert out.guidance.text != out.guidance.final_text and using.counts == {"edited": 1}


def test_mixtures_follow_their_weights_and_the_seed(tokenizer):
    behaviors = [(load_behavior("self-check"), 3.0), (load_behavior("thalapathy-vijay"), 1.0)]
    batch = [real_rollout(tokenizer, group=g, key=f"0-{g}") for g in range(400)]
    asked = Guide(FixedTeacher([GOOD] * 400), behaviors, tokenizer, Schedule(1), seed=7).propose(batch, 0, 0)
    again = Guide(FixedTeacher([GOOD] * 400), behaviors, tokenizer, Schedule(1), seed=7).propose(batch, 0, 0)
    names = Counter(item.behavior for item in asked.values())
    assert 260 < names["self-check"] < 340 and names["thalapathy-vijay"] == 400 - names["self-check"]
    assert {k: v.behavior for k, v in asked.items()} == {k: v.behavior for k, v in again.items()}
    assert all(item.behavior_hash for item in asked.values())


def test_every_rollout_records_its_behavior_and_the_template(tokenizer):
    """Guided or not, refused or not; whether the guide runs as a whole or step by step."""
    behaviors = [(load_behavior("self-check"), 1.0), (load_behavior("thalapathy-vijay"), 1.0)]
    hashes = {b.name: b.hash for b, _ in behaviors}
    batch = [real_rollout(tokenizer, group=k // 4, key=f"3-{k}") for k in range(40)]
    make = lambda: Guide(FixedTeacher([GOOD] * 40), behaviors, tokenizer, Schedule(0.5), seed=7)  # noqa: E731
    done = make()(batch, 0, 3)
    drawn = make().draw(batch, 3)
    by_step = make().splice(drawn, make().propose(drawn, 0, 3))
    assert [(r.behavior, r.behavior_hash) for r in done] == [(r.behavior, r.behavior_hash) for r in by_step]
    assert {r.behavior for r in done} == set(hashes) and all(r.behavior_hash == hashes[r.behavior] for r in done)
    assert all(r.behavior == r.guidance.behavior for r in done if r.guidance)
    assert {bool(r.guidance) for r in done} == {True, False}
