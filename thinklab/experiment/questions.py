"""Training and held-out questions of a run: their ``split`` and order, and whether prompts and answers fit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from thinklab.behavior.behavior import Behavior
from thinklab.config.experiment import Experiment
from thinklab.errors import ConfigError, TaskError
from thinklab.students.base import Student
from thinklab.tasks._ids import check_ids
from thinklab.tasks.base import Task
from thinklab.teachers import TeacherRequest
from thinklab.types import Example


@dataclass(frozen=True)
class TaskData:
    """A task and its questions."""

    task: Task
    train: list[Example]
    held_out: list[Example]


def split(task: Task) -> TaskData:
    """Disjoint training and held-out examples.

    If both splits are the same file, a seeded random tenth of its questions is held out.

    Raises:
        TaskError: two questions have the same id, or none is left for training.
    """
    train, test = list(task.load("train")), list(task.load("test"))
    check_ids(task.name, {"train": train, "test": test})
    known = {e.question for e in train}
    fresh = [e for e in test if e.question not in known]
    if not fresh:
        questions = sorted(known)
        kept = set(random.Random(0).sample(questions, max(1, len(questions) // 10)))
        fresh, train = [e for e in test if e.question in kept], [e for e in train if e.question not in kept]
    if not train:
        raise TaskError(f"the task {task.name!r} has no question left for training")
    return TaskData(task, train, fresh)


def check_lengths(config: Experiment, student: Student, data: TaskData) -> None:
    """Reject prompts that would not fit, before sampling."""
    t = config.train
    for example in data.train:
        length = len(student.encode(data.task.prompt(example)))
        if length > t.max_prompt_tokens:
            raise TaskError(
                f"the prompt of question {example.id!r} has {length} tokens, more than train.max_prompt_tokens="
                f"{t.max_prompt_tokens}; raise it or remove the question: {example.question[:80]!r}"
            )
    most, room = longest(config), student.max_positions
    if room and most > room:
        raise ConfigError(
            f"prompt, answer and guidance may have {most} tokens together (train.max_prompt_tokens + "
            f"train.max_completion_tokens + guidance.max_tokens) but the student's maximum is {room}; lower one of the "
            "three"
        )


def answer_limit(config: Experiment) -> int:
    """Maximum answer length in tokens without guidance: what the student could learn to write."""
    return config.train.max_completion_tokens + config.guidance.max_tokens


def longest(config: Experiment) -> int:
    """Maximum tokens of a prompt, an answer, and its guidance together."""
    return config.train.max_prompt_tokens + answer_limit(config)


def kernel_length(config: Experiment, behaviors: Sequence[Behavior]) -> int:
    """Tokens of the longest text for the student's model, in training or for a teacher that shares it.

    A teacher reads its own instructions and examples, the question and the answer, and replies. Only Unsloth needs this in
    advance; it truncates texts longer than its kernels were prepared for.
    """
    most, teacher = longest(config), config.teacher
    if config.student.kind != "unsloth" or not config.needs_teacher or teacher.backend not in ("self", "continuation"):
        return most
    from transformers import AutoTokenizer

    from thinklab.teachers.resident import instructions

    try:
        tokenizer = AutoTokenizer.from_pretrained(Path(config.student.path or "").expanduser().as_posix())
    except (OSError, ValueError):
        return most  # the loader reports a wrong path
    if teacher.backend == "continuation":
        frames = [tokenizer(f"{teacher.options.get('template', '')} {teacher.options.get('head', '')}")["input_ids"]]
    else:
        frames = [instructions(tokenizer, b.messages("", ""), config.student.chat_template_kwargs) for b in behaviors]
    reply = teacher.options.get("max_tokens") or TeacherRequest.max_tokens
    return max(most, max(map(len, frames)) + config.train.max_prompt_tokens + config.train.max_completion_tokens + reply)


def priming_questions(config: Experiment, data: TaskData) -> list[Example]:
    """The questions whose texts are imitated before the policy gradient: the first of the run."""
    return [] if config.prime is None else _in_order(config, data, config.prime.questions)


def question_order(config: Experiment, data: TaskData) -> Dataset:
    """The questions of the policy gradient in order, behind those for priming: the position depends only on the step."""
    t, primed = config.train, config.prime.questions if config.prime is not None else 0
    generations = -(-t.steps // t.span) + 1  # one extra, so that the run never exhausts the last epoch
    rows = _in_order(config, data, primed + generations * t.questions)[primed:]
    return Dataset.from_dict({"prompt": [data.task.prompt(e) for e in rows], "example_id": [e.id for e in rows]})


def _in_order(config: Experiment, data: TaskData, count: int) -> list[Example]:
    """The first ``count`` questions of the whole run: shuffled epoch after epoch."""
    rng = random.Random(f"questions {config.train.seed}")
    order: list[int] = []
    while len(order) < count:
        epoch = list(range(len(data.train)))
        rng.shuffle(epoch)
        order += epoch
    return [data.train[k] for k in order[:count]]
