"""What is trained is what is measured: the detector must find the behavior in the spliced text, not behind a stand-in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.guide.test_guide import GOOD, guide, real_rollout
from thinklab import load_behavior
from thinklab.batch_metrics import batch_metrics
from thinklab.behavior.behavior import Behavior, list_behaviors
from thinklab.behavior.lint import lint
from thinklab.guide.answers_file import Tally, guide_answers, read_answers
from thinklab.guide.guide import Guide, Schedule
from thinklab.review.queue import ReviewQueue
from thinklab.rewards import Rewards
from thinklab.tasks import load_task
from thinklab.teachers.human import HumanTeacher, request_id
from thinklab.teachers.replay import ReplayTeacher
from thinklab.types import Batch, to_json

PLAIN = "The answer is 18."
"""An answer without a box: what stands between two boxed answers cannot follow it."""


def few_shot_guidance(behavior: Behavior) -> list[str]:
    return [
        behavior.splice({"reason": behavior._text(s.reason), "phrase": behavior._text(s.phrase)})
        for s in behavior.spec.teacher.few_shots
    ]


@pytest.mark.parametrize("name", list_behaviors())
@pytest.mark.parametrize("response", [PLAIN, "12+7=18. So \\boxed{18}."])
def test_guidance_is_accepted_exactly_where_the_spliced_text_shows_the_behavior(name, response):
    behavior = load_behavior(name)
    for text in few_shot_guidance(behavior):
        refused = behavior.check_guidance(text, response)
        assert bool(refused) != bool(behavior.detect(response + behavior.separator + text)), refused
        assert not refused or "does not find the behavior" in refused


def test_what_the_student_showed_before_does_not_make_up_for_empty_guidance():
    """With ``skip_if_shown: false`` the detector may be content with the student's own part."""
    behavior = load_behavior("self-check")
    own = "So \\boxed{18}. I check: 12+7=19. So \\boxed{19}."
    loose = Behavior(
        behavior.spec.model_copy(update={"guidance": behavior.spec.guidance.model_copy(update={"must_contain": []})})
    )
    assert loose.detect(own + " Fine. So \\boxed{19}.")
    assert "student's own part" in loose.check_guidance("Fine. So \\boxed{19}.", own)
    assert loose.check_guidance("I check: 12+7=19. So \\boxed{19}.", own) == ""


def test_a_rollout_without_a_boxed_answer_is_not_trained_on_what_the_detector_cannot_find(tokenizer):
    rollout = real_rollout(tokenizer, PLAIN)
    using = guide(tokenizer, [GOOD])
    (out,) = using([rollout], 0, 0)
    assert out.guidance.reason == "not-shown" and not out.guided and out.completion_ids == rollout.student_ids
    assert using.counts == {"not-shown": 1} and "between two boxed answers" in out.guidance.detail


@pytest.mark.parametrize("kind", ["human", "replay"])
def test_what_a_person_wrote_or_an_earlier_run_said_is_checked_alike(tokenizer, tmp_path, kind):
    """Behind a boxed answer it is spliced, behind a plain one refused, whoever says it."""
    fits, lacks = real_rollout(tokenizer), real_rollout(tokenizer, PLAIN, group=1, key="0-1")
    using = guide(tokenizer, [])
    asked = [using.request(r, using.behaviors[0][0]) for r in (fits, lacks)]
    if kind == "human":
        teacher = HumanTeacher(tmp_path)
        (tmp_path / "replies.jsonl").write_text("".join(json.dumps({"id": request_id(r), "reply": GOOD}) + "\n" for r in asked))
    else:
        said = guide(tokenizer, [GOOD]).propose([fits], 0, 0)["0-0"]
        lines = [to_json(replace(r, guidance=replace(said, rollout_id=r.id))) for r in (fits, lacks)]
        (tmp_path / "rollouts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        teacher = ReplayTeacher(tmp_path)
    first, second = replace(using, teacher=teacher)([fits, lacks], 0, 0)
    assert first.guidance.status == "accepted" and first.guided
    assert second.guidance.reason == "not-shown" and not second.guided


def test_the_file_guide_refuses_and_counts_it(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps({"question": "12+7?", "response": r}) + "\n" for r in (PLAIN, "So \\boxed{18}.")))

    class Says:
        name = "says"

        def reply(self, requests):
            from thinklab.types import TeacherReply

            return [TeacherReply(r.id, GOOD) for r in requests]

    behavior, tally = load_behavior("self-check"), Tally()
    plain, boxed = guide_answers(read_answers(path), behavior, Says(), tally)
    assert plain["guidance"]["reason"] == "not-shown" and plain["text"] == PLAIN and plain["shown"] is None
    assert boxed["guidance"]["status"] == "proposed" and boxed["shown"] is True
    assert tally.outcomes == {"not-shown": 1, "proposed": 1} and tally.not_shown == 0
    easy = Behavior(behavior.spec.model_copy(update={"guidance": behavior.spec.guidance.model_copy(update={"must_show": False})}))
    tally = Tally()
    plain, boxed = guide_answers(read_answers(path), easy, Says(), tally)
    assert (plain["shown"], boxed["shown"]) == (False, True) and tally.outcomes == {"proposed": 2} and tally.not_shown == 1


