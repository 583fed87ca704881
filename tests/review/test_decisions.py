"""Beyond accept and reject: what passes unseen, reasons, tags, notes, the effect on advantages, agreement, export."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from tests.review.test_review import GOOD, OTHER, lines, make, proposal, rollout, run, states  # noqa: F401
from thinklab.errors import ReviewError
from thinklab.review.agreement import ReviewerAgreement, agreement
from thinklab.review.item import Item
from thinklab.view.batch import policy


def kinds(queue, id):
    return [d.kind for d in queue.doubts(id)]


# ---- accept all that pass


def test_drafts_limits_and_wrong_verdicts_are_left_out_of_accept_all(make):  # noqa: F811
    over = "I check: 12+7=19. So \\boxed{19}. That is all"  # the behavior wants its guidance to end in the box
    queue = make(proposals={"0-0": proposal(0), "0-1": proposal(1), "0-2": proposal(2, over), "0-3": proposal(3, verdict=True)})
    assert queue.doubts("0-0") == []
    queue.draft("0-1", GOOD[:12])
    assert kinds(queue, "0-1")[0] == "draft" and kinds(queue, "0-2") == ["limit"] and kinds(queue, "0-3") == ["verdict"]
    assert [i.id for i in queue.accept_all()] == ["0-0"] and states(queue) == ["accepted", "open", "open", "open"]
    assert queue["0-1"].draft == GOOD[:12]
    queue.undo()
    assert queue.accept_all(["0-1", "0-2"]) == []


def test_a_draft_is_never_trained_on_by_a_policy(make):  # noqa: F811
    for auto in ("accept", "accept_if_detected", policy("accept"), policy("accept_if_detected")):
        queue = make(run=None)
        queue.draft("0-0", GOOD + " and then I w")
        queue.apply(auto)
        assert queue["0-0"].guidance.final_text == GOOD and queue["0-0"].state == "accepted"


def test_every_kind_of_doubt_has_words(make):  # noqa: F811
    queue = make()
    assert kinds(queue, "0-3") == ["refused", "verdict"]
    queue.draft("0-3", "I look again.")
    assert kinds(queue, "0-3") == ["draft", "refused", "verdict", "detector", "limit"]
    assert all(d.what for d in queue.doubts("0-3"))


# ---- a refused reply


@pytest.mark.parametrize(
    "raw, text",
    [
        ("<opinion>incorrect<reason>off</reason><phrase>I check: 1.</phrase>", "I check: 1."),
        ("<opinion>incorrect</opinion><reason>off</reason><phrase>I check: 1.", "I check: 1."),
        ("Sure! I check: 1.", "Sure! I check: 1."),
        ("<opinion>incorrect</opinion><reason>off</reason> I check: 1.", "I check: 1."),
        ("", ""),
    ],
)
def test_a_refused_reply_offers_what_can_be_rescued(make, raw, text):  # noqa: F811
    refused = replace(proposal(0, ""), status="rejected", reason="missing-tag", detail="a tag is missing", raw=raw)
    queue = make(proposals={"0-0": refused})
    assert queue["0-0"].rescue == text and not queue["0-0"].waits
    queue.write("0-0", GOOD)
    assert queue["0-0"].guidance.final_text == GOOD and queue["0-0"].guidance.usable and queue["0-0"].guidance.raw == raw


# ---- reasons, tags, notes


def test_a_reason_goes_into_the_line_and_into_the_record_that_is_trained(make, run):  # noqa: F811
    queue = make()
    queue.reject("0-0", " adds\n nothing ")
    assert lines(run)[-1]["why"] == "adds nothing" and queue["0-0"].why == "adds nothing"
    assert queue["0-0"].guidance.detail == "rejected by ann: adds nothing" and queue["0-0"].guidance.reason == "review"
    assert make()["0-0"].why == "adds nothing"
    queue.accept("0-0")
    assert queue["0-0"].why == "" and make()["0-0"].why == "" and "why" not in lines(run)[-1]


def test_tags_and_notes_decide_nothing_survive_undo_and_a_restart(make, run):  # noqa: F811
    queue = make()
    queue.draft("0-0", "half")
    queue.annotate("0-0", tags=["unsure", "unsure", " show  Ann ", ""], note="why 19?\r\n")
    assert (queue["0-0"].tags, queue["0-0"].note) == (("unsure", "show Ann"), "why 19?")
    assert queue["0-0"].draft == "half" and queue["0-0"].state == "open" and queue.recent() == []
    queue.accept("0-1")
    queue.annotate("0-1", tags=["good"])
    again = make(by="bob")
    assert again.items == queue.items
    again.annotate("0-1", note="seen")
    assert again["0-1"].who == "ann" and lines(run)[-1]["who"] == "bob"  # ann decided, bob noted
    assert [i.id for i in again.undo()] == ["0-1"]  # the decision, not the note
    assert (
        (again["0-1"].state, again["0-1"].tags, again["0-1"].note)
        == ("open", ("good",), "seen")
        == (
            make()["0-1"].state,
            make()["0-1"].tags,
            make()["0-1"].note,
        )
    )
    count = len(lines(run))
    again.annotate("0-1", tags=["good"], note="seen")  # no change, no line
    assert len(lines(run)) == count


def test_the_filter_searches_everything(make):  # noqa: F811
    queue = make()
    queue.annotate("0-1", tags=["odd"], note="ask Tamara")
    queue.reject("0-2", "too long")
    for text, ids in (
        ("TAMARA", ["0-1"]),
        ("odd", ["0-1"]),
        ("too LONG", ["0-2"]),
        ("is missing", ["0-3"]),
        ("<raw>", 4),
        ("figs", 4),
    ):
        found = [i.id for i in queue.filter(text=text)]
        assert found == ids or len(found) == ids, text
    assert [i.id for i in queue.filter(tag="odd")] == ["0-1"]


def test_a_file_of_an_older_version_still_counts(make, run):  # noqa: F811
    queue = make()
    queue.accept("0-0")
    queue.reject("0-1")
    old = [{k: v for k, v in line.items() if k not in ("why", "tags", "note")} for line in lines(run)]
    (run.path / "reviews.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    assert states(make())[:2] == ["accepted", "rejected"]


# ---- what a decision does to the advantages


def test_the_effect_of_a_decision_is_grpo_over_the_group_as_it_stands(make, tokenizer):  # noqa: F811
    texts = ["12+7=18. So \\boxed{18}.", "12+7=19. So \\boxed{19}.", "12+7=17. So \\boxed{17}.", "12+7=16. So \\boxed{16}."]
    rollouts = [rollout(tokenizer, k, text=t) for k, t in enumerate(texts)]
    queue = make(rollouts=rollouts, proposals={"0-0": proposal(0), "0-2": proposal(2)})
    queue.reject("0-2")
    effect = queue.effect("0-0")
    assert effect.rewards == (1.25, 1.0, 0.0, 0.0) and effect.alone == 0.0
    assert effect.rejected == pytest.approx((-0.5, 1.5, -0.5, -0.5), abs=1e-3)  # (r - 0.25) / 0.5
    mean, spread = 0.5625, 0.6575  # of 1.25, 1, 0, 0; deviation with n - 1
    assert effect.accepted == pytest.approx(tuple((r - mean) / spread for r in (1.25, 1, 0, 0)), abs=1e-3)
    queue.accept("0-2")
    assert queue.effect("0-0").rewards == (1.25, 1.0, 1.25, 0.0)  # the others as they stand
    assert queue.effect("0-0", "I am lost.").accepted == queue.effect("0-0").rejected  # earns as little as no guidance


def test_an_equal_group_teaches_nothing_and_the_effect_says_zero(make, tokenizer):  # noqa: F811
    queue = make(rollouts=[rollout(tokenizer, k) for k in range(4)], proposals={"0-0": proposal(0)})
    assert queue.effect("0-0").rejected == (0.0,) * 4 and queue.effect("0-0").accepted[0] > 1
    assert make(proposals={"0-0": proposal(0)}).groups.of(queue["0-0"].rollout)[1].id == "0-1"  # unguided ones are of the group


# ---- two reviewers


def both(make, **decisions):  # noqa: F811
    for who, said in decisions.items():
        queue = make(by=who)
        for id, take in said.items():
            (queue.accept if take else queue.reject)(id)
    return queue


def test_kappa_is_cohen_s_over_what_both_decided(make, run):  # noqa: F811
    queue = both(make, ann={"0-0": 1, "0-1": 1, "0-2": 0}, bob={"0-0": 1, "0-1": 0, "0-2": 0})
    (found,) = queue.agreement()
    assert (found.n, found.both_take, found.both_leave, found.only_a, found.only_b, found.same_text) == (3, 1, 1, 1, 0, 1)
    # observed 2/3; by chance 2/3 * 1/3 + 1/3 * 2/3 = 4/9
    assert found.kappa == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))
    assert queue.deciders("0-1") == ["ann", "bob"] and "kappa 0.40" in str(found)


def test_what_was_taken_back_or_decided_by_a_policy_is_no_opinion(make, run):  # noqa: F811
    queue = both(make, ann={"0-0": 1, "0-1": 1}, bob={"0-0": 0})
    with queue.deciding("bob"):
        queue.undo()
    assert queue.agreement() == [] and queue.deciders("0-0") == ["ann"]
    queue.apply("accept")
    assert queue.agreement() == [] and queue.deciders("0-2") == []
    with queue.deciding("bob"):
        queue.edit("0-0", OTHER)
    (found,) = queue.agreement()
    assert (found.n, found.both_take, found.same_text, found.kappa) == (1, 1, 0, None)


def test_kappa_agrees_with_a_table_from_the_books():
    # 20 and 15 on the diagonal of 50, 5 and 10 beside it: kappa 0.4 (the example of the article on Cohen's kappa)
    rows = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    state = {True: "accepted", False: "rejected"}
    reviews = [
        {"rollout": f"0-{k}", "key": "x", "action": "d", "state": state[take], "said": "s", "edited": None, "who": who}
        for k, pair in enumerate(rows)
        for who, take in zip(("a", "b"), pair)
    ]
    assert agreement(reviews) == [ReviewerAgreement("a", "b", 20, 15, 5, 10, 20)] and agreement(reviews)[
        0
    ].kappa == pytest.approx(0.4)


# ---- export


def test_decisions_are_exported_as_a_table_that_no_spreadsheet_runs(make, tmp_path):  # noqa: F811
    queue = make()
    queue.edit("0-0", OTHER)
    queue.reject("0-1", "=HYPERLINK(0)")
    queue.annotate("0-1", tags=["a", "b"], note="+1")
    exact = [json.loads(line) for line in queue.export(tmp_path / "d.jsonl").read_text().splitlines()]
    assert [r["state"] for r in exact] == ["edited", "rejected", "open", "refused"]
    assert exact[0]["final"] == OTHER and exact[0]["said"] == GOOD and exact[0]["who"] == "ann" and exact[1]["final"] == ""
    assert (
        exact[1]["reason"] == "=HYPERLINK(0)" and exact[1]["tags"] == ["a", "b"] and exact[3]["reason"] == "<phrase> is missing"
    )
    table = list(csv.DictReader(io.StringIO(queue.export(tmp_path / "d.csv").read_text())))
    assert table[1]["reason"] == "'=HYPERLINK(0)" and table[1]["note"] == "'+1" and table[1]["tags"] == "a; b"
    with pytest.raises(ReviewError, match=r"csv or \.jsonl"):
        queue.export(tmp_path / "d.xlsx")


def test_an_item_that_nobody_has_to_decide(make):  # noqa: F811
    assert [i.waits for i in make().items] == [True, True, True, False] and isinstance(make()["0-0"], Item)
