"""``forecast``: what a config amounts to before it runs: questions, answers, teacher calls, money, memory. Time only as measured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from thinklab.behavior.behavior import load_behavior
from thinklab.config.experiment import Experiment
from thinklab.errors import RunError, TeacherError
from thinklab.experiment.memory_plan import MemoryPart, memory_parts
from thinklab.experiment.questions import TaskData
from thinklab.experiment.run_judge import judge_for
from thinklab.experiment.teaching import Teaching, teacher_calls
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.tasks import load_task
from thinklab.teachers import load_teacher
from thinklab.teachers.money import CostEstimate
from thinklab.teachers.secrets import without_key
from thinklab.types import Example

WITHIN = ("self", "continuation")
"""Teachers that are the student itself: no money, and nothing to load for a plan."""


@dataclass(frozen=True)
class Forecast:
    """A run in numbers. Everything follows from the config; upper bounds are called so."""

    steps: int
    generations: int
    questions: int
    """Of all generations."""
    rollouts: int
    sampled_tokens_at_most: int
    guided_at_most: int
    """Calls of the teacher, if every selected rollout is asked about: one each."""
    probe_answers: int
    """Of all probes."""
    probe_tokens_at_most: int
    teacher: CostEstimate | None
    """None for a teacher that costs no money."""
    teacher_said: str
    """Why there is no estimate, or what it assumes; may be empty."""
    refused: str
    """The cap that the likely cost exceeds without ``on_cap``: `thinklab train` would refuse; empty if it would start."""
    judge: str
    memory: list[MemoryPart]


def forecast(config: Experiment) -> Forecast:
    """Count what ``config`` amounts to. Loads no model, contacts no service, and downloads nothing.

    Raises:
        ThinklabError: for a behavior, a task file, or a teacher option that cannot be used.
    """
    t, p = config.train, config.probe
    generations = -(-t.steps // t.span)
    calls = teacher_calls(config)
    probed = 2 * p.questions * (p.samples + 1) + ((t.steps // p.every + 1) * p.every_questions if p.every else 0)
    cost, said, refused, judge = _money(config) if calls or config.judge else (None, "", "", "")
    longest = t.max_completion_tokens + config.guidance.max_tokens
    return Forecast(
        steps=t.steps,
        generations=generations,
        questions=generations * t.questions,
        rollouts=generations * t.questions * t.samples,
        sampled_tokens_at_most=generations * t.questions * t.samples * t.max_completion_tokens,
        guided_at_most=calls,
        probe_answers=probed,
        probe_tokens_at_most=probed * longest,
        teacher=cost,
        teacher_said=said,
        refused=refused,
        judge=judge,
        memory=memory_parts(config),
    )


def _money(config: Experiment) -> tuple[CostEstimate | None, str, str, str]:
    """The teacher's estimate and a remark on it, what exceeds a cap, and the judge's estimate."""
    behaviors = [load_behavior(b.name) for b in config.behaviors]
    examples, said = _questions(config)
    data = TaskData(load_task("sums"), examples, [examples[0]] * config.probe.questions)
    judge = judge_for(config.judge, behaviors, None, None) if any(b.needs_judge for b in behaviors) else None
    with without_key():
        judged = Teaching(behaviors, None, None, judge).estimate_judge(config, data)
        if config.teacher.backend in WITHIN or not teacher_calls(config):
            return None, "", "", judged
        try:
            teacher = load_teacher(config.teacher.backend, **config.teacher.options)
        except TeacherError as error:  # its package is missing here; the run would say the same
            return None, f"not computed: {error}", "", judged
        cost = Teaching(behaviors, teacher, None, judge).estimate(config, data, 0)
    if cost is None:
        return None, "", "", judged
    stops = config.teacher.options.get("on_cap") is not None
    return cost, said, "" if stops else cost.above_cap, judged


def _questions(config: Experiment) -> tuple[list[Example], str]:
    """Some questions of the task, from this machine; stand-ins of full length where they would have to be downloaded."""
    task = config.task
    local = task.path is not None or task.name in ("sums", "own") or task.name.endswith((".jsonl", ".json", ".parquet"))
    if (local or ":" in task.name) and "hub" not in task.options:
        found = list(load_task(task.name, path=task.path, **task.options).load("train"))[:8]
        return found, f"questions of {task.name if task.path is None else task.path}"
    words = "word " * config.train.max_prompt_tokens
    example = Example(f"{task.name}-stand-in", words, gold="0")
    return [
        example
    ], f"the questions of {task.name!r} are not here: each counts as train.max_prompt_tokens long; task.path=FILE counts its own"


@dataclass(frozen=True)
class Pace:
    """How long one generation of an earlier run took."""

    seconds: float
    """Median, without the first generation, which also warms up."""
    generations: int
    differs: tuple[str, ...]
    """Keys that change the time of a generation and differ from the plan's."""


TIMED = {
    "student": ("kind", "path", "dtype", "quantize", "fast_inference"),
    "train": ("questions", "samples", "iterations", "minibatches", "micro_batch", "max_completion_tokens", "sample_rows", "vllm"),
    "guidance": ("gamma", "max_tokens"),
    "teacher": ("backend",),
}


def measured_pace(path: Path, config: Experiment) -> Pace:
    """The pace of the run in ``path``, for a plan of ``config`` on the same machine.

    Raises:
        RunError: if it is no run, or has fewer than three generations.
    """
    run = RunFolder.open(path)
    past = experiment_of(run)
    ends = [line["seconds"] for line in run.read("metrics")][past.train.span - 1 :: past.train.span]
    took = [b - a for a, b in pairwise(ends) if b > a]  # a resumed run begins again at 0
    if len(took) < 2:
        raise RunError(f"{path} has fewer than three generations, too few to time one: train it with train.steps=3 or more")
    pairs = [
        (f"{at}.{key}", getattr(getattr(past, at), key), getattr(getattr(config, at), key))
        for at, keys in TIMED.items()
        for key in keys
    ]
    return Pace(median(took), len(took), tuple(name for name, old, new in pairs if old != new))
