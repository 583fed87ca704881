"""What is spliced onto tokenizers that are not as kind as the embedded one: their ids must say what the text says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.guide.test_guide import GOOD, guide, real_rollout
from tests.support.tokenizer_kinds import llama2, lossy, thinking, tiny_model
from thinklab.behavior.behavior import Behavior, load_behavior
from thinklab.errors import ConfigError
from thinklab.evaluation.solvers.base import Writer
from thinklab.guide.guide import Guide, Rejected, Schedule, encode_as_text
from thinklab.review.queue import ReviewQueue
from thinklab.students.base import Student
from thinklab.types import Rollout

ANSWER = "12+7=18. So \\boxed{18}."


def rollout_for(tokenizer, text=ANSWER) -> Rollout:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return replace(real_rollout(tokenizer, text), student_ids=(*ids, tokenizer.eos_token_id), prompt_ids=tuple(ids[:3]))


def said(text="I check: 12+7=19.") -> str:
    return GOOD.replace("I check: 12+7=19.", text)


# ---- added tokens that are not special


@pytest.mark.parametrize("token", ["<think>", "</think>", "<tool_call>", "<|im_end|>"])
def test_a_token_that_is_spelled_out_is_text(token):
    tokenizer = thinking()
    text = f"So {token} is a word."
    ids = encode_as_text(tokenizer, text)
    assert tokenizer.convert_tokens_to_ids(token) not in ids and tokenizer.decode(ids) == text


def test_no_added_token_comes_into_guidance():
    tokenizer = thinking()
    (out,) = guide(tokenizer, [said("<think>I check: 12+7=19.</think>")])([rollout_for(tokenizer)], 0, 0)
    assert out.guided and not set(out.teacher_ids) & {tokenizer.convert_tokens_to_ids(t) for t in ("<think>", "</think>")}
    assert tokenizer.decode(out.completion_ids, skip_special_tokens=True) == out.text


def test_runs_of_spaces_stay_the_tokens_that_they_are():
    """Added tokens without any mark in them are ordinary words of a vocabulary."""
    tokenizer = thinking()
    assert tokenizer.convert_tokens_to_ids("    ") in encode_as_text(tokenizer, "So    I check.")


def test_the_student_s_tokenizer_is_left_as_it_was():
    tokenizer = thinking()
    before = tokenizer.backend_tokenizer.to_str(), tokenizer("<think> a")["input_ids"]
    encode_as_text(tokenizer, "<think> a")
    assert (tokenizer.backend_tokenizer.to_str(), tokenizer("<think> a")["input_ids"]) == before


def test_a_token_that_is_added_later_counts_as_well():
    tokenizer = thinking()
    encode_as_text(tokenizer, "a")
    tokenizer.add_tokens(["<later>"])
    assert tokenizer.convert_tokens_to_ids("<later>") not in encode_as_text(tokenizer, "a <later> b")


# ---- texts that go on after others


@pytest.mark.parametrize("metaspace", [False, True])
@pytest.mark.parametrize("text", ["\n\nI check: 12+7=19.", " I check: 12+7=19.", "I check.", "é½ <s>"])
def test_a_splice_adds_no_stray_space(metaspace, text):
    tokenizer = llama2(metaspace)
    head = tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    ids = encode_as_text(tokenizer, text)
    assert tokenizer.decode([*head, *ids]) == ANSWER + text
    assert tokenizer.eos_token_id not in ids and tokenizer.bos_token_id not in ids


@pytest.mark.parametrize("metaspace", [False, True])
@pytest.mark.parametrize("name", ["self-check", "self-critique"])
def test_the_spliced_ids_say_what_the_spliced_text_says(metaspace, name):
    tokenizer, behavior = llama2(metaspace), load_behavior(name)
    shot = behavior.spec.teacher.few_shots[0]
    using = Guide(guide(tokenizer, [behavior.reply(shot)]).teacher, [(behavior, 1.0)], tokenizer, Schedule(1))
    (out,) = using([rollout_for(tokenizer)], 0, 0)
    assert out.guided, out.guidance.detail
    assert tokenizer.decode(out.completion_ids, skip_special_tokens=True) == out.text


def test_words_that_a_solver_puts_in_go_on_without_a_space():
    tokenizer = llama2()
    ids = Writer(Student(tiny_model(tokenizer), tokenizer, "transformers", "x"), 8).encode_text("\nWait,")
    head = tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode([*head, *ids]) == ANSWER + "\nWait,"


# ---- vocabularies that lose something


@pytest.mark.parametrize(
    "kind, text, lost",
    [("word", "I check: 12é+7=19.", "'é'"), ("drop", "I check: 12é+7=19.", "'é'"), ("lower", "I check: 12+7=19.", "'I'")],
)
def test_guidance_of_which_something_is_lost_is_rejected_and_says_what(kind, text, lost):
    tokenizer = lossy(kind)
    using = guide(tokenizer, [said(text)])
    rollout = rollout_for(tokenizer)
    (out,) = using([rollout], 0, 0)
    assert not out.guided and out.guidance.reason == "lossy" and lost in out.guidance.detail, out.guidance
    assert out.completion_ids == rollout.student_ids


def test_what_such_a_vocabulary_can_write_is_spliced():
    tokenizer = lossy("word")
    (out,) = guide(tokenizer, [said()])([rollout_for(tokenizer)], 0, 0)
    assert out.guided and tokenizer.unk_token_id not in out.teacher_ids, out.guidance.detail


def test_a_person_s_text_that_would_be_lost_cannot_be_taken():
    tokenizer = lossy("word")
    using, rollout = guide(tokenizer, [said()]), rollout_for(tokenizer)
    queue = ReviewQueue([rollout], using.propose([rollout], 0, 0), using)
    assert queue.preview("0-0").fits
    assert "'é'" in queue.preview("0-0", "I check: 12é. So \\boxed{19}.").problem
    with pytest.raises(Rejected):
        using.encode(" ", "é", rollout)


def with_phrases(*phrases: str, **guidance) -> Behavior:
    """``self-check`` with other few-shots."""
    spec = load_behavior("self-check").spec
    shots = [
        s.model_copy(update={"response": ANSWER, "reason": "I check: 12+7=19.", "phrase": p})
        for s, p in zip(spec.teacher.few_shots * 2, phrases, strict=False)
    ]
    return Behavior(
        spec.model_copy(
            update={
                "teacher": spec.teacher.model_copy(update={"few_shots": shots}),
                "guidance": spec.guidance.model_copy(update=guidance),
            }
        )
    )


def test_the_start_says_which_characters_the_vocabulary_loses():
    tokenizer = lossy("word")
    told = Guide(None, [(with_phrases("So \\boxed{19}.", "So é \\boxed{19}."), 1.0)], tokenizer).check_vocabulary()
    assert "'é'" in told and "1 of 2" in told and "self-check" in told
    assert Guide(None, [(with_phrases("So \\boxed{19}."), 1.0)], tokenizer).check_vocabulary() == ""


@pytest.mark.parametrize("behavior", [with_phrases("Sí \\boxed{19}."), with_phrases("So \\boxed{19}.", must_contain=["Sí"])])
def test_a_vocabulary_that_can_write_none_of_it_is_refused(behavior):
    with pytest.raises(ConfigError, match=r"it loses ' ?S', 'í'\."):
        Guide(None, [(behavior, 1.0)], lossy("word")).check_vocabulary()


@pytest.mark.parametrize("tokenizer", [thinking(), llama2(), llama2(True)], ids=["byte-level", "prepend", "metaspace"])
def test_vocabularies_with_bytes_lose_nothing_of_the_shipped_behaviors(tokenizer):
    from thinklab.behavior.behavior import list_behaviors

    assert Guide(None, [(load_behavior(n), 1.0) for n in list_behaviors()], tokenizer).check_vocabulary() == ""


def test_the_embedded_student_loses_nothing_either(tokenizer):
    from thinklab.behavior.behavior import list_behaviors

    assert Guide(None, [(load_behavior(n), 1.0) for n in list_behaviors()], tokenizer).check_vocabulary() == ""
