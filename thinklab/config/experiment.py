"""``Experiment`` and its YAML sections: task, teacher, judge, guidance, reward, loss, probe, guards, baseline, review.

Every key is checked, and unknown keys are errors.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from thinklab.config import yaml_model
from thinklab.config.names import FolderName
from thinklab.config.prime_section import PrimeSection as PrimeSection
from thinklab.config.profiles import apply_profile
from thinklab.config.reward_section import RewardSection as RewardSection
from thinklab.config.schedule import Schedule
from thinklab.config.section import Section as Section
from thinklab.config.sentence import check_sentence
from thinklab.config.student_section import LoraSection as LoraSection
from thinklab.config.student_section import StudentSection as StudentSection
from thinklab.config.task_section import TaskSection as TaskSection
from thinklab.config.train_section import TrainSection as TrainSection
from thinklab.config.train_section import VllmSection as VllmSection
from thinklab.errors import ConfigError
from thinklab.shaping import Shaping

Method = Literal["aas", "grpo", "luffy", "ratio", "authors", "sft"]


class BehaviorSection(Section):
    """One behavior, and its share."""

    name: str
    """A shipped behavior, one of a pack (``NAME`` or ``PACK:NAME``), or a path to a YAML file."""
    weight: float = Field(1.0, gt=0)
    """How often this behavior is asked for, relative to the others."""


class TeacherSection(Section):
    """The teacher. Keys other than ``backend`` are options of the backend."""

    model_config = ConfigDict(extra="allow", frozen=True)

    backend: str = "scripted"
    """One of the backends in docs/choose-a-teacher.md, or the name of an entry point."""

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _no_batches(self) -> Self:
        if self.options.get("batch"):
            raise yaml_model.fault(
                "a training step cannot wait for a batch; leave batch out, or use it with thinklab guide --batch or under judge",
                "batch",
            )
        return self

    @model_validator(mode="after")
    def _sentences(self) -> Self:
        """Of a teacher that is one sentence: here, because here its line is known."""
        if self.backend == "scripted":
            for key in ("phrase", "reason"):
                if (text := self.options.get(key)) is not None and "phrase" in self.options:
                    try:
                        check_sentence(key, text)
                    except ValueError as error:
                        raise yaml_model.fault(str(error), key) from None
        return self


class JudgeSection(Section):
    """The teacher that answers for judge detectors (``judge:`` in a behavior). Other keys are options of the backend."""

    model_config = ConfigDict(extra="allow", frozen=True)

    teacher: str
    """A backend as under ``teacher.backend``: ``anthropic``, ``openai``, ``local``, ``scripted``, ``replay`` ..."""
    rollouts: bool = False
    """Also judge every training rollout, for ``own/behavior`` and ``guidance.skip_if_shown``; False: only the answers of
    probes."""

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"teacher": data} if isinstance(data, str) else data


class ScheduleSection(Section):
    """How gamma changes by step."""

    kind: Literal["constant", "linear", "cosine", "exp"] = "constant"
    """How gamma moves from ``guidance.gamma`` to ``end``."""
    end: int | float | None = Field(None, ge=0)
    """The final value of gamma, a number or a share like gamma; needs ``steps`` and a ``kind`` other than ``constant``."""
    steps: int = Field(0, ge=0)
    """The number of steps until gamma reaches ``end``."""
    off_at: int | None = Field(None, ge=0)
    """The first step without guidance."""


class GuidanceSection(Section):
    """How many rollouts are guided, and which."""

    gamma: int | float = Field(0.25, ge=0)
    """Guided rollouts per group: an int is a number, a float (at most 1.0) a share, halves rounded up."""
    schedule: ScheduleSection = ScheduleSection()
    """How gamma changes during the run, and when guidance ends."""
    policy: Literal["random", "wrong_first"] = "random"
    """Which rollouts of a group are guided; ``wrong_first`` prefers wrong answers."""
    max_tokens: int = Field(256, ge=2)
    """Longest guidance in tokens; a longer one is rejected as ``does-not-fit``."""
    skip_if_shown: bool = True
    """Leave out rollouts that already show the behavior."""

    def whole_schedule(self) -> Schedule:
        """How gamma changes during the run."""
        s = self.schedule
        return Schedule(self.gamma, s.end, s.steps, s.kind, s.off_at)

    @model_validator(mode="after")
    def _schedule(self) -> Self:
        self.whole_schedule()  # raises if it would have no effect
        return self


class LossSection(Section):
    """How teacher tokens are weighted in the loss."""

    method: Method = "aas"
    """``grpo`` uses no teacher; ``sft`` imitates the guided texts; the others differ in the weight on teacher tokens."""
    c_max: float = Field(Shaping.c_max, ge=0)
    """AAS: the size of c at the largest advantage; teacher tokens far less likely than that are out of reach."""
    a_max: float = Field(Shaping.a_max, gt=0)
    """AAS: the advantage at which c reaches ``c_max``."""
    floor: float = Field(Shaping.floor, ge=0, le=1)
    """Teacher tokens below this probability are masked when the advantage is negative; 0 masks none, 1 masks all."""
    luffy_gamma: float = Field(Shaping.luffy_gamma, gt=0)
    """``luffy`` only: its constant."""
    scope: Literal["guidance", "trajectory"] | None = None
    """Which tokens count as the teacher's; None: the whole trajectory for ``authors``, the guidance otherwise."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "dapo"
    """TRL's way to average the loss over tokens and rollouts."""
    epsilon: float = Field(0.2, gt=0)
    """Clipping range of the student's own tokens, on both sides."""
    delta: float | None = Field(None, gt=1)
    """Dual clip: an upper bound on the ratio to the old policy, also where the advantage is negative (TRL's ``delta``); larger than
    1 + ``epsilon``. None: no bound there. With ``aas``, ``luffy`` and ``authors`` it concerns the student's tokens only."""
    credit: Literal["trajectory", "own"] = "trajectory"
    """What the student's own tokens of a guided rollout are credited with: the reward of the whole ``trajectory``, as in the paper,
    or the reward that the student's ``own`` part earns without the guidance."""
    beta: float = Field(0.0, ge=0)
    """Weight of the KL penalty to the base model; 0: none."""

    @model_validator(mode="after")
    def _dual_clip(self) -> Self:
        if self.delta is not None and self.delta <= 1 + self.epsilon:
            raise yaml_model.fault(
                f"delta ({self.delta:g}) must be larger than 1 + epsilon ({1 + self.epsilon:g}): it bounds the ratio beyond the clip",
                "delta",
                "epsilon",
            )
        return self


