"""``ThinkTuningTrainer`` in a script of one's own, without config and run folder: by execution."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import pytest
from datasets import Dataset
from trl import GRPOConfig

from tests.conftest import ROOT
from tests.method.test_trainer_formula import QUESTIONS
from thinklab import ThinkTuningTrainer, load_behavior
from thinklab.batch_metrics import over_batches
from thinklab.errors import ConfigError, TeacherError
from thinklab.guide.guide import Guide, Schedule
from thinklab.teachers import load_teacher
from thinklab.types import TeacherReply

SAYS = "<opinion>incorrect</opinion><reason>I check: 1+1=2.</reason><phrase>So \\boxed{2}.</phrase>"


def reward(completions, answer, **_):
    return [len(c[0]["content"]) % 5 / 4 for c in completions]


def trainer(model, tokenizer, tmp_path, teacher, schedule=Schedule(0.5), **options):
    own = {k: options.pop(k) for k in ("examples", "on_batch", "raise_on_teacher_failure") if k in options}
    args = GRPOConfig(
        output_dir=str(tmp_path / "out"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        max_completion_length=40,
        **{"max_steps": 4, "num_generations": 4, "logging_steps": 1, **options},
    )
    rows = [{"prompt": [{"role": "user", "content": q}], "answer": str(k)} for k, q in enumerate(QUESTIONS * 8)]
    guide = Guide(
        teacher=teacher, behaviors=[(load_behavior("self-check"), 1.0)], tokenizer=tokenizer, schedule=schedule, max_tokens=60
    )
    return ThinkTuningTrainer(
        model=model,
        processing_class=tokenizer,
        args=args,
        train_dataset=Dataset.from_list(rows),
        reward_funcs=[reward],
        guide=guide,
        **own,
    )


class Teacher:
    """Answers ``good`` calls, then fails for good; every second reply cannot be used when ``half``."""

    name = "test"

    def __init__(self, good=99, half=False, text=SAYS):
        self.good, self.half, self.text, self.seen = good, half, text, []

    def reply(self, requests):
        if self.good == 0:
            raise TeacherError("the key is wrong")
        self.good -= 1
        self.seen += requests
        return [TeacherReply(r.id, "no tags" if self.half and k % 2 else self.text) for k, r in enumerate(requests)]


def test_a_failed_teacher_ends_the_training_with_an_error_and_a_checkpoint(model, tokenizer, tmp_path):
    run = trainer(model, tokenizer, tmp_path, Teacher(good=2))
    with pytest.raises(TeacherError, match=r"the key is wrong.*step 3.*resume_from_checkpoint"):
        run.train()
    assert run.state.global_step == 3 and (tmp_path / "out" / "checkpoint-3").is_dir()
    run.guide.teacher.good = 99  # put right, in the same process
    run.train(resume_from_checkpoint=True)
    assert run.state.global_step == 4 and run.state.log_history[-2]["guided_fraction"] > 0


def test_a_failed_teacher_ends_between_two_generations(model, tokenizer, tmp_path):
    run = trainer(model, tokenizer, tmp_path, Teacher(good=1), num_iterations=2, max_steps=8)
    with pytest.raises(TeacherError, match="step 4"):
        run.train()


def test_who_asks_for_it_looks_at_the_failure_alone(model, tokenizer, tmp_path):
    run = trainer(model, tokenizer, tmp_path, Teacher(good=1), raise_on_teacher_failure=False)
    run.train()
    assert run.state.global_step == 4 and run.guide.failed == "the key is wrong"


@pytest.mark.parametrize("stops, steps", [(True, 2), (False, 4)])
def test_a_cap_is_said_aloud(stops, steps, model, tokenizer, tmp_path):
    teacher = Teacher()

    class Capped(Teacher):
        cap_reached = property(lambda self: "the teacher has reached its cap" if len(self.seen) > 4 else "")
        should_stop = property(lambda self: self.cap_reached if stops else "")

    teacher = Capped()
    run = trainer(model, tokenizer, tmp_path, teacher)
    with pytest.warns(RuntimeWarning, match="has reached its cap") as said:
        run.train()
    assert run.state.global_step == steps and len([w for w in said if "cap" in str(w.message)]) == 1
    assert (tmp_path / "out" / "checkpoint-2").is_dir()


def test_the_figures_of_guidance_reach_the_log(model, tokenizer, tmp_path):
    batches = []
    run = trainer(model, tokenizer, tmp_path, Teacher(half=True), on_batch=batches.append)
    run.train()
    lines = [line for line in run.state.log_history if "loss" in line]
    assert len(lines) == len(batches) == 4
    for line, batch in zip(lines, batches, strict=True):
        asked = [r for r in batch.rollouts if r.guidance is not None]
        assert line["guided_fraction"] == len(batch.guided) / 8 > 0 and line["gamma"] == 0.5
        assert line["guidance/accepted"] == len(batch.guided) / len(asked)
        assert line["rejected/missing-tag"] == len(asked) - len(batch.guided) > 0
        assert 0 <= line["own/behavior"] <= 1
        assert "own/accuracy" not in line and "guidance/accuracy_after" not in line  # nobody said what is right
        assert all(r.rewards["reward"] == pytest.approx(len(r.text) % 5 / 4) for r in batch.rollouts)


def test_a_line_for_several_generations_has_their_means_and_sums(model, tokenizer, tmp_path):
    run = trainer(model, tokenizer, tmp_path, Teacher(half=True), logging_steps=4)
    batches = []
    run.on_batch = batches.append
    run.train()
    line = next(line for line in run.state.log_history if "loss" in line)
    assert line["guided_fraction"] == pytest.approx(sum(len(b.guided) for b in batches) / 32)
    assert line["rejected/missing-tag"] == run.guide.counts["missing-tag"]
    assert over_batches([{"a": 1.0, "rejected/x": 2}, {"a": 2.0}, {"rejected/x": 3}]) == {"a": 1.5, "rejected/x": 5}


def test_most_replies_rejected_is_said_at_the_end(model, tokenizer, tmp_path):
    with pytest.warns(RuntimeWarning, match=r"of the teacher's \d+ replies were rejected, .* \d+ missing-tag"):
        trainer(model, tokenizer, tmp_path, Teacher(text="what?"), max_steps=1).train()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trainer(model, tokenizer, tmp_path, Teacher(), max_steps=1).train()
    assert not [w for w in said if "rejected" in str(w.message)]


def test_rows_without_ids_are_questions_of_their_own_with_their_answers(model, tokenizer, tmp_path):
    teacher = Teacher()
    trainer(model, tokenizer, tmp_path, teacher).train()
    by_question = {r.example.question: r.example for r in teacher.seen}
    assert len(by_question) > 1 and len({e.id for e in by_question.values()}) == len(by_question)
    assert all(QUESTIONS[int(e.gold) % 4] == question for question, e in by_question.items())


def test_a_share_that_guides_nobody_is_refused(model, tokenizer, tmp_path):
    with pytest.raises(ConfigError, match="rounds to none"):
        trainer(model, tokenizer, tmp_path, load_teacher("scripted", rule=lambda request: SAYS), Schedule(0.1)).train()


def test_the_example_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "plain_trl.py", "3", tmp_path / "out"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = re.findall(r"^step +(\d+)  reward \S+  guided (\d+)%  shows it unasked (\d+)%", done.stdout, re.M)
    assert [int(step) for step, _, _ in lines] == [1, 2, 3]
    assert lines[0][1:] == ("25", "0") and int(lines[-1][2]) > 0  # taught in three steps


def test_the_page_names_what_there_is(model, tokenizer, tmp_path):
    """Its first block is Python with names that exist; each key of its table of figures is one that a run can log."""
    from inspect import signature

    page = (ROOT / "docs" / "plain-trl.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.S)[1]
    exec(re.sub(r"^(guide|trainer)[ .=].*", "", code, flags=re.S | re.M), {})  # its imports
    options = re.findall(r"^\| `(\w+)` \|", page.split("## What it logs")[0], re.M)
    assert {"guide", "shaping", "score", "sampler", "on_batch"} <= set(options)
    known = {*signature(ThinkTuningTrainer.__init__).parameters, "reward_funcs"}
    assert set(options) <= known and "raise_on_teacher_failure" in known
    run = trainer(model, tokenizer, tmp_path, Teacher(half=True), max_steps=1)
    run.train()
    named = re.findall(r"`([\w/<>*]+)`", "".join(re.findall(r"^\| (`[^|]*) \|", page.split("## What it logs")[1], re.M)))
    logged = set(run.state.log_history[0])
    wanted = {n for n in named if "<" not in n and "*" not in n and "accuracy" not in n} - {"key"}
    assert wanted and wanted <= logged, wanted - logged
