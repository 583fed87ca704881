"""The embedded student: a plain Hugging Face folder, small, and knowing neither habit nor any held-out sum."""

from __future__ import annotations

import json
import random
import re

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from thinklab import load_behavior, load_student, load_task
from thinklab.students import TINY
from thinklab.students.make_tiny import EMBEDDED, build_tokenizer, card, make
from thinklab.students.tiny_corpus import Mix, document
from thinklab.tasks import sums


def test_loads_with_plain_from_pretrained_and_is_small():
    model, tokenizer = AutoModelForCausalLM.from_pretrained(TINY), AutoTokenizer.from_pretrained(TINY)
    assert isinstance(model, LlamaForCausalLM) and isinstance(tokenizer, PreTrainedTokenizerFast) and tokenizer.chat_template
    assert sum(f.stat().st_size for f in TINY.iterdir()) <= 3_000_000
    assert sorted(f.suffix for f in TINY.iterdir() if f.stat().st_size > 100_000) == [".safetensors"]


def test_the_tokenizer_gives_back_any_text():
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    for text in [document(random.Random(k)) for k in range(300)] + [
        " héllo தமிழ் \t\r\n<tag> {x} \U0001f600",
        "  two  spaces ",
        "",
    ]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_the_corpus_holds_no_test_sum_no_own_check_and_no_quote_after_a_sum():
    """In 30,000 documents: every chain of additions is read back and compared with the test split."""
    rng = random.Random(7)
    pairs, quads = set(sums.operand_pool("test", 2)), set(sums.operand_pool("test", 4))
    kinds = set()
    for _ in range(30_000):
        text = document(rng)
        for chain in re.findall(r"\d+(?:\+\d+)+", text):
            numbers = tuple(map(int, chain.split("+")))
            assert numbers not in quads and numbers not in pairs, text
        if "I check:" in text:
            kinds.add("check")
            head = text.split("I check:")[0]
            assert head.startswith("Check\n") or " says: " in head, f"somebody checks their own sum: {text}"
        if "Thalapathy Vijay says" in text:
            kinds.add("quote")
            assert "=" not in text
    assert kinds == {"check", "quote"}


def test_weak_writers_add_some_digits_wrongly_everywhere_and_lead_into_no_test_sum():
    rng, pairs, wrong = random.Random(3), set(sums.operand_pool("test", 2)), 0
    mix, total = Mix(weak=0.25, habit=0.5), 0
    for _ in range(5_000):
        text = document(rng, mix)
        for a, b, c in re.findall(r"(?<![+\d])(\d+)\+(\d+)=(\d+)\.", re.sub(r"^.*?(?=I check:)", "", text, flags=re.S)):
            if "So \\boxed" in text and "I check:" not in text and not text.startswith("Steps"):
                continue  # an answer in one go
            assert (int(a), int(b)) not in pairs, text
            assert int(c) == int(a) + int(b) - (int(b) in (8, 9)), text
            wrong, total = wrong + (int(b) in (8, 9)), total + 1
    assert 0.2 < wrong / total < 0.3


def test_the_habit_is_as_known_as_the_mix_says():
    rng = random.Random(5)
    own = [t for t in (document(rng, Mix(answer=1, check=0, steps=0, drill=0, chat=0, quote=0, habit=0.3)) for _ in range(2_000))]
    assert 0.25 < sum("I check:" in t for t in own) / len(own) < 0.35


def test_training_and_test_questions_share_no_operands():
    train, test = (load_task("sums").load(split) for split in ("train", "test"))
    seen = {tuple(e.meta["operands"]) for e in train}
    added = {(a, b) for operands in seen for a, b, _ in sums.steps(operands)}
    for example in test:
        operands = tuple(example.meta["operands"])
        assert operands not in seen and (len(operands) > 2 or operands not in added)
    assert len(test) >= 500 and len({e.question for e in test}) == len(test)


def test_it_is_wrong_more_often_than_right_and_shows_neither_habit():
    student, task = load_student("embedded", lora=None), load_task("sums")
    torch.manual_seed(0)
    asked = task.load("test")[:300]
    answers = student.answer([task.prompt(e) for e in asked], max_new_tokens=80)
    right = sum(task.verify(a, e) for a, e in zip(answers, asked, strict=True)) / len(asked)
    assert 0.25 < right < 0.45
    for name in ("self-check", "thalapathy-vijay"):
        behavior = load_behavior(name)
        assert sum(bool(behavior.detect(a)) for a in answers) == 0


def test_its_card_holds_the_figures_that_were_measured():
    made = json.loads((TINY / "made.json").read_text())
    assert (TINY / "README.md").read_text() == card(made)


def test_a_student_is_saved_measured_and_described(tmp_path, capsys):
    """Almost untrained further, the embedded student is measured as it is; one from scratch gets a card of its own figures."""
    as_it_is = make(tmp_path / "more", Mix(), steps=1, seed=0, start=EMBEDDED, questions=16)
    made = json.loads((tmp_path / "more" / "made.json").read_text("utf-8"))
    assert made["figures"] == as_it_is and made["start"] == "embedded" and made["steps"] == 1
    assert not (tmp_path / "more" / "README.md").exists()  # the card describes a student from scratch
    assert as_it_is["correct without steps, 2 numbers, greedy"] > 0.8 > 0.2 > as_it_is["correct without steps, 4 numbers, greedy"]
    assert as_it_is["checks in 200 answers"] == as_it_is["quotes in 200 answers"] == 0
    assert -30 < as_it_is["log10 p(check) after an answer, 2 numbers"] < -1

    new = make(tmp_path / "new", Mix(), steps=1, seed=0, questions=2)
    assert new["correct without steps, 2 numbers, greedy"] == 0
    assert f"{len(new)} figures" in (said := (tmp_path / "new" / "README.md").read_text("utf-8"))
    assert f"| log10 p(quote) after an answer, 4 numbers | {new['log10 p(quote) after an answer, 4 numbers']} |" in said
    assert load_student("transformers", path=str(tmp_path / "new")).tokenizer.chat_template
