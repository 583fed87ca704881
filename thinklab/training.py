"""From a config to a trained student: builds every part once, wires them into the trainer, records what happens."""
from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig

from thinklab import allocator, checkpoints, dry_run
from thinklab.aas import Shaping
from thinklab.behavior import Behavior, load_behavior
from thinklab.checkpoints import COMPLETE, mark
from thinklab.config import Experiment
from thinklab.devices import one_gpu, refuse_several_processes
from thinklab.errors import BehaviorError, ConfigError, RunError, TaskError, TrainingError
from thinklab.fingerprint import fingerprint
from thinklab.guard_callback import Guards
from thinklab.guide import Guide
from thinklab.judging import RunJudge, check_config, judge_for
from thinklab.parts import Parts, check_ready_made
from thinklab.probing import probe
from thinklab.rewards import PARTS, Rewards, reward_function
from thinklab.run import RunFolder
from thinklab.run_config import differences, experiment_of
from thinklab.signals import Listener
from thinklab.students import Student, load_student
from thinklab.students.hf import DTYPES, default_dtype
from thinklab.tasks import load_task
from thinklab.tasks._ids import check_ids
from thinklab.tasks.base import Task
from thinklab.teachers import Teacher, TeacherRequest, load_teacher
from thinklab.teachers.base import check as check_teacher
from thinklab.teachers.money import Estimate
from thinklab.trainer import ThinkTuningTrainer
from thinklab.types import Example


