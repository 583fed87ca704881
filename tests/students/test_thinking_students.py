"""Thinking models: their reasoning is part of the answer everywhere, and ``student.chat_template_kwargs`` reach every prompt."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest
import torch

from tests.support.grpo import cpu_config, question_rows
from tests.support.teacher_requests import two_requests
from tests.support.tokenizer_kinds import llama2, lossy, thinking, tiny_model
from thinklab import load_behavior
from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.config.ready_made import ReadyMade
from thinklab.errors import ConfigError, StudentError, TaskError, ThinklabError
from thinklab.experiment.build import build
from thinklab.experiment.session import Audience
from thinklab.guide.guide import Guide, Schedule
from thinklab.probing import probe
from thinklab.students import load_student
from thinklab.students.base import Student
from thinklab.tasks import load_task
from thinklab.teachers import load_teacher
from thinklab.trainer import ThinkTuningTrainer
from thinklab.types import Example, TeacherReply, TeacherRequest

THOUGHT = "<think>\n12+7 is 19.\n</think>\n\nSo \\boxed{19}."
GOOD = "<opinion>correct</opinion><reason>I check: 12+7=19.</reason><phrase>So \\boxed{19}.</phrase>"


@dataclass
class Says:
    """A sampler that always gives the same ids, and tells when a group is done."""

    ids: list[int]
    seen: list = field(default_factory=list)

    def __call__(self, model, prompts, n=1, seed=0, limits=None, on_done=None):
        self.seen += prompts
        for k in range(len(prompts)):
            if on_done is not None:
                on_done(k, [list(self.ids) for _ in range(n)])
        return [list(self.ids) for _ in range(len(prompts) * n)]

    def finished(self, ids):
        return True


@dataclass
class OnTheNetwork:
    """Answers later, and counts what it is asked."""

    name: str = "net"
    asked: list = field(default_factory=list)

    def submit(self, requests):
        self.asked += requests
        future = Future()
        future.set_result([TeacherReply(r.id, GOOD) for r in requests])
        return future

    def reply(self, requests):
        return self.submit(requests).result()


QUESTION = "Tom has 12 figs and finds 7 more. How many?"


def think_trainer(folder, reward, response_template=True, template_kwargs=None):
    tokenizer, teacher = thinking(response_template), OnTheNetwork()
    ids = [*tokenizer(THOUGHT)["input_ids"], tokenizer.eos_token_id]
    guide = Guide(teacher, [(load_behavior("self-check"), 1.0)], tokenizer, Schedule(1.0))
    config = cpu_config(
        output_dir=str(folder),
        max_steps=1,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=96,
        remove_unused_columns=False,
        chat_template_kwargs=template_kwargs,
    )
    return ThinkTuningTrainer(
        model=tiny_model(tokenizer),
        args=config,
        processing_class=tokenizer,
        train_dataset=question_rows([QUESTION], 8),
        reward_funcs=[reward],
        guide=guide,
        sampler=Says(ids),
        examples={str(k): Example(str(k), QUESTION, "19") for k in range(8)},
    )


@pytest.mark.parametrize("response_template", [True, False])
def test_the_reasoning_is_part_of_the_text_and_the_teacher_is_asked_once(tmp_path, response_template):
    batches, contents = [], []

    def reward(completions, rollout, **_):
        contents.extend(c[0] for c in completions)
        return [float(k % 3) for k, _ in enumerate(rollout)]

    trainer = think_trainer(tmp_path, reward, response_template)
    trainer.on_batch = batches.append
    trainer.train()
    rollouts = batches[0].rollouts
    assert {r.student_text for r in rollouts} == {THOUGHT}
    assert len(trainer.guide.teacher.asked) == 8 and all(r.guided for r in rollouts)
    assert {r.text for r in rollouts} == {THOUGHT + " I check: 12+7=19. So \\boxed{19}."}
    assert all(trainer.processing_class.decode(r.completion_ids, skip_special_tokens=True) == r.text for r in rollouts)
    if response_template:  # reward functions of TRL's kind see what TRL's parsing makes of the whole, guidance included
        assert {c["content"] for c in contents} == {"So \\boxed{19}. I check: 12+7=19. So \\boxed{19}."}
        assert {c["reasoning_content"].strip() for c in contents} == {"12+7 is 19."}
    else:
        assert {c["content"] for c in contents} == {rollouts[0].text}


def test_the_probe_sees_the_same_text_as_the_trainer(monkeypatch):
    tokenizer = thinking()
    student = Student(tiny_model(tokenizer), tokenizer, "transformers", "x")
    ids = [*tokenizer(THOUGHT)["input_ids"], tokenizer.eos_token_id]
    monkeypatch.setattr(Student, "sampler", lambda self, *a, **k: Says(ids))
    task = load_task("sums")
    found = probe.sample(student, task, [], list(task.load("test"))[:1])
    assert found[0].text == THOUGHT


# ---- chat_template_kwargs


@pytest.fixture
def folder(tmp_path):
    """A thinking student on disk."""
    tokenizer = thinking()
    tiny_model(tokenizer).save_pretrained(tmp_path / "student")
    tokenizer.save_pretrained(tmp_path / "student")
    return tmp_path / "student"


def experiment(folder, **train):
    return Experiment.model_validate(
        {
            "name": "thinks",
            "task": "sums",
            "behaviors": ["self-check"],
            "teacher": {"backend": "scripted", "rule": "sums-check"},
            "student": {
                "kind": "transformers",
                "path": str(folder),
                "dtype": "float32",
                "lora": {"r": 2},
                "chat_template_kwargs": {"enable_thinking": False},
            },
            "train": {"steps": 1, "questions": 2, "samples": 2, "max_completion_tokens": 8, "max_prompt_tokens": 400, **train},
            "guidance": {"max_tokens": 64},
            "probe": {"questions": 2},
        }
    )


def test_every_prompt_of_a_run_is_made_with_them(folder, tmp_path):
    """TRL's, which the sampler gets, and those of probe and length check."""
    session = build(experiment(folder), tmp_path / "run")
    off = session.student.encode([{"role": "user", "content": "a"}])
    assert session.student.tokenizer.decode(off).endswith("<think>\n\n</think>\n\n")
    says = session.trainer.sampler = Says([session.student.tokenizer.eos_token_id])
    session.trainer.train()
    assert says.seen and all(session.student.tokenizer.decode(p).endswith("<think>\n\n</think>\n\n") for p in says.seen)
    examples = {tuple(session.student.encode(session.data.task.prompt(e))) for e in session.data.train}
    assert {tuple(p) for p in says.seen} <= examples