class ProbeSection(Section):
    """Evaluation on held-out questions, without guidance or hints."""

    questions: int = Field(500, ge=1)
    """Held-out questions of the probes before and after training."""
    samples: int = Field(1, ge=1)
    """Sampled answers per question at temperature 1."""
    every: int = Field(0, ge=0)
    """Steps between small probes during training; 0 = none."""
    every_questions: int = Field(150, ge=1)
    """Held-out questions of a small probe."""
    seed: int = 4242
    """Seed of the choice of questions, and of the sampling."""


class GuardSection(Section):
    """When a run counts as unhealthy, and what to do then. See ``thinklab/experiment/guards.py``."""

    action: Literal["off", "warn", "lower", "stop"] = "warn"
    """On collapse: warn, lower the learning rate, or save and stop. Every other guard only warns."""
    kl: float = Field(0.05, gt=0)
    """Maximum KL to the base model on neutral text, in nats per token."""
    kl_horizon: int = Field(150, ge=1)
    """Also warn when that KL rises so fast that it would exceed the limit within this many steps."""
    kl_every: int = Field(1, ge=0)
    """Steps between measurements of that KL; 0 = never. Each costs a forward pass over about 500 tokens."""
    entropy_factor: float = Field(2.5, gt=1)
    """Maximum entropy of the student's own tokens, as a multiple of its value in the first steps."""
    unfinished_rise: float = Field(0.3, gt=0, le=1)
    """Maximum sudden drop of the share of answers that end with EOS."""
    accuracy_drop: float = Field(0.2, gt=0, le=1)
    """Maximum drop of accuracy below its best value, on the small probes (``probe.every``) and on unguided rollouts."""
    guided_share: float = Field(0.75, gt=0, le=1)
    """Warn when more than this share of a step's rollouts is guided."""
    length_factor: float = Field(5.0, gt=1)
    """Warn when answers are longer than this multiple of their length in the first steps."""
    patience: int = Field(10, ge=2)
    """Number of steps without any effect before a warning."""
    lower_to: float = Field(0.3, gt=0, lt=1)
    """Factor on the learning rate for ``lower``; applied at most once in five steps, because one collapse triggers several guards."""


