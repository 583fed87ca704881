"""``TrainSection`` and ``VllmSection``: the keys under ``train:`` (steps, batch, learning rate, optimizer, limits, vLLM)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from thinklab.config import yaml_model
from thinklab.config.section import Section


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
    """Batches, optimizer, and limits of the training."""

    model_config = ConfigDict(validate_by_name=True)

    steps: int = Field(100, ge=1)
    """Optimizer steps of the whole run."""
    questions: int = Field(12, ge=1)
    """Questions per generation."""
    samples: int = Field(8, ge=2)
    """Answers per question (group size n)."""
    learning_rate: float = Field(1e-3, gt=0)
    """The full learning rate, after warmup. The default suits the embedded student; the GPU profiles set 2e-5."""
    warmup_steps: int = Field(8, ge=0)
    """Warmup step s uses (s + 1) / (warmup_steps + 1) of the learning rate, so even the first one updates the weights."""
    decay: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate decays from its full value to 0 at the last step; ``constant``: no decay."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's two betas."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients with a larger norm are scaled down to it."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """The optimizer; ``sgd`` has neither momentum nor state."""
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
    """Sampling temperature of the training rollouts."""
    max_prompt_tokens: int = Field(512, ge=1)
    """Longest prompt in tokens; a longer question is an error before the run."""
    max_completion_tokens: int = Field(256, ge=1)
    """Longest answer in tokens, without guidance."""
    sample_rows: int = Field(0, ge=0)
    """Maximum number of answers sampled at once; 0 = all."""
    vllm: VllmSection | None = None
    """Sample with vLLM; None: use thinklab's own sampler, or Unsloth's for Unsloth students."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    autocast: bool = False
    """On a GPU, compute in 16 bit although ``student.dtype`` keeps the weights in ``float32``: needed to train all weights at
    a small learning rate, because 16-bit weights would round its updates away."""
    longest_batch_first: bool | None = Field(None, validation_alias=AliasChoices("longest_batch_first", "dry_run"))
    """Run forward and backward on the longest possible batch first, so that an out-of-memory error comes at once; None: on GPUs only.
    Its former name, ``dry_run``, is still accepted."""
    checkpoint_every: int = Field(50, ge=0)
    """Steps between checkpoints; 0 = only at the end."""
    seed: int = 0
    """Seed of the question order, the sampling, and the initial adapter."""
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
