"""GPUs of a process: ``one_gpu`` of several, several processes refused, ``default_dtype`` by card.

transformers' ``Trainer`` wraps the model in ``nn.DataParallel`` when a plain launch sees several GPUs. TRL's loss does not
work with that wrapper, and the first batch, for which a teacher may have been paid, would be lost. Under ``torchrun`` every process
would write the same run folder. So thinklab trains on the first GPU and tells the user how to use the others.

Left out: data-parallel training over several GPUs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import torch

from thinklab.errors import ConfigError

if TYPE_CHECKING:
    from transformers import TrainingArguments

Arguments = TypeVar("Arguments", bound="TrainingArguments")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

USES = (
    "start another run there, such as the next seed, with CUDA_VISIBLE_DEVICES=1 in front of the command; or put a local "
    "teacher there with teacher.device=cuda:1; or run a vLLM server there and name it under train.vllm"
)


def one_gpu(args: Arguments) -> Arguments:
    """``args``, set to train on one device without ``nn.DataParallel``; each process of a distributed launch has one already."""
    if args.n_gpu > 1:
        args._n_gpu = 1  # as transformers itself does for a model that is split over several GPUs
    return args


def unused() -> str:
    """The notice to show when more than one GPU is visible; empty otherwise."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"{count} GPUs are visible, and a run trains on the first one only. To use the others: {USES}" if count > 1 else ""


def refuse_several_processes() -> None:
    """Raises:
    ConfigError: under ``torchrun`` or ``accelerate launch`` with more than one process, before anything is written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"this was launched as {os.environ['WORLD_SIZE']} processes (torchrun or accelerate launch), but a run "
            f"is one process on one GPU: start it without the launcher. To use the other GPUs: {USES}"
        )


def default_dtype() -> torch.dtype:
    """bf16 where the GPU has it, fp16 on older GPUs, fp32 on a CPU and on an Apple GPU."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