def test_guided_but_not_shown_is_in_the_records_and_the_metrics(tokenizer):
    """A person may splice a text that the detector does not find; the run then says how often."""

    def edit(rollout, item):
        return replace(item, edited="I see: 12+7=19. So \\boxed{19}.", status="edited") if rollout.id == "0-1" else item

    using = guide(tokenizer, [GOOD, GOOD], review=edit)
    batch = [real_rollout(tokenizer, group=k, key=f"0-{k}") for k in range(2)] + [real_rollout(tokenizer, PLAIN, False, 2, "0-2")]
    out = using(batch, 0, 0)
    assert [r.checks.get("guidance_shown") for r in out] == [True, False, None]
    assert using.counts == {"accepted": 1, "edited": 1, "guided-but-not-shown": 1}
    scored = Rewards(load_task("sums"), [using.behaviors[0][0]])([replace(r, advantage=0.0) for r in out])
    figures = batch_metrics(Batch(0, 0, tuple(scored)))
    assert figures["guidance/not_shown"] == 1 and figures["guided_fraction"] == pytest.approx(2 / 3)
    assert batch_metrics(Batch(0, 0, (scored[0],)))["guidance/not_shown"] == 0


def test_a_mixture_measures_the_behavior_that_was_taught(tokenizer):
    """The detector of another behavior of the run does not count."""
    vijay = load_behavior("thalapathy-vijay")
    easy = Behavior(
        vijay.spec.model_copy(
            update={"guidance": vijay.spec.guidance.model_copy(update={"must_show": False, "must_contain": []})}
        )
    )
    using = Guide(guide(tokenizer, [GOOD]).teacher, [(easy, 1.0)], tokenizer, Schedule(1))
    (out,) = using([real_rollout(tokenizer)], 0, 0)
    assert out.guided and out.checks["guidance_shown"] is False


def test_the_review_warns_of_the_spliced_text_and_records_what_a_person_takes_all_the_same(tokenizer):
    using = guide(tokenizer, [GOOD])
    rollout = real_rollout(tokenizer, PLAIN)
    queue = ReviewQueue([rollout], using.propose([rollout], 0, 0), using)
    text = "I check: 12+7=19. So \\boxed{19}."
    seen = queue.preview("0-0", text)
    assert seen.found is False and "does not find the behavior" in seen.warning and seen.fits
    queue.write("0-0", text)
    (out,) = using.splice([rollout], queue.decided())
    assert out.guided and out.checks["guidance_shown"] is False and using.counts["guided-but-not-shown"] == 1
    assert queue.preview("0-0", text).to_json()["warning"] == seen.warning


def test_lint_looks_at_each_few_shot_behind_its_own_attempt(tmp_path):
    """Not behind a stand-in: an attempt without a box is a demonstration that a run would refuse."""
    behavior = load_behavior("self-check")
    source = behavior.path.read_text(encoding="utf-8")
    shot = behavior.spec.teacher.few_shots[0]
    path = tmp_path / "self-check.yaml"
    line = next(x for x in source.splitlines() if "response:" in x and "boxed" in x)
    path.write_text(source.replace(line, line[: line.index("response:")] + "response: Nineteen.", 1), encoding="utf-8")
    assert shot and any("does not find the behavior" in f.message for f in lint(path))
