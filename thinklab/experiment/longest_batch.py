"""``try_longest_batch``: samples and trains the longest possible batch first; advice when memory runs out.

Two stages, each as large as the config allows: the cache of the largest batch of answers, and one micro-batch of the
longest prompts, answers and guidance forward and backward, in addition to the optimizer's states. Everything is restored
afterward: weights, gradients, modes, random states, and metrics (tests/experiment/test_longest_batch.py,
tests/unsloth/test_emulated_model.py).

An Unsloth student's batch of answers is actually generated, token by token, because its cache cannot be filled otherwise.

Left out: vLLM's generation, which manages its own memory, and a teacher on the same GPU.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedTokenizerBase

from thinklab.config.experiment import Experiment
from thinklab.errors import TrainingError
from thinklab.interop.renamed_arguments import cache_argument, is_checkpointing, upstream_warnings_off
from thinklab.sampler import GenerateSampler, _eval_mode
from thinklab.trainer import ThinkTuningTrainer

_TORCH = set(vars(torch.nn.Module())) - {"training"}
BLOCK = 64
"""Tokens per cache extension: faster than one by one, with little more memory."""


@dataclass(frozen=True)
class LongestBatch:
    """Resources used by the longest batch."""

    rows: int
    """Rollouts in the micro-batch."""
    tokens: int
    """Tokens in each of them: prompt, answer and guidance."""
    seconds: float
    peak_bytes: int | None
    """Peak memory allocated by PyTorch on the GPU, including weights; None on a CPU."""

    def __str__(self) -> str:
        peak = "" if self.peak_bytes is None else f", at most {self.peak_bytes / 2**30:.1f} GB of GPU memory"
        return f"the longest batch fits ({self.rows} x {self.tokens} tokens, {self.seconds:.1f} s{peak})"


def wanted(config: Experiment) -> bool:
    """``train.longest_batch_first``, or, if unset, whether there is a GPU."""
    return torch.cuda.is_available() if config.train.longest_batch_first is None else config.train.longest_batch_first


def try_longest_batch(trainer: ThinkTuningTrainer, config: Experiment) -> LongestBatch:
    """Run sampling, forward, and backward on the longest possible batch of ``config``.

    Raises:
        TrainingError: if memory is insufficient; the message names the stage and the keys to lower.
    """
    t, began = config.train, time.perf_counter()
    device, cuda = trainer.accelerator.device, torch.cuda.is_available()
    rows = trainer.args.per_device_train_batch_size
    guidance = config.guidance.max_tokens if config.loss.method != "grpo" else 0
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with upstream_warnings_off(), _nothing_stays(trainer):
        if trainer.sampler is not None and not trainer.use_vllm:
            own = isinstance(trainer.sampler, GenerateSampler)
            with _advice("sampling", _less_sampling(config)):
                (_generate if own else _sample)(trainer.accelerator.unwrap_model(trainer.model), config, device)
        with _advice("training", _less_training(config)):
            _train(trainer, rows, t.max_prompt_tokens, t.max_completion_tokens + guidance, guidance, device)
    peak = torch.cuda.max_memory_allocated() if cuda else None
    if cuda:
        torch.cuda.empty_cache()
    return LongestBatch(rows, t.max_prompt_tokens + t.max_completion_tokens + guidance, time.perf_counter() - began, peak)


@torch.no_grad()
def _sample(model, config: Experiment, device) -> None:
    """The cache at its maximum size: ``sample_rows`` answers of full length to prompts of full length."""
    t = config.train
    questions = min(t.questions, max(1, t.sample_rows // t.samples)) if t.sample_rows else t.questions
    with _eval_mode(model):
        cache = DynamicCache(config=model.config)
        ids = torch.ones((questions, t.max_prompt_tokens), dtype=torch.long, device=device)
        model(input_ids=ids, **cache_argument(model, cache), use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(t.samples)
        for start in range(0, t.max_completion_tokens - 1, BLOCK):
            size = min(BLOCK, t.max_completion_tokens - 1 - start)
            ids = torch.ones((questions * t.samples, size), dtype=torch.long, device=device)
            model(input_ids=ids, **cache_argument(model, cache), use_cache=True, logits_to_keep=1)


def _generate(model, config: Experiment, device) -> None:
    """The same for a model that must use its own ``generate``, whose memory use is only known by running it: a full batch of
    answers of full length."""
    t = config.train
    questions = min(t.questions, max(1, t.sample_rows // t.samples)) if t.sample_rows else t.questions
    GenerateSampler(t.max_completion_tokens, (), 0)(model, [[1] * t.max_prompt_tokens] * questions, t.samples)


def _train(trainer: ThinkTuningTrainer, rows: int, prompt: int, completion: int, guidance: int, device) -> None:
    model, args = trainer.model, trainer.args
    if args.gradient_checkpointing and not is_checkpointing(model):
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=args.gradient_checkpointing_kwargs)
    trained = [p for p in model.parameters() if p.requires_grad]
    states = [torch.zeros_like(p) for p in trained for _ in range(2 if "adam" in str(args.optim) else 0)]
    whole = torch.ones((rows, completion), dtype=torch.long, device=device)
    teacher = torch.zeros_like(whole)
    teacher[:, completion - guidance :] = 1
    inputs = {
        "prompt_ids": torch.ones((rows, prompt), dtype=torch.long, device=device),
        "prompt_mask": torch.ones((rows, prompt), dtype=torch.long, device=device),
        "completion_ids": whole,
        "completion_mask": torch.ones_like(whole),
        "teacher_mask": teacher,
        "advantages": torch.ones(rows, device=device),
        "rollout_row": torch.arange(rows, device=device),
        "num_items_in_batch": torch.tensor(float(rows * completion), device=device),
    }
    if trainer.use_vllm and trainer.vllm_importance_sampling_correction:
        inputs["importance_sampling_ratio"] = torch.ones((rows, 1), device=device)
    if trainer.beta != 0.0:
        inputs["ref_per_token_logps"] = torch.zeros((rows, completion), device=device)
    model.train()
    trainer.compute_loss(model, inputs, num_items_in_batch=inputs["num_items_in_batch"]).backward()
    del states


@contextmanager
def _nothing_stays(trainer: ThinkTuningTrainer) -> Iterator[None]:
    """Restores random states, gradients, metrics, and everything that is set on the model: each module's mode, its flag for
    checkpointing, the buffers and marks of Unsloth's generation."""
    model, tokenizer = trainer.model, trainer.processing_class
    assert isinstance(tokenizer, PreTrainedTokenizerBase), "the trainer takes text alone"
    side = tokenizer.padding_side
    holders = [
        *model.modules(),
        *{id(c): c for m in model.modules() for c in (getattr(m, "config", None),) if hasattr(c, "__dict__")}.values(),
    ]
    before = [(holder, _settings(holder)) for holder in holders]
    try:
        with trainer.rehearsing(), torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        for parameter in model.parameters():
            parameter.grad = None
        for holder, settings in before:
            for name in set(_settings(holder)) - set(settings):
                del vars(holder)[name]
            vars(holder).update(settings)
        tokenizer.padding_side = side