class BaselineSection(Section):
    """Supervised training instead of policy gradient, on the questions that GRPO would see. See
    ``thinklab/experiment/baselines``."""

    kind: Literal["sft", "star"]
    """Supervised fine-tuning on texts, or STaR on the own correct answers."""
    texts: Literal["gold", "guided"] = "gold"
    """What SFT imitates: gold solutions, or the student's answers with the teacher's comments appended."""
    epochs: int = Field(1, ge=1)
    """Epochs over the texts (for STaR: in each round)."""
    batch: int = Field(16, ge=1)
    """Texts per optimizer step; ``train.micro_batch`` of them per forward pass."""
    rounds: int = Field(3, ge=1)
    """Outer iterations of STaR."""
    samples: int | None = Field(None, ge=1)
    """Answers per question in each STaR round; None: ``train.samples / rounds``, so that the total equals GRPO's."""
    rationalize: bool = True
    """Let STaR retry the questions that it failed, with the gold answer as a hint."""
    hint: str = " (The answer is {answer}.)"
    """The hint for STaR, appended to the prompt during sampling; never part of the training text."""

    @model_validator(mode="after")
    def _hint(self) -> Self:
        try:
            told = "{answer}" in self.hint and "42" in self.hint.format(answer="42")
        except (KeyError, IndexError, ValueError):
            told = False
        if not told:
            raise yaml_model.fault("hint must contain {answer}, and no other braces", "hint")
        return self


class ReviewSection(Section):
    """Reviewers decide on the guidance of each batch in a browser while the run waits; see ``thinklab/view/gate.py``."""

    pause: bool = True
    """False disables the review even if this section is present."""
    deadline_s: float | None = Field(None, gt=0)
    """Maximum seconds that a batch waits; None: until every decision is made."""
    default: Literal["accept", "accept_if_detected", "reject"] = "accept_if_detected"
    """What to do with undecided guidance when training continues."""
    grace_s: float = Field(5.0, ge=0)
    """Seconds after the last decision during which it can be undone."""
    port: int = Field(0, ge=0, le=65535)
    """Port of the page on this machine; 0 picks a free one."""


