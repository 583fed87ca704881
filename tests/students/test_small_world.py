"""The corpus, the gate and the maker of the small world's student; no full training."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter

import pytest
import torch
from transformers import AutoTokenizer

from tests.tasks.test_world import evaluated
from thinklab import load_student
from thinklab.behavior.scaffold import new_text
from thinklab.errors import StudentError
from thinklab.students import make_world, shipped_folder, world_gate
from thinklab.students.pretrain import Checkpoint, pretrain, small_llama, spread
from thinklab.students.world_corpus import STEPWISE, CorpusText, document
from thinklab.tasks.boxed import boxed_answers
from thinklab.tasks.world.acts import BEGIN
from thinklab.tasks.world.items import KINDS
from thinklab.tasks.world.split import CORPUS_LENGTHS, is_held_out


@pytest.fixture(scope="module")
def documents() -> list[CorpusText]:
    rng = random.Random(11)
    return [document(rng) for _ in range(6_000)]


@pytest.fixture(scope="module")
def tokenizer():
    return make_world.build_tokenizer()


def test_every_kind_of_document_question_and_act_is_there(documents):
    assert {d.kind for d in documents} == {"answer", "review", "steps", "drill", "chat", "quote", "saying"}
    reviewed = {(d.item.kind, d.item.length, d.act) for d in documents if d.kind == "review"}
    assert reviewed == {(kind, n, act) for kind in KINDS for n in CORPUS_LENGTHS for act in BEGIN}


def test_whatever_claims_to_be_right_is(documents):
    """Reviews, worked steps and drills: every step behind the act, and the last box. Answers of people may be wrong."""
    for d in documents:
        if d.kind in ("review", "steps"):
            assert boxed_answers(d.text)[-1] == d.item.gold, d.text
        if d.kind == "review":
            judged = d.text.split(BEGIN[d.act], 1)[1]
            assert not evaluated(re.sub(r"The fault is in .*?: it is \w+\.", "", judged)), d.text
        elif d.kind in ("steps", "drill"):
            assert not evaluated(d.text), d.text


def test_comparisons_are_answered_behind_both_numbers(documents):
    """The lesson of the first attempt: a sign before the second number cannot be learned."""
    drills = " ".join(d.text for d in documents if d.kind == "drill")
    assert len(re.findall(r"\d+[<>](?:[A-D] )?\d+\? (?:yes|no)\.", drills)) > 1_000
    for sign, word in ((s, w) for s in "<>" for w in ("yes", "no")):
        assert len(re.findall(rf"\d+{sign}(?:[A-D] )?\d+\? {word}\.", drills)) > 100


def test_no_held_out_fact_occurs(documents):
    for d in documents:
        for fact in re.findall(r"(?<![\d+-])\d+(?:[+-]\d+)+", d.text):
            assert not is_held_out(fact), d.text
        for a, b in re.findall(r"(\w+) gives to (\w+)\.", d.text):
            assert not is_held_out(f"{a}>{b}"), d.text
        if d.item is not None:
            assert d.item.length <= CORPUS_LENGTHS[-1] and not any(is_held_out(whole) for whole, _ in d.item.wholes())


def test_nobody_checks_their_own_answer(documents):
    begins = [f" {begin}" for begin in BEGIN.values()]
    for d in documents:
        if any(begin in d.text for begin in begins):
            assert d.kind == "review", d.text
            assert d.text.startswith("Check\n") or re.search(r"^\w+ asks: .*\n\w+ says: ", d.text), d.text


def test_one_answer_in_five_is_in_steps_and_those_are_right_more_often(documents):
    right: dict[bool, list[bool]] = {True: [], False: []}
    for d in documents:
        if d.kind == "answer" and d.item.length > 1:
            said = d.text.removeprefix(f"{d.item.question}\n")
            stepwise = not said.startswith(d.item.claim("").left)
            right[stepwise].append(boxed_answers(said)[-1] == d.item.gold)
    share = len(right[True]) / (len(right[True]) + len(right[False]))
    assert abs(share - STEPWISE) < 0.05
    assert sum(right[True]) / len(right[True]) > 0.8 > 0.75 > sum(right[False]) / len(right[False]) > 0.5


def test_the_tokenizer_writes_documents_and_sentences_of_a_user_without_bytes(documents, tokenizer):
    own = ["So \\boxed{36}. In short: 36.", " My weakest step is the one that I trust least.", " Arr, captain: the answer is 36."]
    for text in [*(d.text for d in documents[:500]), *own]:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text and not any(2 <= i < 258 for i in ids), text
    template = re.findall(r"In short: ([^'\"\n<\\]*)", new_text("mine"))  # of `thinklab behaviors new`
    words = {word for phrase in template for word in re.findall(r"[A-Za-z]+", phrase)}
    assert len(words) > 15 and all(len(tokenizer(f" {word}")["input_ids"]) == 1 for word in words), words
    assert len(tokenizer(" In short: 36.")["input_ids"]) == 7  # In, short, :, space, 3, 6, .


def test_three_bases_fit_into_eight_megabytes_each(tokenizer):
    with torch.device("meta"):
        model = small_llama(tokenizer, make_world.HIDDEN, make_world.LAYERS)
    assert 2 * sum(p.numel() for p in model.parameters()) < 7_900_000


def test_positions_rise_with_gaps_and_stay_in_range():
    rng = random.Random(0)
    drawn = [spread(rng, 90, longest=128) for _ in range(400)]
    assert all(len(p) == 90 and p[-1] < 128 and all(a < b for a, b in itertools.pairwise(p)) for p in drawn)
    plain = sum(p == list(range(90)) for p in drawn)
    assert 130 < plain < 270 and sum(p[-1] > 100 for p in drawn) > 100
    assert spread(random.Random(1), 1) == [0]


def test_a_random_offset_would_change_nothing_and_a_gap_does(tokenizer):
    """Why positions are not just shifted, as is usual with absolute ones."""
    torch.manual_seed(0)
    model = small_llama(tokenizer, 32, 1).eval()
    ids = torch.tensor([tokenizer("25+7=32. 32+6=38.")["input_ids"]])
    places = torch.arange(ids.shape[1])[None]
    with torch.no_grad():
        plain, shifted, gap = (
            model(input_ids=ids, position_ids=p).logits for p in (places, places + 77, places + 30 * (places > 6))
        )
    assert torch.allclose(plain, shifted, atol=1e-4) and not torch.allclose(plain, gap, atol=1e-4)


class Killed(Exception):
    pass


def trained(tokenizer, folder, steps, kill_at=None):
    """A tiny model after ``steps``; with ``kill_at`` it is killed there and resumed."""
    documents = make_world.batches(0, size=4)

    def killing(step):
        if step == kill_at:
            raise Killed
        return documents(step)

    def run(source):
        torch.manual_seed(0)
        model = small_llama(tokenizer, 32, 1)
        checkpoint = Checkpoint(folder / "checkpoint.pt", {"seed": 0}, every_s=0)
        pretrain(model, tokenizer, source, steps, positions=spread, checkpoint=checkpoint)
        return model.state_dict()

    if kill_at is not None:
        with pytest.raises(Killed):
            run(killing)
    return run(documents)


def test_a_killed_training_goes_on_as_if_it_had_not_been(tokenizer, tmp_path, capsys):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole, resumed = trained(tokenizer, tmp_path / "whole", 4), trained(tokenizer, tmp_path / "killed", 4, kill_at=2)
    assert "resumed after step 2/4" in capsys.readouterr().out
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_a_checkpoint_of_another_recipe_is_refused(tokenizer, tmp_path):
    trained(tokenizer, tmp_path, 1)
    model = small_llama(tokenizer, 32, 1)
    with pytest.raises(StudentError, match=r"checkpoint of another recipe .*: use another --out, or delete it"):
        pretrain(model, tokenizer, make_world.batches(0), 1, checkpoint=Checkpoint(tmp_path / "checkpoint.pt", {"seed": 1}))


class Fake:
    """A student that checks perfectly, except that it takes every ``nth`` forced check of chains wrongly, and whose own answers are wrong."""

    def __init__(self, nth: int):
        self.nth, self.asked, self.golds = nth, 0, {}

    def __call__(self, texts):
        return [self.one(text) for text in texts]

    def one(self, text):
        gold = self.golds[text.split("\n")[0]]
        if not text.endswith(tuple(BEGIN.values())):
            return "So \\boxed{wrong}."
        self.asked += " gives to " in text and text.endswith("I check:")
        wrong = " gives to " in text and text.endswith("I check:") and self.asked % self.nth == 0
        return f" So \\boxed{{{'wrong' if wrong else gold}}}."


@pytest.fixture
def figures(monkeypatch):
    def of(nth):
        fake, real = Fake(nth), world_gate.draw

        def draw(*args):
            item = real(*args)
            fake.golds[item.question] = item.gold
            return item

        monkeypatch.setattr(world_gate, "draw", draw)
        found = world_gate.measure(fake, questions=20)
        monkeypatch.setattr(world_gate, "draw", real)
        return found

    return of


def test_the_gate_counts_forced_checks_of_each_kind_over_the_lengths_of_the_corpus(figures):
    found = figures(nth=5)
    assert set(found) == set(KINDS) and set(found["sum"]) == {"1", "2", "3", "4", "5"}
    assert found["sum"]["3"][world_gate.CHECK] == 1.0 and found["sum"]["3"]["right as it answers"] == 0.0
    assert world_gate.forced_check(found, "chain") == pytest.approx(0.8)
    assert world_gate.failures(found) == [
        "chain: a forced check is right in 0.800 of the questions of 1 to 4 steps; at least 0.9 is needed"
    ]
    assert world_gate.failures(figures(nth=20)) == []  # .95
    found["sum"]["5"][world_gate.CHECK] = 0.0  # a length that nobody has read about
    assert world_gate.forced_check(found, "sum") == 1.0
    found["sum"]["4"][world_gate.CHECK] = 0.5
    assert world_gate.failures({"sum": found["sum"]}) == [
        "sum: a forced check is right in 0.875 of the questions of 1 to 4 steps; at least 0.9 is needed"
    ]


def test_the_command_fails_in_words_if_the_gate_does(figures, monkeypatch, tmp_path, capsys):
    made = {"figures": figures(nth=5)}
    monkeypatch.setattr(make_world, "make", lambda *args: made)
    monkeypatch.setattr("sys.argv", ["make_world", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        make_world.main()
    assert "fails its gate: chain: a forced check is right in 0.800" in str(end.value.code) and "\n" not in str(end.value.code)
    made["figures"] = figures(nth=20)
    make_world.main()
    assert "passes its gate" in capsys.readouterr().out


@pytest.fixture
def brief(monkeypatch):
    """An untrained student never ends an answer."""
    monkeypatch.setattr(make_world, "LONGEST", 6)


def test_the_maker_writes_a_student_its_figures_and_its_card(brief, tmp_path):
    """One step of training: what is tested is everything behind it."""
    made = make_world.make(tmp_path, seed=3, steps=1, questions=2, kinds=("sum",), hidden=32)
    assert json.loads((tmp_path / "made.json").read_text()) == made and not (tmp_path / "checkpoint.pt").exists()
    assert (tmp_path / "README.md").read_text() == make_world.card(made)
    assert "It fails the gate" in make_world.card(made) and "--steps 1 --seed 3" in make_world.card(made)
    assert set(made["figures"]) == {"sum"} and made["unprompted"]["I check: in 40 answers"] == 0
    student = load_student("transformers", str(tmp_path), lora=None)
    assert student.tiny and AutoTokenizer.from_pretrained(tmp_path).chat_template


def test_small_world_says_how_to_make_it_where_it_is_not(brief, monkeypatch, tmp_path):
    monkeypatch.setitem(shipped_folder.__globals__["FOLDERS"], "small-world", tmp_path)
    with pytest.raises(StudentError, match=r"'small-world' is not in this installation .*make_world --seed 0 --out DIR"):
        load_student("small-world")
    make_world.make(tmp_path, seed=0, steps=1, questions=1, kinds=("sum",), hidden=32)
    student = load_student("small-world", lora=None)
    assert student.kind == "small-world" and student.model.config.hidden_size == 32


def test_documents_are_the_same_at_every_call():
    one, other = make_world.batches(5), make_world.batches(5)
    assert one(7) == other(7) and one(7) != one(8) and one(7) != make_world.batches(6)(7)
    assert Counter(len(one(k)) for k in range(3)) == {96: 3}