@dataclass
class Session:
    """Everything that one experiment consists of, ready to train."""

    config: Experiment
    student: Student
    task: Task
    behaviors: list[Behavior]
    train_examples: list[Example]
    test_examples: list[Example]
    teacher: Teacher | None
    guide: Guide | None
    trainer: ThinkTuningTrainer
    run: RunFolder
    listeners: list[Callable[[dict], None]] = field(default_factory=list)
    """Called with every line of ``metrics.jsonl``."""
    guards: Guards | None = None
    say: Callable[[str], None] = lambda text: None
    """Called with what a person should read while it trains."""
    fits: dry_run.DryRun | None = None
    """What the longest possible batch took; None when it was not tried."""
    listener: Listener = field(default_factory=Listener)
    """Hears SIGINT and SIGTERM while it trains; see ``thinklab/signals.py``."""
    judge: RunJudge | None = None
    """Who answers for judge detectors; None where no behavior has one."""
    told_of: set[int] = field(default_factory=set)
    """Numbers of probe questions that were more than there are, and that ``say`` was told."""

    def train(self, resume: bool = False) -> None:
        """Train to ``config.train.steps``, from the last checkpoint on when ``resume``.

        A signal that ``listener`` has heard ends it after the generation at work, with a checkpoint. A run that has all its steps
        is only loaded: nothing is sampled and no weight changes.
        """
        checkpoint = None
        if resume:
            found = self.run.last_checkpoint(thorough=True)
            checkpoint, step = found if found else (None, 0)
            if found and step >= self.config.train.steps:
                self.load(checkpoint, step)
                return
            checkpoints.set_aside(self.run.checkpoints, step)
            self.run.rewind(step)
            if experiment_of(self.run) != self.config:        # more steps, say: the next --resume RUN goes on with them
                self.run.write_config({**self.run.resolved(), "config": self.config.model_dump(mode="json")})
            if self.guards is not None:
                self.guards.remember(self.run.read("metrics"), self.run.read("probes"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*use_cache.*")
            try:
                self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            finally:                          # also after an interrupt: a cap holds over the resumed run
                getattr(self.teacher, "settle", lambda: None)()
                self.write_totals()

    def load(self, checkpoint: Path, step: int) -> None:
        """The student as ``checkpoint`` has it; there is no step left to train."""
        self.trainer._load_from_checkpoint(str(checkpoint), self.student.model)
        self.trainer.state.global_step = step

    def check_start(self) -> None:
        """Warn of what can be seen before the first step; nothing on a run that goes on, which was warned then."""
        if self.run.last_checkpoint() is not None:
            return
        if self.guide is not None and (lossy := self.guide.check_vocabulary()):
            self.say(f"warning: {lossy}")
        if self.guards is not None:
            self.guards.check_start(self.task, self.train_examples[0])

    def write_totals(self) -> None:
        """What the teacher has cost so far, into ``teacher.json``."""
        if hasattr(self.teacher, "totals"):
            self.run.write_json("teacher.json", self.teacher.totals())

    @property
    def stopped(self) -> str:
        """Why the run ended early, in words; empty when it did not."""
        return (getattr(self.guide, "failed", "") or getattr(self.teacher, "should_stop", "")
                or getattr(self.judge, "stopped", "") or getattr(self.guards, "stopped", ""))

    def estimate(self) -> Estimate | None:
        """What the teacher may cost at most over what is left of the run; None for one that costs nothing."""
        if not hasattr(self.teacher, "estimate"):
            return None
        t, behavior = self.config.train, self.behaviors[0]
        done = self.run.last_checkpoint()
        generations = range(done[1] if done else 0, t.steps, t.iterations * t.minibatches)
        calls = sum(self.guide.schedule.count(step, t.samples) for step in generations) * t.questions
        answer = "word " * t.max_completion_tokens
        sample = [TeacherRequest(id=e.id, messages=tuple(behavior.messages(e.question, answer)), example=e, response=answer,
                                 behavior=behavior.name) for e in self.train_examples[:8]]
        return self.teacher.estimate(sample, calls)

    def estimate_judge(self) -> str:
        """What the judge may cost at most over the whole run, in words; empty for one that costs nothing."""
        if self.judge is None:
            return ""
        p, t, held = self.config.probe, self.config.train, len(self.test_examples)
        texts = 2 * min(p.questions, held) * (p.samples + 1)                   # before and after, at T=1 and greedily
        texts += (t.steps // p.every + 1) * min(p.every_questions, held) if p.every else 0
        if self.config.judge is not None and self.config.judge.rollouts:       # the student's own text, and the guided one
            texts += 2 * t.questions * t.samples * (t.steps // (t.iterations * t.minibatches))
        limit = answer_limit(self.config)
        return "; ".join(said for b in self.behaviors if b.needs_judge and (said := self.judge.estimate(b, texts, limit)))

    def held_out(self, wanted: int) -> list[Example]:
        """The first ``wanted`` held-out questions; says so, once, where there are fewer."""
        there = len(self.test_examples)
        if wanted > there and wanted not in self.told_of:
            self.told_of.add(wanted)
            self.say(f"WARNING: {wanted} questions were asked for in the probe, but the task {self.task.name!r} has only {there} "
                     f"held out: {there} are measured, and the intervals are those of {there}")
        return self.test_examples[:wanted]

    def probe(self, decoding: str, questions: int | None = None, samples: int = 1) -> list[probe.ProbeSample]:
        """``samples`` answers of the student as it is now to each held-out question."""
        c = self.config
        found = probe.sample(self.student, self.task, self.behaviors, self.held_out(questions or c.probe.questions), decoding,
                             answer_limit(c), c.probe.seed, c.train.sample_rows or 256, n=samples)
        self.say_undecided()
        return found

    def say_undecided(self) -> None:
        """Say how many texts the judge has left without a verdict since this was last called; nothing when none."""
        if self.judge is not None and (complaint := self.judge.complaint()):
            self.say(complaint)


def build(config: Experiment, out: Path, resume: bool = False, parts: Parts = Parts()) -> Session:
    """Load and wire everything; nothing is sampled yet.

    Args:
        parts: objects in place of what ``config`` would load.

    Raises:
        ThinklabError: when any part cannot be used; a new run folder exists only when all parts could.
    """
    refuse_several_processes()
    allocator.tune()
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    there = RunFolder.open(out).resolved() if resume else {}
    check_ready_made(out, there, parts)
    behaviors = load_behaviors(config, parts, there)
    for k, behavior in enumerate(behaviors):       # records, rates and bonuses go by the name
        if any(behavior.name == other.name for other in behaviors[:k]):
            raise ConfigError(f"behaviors: two of them are named {behavior.name!r} ({config.behaviors[k].name}); list each once, "
                              "with its weight, or give one another name")
    check_config(config, behaviors, parts.judge or parts.run_judge)
    task = parts.task or load_task(config.task.name, path=config.task.path, **config.task.options)
    guided_sft = config.baseline is not None and config.baseline.kind == "sft" and config.baseline.texts == "guided"
    teacher_needed = config.loss.method != "grpo" or guided_sft
    if teacher_needed:
        check_ready_made(out, there, parts, ["teacher"])
    if parts.run_judge is None and any(b.needs_judge for b in behaviors):
        check_ready_made(out, there, parts, ["judge"])
    student = parts.student or load_student(config.student, seed=config.train.seed, max_length=kernel_length(config, behaviors))
    teacher = parts.teacher if teacher_needed else None
    if teacher_needed and teacher is None:
        teacher = load_teacher(config.teacher.backend, student=student, **config.teacher.options)
    judge = parts.run_judge or judge_for(config.judge, behaviors, parts.judge, student)
    train_examples, test_examples = held_out(task)
    check_lengths(config, student, task, train_examples)

    if teacher is not None:
        check_teacher(teacher)
    trained = behaviors                # with a judge that is asked about rollouts only where the config wants that
    if judge is not None:
        judge.check()
        behaviors = [b.with_judge(judge) if b.needs_judge else b for b in behaviors]
        trained = behaviors if config.judge is not None and config.judge.rollouts else [b.unasked for b in behaviors]
    rewards = Rewards(task, trained, config.reward.correct, config.reward.bonus, config.reward.require_finished)
    guide = None
    if teacher is not None:
        guide = Guide(
            teacher=teacher, behaviors=[(b, c.weight) for b, c in zip(trained, config.behaviors, strict=True)],
            tokenizer=student.tokenizer, policy=config.guidance.policy, max_tokens=config.guidance.max_tokens,
            schedule=config.guidance.whole_schedule(),
            skip_if_shown=config.guidance.skip_if_shown, seed=config.train.seed,
            check=lambda r: rewards.verify(r.student_text, r.example), meanwhile=rewards.warm)

        guide.check_vocabulary()

    run = RunFolder.open(out) if resume else RunFolder.create(
        out, config.model_dump(mode="json"), {b.name: b.hash for b in behaviors},
        parts.ready_made(("student", "task", *(["teacher"] if teacher is not None else []), *(["judge"] if judge else []))))
    if resume:
        check_same(run, config, behaviors)
        if spent := run.read_json("teacher.json"):
            getattr(teacher, "restore", lambda totals: None)(spent)      # a cap holds over both parts of the run
    if judge is not None and parts.run_judge is None:
        judge.attach(run)
    args = grpo_config(config, run.checkpoints)
    args.chat_template_kwargs = dict(getattr(student, "chat_template_kwargs", {}))      # also of a student that came ready-made
    trainer = ThinkTuningTrainer(
        model=student.model, processing_class=student.tokenizer, args=args,
        train_dataset=question_order(config, task, train_examples), reward_funcs=[reward_function(p) for p in PARTS],
        examples={e.id: e for e in train_examples}, guide=guide, score=rewards,
        shaping=shaping(config), scope=config.loss.scope or ("trajectory" if config.loss.method == "authors" else "guidance"),
        imitate=config.loss.method == "sft", skip_empty_steps=config.train.skip_empty_steps,
        sampler=student.sampler(config.train.max_completion_tokens, config.train.temperature, config.train.sample_rows),
        on_batch=run.add_batch, raise_on_teacher_failure=False,      # the Recorder ends the run
        on_tokens=lambda traces: run.append("tokens", traces))
    session = Session(config, student, task, behaviors, train_examples, test_examples, teacher, guide, trainer, run, judge=judge)
    if config.guards.action != "off":
        session.guards = Guards(config, student, run)
    if dry_run.wanted(config) and config.baseline is None:        # a baseline never runs the batch that it would try
        try:
            session.fits = dry_run.dry_run(trainer, config)
        except TrainingError:
            if not resume:
                run.config_file.unlink()           # so that the corrected command can use the same folder
            raise
    trainer.remove_callback(PrinterCallback)          # metrics.jsonl and the progress line take its place
    trainer.add_callback(Recorder(session))
    return session


def load_behaviors(config: Experiment, parts: Parts, there: Mapping[str, Any]) -> list[Behavior]:
    """The behaviors of ``config`` in order, ready-made ones from ``parts``.

    Args:
        there: the ``config.yaml`` of a run that goes on; empty for a new one.

    Raises:
        BehaviorError: when one cannot be loaded.
        RunError: when the run was begun with a ready-made one that ``parts`` lacks and that no file or shipped name equals.
    """
    ready = there.get("ready_made", {}).get("behaviors", "").split(", ")
    found = []
    for name in (b.name for b in config.behaviors):
        behavior = parts.behaviors.get(name)
        try:
            behavior = behavior or load_behavior(name)
        except BehaviorError:
            if name not in ready:
                raise
        if name in ready and (behavior is None or there["behaviors"].get(name) != behavior.hash):
            raise RunError(f"the run was begun with a ready-made behavior {name!r}, an object from Python, and "
                           f"{'there is none of that name now' if behavior is None else 'the one of that name is another'}; pass "
                           f"it again: thinklab.probe(RUN, behaviors=[...]) or Lab(out=RUN, behaviors=[...])")
        found.append(behavior)
    return found


def shaping(config: Experiment) -> Shaping:
    loss = config.loss
    variant = loss.method if loss.method in ("aas", "luffy", "ratio", "authors") else "ratio"
    return Shaping(variant, loss.c_max, loss.a_max, loss.floor, loss.luffy_gamma)


def grpo_config(config: Experiment, folder: Path) -> GRPOConfig:
    """Every setting that matters, spelled out, because Unsloth changes TRL's defaults."""
    t, loss = config.train, config.loss
    per_step = t.questions * t.samples // t.minibatches
    micro = t.micro_batch or per_step
    return one_gpu(GRPOConfig(
        output_dir=str(folder), max_steps=t.steps, learning_rate=t.learning_rate,
        lr_scheduler_type="constant_with_warmup" if t.decay == "constant" else t.decay,
        warmup_steps=t.warmup_steps, optim={"adamw": "adamw_torch", "sgd": "sgd"}[t.optimizer], adam_beta1=t.betas[0],
        adam_beta2=t.betas[1], adam_epsilon=1e-8, weight_decay=t.weight_decay, max_grad_norm=t.max_grad_norm,
        per_device_train_batch_size=micro, gradient_accumulation_steps=per_step // micro,
        steps_per_generation=t.questions * t.samples // micro, num_generations=t.samples, num_iterations=t.iterations,
        max_completion_length=t.max_completion_tokens, temperature=t.temperature, top_p=1.0, top_k=0, min_p=None,
        repetition_penalty=1.0,
        loss_type=loss.loss_type, epsilon=loss.epsilon, epsilon_high=loss.epsilon, delta=None, beta=loss.beta,
        use_bias_correction_kl=True, sync_ref_model=False, scale_rewards="group", reward_weights=None,
        multi_objective_aggregation="sum_then_normalize", importance_sampling_level="token", mask_truncated_completions=False,
        off_policy_mask_threshold=None, top_entropy_quantile=1.0, entropy_coef=0.0, use_adaptive_entropy=False,
        disable_dropout=False, router_aux_loss_coef=0.0, cast_lm_head_to_fp32=False, use_liger_kernel=False,
        neftune_noise_alpha=None, average_tokens_across_devices=True,
        shuffle_dataset=False, gradient_checkpointing=t.gradient_checkpointing, **vllm_options(config), **precision(config),
        tf32=None, use_cpu=not torch.cuda.is_available(),
        save_strategy="steps", save_steps=t.checkpoint_every or t.steps, save_total_limit=2, logging_steps=1,
        logging_nan_inf_filter=False, report_to="none", disable_tqdm=True, log_level="error", seed=t.seed, data_seed=t.seed,
        dataloader_num_workers=0, dataloader_pin_memory=False, remove_unused_columns=False))


def precision(config: Experiment) -> dict[str, bool]:
    """``{"bf16": ..., "fp16": ...}``: in what the forward passes compute on a GPU; both False is float32, as on a CPU.

    It follows the weights (``student.dtype``), because Unsloth refuses fp16 weights under bf16 and the reverse. ``auto``, and
    ``float32`` with ``train.autocast``, take bf16 where the GPU has it and fp16 elsewhere.

    Raises:
        ConfigError: for bf16 on a GPU without it, or 16-bit weights that are themselves trained under fp16.
    """
    off = {"bf16": False, "fp16": False}
    if not torch.cuda.is_available():
        return off
    s, best = config.student, default_dtype()
    wanted = DTYPES.get("float32" if s.kind == "embedded" else s.dtype, best)
    if wanted is torch.float32:
        return {"bf16": best is torch.bfloat16, "fp16": best is torch.float16} if config.train.autocast else off
    if wanted is torch.bfloat16 and best is not torch.bfloat16:
        raise ConfigError("student.dtype is bfloat16, which this GPU does not have; set student.dtype=auto (float16 here)")
    if wanted is torch.float16 and s.lora is None:      # the loss scaler cannot unscale gradients that are 16-bit themselves
        raise ConfigError("student.lora is null, so the weights themselves are trained, and in float16 they cannot be; set "
                          "student.dtype=float32 with train.autocast=true, or train a LoRA adapter")
    return {"bf16": wanted is torch.bfloat16, "fp16": wanted is torch.float16}


def vllm_options(config: Experiment) -> dict[str, Any]:
    """TRL's settings for sampling with vLLM; ``use_vllm=False`` when it is not wanted.

    Under Unsloth TRL's importance-sampling correction is off: Unsloth moved it into the ``compute_loss`` that the trainer
    takes back.
    """
    v = config.train.vllm
    if config.student.fast_inference:
        return {"use_vllm": True, "vllm_mode": "colocate", "vllm_importance_sampling_correction": False}
    if v is None:
        return {"use_vllm": False}
    room = v.max_model_length or config.train.max_prompt_tokens + config.train.max_completion_tokens
    place = ({"vllm_server_base_url": v.server, "vllm_server_timeout": v.timeout} if v.mode == "server" else
             {"vllm_gpu_memory_utilization": v.gpu_memory_utilization, "vllm_max_model_length": room,
              "vllm_enable_sleep_mode": v.sleep})
    corrected = v.correction != "off" and config.student.kind != "unsloth"
    return {"use_vllm": True, "vllm_mode": v.mode, "vllm_importance_sampling_correction": corrected,
            **place,
            **({"vllm_importance_sampling_mode": v.correction, "vllm_importance_sampling_clip_max": 3.0,
                "vllm_importance_sampling_clip_min": None} if corrected else {})}


def held_out(task: Task) -> tuple[list[Example], list[Example]]:
    """Training and test examples without a common question.

    When both splits are the same file, a tenth of its questions, chosen by a seeded draw, is kept for the test.

    Raises:
        TaskError: two questions have one id, or none is left for training.
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
    return train, fresh


def check_lengths(config: Experiment, student: Student, task: Task, examples: Sequence[Example]) -> None:
    """Refuse what would not fit, before anything is sampled."""
    t = config.train
    for example in examples:
        length = len(student.encode(task.prompt(example)))
        if length > t.max_prompt_tokens:
            raise TaskError(f"the prompt of question {example.id!r} has {length} tokens, more than train.max_prompt_tokens="
                            f"{t.max_prompt_tokens}; raise it or take the question out: {example.question[:80]!r}")
    most, room = longest(config), student.max_positions
    if room and most > room:
        raise ConfigError(f"prompt, answer and guidance may have {most} tokens together (train.max_prompt_tokens + "
                          f"train.max_completion_tokens + guidance.max_tokens) but the student has {room} positions; "
                          "lower one of the three")


def answer_limit(config: Experiment) -> int:
    """Longest answer in tokens when nobody guides: what the student could learn to write."""
    return config.train.max_completion_tokens + config.guidance.max_tokens


def longest(config: Experiment) -> int:
    """Most tokens that a prompt, an answer and its guidance can have together."""
    return config.train.max_prompt_tokens + answer_limit(config)


def kernel_length(config: Experiment, behaviors: Sequence[Behavior]) -> int:
    """Tokens of the longest text that anyone puts into the student's model: training's, or that of a teacher who shares it.

    A teacher reads its own instructions and examples, the question and the answer, and replies. Only Unsloth needs to know
    beforehand; it cuts off what is longer than its kernels were made ready for.
    """
    most, teacher = longest(config), config.teacher
    if config.student.kind != "unsloth" or config.loss.method == "grpo" or teacher.backend not in ("self", "continuation"):
        return most
    from transformers import AutoTokenizer

    from thinklab.teachers.resident import instructions
    try:
        tokenizer = AutoTokenizer.from_pretrained(Path(config.student.path or "").expanduser().as_posix())
    except (OSError, ValueError):
        return most                                    # the loader says what is wrong with the path
    if teacher.backend == "continuation":
        frames = [tokenizer(f"{teacher.options.get('template', '')} {teacher.options.get('head', '')}")["input_ids"]]
    else:
        frames = [instructions(tokenizer, b.messages("", ""), config.student.chat_template_kwargs) for b in behaviors]
    reply = teacher.options.get("max_tokens") or TeacherRequest.max_tokens
    return max(most, max(map(len, frames)) + config.train.max_prompt_tokens + config.train.max_completion_tokens + reply)


def question_order(config: Experiment, task: Task, examples: Sequence[Example]) -> Dataset:
    """The questions of the whole run in order: shuffled epoch after epoch, so that the place in it hangs on the step alone."""
    t = config.train
    generations = -(-t.steps // (t.iterations * t.minibatches)) + 1       # one to spare: an epoch never ends within the run
    rng, order = random.Random(f"questions {t.seed}"), []
    while len(order) < generations * t.questions:
        epoch = list(range(len(examples)))
        rng.shuffle(epoch)
        order += epoch
    rows = [examples[k] for k in order[: generations * t.questions]]
    return Dataset.from_dict({"prompt": [task.prompt(e) for e in rows], "example_id": [e.id for e in rows]})


def check_same(run: RunFolder, config: Experiment, behaviors: Sequence[Behavior]) -> None:
    """A run can only be continued with what it was begun with; more steps are allowed where the learning rate is constant.

    Raises:
        RunError: with every key that differs.
    """
    longer = config.train.decay == "constant" and config.baseline is None      # a baseline's texts hang on the number of steps
    free = ("threads", "checkpoint_every", "dry_run", *(("steps",) if longer else ()))
    then, now = run.resolved(), config.model_dump(mode="json")
    begun = experiment_of(run).model_dump(mode="json")      # with the defaults that came later
    changed = differences(begun, now)
    allowed = ("name", "guards", "profile", *(f"train.{key}" for key in free))
    if other := [f"{key}={old!r}, not {new!r}" for key, old, new in changed
                 if key not in allowed and key.split(".")[0] not in allowed]:
        raise RunError(f"{run.path} was begun with another config: {'; '.join(other)}. `thinklab train --resume {run.path}` (in "
                       f"Python: Lab(out={str(run.path)!r})) goes on with that one; for anything else start a new run")
    for behavior in behaviors:
        if then["behaviors"].get(behavior.name) != behavior.hash:
            raise RunError(f"the behaviour {behavior.name!r} has changed since {run.path} was begun; start a new run instead")


class Recorder(TrainerCallback):
    """Writes metrics after each optimizer step, small probes now and then, and marks checkpoints as complete."""

    def __init__(self, session: Session):
        self.session, self.begin = session, time.perf_counter()
        self.probing = 0.0
        self.cap_told = False

    def on_train_begin(self, args, state, control, **_):
        self.begin, self.probing = time.perf_counter(), 0.0
        if self.session.guards is not None:
            self.session.guards.begin()
        if state.global_step == 0 and not any(self.session.run.read("probes")):      # a run that is begun again has it
            self._probe(0)

    def on_step_end(self, args, state, control, **_):
        self._probe(state.global_step)
        self._end_if_stopped(state, control)

    def _end_if_stopped(self, state, control) -> None:
        span = self.session.config.train.iterations * self.session.config.train.minibatches
        if state.global_step % span:        # a checkpoint within a generation could not be continued
            return
        if self.session.stopped or self.session.listener.number:
            control.should_save = control.should_training_stop = True
        elif not self.cap_told and (reached := getattr(self.session.teacher, "cap_reached", "")):
            self.cap_told = control.should_save = True
            self.session.say(f"step {state.global_step}: {reached}. Saved; the run goes on as plain GRPO")
        if self.session.guards is not None and self.session.guards.save_wanted:
            control.should_save, self.session.guards.save_wanted = True, False

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "train_runtime" in logs:
            return
        line = {"step": state.global_step, "seconds": round(time.perf_counter() - self.begin - self.probing, 3), **logs}
        self.session.write_totals()
        if hasattr(self.session.teacher, "brief"):
            line["teacher_summary"] = self.session.teacher.brief()
        guards = self.session.guards
        if guards is not None:
            line |= guards.measure(state.global_step)
        self.session.run.append("metrics", [line])
        if guards is not None:
            guards.act(guards.see(line), kwargs.get("optimizer"), kwargs.get("lr_scheduler"))
            self._end_if_stopped(state, control)
        for listener in self.session.listeners:
            listener(line)

    def on_save(self, args, state, control, **_):
        folder = self.session.run.checkpoints / f"checkpoint-{state.global_step}"
        guide = self.session.guide
        trainer = self.session.trainer
        says = fingerprint(trainer.accelerator.unwrap_model(trainer.model), self.session.student.tokenizer,
                           trainer.accelerator.autocast)
        facts = {"step": state.global_step, "fingerprint": says, "generation": trainer.generation,
                 "schedule": asdict(guide.schedule) if guide else None, "guidance_counts": dict(guide.counts) if guide else {}}
        RunFolder(folder).write_json(COMPLETE, mark(folder, facts))

    def _probe(self, step: int) -> None:
        every = self.session.config.probe.every
        if not every or step % every:
            return
        begin = time.perf_counter()
        samples = self.session.probe("T=1", self.session.config.probe.every_questions)
        line = {"step": step, **probe.summarise(samples).to_json()}
        self.session.run.append("probes", [line])
        if self.session.guards is not None:
            self.session.guards.act(self.session.guards.see_probe(line), self.session.trainer.optimizer,
                                    self.session.trainer.lr_scheduler)
        self.probing += time.perf_counter() - begin
