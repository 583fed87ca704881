"""``build``: loads every part of a config once and wires a ``Session``; ``check_same``: is a resumed run still the same?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback

from thinklab.behavior.behavior import Behavior, load_behavior
from thinklab.config import cpu_allocator, own_parts
from thinklab.config.devices import refuse_several_processes
from thinklab.config.experiment import Experiment
from thinklab.config.ready_made import ReadyMade, check_ready_made
from thinklab.errors import BehaviorError, ConfigError, RunError, TrainingError
from thinklab.experiment import longest_batch, reporting, sampling_choice
from thinklab.experiment.guard_actions import Guards
from thinklab.experiment.parts import check_parts
from thinklab.experiment.prober import Prober
from thinklab.experiment.questions import check_lengths, kernel_length, question_order, split
from thinklab.experiment.recorder import Recorder
from thinklab.experiment.run_judge import check_config, judge_for
from thinklab.experiment.session import Audience, Session
from thinklab.experiment.teaching import Teaching
from thinklab.experiment.trl_arguments import grpo_config, shaping
from thinklab.experiment.warm_up import ExperimentTrainer
from thinklab.guide.guide import Guide
from thinklab.guide.sentence_fits import check_fits
from thinklab.guide.splice_ids import continuation_ids
from thinklab.interop import own_code
from thinklab.reward_functions import load_functions
from thinklab.rewards import Rewards, reward_function
from thinklab.run.config_of_run import differences, experiment_of
from thinklab.run.folder import RunFolder
from thinklab.students import load_student
from thinklab.tasks import load_task
from thinklab.teachers import load_teacher
from thinklab.teachers.base import check as check_teacher
from thinklab.teachers.base import restore
from thinklab.types import Batch


def build(
    config: Experiment, out: Path, resume: bool = False, parts: ReadyMade = ReadyMade(), audience: Audience = Audience()
) -> Session:
    """Load and wire everything; nothing is sampled yet.

    Args:
        parts: objects that replace what ``config`` would load.
        audience: listeners during training.

    Raises:
        ThinklabError: if any part is invalid; a new run folder is created only if all parts are valid.
    """
    refuse_several_processes()
    cpu_allocator.tune()
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    there = RunFolder.open(out).resolved() if resume else {}
    if parts.student is None:
        config = sampling_choice.best(config, there.get("config"))
    check_ready_made(out, there, parts)
    check_parts(parts)
    reporting.check_installed(config)
    behaviors = load_behaviors(config, parts, there)
    for k, behavior in enumerate(behaviors):  # records, rates, and bonuses are keyed by name
        if any(behavior.name == other.name for other in behaviors[:k]):
            raise ConfigError(
                f"behaviors: two of them are named {behavior.name!r} ({config.behaviors[k].name}); list each once, with its "
                "weight, or rename one"
            )
    check_config(config, behaviors, parts.judge or parts.run_judge)
    task = parts.task or load_task(config.task.name, path=config.task.path, **config.task.options)
    if config.needs_teacher:
        check_ready_made(out, there, parts, ["teacher"])
    if parts.run_judge is None and any(b.needs_judge for b in behaviors):
        check_ready_made(out, there, parts, ["judge"])
    student = parts.student or load_student(config.student, seed=config.train.seed, max_length=kernel_length(config, behaviors))
    teacher = parts.teacher if config.needs_teacher else None
    if config.needs_teacher and teacher is None:
        teacher = load_teacher(config.teacher.backend, student=student, **config.teacher.options)
    judge = parts.run_judge or judge_for(config.judge, behaviors, parts.judge, student)
    data = split(task)
    check_lengths(config, student, data)

    if teacher is not None:
        check_teacher(teacher)
    trained = behaviors  # with a judge that is called for rollouts only if the config says so
    if judge is not None:
        judge.check()
        behaviors = [b.with_judge(judge) if b.needs_judge else b for b in behaviors]
        trained = behaviors if config.judge is not None and config.judge.rollouts else [b.unasked for b in behaviors]
    encode = partial(continuation_ids, student.tokenizer)
    functions = load_functions(config.reward, task, encode, student_part=config.loss.credit == "own")
    functions.check(data.train[: config.train.questions], config.train.samples)
    rewards = Rewards(task, trained, config.reward.correct, config.reward.bonus, config.reward.require_finished, functions)
    guide = None
    if teacher is not None:
        guide = Guide(
            teacher=teacher,
            behaviors=[(b, c.weight) for b, c in zip(trained, config.behaviors, strict=True)],
            tokenizer=student.tokenizer,
            policy=config.guidance.policy,
            max_tokens=config.guidance.max_tokens,
            schedule=config.guidance.whole_schedule(),
            skip_if_shown=config.guidance.skip_if_shown,
            seed=config.train.seed,
            check=lambda r: rewards.verify(r.student_text, r.example),
            meanwhile=rewards.warm,
        )

        check_fits(teacher, trained, data.train)
        guide.check_vocabulary()

    run = (
        RunFolder.open(out)
        if resume
        else RunFolder.create(
            out,
            config.model_dump(mode="json"),
            {b.name: b.hash for b in behaviors},
            parts.ready_made(("student", "task", *(["teacher"] if teacher is not None else []), *(["judge"] if judge else []))),
            own_parts.hashes(config.model_dump(mode="json")),
        )
    )
    if resume:
        check_same(run, config, behaviors)
        if spent := run.read_json("teacher.json"):
            restore(teacher, spent)  # a cap covers both parts of the run
    if judge is not None and parts.run_judge is None:
        judge.attach(run)
    args = grpo_config(config, run.checkpoints)
    args.chat_template_kwargs = dict(student.chat_template_kwargs)  # also of a ready-made student
    trainer = ExperimentTrainer(
        model=student.model,
        processing_class=student.tokenizer,
        args=args,
        train_dataset=question_order(config, data),
        reward_funcs=[reward_function(p) for p in rewards.parts],
        examples={e.id: e for e in data.train},
        guide=guide if config.loss.method != "grpo" else None,  # the one of a baseline, or of priming, guides no rollout
        score=rewards,
        shaping=shaping(config),
        credit=config.loss.credit,
        scope=config.loss.scope or ("trajectory" if config.loss.method == "authors" else "guidance"),
        imitate=config.loss.method == "sft",
        skip_empty_steps=config.train.skip_empty_steps,
        sampler=student.sampler(config.train.max_completion_tokens, config.train.temperature, config.train.sample_rows),
        on_batch=run.add_batch,
        raise_on_teacher_failure=False,  # the Recorder ends the run
        on_tokens=lambda traces: run.append("tokens", traces),
    )
    functions.trainer = trainer
    guards = Guards(config, student, run, audience.say) if config.guards.action != "off" else None
    fits = None
    if longest_batch.wanted(config) and config.baseline is None:  # a baseline never runs the batch that this would test
        try:
            fits = longest_batch.try_longest_batch(trainer, config)
        except TrainingError:
            if not resume:
                run.config_file.unlink()  # so that the corrected command can use the same folder
            raise
    trainer.remove_callback(PrinterCallback)  # metrics.jsonl and the progress line replace it
    session = Session(
        config=config,
        run=run,
        audience=audience,
        student=student,
        data=data,
        teaching=Teaching(behaviors, teacher, guide, judge),
        prober=Prober(config, run, student, data, behaviors, judge, audience.say),
        trainer=trainer,
        guards=guards,
        fits=fits,
    )
    trainer.add_callback(Recorder(session))
    if table := reporting.report(trainer, config, run.path):
        trainer.on_batch = in_order(run.add_batch, table.add)
    return session


def in_order(*functions: Callable[[Batch], None]) -> Callable[[Batch], None]:
    """One function that calls all."""

    def call(batch: Batch) -> None:
        for function in functions:
            function(batch)

    return call


def load_behaviors(config: Experiment, parts: ReadyMade, there: Mapping[str, Any]) -> list[Behavior]:
    """The behaviors of ``config`` in order, ready-made ones from ``parts``.

    Args:
        there: the ``config.yaml`` of a resumed run; empty for a new one.

    Raises:
        BehaviorError: when one cannot be loaded.
        RunError: if the run was started with a ready-made one that is not in ``parts`` and equals no file or shipped behavior.
    """
    ready = there.get("ready_made", {}).get("behaviors", "").split(", ")
    found: list[Behavior] = []
    for name in (b.name for b in config.behaviors):
        behavior = parts.behaviors.get(name)
        try:
            behavior = behavior or load_behavior(name)
        except BehaviorError:
            if name not in ready:
                raise
        if name in ready and (behavior is None or there["behaviors"].get(name) != behavior.hash):
            raise RunError(
                f"the run was started with a ready-made behavior {name!r}, an object from Python, and "
                f"{'it is missing now' if behavior is None else 'the current one of that name differs'}; pass "
                f"it again: thinklab.probe(RUN, behaviors=[...]) or Lab(out=RUN, behaviors=[...])"
            )
        assert behavior is not None, "a missing one was rejected"
        found.append(behavior)
    return found


def check_same(run: RunFolder, config: Experiment, behaviors: Sequence[Behavior]) -> None:
    """A run can only be resumed with its original config. More steps are allowed if the learning rate is constant, and other
    caps of the teacher and the judge always: the cost so far counts toward the new caps.

    Raises:
        RunError: with every key that differs.
    """
    longer = config.train.decay == "constant" and config.baseline is None  # a baseline's texts depend on the number of steps
    free = ("threads", "checkpoint_every", "longest_batch_first", "report_to", *(("steps",) if longer else ()))
    then, now = run.resolved(), config.model_dump(mode="json")
    started = experiment_of(run).model_dump(mode="json")  # with defaults added later
    changed = differences(started, now)
    caps = ("cap_usd", "cap_tokens", "cap_calls", "on_cap")
    allowed = (
        "name",
        "guards",
        "profile",
        "review",
        *(f"train.{k}" for k in free),
        *(f"{who}.{k}" for who in ("teacher", "judge") for k in caps),
    )
    if other := [
        f"{key}={old!r}, not {new!r}" for key, old, new in changed if key not in allowed and key.split(".")[0] not in allowed
    ]:
        raise RunError(
            f"{run.path} was started with a different config: {'; '.join(other)}. `thinklab train --resume {run.path}` (in "
            f"Python: Lab(out={str(run.path)!r})) resumes with the original; for anything else start a new run"
        )
    for behavior in behaviors:
        if then["behaviors"].get(behavior.name) != behavior.hash:
            raise RunError(f"the behavior {behavior.name!r} has changed since {run.path} was started; start a new run instead")
    for name, hash_then in then.get("own_code", {}).items():
        if (found := own_code.content_hash(name)) != hash_then:
            what = "is not there now" if found is None else f"has changed since {run.path} was started"
            raise RunError(f"{own_code.file_of(name) or repr(name)} {what}; restore it, or start a new run instead")
