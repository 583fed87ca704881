"""The Lab step by step: order of the calls, what is trained on, and that it is the same run as an unattended one."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

from tests.lab.conftest import SMALL, Flaky, same, step, weights
from thinklab import Lab, load_behavior, load_task
from thinklab.config.experiment import Experiment
from thinklab.errors import ConfigError, LabError, ReviewError, RunError
from thinklab.experiment.train import run_experiment
from thinklab.probing import reach
from thinklab.run.folder import RunFolder
from thinklab.types import Batch, rollout_from_json


def test_the_tokens_that_are_trained_equal_the_edited_text(make):
    lab = make()
    batch = lab.rollout()
    assert isinstance(batch, Batch) and len(batch.rollouts) == 8 and not any(r.guided for r in batch.rollouts)
    proposals = lab.guide(batch)
    queue = lab.queue
    edited, rejected, *rest = proposals
    text = "I check: one and one is two. So \\boxed{2}."
    queue.edit(edited, text)
    queue.reject(rejected)
    for i in rest:
        queue.accept(i)

    seen = []
    trainer = lab._engine.session.trainer
    inner = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: (seen.append(dict(inputs)), inner(model, inputs))[1]
    metrics = lab.update(batch)

    tokenizer, separator = lab.student.tokenizer, load_behavior("self-check").separator
    want = tokenizer(separator + text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    in_the_loss = [
        ids[mask.bool()].tolist()
        for inputs in seen
        for ids, mask in zip(inputs["completion_ids"], inputs["teacher_mask"], strict=True)
        if mask.any()
    ]
    assert want in in_the_loss and len(in_the_loss) == len(rest) + 1
    lines = {r["id"]: r for r in lab.run.read("rollouts")}
    assert lines[edited]["teacher_ids"] == want and lines[edited]["guidance"]["status"] == "edited"
    assert lines[edited]["guidance"]["edited"] == text and lines[edited]["guidance"]["text"] == proposals[edited].text
    assert lines[edited]["text"] == lines[edited]["student_text"] + separator + text
    assert lines[rejected]["teacher_ids"] == [] and lines[rejected]["guidance"]["status"] == "rejected"
    assert metrics["step"] == 1 == lab.step and metrics["guided_fraction"] == len(in_the_loss) / 8
    assert all(r["who"] == "ann" for r in lab.run.read("reviews"))


def test_a_step_by_hand_changes_the_weights_and_the_edited_sentence_is_likelier_after_it(make, tmp_path):
    """With a warm-up, which TRL would begin at a learning rate of 0."""
    lab = make(warmup_steps=4, questions=4, learning_rate=0.003)
    batch = lab.rollout()
    lab.guide(batch)
    mixed = {
        g for g in {r.group for r in batch.rollouts} if len({r.checks["correct"] for r in batch.rollouts if r.group == g}) == 2
    }
    chosen = next(i for i in lab.queue.items if i.rollout.group in mixed and not i.rollout.checks["correct"])
    text = f"I check: once more. So \\boxed{{{chosen.rollout.example.gold}}}."
    lab.queue.edit(chosen.id, text)
    trained = {n: p.detach().clone() for n, p in lab.student.model.named_parameters() if p.requires_grad}
    metrics = lab.update(batch, auto="accept")
    now = dict(lab.student.model.named_parameters())
    moved = [n for n, p in trained.items() if not torch.equal(p, now[n])]
    assert metrics["learning_rate"] == pytest.approx(0.003 / 5) and len(moved) >= len(trained) // 2, "LoRA's B moves first"

    mine = metrics.learned.texts[0]
    assert mine.edited and mine.text == text and mine.rollout_id == chosen.id
    record = next(rollout_from_json(r) for r in lab.run.read("rollouts") if r["id"] == chosen.id)
    assert record.advantage > 0 and mine.after > mine.before
    assert reach.log_probabilities(lab.student, [record]) == pytest.approx([mine.after], abs=1e-4)
    with lab.student.model.disable_adapter():
        assert reach.log_probabilities(lab.student, [record]) == pytest.approx([mine.before], abs=1e-4)
    for shown in (repr(metrics), metrics._repr_html_()):
        assert "Your sentence" in shown and "times as likely" in shown
    lines = list(lab.run.read("learned"))
    assert len(lines) == len(metrics.learned.texts) and lines[0]["after"] == mine.after


def test_the_advantages_that_the_review_announces_are_those_that_are_trained_with(make):
    lab = make()
    lab.guide(lab.rollout())
    queue = lab.queue
    first, second, *rest = queue.items
    queue.accept(first.id)
    queue.reject(second.id)
    for item in rest:
        queue.edit(item.id, item.text + " So it is.")
    announced = {}
    for item in queue.items:
        effect = queue.effect(item.id)
        values = effect.rejected if item.state == "rejected" else effect.accepted
        announced |= dict(zip((r.id for r in queue.groups.of(item.rollout)), values, strict=True))
    assert len(announced) == 8 and len(set(announced.values())) > 2
    lab.update()
    assert {r["id"]: r["advantage"] for r in lab.run.read("rollouts")} == announced


def test_one_by_one_and_unattended_are_the_run_that_the_command_line_makes(make, tmp_path):
    config = Experiment.model_validate(SMALL)
    run_experiment(config, tmp_path / "command-line")
    lab = make("lab")
    lab.probe()
    step(lab)
    torch.rand(7), torch.manual_seed(1)  # what a cell in between may do
    lab.train(2)
    batch = lab.rollout()
    lab.guide(batch)
    lab.probe()
    torch.rand(3)
    lab.update(batch, auto="accept")
    assert same(weights(tmp_path / "lab"), weights(tmp_path / "command-line"))
    mine, theirs = (
        [{**r, "guidance": None} for r in RunFolder(tmp_path / name).read("rollouts")] for name in ("lab", "command-line")
    )
    assert json.dumps(mine) == json.dumps(theirs)
    probe = lab.probe()
    measured = json.loads((tmp_path / "command-line" / "probe.json").read_text())
    assert probe.accuracy.count == measured["after"]["T=1"]["accuracy"]["count"]
    assert probe.before["greedy"].accuracy.count == measured["before"]["greedy"]["accuracy"]["count"]
    with pytest.raises(LabError, match="all 4 steps"):
        lab.rollout()
    lab.close()
    further = make("lab", steps=6)  # the learning rate does not decay: it may go on
    assert further.train()["step"] == 6 and further.step == 6


def test_calls_in_the_wrong_order_say_what_comes_first_and_change_nothing(make):
    lab = make(teacher=Flaky())
    for call in (lab.guide, lab.update, lab.review):
        with pytest.raises(LabError, match=r"lab.rollout"):
            call()
    batch = lab.rollout()
    assert lab.rollout() == batch  # it waits; asking again samples nothing
    with pytest.raises(LabError, match=r"lab.guide"):
        lab.update(batch)
    with pytest.raises(LabError, match=r"lab.guide"):
        lab.review(batch)
    lab.guide(batch)
    asked = list(lab._engine.session.teaching.teacher.asked)
    lab.guide(batch)
    assert lab._engine.session.teaching.teacher.asked == asked == list(lab.proposals)
    queue = lab.queue
    queue.accept(queue.items[0].id)
    with pytest.raises(LabError, match=r"3 of 4 pieces of guidance are undecided.*auto='accept'"):
        lab.update(batch)
    with pytest.raises(LabError, match="Flaky"):
        lab.update(Flaky())
    with pytest.raises(ReviewError, match="unknown policy"):
        lab.update(batch, auto="acept")
    assert lab.step == 0 and lab.update(batch, auto="reject")["guided_fraction"] == 1 / 8
    with pytest.raises(ReviewError, match="trained on"):
        queue.reject(queue.items[1].id)  # a pane that was left open
    with pytest.raises(LabError, match="already been trained on"):
        lab.update(batch)


@pytest.mark.parametrize(
    "auto, edited", [("accept", 0), ("accept_if_detected", 0), (lambda item: "I check: yes. So \\boxed{1}.", 4)]
)
def test_policies_decide_without_anyone_there(make, auto, edited):
    lab = make()
    lab.guide(lab.rollout())
    text = repr(lab.review(auto=auto))
    assert "4 guided rollouts" in text and sum(i.state == "edited" for i in lab.queue.items) == edited
    lab.update()
    assert lab.train(1, auto=auto)["step"] == 2
    done = [r["guidance"] for r in lab.run.read("rollouts") if r["guidance"]]
    assert sum(g["status"] == "edited" for g in done) == edited * 2 and all(g["status"] != "proposed" for g in done)


def test_plain_grpo_has_nothing_to_guide(make):
    lab = make(loss={"method": "grpo"})
    batch = lab.rollout()
    assert len(lab.guide(batch)) == 0
    assert lab.update(batch)["step"] == 1 and lab.train(1)["guided_fraction"] == 0


def test_ready_made_parts_sections_and_single_keys(tmp_path):
    behavior, task, teacher = load_behavior("self-check"), load_task("sums", terms=[2]), Flaky()
    with Lab(
        student="embedded",
        task=task,
        behaviors=[behavior],
        teacher=teacher,
        steps=3,
        questions=2,
        samples=4,
        name="mine",
        train={"max_prompt_tokens": 40, "max_completion_tokens": 48},
        out=tmp_path / "run",
        quiet=True,
    ) as lab:
        lab.guide(lab.rollout())
        assert teacher.asked and lab.config.train.steps == 3 and lab.config.train.max_completion_tokens == 48
        assert lab.task is task and lab.behaviors == [behavior]
    with pytest.raises(LabError, match="closed"):
        lab.rollout()
    assert "closed" in repr(lab)


def test_what_cannot_be_used_is_one_clear_error(tmp_path):
    for how, match in [
        ({}, "needs a config"),
        ({"config": "demo-self-chek"}, "did you mean 'demo-self-check'"),
        ({"config": "demo-self-check", "stepz": 3}, "did you mean 'steps'"),
        ({"config": "demo-self-check", "overrides": ["train.steps=-1"]}, "train.steps"),
        ({"task": "sums", "behaviors": []}, "behavior"),
    ]:
        with pytest.raises(ConfigError, match=match):
            Lab(**how)
    with pytest.raises(RunError, match="contains no run"):
        Lab(SMALL, out=tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


def test_a_second_lab_in_the_same_folder_takes_over_and_another_experiment_is_refused(make, tmp_path):
    lab = make()
    batch = lab.rollout()
    again = make()  # the cell that makes it was run again
    assert again.rollout() == batch and "closed" in repr(lab)
    again.close()
    with pytest.raises(RunError, match=r"started with a different config: guidance.gamma=2, not 1\. "):
        Lab(SMALL, out=tmp_path / "run", guidance={"gamma": 1}, quiet=True)
    fresh = Lab(SMALL, out=tmp_path / "run", resume=False, quiet=True)
    assert fresh.step == 0 and fresh.batch is None and (tmp_path / "run.1" / "waiting.json").exists()
    fresh.close()


def test_the_config_of_the_run_folder_is_the_one_that_was_asked_for(make, tmp_path):
    make(seed=9, guidance={"gamma": 1})
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["config"]
    assert kept["train"]["seed"] == 9 and kept["guidance"]["gamma"] == 1 and kept["guidance"]["max_tokens"] == 60


def test_a_full_probe_says_where_else_it_shows_and_what_it_has_cost(make):
    lab = make()
    step(lab)
    probe = lab.probe(full=True)
    said = " ".join(probe.found)
    assert "Spill-over" in said and "Retention: KL to the base" in said and "least likely" in said and "Spill-over" in repr(probe)
    assert not lab.probe().found