class Experiment(Section):
    """A whole experiment."""

    name: FolderName = "experiment"
    """The run is written to ``runs/NAME`` unless ``--out`` is given."""
    profile: str | None = None
    """``tiny``, ``t4``, ``16gb``, ``24gb`` or ``80gb``: fills in keys that are not set here; see ``thinklab/config/profiles.py``."""
    student: StudentSection = StudentSection()
    """Who learns."""
    task: TaskSection = TaskSection()
    """The questions, and how answers are verified."""
    behaviors: list[BehaviorSection] = Field(default_factory=list)
    """What the teacher is asked for; required by every method except ``grpo``."""
    teacher: TeacherSection = TeacherSection()
    """Who comments on the answers."""
    judge: JudgeSection | None = None
    """Required if a behavior's detector uses a judge; see ``thinklab/experiment/run_judge.py``."""
    guidance: GuidanceSection = GuidanceSection()
    """How many rollouts are guided, and which."""
    reward: RewardSection = RewardSection()
    """What an answer earns."""
    loss: LossSection = LossSection()
    """How teacher tokens are weighted."""
    train: TrainSection = TrainSection()
    """Batches, optimizer, and limits of the training."""
    probe: ProbeSection = ProbeSection()
    """Measurements on held-out questions."""
    guards: GuardSection = GuardSection()
    """When a run counts as unhealthy."""
    prime: PrimeSection | None = None
    """None: train with policy gradient from the first step."""
    baseline: BaselineSection | None = None
    """None: train with policy gradient as configured in ``loss``."""
    review: ReviewSection | None = None
    """None: no review; ``thinklab train --review`` is short for ``review.pause=true``."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        """``behaviors: [name]`` and ``task: name`` are shorthands for the long forms."""
        if isinstance(data, dict):
            data = dict(data)
            if isinstance(data.get("behaviors"), list):
                data["behaviors"] = [{"name": b} if isinstance(b, str) else b for b in data["behaviors"]]
            for key, inner in (("task", "name"), ("teacher", "backend"), ("student", "kind")):
                if isinstance(data.get(key), str):
                    data[key] = {inner: data[key]}
            if data.get("baseline") and "loss" not in data:
                data["loss"] = {"method": "grpo"}
            if data.get("profile") is not None:
                plain = {k: v.model_dump(exclude_unset=True) if isinstance(v, Section) else v for k, v in data.items()}
                try:
                    data = apply_profile(plain, data["profile"])
                except ConfigError as error:
                    raise yaml_model.fault(str(error), "profile") from None
        return data

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.prime is not None:
            self.prime.check_within(bool(self.behaviors), self.baseline is not None, self.train.micro_batch)
        if self.baseline is not None:
            self._whole_baseline(self.baseline)
        if self.loss.method != "grpo" and not self.behaviors:
            raise yaml_model.fault(
                f"method {self.loss.method!r} needs at least one behavior under 'behaviors'; only 'grpo' trains without",
                "loss.method",
                "behaviors",
            )
        if self.loss.method != "grpo":
            self.guidance.whole_schedule().check_group(self.train.samples)
        if not Shaping.floor_excludes_pole(self.loss.method, self.loss.c_max, self.loss.floor):
            raise yaml_model.fault(
                f"loss.floor ({self.loss.floor}) must be larger than loss.c_max ({self.loss.c_max})", "loss.c_max", "loss.floor"
            )
        if self.train.vllm is not None and self.student.quantize == "nf4" and self.student.lora is not None:
            raise yaml_model.fault(
                "train.vllm would merge the adapter into student.quantize nf4 at every step, which rounds it away and damages "
                "the base weights: set student.quantize=none, remove train.vllm, or use student.kind=unsloth with "
                "student.fast_inference=true, which sends the adapter alone",
                "train.vllm",
                "student.quantize",
            )
        if self.student.kind == "unsloth" and self.train.vllm is not None and self.train.vllm.mode == "colocate":
            raise yaml_model.fault(
                "an unsloth student has its own vLLM integration: set student.fast_inference=true and remove train.vllm",
                "train.vllm",
                "student.kind",
            )
        return self

    @property
    def supervised(self) -> BaselineSection:
        """The ``baseline`` section, if the run has one."""
        assert self.baseline is not None, "only called for a run that trains on texts"
        return self.baseline

    @property
    def imitates_guided(self) -> bool:
        """Whether texts with a teacher's comments are imitated, by a baseline or to prime."""
        return (self.baseline is not None and (self.baseline.kind, self.baseline.texts) == ("sft", "guided")) or (
            self.prime is not None and self.prime.texts == "guided"
        )

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher is asked at any time of the run."""
        return self.loss.method != "grpo" or self.imitates_guided

    def _whole_baseline(self, baseline: BaselineSection) -> None:
        if self.loss.method != "grpo":
            raise yaml_model.fault(
                f"a baseline has no policy gradient: remove loss.method {self.loss.method!r}, or 'baseline'",
                "loss.method",
                "baseline",
            )
        if baseline.kind == "sft" and baseline.texts == "guided" and not self.behaviors:
            raise yaml_model.fault(
                "baseline.texts 'guided' needs at least one behavior under 'behaviors' for the teacher to show",
                "baseline.texts",
                "behaviors",
            )
        if self.train.micro_batch and baseline.batch % min(self.train.micro_batch, baseline.batch):
            raise yaml_model.fault(
                f"train.micro_batch ({self.train.micro_batch}) must divide baseline.batch ({baseline.batch})",
                "baseline.batch",
                "train.micro_batch",
            )