def _settings(holder) -> dict[str, Any]:
    """The attributes of a module or a config, except PyTorch's own (parameters, buffers, hooks)."""
    return {name: value for name, value in vars(holder).items() if name not in _TORCH}


@contextmanager
def _advice(stage: str, what: str) -> Iterator[None]:
    problem: Exception
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        problem = error
    except RuntimeError as error:  # the wording of CPU allocators
        if "not enough memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        problem = error
    else:
        return
    raise TrainingError(
        f"out of memory while {stage} the longest possible batch, before anything was trained: "
        f"{str(problem).strip().splitlines()[0][:200]} {what}"
    ) from problem


def _less_sampling(config: Experiment) -> str:
    t = config.train
    rows = t.sample_rows or t.questions * t.samples
    return (
        f"Lower train.sample_rows (now {rows} answers at once; {max(t.samples, rows // 2)} needs half) or "
        f"train.max_completion_tokens (now {t.max_completion_tokens})" + _quantize(config)
    )


def _less_training(config: Experiment) -> str:
    t = config.train
    rows = t.micro_batch or t.questions * t.samples // t.minibatches
    parts = []
    if rows > 1:
        parts.append(f"lower train.micro_batch (now {rows}; the result stays the same, with more forward passes per step)")
    if not t.gradient_checkpointing and config.student.kind != "unsloth":
        parts.append("set train.gradient_checkpointing=true")
    parts.append(
        f"lower train.max_completion_tokens (now {t.max_completion_tokens}), train.max_prompt_tokens "
        f"(now {t.max_prompt_tokens}) or guidance.max_tokens (now {config.guidance.max_tokens})"
    )
    text = "; ".join(parts) + _quantize(config)
    return text[0].upper() + text[1:]


def _quantize(config: Experiment) -> str:
    return "" if config.student.quantize == "nf4" or config.student.lora is None else "; or set student.quantize=nf4"