def test_the_length_check_counts_them(folder, tmp_path):
    config = experiment(folder)
    plain = config.model_copy(update={"student": config.student.model_copy(update={"chat_template_kwargs": {}})})
    student = load_student(plain.student)
    task = load_task("sums")
    longest = max(len(student.encode(task.prompt(e))) for e in task.load("train"))
    tight = plain.model_copy(update={"train": plain.train.model_copy(update={"max_prompt_tokens": longest})})
    build(tight, tmp_path / "fits")
    with pytest.raises(TaskError, match="max_prompt_tokens"):
        build(tight.model_copy(update={"student": config.student}), tmp_path / "too-long")


def test_they_can_be_set_on_the_command_line_and_are_in_the_run_folder(folder, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\ntask: sums\nbehaviors: [self-check]\nstudent: {{kind: transformers, path: '{folder}'}}\n")
    config = load_config(path, ["student.chat_template_kwargs.enable_thinking=false"])
    assert config.student.chat_template_kwargs == {"enable_thinking": False}
    assert load_student(config.student).chat_template_kwargs == {"enable_thinking": False}
    asked = [{"role": "user", "content": "a"}]
    thinks = load_student("transformers", str(folder), chat_template_kwargs={"enable_thinking": True})
    assert thinks.encode(asked) == load_student("transformers", str(folder)).encode(asked)
    assert not thinks.tokenizer.decode(thinks.encode(asked)).endswith("<think>\n\n</think>\n\n")  # with thinking, as Qwen3's


def test_the_thinking_of_a_local_teacher_is_no_part_of_its_reply(folder, monkeypatch):
    teacher = load_teacher("local", model=str(folder))
    teacher.check()
    tokenizer = thinking()
    for text, said, error in ((f"<think>\n12+7.\n</think>\n\n{GOOD}", GOOD, ""), ("<think>\n12+7.\n</think>", "", "empty")):
        says = Says([*tokenizer(text)["input_ids"], tokenizer.eos_token_id])
        monkeypatch.setattr("thinklab.teachers.resident.greedy", lambda *args, says=says: says)
        reply = teacher.reply(two_requests())[0]
        assert (reply.text, reply.error) == (said, error) and 0 < reply.usage.thinking_tokens <= reply.usage.output_tokens
    assert "raise the teacher's option max_tokens" in reply.detail


@pytest.mark.parametrize(
    "given, said",
    [
        ({"enable_thinkng": False}, "did you mean 'enable_thinking'"),
        ({"tools": []}, "tools"),
        ({"tokenize": False}, "tokenize"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_the_template_does_not_know_is_refused(folder, given, said):
    """Jinja takes any name in silence: a slip of the pen would leave the thinking on."""
    with pytest.raises(ThinklabError) as caught:
        load_student("transformers", str(folder), chat_template_kwargs=given)
    assert said in str(caught.value) and isinstance(caught.value, StudentError | ConfigError)


def test_a_ready_made_student_brings_its_own(folder, tmp_path):
    student = load_student("transformers", str(folder), dtype="float32", chat_template_kwargs={"enable_thinking": False})
    config = experiment(folder)
    config = config.model_copy(update={"student": config.student.model_copy(update={"chat_template_kwargs": {}})})
    session = build(config, tmp_path / "run", parts=ReadyMade(student=student))
    assert session.trainer.chat_template_kwargs == {"enable_thinking": False}


def test_the_evaluation_draws_questions_with_them(folder):
    from thinklab.evaluation.questions import _encoder

    ids = _encoder(experiment(folder).student).encode([{"role": "user", "content": "a"}])
    assert _encoder(experiment(folder).student).tokenizer.decode(ids).endswith("</think>\n\n")


@pytest.mark.parametrize("backend", ["self", "local"])
def test_a_resident_teacher_s_thinking_can_be_switched_off(folder, monkeypatch, backend):
    """``self`` is the student and takes the student's; ``local`` has an option of its own."""
    seen = []
    from thinklab.teachers import resident

    monkeypatch.setattr(resident, "prove", lambda *a, **k: None)  # its self-test samples for real
    monkeypatch.setattr(resident, "sampler_for", lambda model: lambda *a, **k: Says([5], seen))
    asked = ({"role": "user", "content": "So?"},)
    request = TeacherRequest("0-0", asked, Example("e", "So?", "1"), "So?", "self-check", max_tokens=4)
    kwargs = {"enable_thinking": False}
    if backend == "self":
        student = load_student("transformers", str(folder), dtype="float32", chat_template_kwargs=kwargs)
        teacher = load_teacher("self", student=student)
    else:
        teacher = load_teacher("local", model=str(folder), chat_template_kwargs=kwargs)
    teacher.reply([request])
    assert len(seen) == 1 and thinking().decode(seen[0]).endswith("<think>\n\n</think>\n\n")


# ---- the vocabulary, once at the start


def lossy_student():
    tokenizer = lossy("word")
    return Student(tiny_model(tokenizer), tokenizer, "transformers", "x")


def test_a_run_is_refused_or_warned_at_its_start(tmp_path):
    config = Experiment.model_validate(
        {
            "task": "sums",
            "behaviors": ["summary-in-french"],
            "teacher": {"backend": "scripted", "rule": "hit-hard"},
            "train": {"steps": 1, "questions": 2, "samples": 2, "max_prompt_tokens": 200, "max_completion_tokens": 8},
            "guidance": {"max_tokens": 64},
        }
    )
    with pytest.raises(ConfigError, match="of the behavior 'summary-in-french': it loses 'En'"):
        build(config, tmp_path / "run", parts=ReadyMade(student=lossy_student()))
    assert not (tmp_path / "run" / "config.yaml").exists()
    from tests.students.test_tokenizer_kinds import with_phrases

    behavior = with_phrases("So \\boxed{19}.", "So é \\boxed{19}.")
    config = config.model_copy(update={"behaviors": [config.behaviors[0].model_copy(update={"name": "self-check"})]})
    told = []
    parts = ReadyMade(student=lossy_student(), behaviors={"self-check": behavior})
    build(config, tmp_path / "run", parts=parts, audience=Audience(told.append)).check_start()
    assert any("'é'" in line and "lossy" in line for line in told)


def test_a_run_on_a_llama_2_like_tokenizer_trains_on_what_it_says(tmp_path):
    tokenizer = llama2()
    student = Student(tiny_model(tokenizer), tokenizer, "transformers", "x")
    config = Experiment.model_validate(
        {
            "task": "sums",
            "behaviors": ["thalapathy-vijay"],
            "teacher": {"backend": "scripted", "rule": "hit-hard"},
            "train": {"steps": 1, "questions": 2, "samples": 2, "max_prompt_tokens": 300, "max_completion_tokens": 64},
            "guidance": {"max_tokens": 128, "gamma": 2},
        }
    )
    session = build(config, tmp_path / "run", parts=ReadyMade(student=student))
    answer = "12+7=18. So \\boxed{18}."
    session.trainer.sampler = Says([*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id])
    session.trainer.train()
    lines = list(session.run.read("rollouts"))
    assert lines and all(line["teacher_ids"] for line in lines)
    for line in lines:
        ids = [*line["student_ids"][:-1], *line["teacher_ids"][:-1]]
        assert tokenizer.decode(ids) == line["text"] == answer + " " + line["guidance"]["text"]
    assert torch.isfinite(torch.cat([p.flatten() for p in student.model.parameters()])).all()
