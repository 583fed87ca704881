"""One experiment = one YAML file. Every key is checked, and unknown keys are errors."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from thinklab.config import yaml_model
from thinklab.config.names import FolderName
from thinklab.config.profiles import apply_profile
from thinklab.config.schedule import Schedule
from thinklab.config.sentence import check_sentence
from thinklab.errors import ConfigError
from thinklab.shaping import Shaping

TEMPLATE_ARGUMENTS = frozenset(
    (
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "max_length",
        "messages",
        "padding",
        "processor_kwargs",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    )
)
"""Names that ``apply_chat_template`` reserves, and what thinklab passes to every template."""

Method = Literal["aas", "grpo", "luffy", "ratio", "authors", "sft"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="after")
    def _finite(self) -> Self:
        """Options that another component checks later; for fields declared here, ``allow_inf_nan`` rejects non-finite numbers."""
        for key, value in (self.model_extra or {}).items():
            if not _is_finite(value):
                raise ValueError(f"{key} must be a finite number, not {value}")
        return self


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


class LoraSection(Section):
    r: int = Field(16, ge=1)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | list[str] = "all-linear"
    gaussian_init: bool = False


class StudentSection(Section):
    """Who learns."""

    kind: str = "embedded"
    """``embedded``, ``transformers``, ``unsloth``, or the name of an entry point."""
    path: str | None = None
    """Model folder or Hugging Face id."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantize: Literal["none", "nf4"] = "none"
    lora: LoraSection | None = LoraSection()
    """``null`` trains all weights."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables of the model's chat template, for every prompt of training, probe and evaluation: ``{enable_thinking: false}``
    switches Qwen3's thinking off."""
    fast_inference: bool = False
    """``unsloth`` only: sample with vLLM, which shares the weights; requires vllm."""
    gpu_memory_utilization: float = Field(0.5, gt=0, le=1)
    """``fast_inference`` only: the share of GPU memory that vLLM may use."""

    @field_validator("chat_template_kwargs")
    @classmethod
    def _template_variables(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(TEMPLATE_ARGUMENTS & set(value)):
            raise ValueError(
                f"{', '.join(taken)} is set by thinklab; pass only variables of the chat template, such as enable_thinking"
            )
        return value

    @model_validator(mode="after")
    def _fast_inference(self) -> Self:
        if self.fast_inference and self.kind != "unsloth":
            raise yaml_model.fault(
                "fast_inference belongs to kind unsloth; for other students set train.vllm", "fast_inference", "kind"
            )
        return self


class TaskSection(Section):
    """The questions. Other keys are options of the task."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "sums"
    path: str | dict[str, str] | None = None
    """A local file, or one per split: ``{train: FILE, test: FILE}``."""

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class BehaviorSection(Section):
    name: str
    """A shipped behavior, or a path to a YAML file."""
    weight: float = Field(1.0, gt=0)


class TeacherSection(Section):
    """The teacher. Keys other than ``backend`` are options of the backend."""

    model_config = ConfigDict(extra="allow", frozen=True)

    backend: str = "scripted"

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

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
    kind: Literal["constant", "linear", "cosine", "exp"] = "constant"
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
    policy: Literal["random", "wrong_first"] = "random"
    max_tokens: int = Field(256, ge=2)
    skip_if_shown: bool = True

    def whole_schedule(self) -> Schedule:
        """How gamma changes during the run."""
        s = self.schedule
        return Schedule(self.gamma, s.end, s.steps, s.kind, s.off_at)

    @model_validator(mode="after")
    def _schedule(self) -> Self:
        self.whole_schedule()  # raises if it would have no effect
        return self


class RewardSection(Section):
    correct: float = 1.0
    bonus: dict[str, float] = Field(default_factory=dict)
    """Bonus by behavior name, overriding the behavior file."""
    require_finished: bool = True


class LossSection(Section):
    method: Method = "aas"
    """``grpo`` uses no teacher; ``sft`` imitates the guided texts; the others differ in the weight on teacher tokens."""
    c_max: float = Field(Shaping.c_max, ge=0)
    a_max: float = Field(Shaping.a_max, gt=0)
    floor: float = Field(Shaping.floor, gt=0, lt=1)
    luffy_gamma: float = Field(Shaping.luffy_gamma, gt=0)
    scope: Literal["guidance", "trajectory"] | None = None
    """Which tokens count as the teacher's; None: the whole trajectory for ``authors``, the guidance otherwise."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "dapo"
    epsilon: float = Field(0.2, gt=0)
    beta: float = Field(0.0, ge=0)


class VllmSection(Section):
    """Sample with vLLM through TRL instead of thinklab's sampler; for 16- or 32-bit weights. Unverified on a real vLLM:
    docs/run-on-a-gpu.md."""

    mode: Literal["colocate", "server"] = "colocate"
    """``colocate``: in this process, on the same GPU; ``server``: your own ``vllm serve`` on another GPU."""
    gpu_memory_utilization: float = Field(0.3, gt=0, le=1)
    """``colocate``: the share of GPU memory that vLLM may use."""
    max_model_length: int | None = Field(None, ge=1)
    """``colocate``: None is prompt + answer."""
    sleep: bool = False
    """``colocate``: free vLLM's memory while training."""
    server: str | None = None
    """``server``: its base URL, such as http://localhost:8000."""
    timeout: float = Field(240.0, gt=0)
    """``server``: seconds to wait for it."""
    correction: Literal["off", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] = "token_truncate"
    """TRL's importance-sampling correction for the student's own tokens; never applied to teacher tokens."""

    @model_validator(mode="after")
    def _server(self) -> Self:
        if self.mode == "server" and not self.server:
            raise yaml_model.fault(
                "mode server needs the server's base URL under 'server', such as http://localhost:8000", "mode"
            )
        return self


class TrainSection(Section):
    model_config = ConfigDict(validate_by_name=True)

    steps: int = Field(100, ge=1)
    questions: int = Field(12, ge=1)
    """Questions per generation."""
    samples: int = Field(8, ge=2)
    """Answers per question (group size n)."""
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(8, ge=0)
    """Warmup step s uses (s + 1) / (warmup_steps + 1) of the learning rate, so even the first one updates the weights."""
    decay: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate decays from its full value to 0 at the last step; ``constant``: no decay."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    skip_empty_steps: bool = True
    """Skip the optimizer step when there is no gradient, for instance when all rewards within each group are equal. ``false`` is
    TRL's behavior: AdamW still applies its momentum and weight decay."""
    iterations: int = Field(1, ge=1)
    """Passes over each generation."""
    minibatches: int = Field(1, ge=1)
    """Optimizer steps per pass over a generation."""
    micro_batch: int | None = Field(None, ge=1)
    """Rollouts per forward pass; None: the whole minibatch."""
    report_to: list[Literal["wandb", "trackio", "tensorboard", "mlflow"]] = Field(default_factory=list)
    """Services that get every figure and a table of guided rollouts as well; see docs/logging.md. Empty: nothing leaves the run."""
    temperature: float = Field(1.0, gt=0)
    max_prompt_tokens: int = Field(512, ge=1)
    max_completion_tokens: int = Field(256, ge=1)
    sample_rows: int = Field(0, ge=0)
    """Maximum number of answers sampled at once; 0 = all."""
    vllm: VllmSection | None = None
    """Sample with vLLM; None: use thinklab's own sampler, or Unsloth's for Unsloth students."""
    gradient_checkpointing: bool = False
    autocast: bool = False
    """On a GPU, compute in 16 bit although ``student.dtype`` keeps the weights in ``float32``: needed to train all weights at
    a small learning rate, because 16-bit weights would round its updates away."""
    longest_batch_first: bool | None = Field(None, validation_alias=AliasChoices("longest_batch_first", "dry_run"))
    """Run forward and backward on the longest possible batch first, so that an out-of-memory error comes at once; None: on GPUs only.
    Its former name, ``dry_run``, is still accepted."""
    checkpoint_every: int = Field(50, ge=0)
    """Steps between checkpoints; 0 = only at the end."""
    seed: int = 0
    threads: int | None = Field(None, ge=1)
    """CPU threads; None: PyTorch's default."""

    @property
    def span(self) -> int:
        """Optimizer steps per generation; a checkpoint within one could not be continued."""
        return self.iterations * self.minibatches

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        rollouts = self.questions * self.samples
        if rollouts % self.minibatches:
            raise yaml_model.fault(
                f"minibatches ({self.minibatches}) must divide questions x samples ({rollouts})",
                "minibatches",
                "samples",
                "questions",
            )
        if self.micro_batch and (rollouts // self.minibatches) % self.micro_batch:
            raise yaml_model.fault(
                f"micro_batch ({self.micro_batch}) must divide the rollouts per optimizer step ({rollouts // self.minibatches})",
                "micro_batch",
                "minibatches",
                "samples",
                "questions",
            )
        span = self.span
        if self.checkpoint_every % span:
            raise yaml_model.fault(
                f"checkpoint_every ({self.checkpoint_every}) must be a multiple of iterations x minibatches "
                f"({span}): a run can only be resumed between two generations",
                "checkpoint_every",
                "iterations",
                "minibatches",
            )
        return self


class ProbeSection(Section):
    """Evaluation on held-out questions, without guidance or hints."""

    questions: int = Field(500, ge=1)
    samples: int = Field(1, ge=1)
    """Sampled answers per question at temperature 1."""
    every: int = Field(0, ge=0)
    """Steps between small probes during training; 0 = none."""
    every_questions: int = Field(150, ge=1)
    seed: int = 4242


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
    task: TaskSection = TaskSection()
    behaviors: list[BehaviorSection] = Field(default_factory=list)
    teacher: TeacherSection = TeacherSection()
    judge: JudgeSection | None = None
    """Required if a behavior's detector uses a judge; see ``thinklab/experiment/run_judge.py``."""
    guidance: GuidanceSection = GuidanceSection()
    reward: RewardSection = RewardSection()
    loss: LossSection = LossSection()
    train: TrainSection = TrainSection()
    probe: ProbeSection = ProbeSection()
    guards: GuardSection = GuardSection()
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
        if self.loss.method != "grpo" and self.loss.floor <= self.loss.c_max:
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
