"""Review: decisions, their record on disk, replay, undo, policies, preview."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from thinklab import load_behavior, load_task
from thinklab.errors import ReviewError, RunError
from thinklab.guide.guide import Guide, Schedule
from thinklab.review.item import clean
from thinklab.review.queue import ReviewQueue
from thinklab.rewards import Rewards
from thinklab.run.folder import RunFolder
from thinklab.types import Example, Guidance, Rollout

GOOD = " I check: 12+7=19. So \\boxed{19}.".strip()
OTHER = "I check: 12+7=19, yes. So \\boxed{19}."


def rollout(tokenizer, k, text="12+7=18. So \\boxed{18}.", generation=0, question="Tom has 12 figs and finds 7 more. How many?"):
    ids = (*tokenizer(text)["input_ids"], tokenizer.eos_token_id)
    return Rollout(f"{generation}-{k}", 0, Example(f"e{k}", question, "19", {"operands": [12, 7]}), (5, 6), ids, True, text, text)


def proposal(k, text=GOOD, verdict=False, generation=0, **more):
    return Guidance(f"{generation}-{k}", "self-check", "hash", "proposed", raw=f"<raw>{text}", verdict=verdict, text=text, **more)


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", {}, {})


@pytest.fixture
def make(tokenizer, run):
    """A queue over four rollouts: good, good, a wrong verdict, a refused reply."""
    guide = Guide(None, [(load_behavior("self-check"), 1.0)], tokenizer, Schedule(1), max_tokens=60)
    rewards = Rewards(load_task("sums"), [load_behavior("self-check")], bonus={"self-check": 0.25})

    def make(**options):
        rollouts = options.pop("rollouts", None) or [rollout(tokenizer, k) for k in range(4)]
        proposals = options.pop("proposals", None) or {
            "0-0": proposal(0),
            "0-1": proposal(1),
            "0-2": proposal(2, verdict=True),
            "0-3": replace(proposal(3, ""), status="rejected", reason="missing-tag", detail="<phrase> is missing", verdict=None),
        }
        return ReviewQueue(rollouts, proposals, guide, rewards, **{"run": run, "by": "ann", **options})

    return make


def lines(run):
    return list(run.read("reviews"))


def states(queue):
    return [i.state for i in queue.items]


def test_an_item_shows_what_one_decides_on(make):
    item, _, wrong, refused = make().items
    assert (item.question, item.student_text, item.said.text) == (
        "Tom has 12 figs and finds 7 more. How many?",
        "12+7=18. So \\boxed{18}.",
        GOOD,
    )
    assert (item.verdict, item.truth, item.agrees, item.behavior, item.state) == (False, False, True, "self-check", "open")
    assert wrong.agrees is False and refused.state == "refused" and refused.agrees is None


def test_each_decision_becomes_the_guidance_that_is_spliced(make, tokenizer):
    queue = make()
    queue.accept("0-0")
    queue.edit("0-1", OTHER + " \r\n")
    queue.reject("0-2")
    queue.write("0-3", GOOD)
    decided = queue.decided()
    assert [g.status for g in decided.values()] == ["accepted", "edited", "rejected", "edited"]
    assert decided["0-1"].final_text == OTHER and decided["0-1"].text == GOOD and decided["0-1"].raw == "<raw>" + GOOD
    assert (decided["0-2"].reason, decided["0-3"].reason, decided["0-3"].edited) == ("review", "", GOOD)
    out = queue.guide.splice([i.rollout for i in queue.items], decided)
    spliced = [tokenizer.decode(r.teacher_ids) for r in out]
    assert spliced == [f" {GOOD}<eos>", f" {OTHER}<eos>", "", f" {GOOD}<eos>"]


def test_undecided_guidance_keeps_the_status_it_came_with(make):
    queue = make()
    queue.skip("0-1")
    assert [g.status for g in queue.decided().values()] == ["proposed", "proposed", "proposed", "rejected"]
    assert states(queue)[1] == "skipped" and queue.decided()["0-1"] == queue["0-1"].said


def test_every_decision_is_a_line_at_once_and_undo_is_one_too(make, run):
    queue = make()
    queue.edit("0-1", OTHER)
    (line,) = lines(run)
    assert {k: line[k] for k in ("generation", "rollout", "action", "state", "raw", "said", "edited", "who")} == {
        "generation": 0,
        "rollout": "0-1",
        "action": "edit",
        "state": "edited",
        "raw": "<raw>" + GOOD,
        "said": GOOD,
        "edited": OTHER,
        "who": "ann",
    }
    assert line["when"].startswith("20") and line["when"].endswith("+00:00")
    before = (run.path / "reviews.jsonl").read_bytes()
    queue.undo()
    assert (run.path / "reviews.jsonl").read_bytes().startswith(before)
    assert lines(run)[1]["action"] == "undo" and lines(run)[1]["undone"] == ["0-1"]


def test_a_queue_opened_again_stands_where_the_last_one_stood(make):
    first = make()
    first.accept("0-0")
    first.edit("0-1", OTHER)
    first.reject("0-2")
    first.undo()
    first.skip("0-2")
    first.draft("0-3", "I che")
    second = make(by="bob")
    assert second.items == first.items and second.recent() == first.recent()
    assert second["0-3"].draft == "I che" and second["0-1"].who == "ann"
    second.undo()  # undo reaches over the restart
    second.undo()
    assert states(second) == ["accepted", "open", "open", "refused"] == states(make())


def test_decisions_belong_to_these_rollouts_not_to_their_ids(make, tokenizer):
    make().accept("0-0")
    others = [rollout(tokenizer, k, text="12+7=17. So \\boxed{17}.") for k in range(4)]
    assert states(make(rollouts=others)) == ["open", "open", "open", "refused"]


def test_what_was_accepted_does_not_hold_for_a_text_that_nobody_saw_but_an_edit_does(make):
    queue = make()
    queue.accept("0-0")
    queue.edit("0-1", OTHER)
    changed = {"0-0": proposal(0, GOOD + " "), "0-1": proposal(1, GOOD + " "), "0-2": proposal(2)}
    again = make(proposals=changed)
    assert states(again) == ["open", "edited", "open"] and again["0-1"].guidance.final_text == OTHER


def test_generations_share_one_file(make, tokenizer):
    make().accept("0-0")
    later = [rollout(tokenizer, 0, generation=7)]
    make(rollouts=later, proposals={"7-0": proposal(0, generation=7)}).reject("7-0")
    assert states(make())[0] == "accepted"
    assert states(make(rollouts=later, proposals={"7-0": proposal(0, generation=7)})) == ["rejected"]


def test_undo_goes_back_one_decision_at_a_time_and_then_does_nothing(make, run):
    queue = make()
    fresh = queue.items
    queue.accept("0-0")
    queue.edit("0-0", OTHER)
    queue.reject("0-1")
    assert [i.id for i in queue.recent()] == ["0-1", "0-0"]
    assert queue.undo()[0].state == "open"
    assert queue.undo()[0].state == "accepted"
    queue.undo()
    assert queue.items == fresh
    count = len(lines(run))
    assert queue.undo() == [] and len(lines(run)) == count


def test_bulk_accept_takes_only_what_the_detector_finds_and_the_truth_confirms(make):
    queue = make(
        proposals={
            "0-0": proposal(0),
            "0-1": proposal(1, "I look again. So \\boxed{19}."),
            "0-2": proposal(2, verdict=True),
            "0-3": proposal(3),
        }
    )
    queue.reject("0-3")
    queue.accept_all()
    assert states(queue) == ["accepted", "open", "open", "rejected"]


def test_one_undo_takes_a_whole_bulk_back_also_after_a_restart(make):
    queue = make()
    queue.skip("0-2")
    assert [i.id for i in queue.accept_all()] == ["0-0", "0-1"]
    again = make()
    assert [i.state for i in again.undo()] == ["open", "open"]
    assert states(again) == states(make()) == ["open", "open", "skipped", "refused"]


def test_text_that_cannot_be_spliced_is_kept_as_a_draft(make):
    queue = make()
    for text, what in ((GOOD * 5, "at most 60"), ("", "no text"), ("I check:\x1b[2J", "control character")):
        with pytest.raises(ReviewError, match=what):
            queue.edit("0-0", text)
        assert queue["0-0"].state == "open" and queue["0-0"].draft == text and make()["0-0"].draft == text
    queue.edit("0-0", OTHER)
    with pytest.raises(ReviewError):
        queue.edit("0-0", GOOD * 5)
    assert queue.decided()["0-0"].final_text == OTHER == make().decided()["0-0"].final_text  # the decision stands
    with pytest.raises(ReviewError, match="<phrase> is missing"):
        queue.accept("0-3")


def test_a_draft_is_taken_by_accept_and_forgotten_by_reject(make):
    queue = make()
    queue.draft("0-0", OTHER)
    assert queue.accept("0-0").guidance.final_text == OTHER and queue["0-0"].state == "edited"
    queue.draft("0-1", OTHER)
    assert queue.reject("0-1").draft is None
    assert queue.edit("0-1", GOOD).guidance.edited is None  # typed back to what the teacher said


def test_nothing_counts_that_is_not_on_disk(make, monkeypatch):
    queue = make()

    def full(*_):
        raise RunError("no space left")

    monkeypatch.setattr(RunFolder, "append", full)
    with pytest.raises(RunError):
        queue.accept_all()
    with pytest.raises(RunError):
        queue.reject("0-0")
    assert states(queue) == ["open", "open", "open", "refused"] and queue.undo() == []


def test_asking_again_replaces_what_was_said_and_is_remembered(make, run):
    queue = make(ask=lambda r: proposal(3, OTHER))
    queue.ask_again("0-3")
    assert (queue["0-3"].state, queue["0-3"].said.text, queue["0-3"].agrees) == ("open", OTHER, True)
    queue.accept("0-3")
    again = make()
    assert again["0-3"].guidance.final_text == OTHER and again["0-3"].guidance.raw == "<raw>" + OTHER
    again.undo()
    again.undo()
    assert again["0-3"].said.reason == "missing-tag" and again["0-3"].state == "refused"
    with pytest.raises(ReviewError, match="cannot be asked"):
        again.ask_again("0-3")
    with pytest.raises(ReviewError, match="no other answer"):
        make(ask=lambda r: None).ask_again("0-3")


def test_the_preview_says_what_a_text_is_worth(make, tokenizer):
    queue = make()
    good, none = queue.preview("0-0"), queue.preview("0-0", "I look again.")
    assert good.found and [GOOD[a:b] for a, b in good.spans] == ["I check:"]
    assert (good.rewards_before, good.rewards) == ({"correct": 0.0, "behavior": 0.0}, {"correct": 1.0, "behavior": 0.25})
    assert good.tokens == len(tokenizer(" " + GOOD)["input_ids"]) + 1 and good.left == 60 - good.tokens and good.fits
    assert not none.found and none.why and none.warning and none.fits
    assert none.rewards == {"correct": 0.0, "behavior": 0.0}
    long = queue.preview("0-0", GOOD * 5)
    assert not long.fits and long.left < 0 and "at most 60" in long.problem
    assert json.loads(json.dumps(good.to_json()))["left"] == good.left


def test_filters(make):
    queue = make()
    assert [i.id for i in queue.filter(verdict="disagrees")] == ["0-2"]
    assert [i.id for i in queue.filter(verdict="incorrect", detector=True)] == ["0-0", "0-1"]
    assert [i.id for i in queue.filter(detector=False)] == ["0-3"]
    assert len(queue.filter(question="FIGS", behavior="self-check")) == 4 and not queue.filter(question="plums")
    assert [i.id for i in queue.filter(state="refused")] == ["0-3"]
    with pytest.raises(ReviewError, match="did you mean 'agrees'"):
        queue.filter(verdict="agree")


def test_policies_decide_what_nobody_has_decided(make, run):
    queue = make(
        proposals={
            "0-0": proposal(0),
            "0-1": proposal(1, "I look again. So \\boxed{19}."),
            "0-2": proposal(2),
            "0-3": proposal(3, GOOD * 5),
        }
    )
    queue.reject("0-2")
    assert {i.who for i in queue.apply("accept_if_detected")} == {"auto: accept_if_detected"} and queue.by == "ann"
    assert states(queue) == ["accepted", "rejected", "rejected", "rejected"]
    queue.undo()
    assert states(queue) == ["open", "open", "rejected", "open"]
    queue.apply("accept")
    assert states(queue) == ["accepted", "accepted", "rejected", "rejected"]  # 0-3 does not fit
    queue.undo()
    answers = {"0-0": None, "0-1": OTHER, "0-3": False}
    queue.apply(lambda item: answers[item.id])
    assert states(queue) == ["open", "edited", "rejected", "rejected"]
    assert make(proposals={i.id: i.said for i in queue.items}).items == queue.items
    with pytest.raises(ReviewError, match="did you mean 'accept'"):
        queue.apply("acept")
    with pytest.raises(ReviewError, match="returned 3"):
        queue.apply(lambda item: 3)


def test_errors_name_what_is_wrong(make):
    with pytest.raises(ReviewError, match="0-9"):
        make().accept("0-9")
    with pytest.raises(ReviewError, match="not among"):
        make(proposals={"0-0": replace(proposal(0), behavior="other")})


def test_a_queue_without_a_run_keeps_decisions_in_memory(make):
    queue = make(run=None)
    queue.accept("0-0")
    assert states(queue)[0] == "accepted" and states(make(run=None))[0] == "open"


def test_text_from_a_browser_is_made_clean():
    assert clean(" a\r\nb\rc \n") == "a\nb\nc" and clean("x\ud800y") == "x\ufffdy" and clean("\U0001f600") == "\U0001f600"
