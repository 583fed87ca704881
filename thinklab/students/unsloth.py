"""Loads a student with Unsloth: 4-bit or 16-bit weights, LoRA, its checkpointing and kernels.

NVIDIA GPUs only.

``model`` is a ``PeftModel``, as for every other kind; Unsloth's ``for_training`` and ``for_inference`` switch it between
the two. Answers come from Unsloth's own generation (``thinklab.sampler.GenerateSampler``), or from vLLM with
``student.fast_inference``.

Left out: full fine-tuning, 8 bit and fp8, vision models. Not run on a GPU yet: see docs/run-on-a-gpu.md.
"""

from __future__ import annotations

from pathlib import Path

import torch

from thinklab.config.student_section import LoraSection, StudentSection
from thinklab.errors import StudentError
from thinklab.students.base import Student, check
from thinklab.students.unsloth_first import import_first

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "auto": None}  # None lets Unsloth choose by the GPU


def load(section: StudentSection, seed: int = 0, max_length: int = 2048) -> Student:
    """Load the model and tokenizer that ``section`` names, with a fresh LoRA adapter in fp32.

    Args:
        max_length: tokens of the longest text that the kernels must support. Capped at the model's own maximum, because
            Unsloth would otherwise rescale the positions, which changes even short texts.

    Raises:
        StudentError: when Unsloth or its GPU is missing, the model cannot be loaded, or the section requests an unsupported option.
    """
    if section.path is None:
        raise StudentError("student.path is missing: set it to a folder with a Hugging Face model, or to a hub id")
    if section.path.startswith((".", "/", "~")) and not (Path(section.path).expanduser() / "config.json").exists():
        raise StudentError(f"there is no model folder {section.path} (with a config.json in it)")
    lora = section.lora
    if lora is None:
        raise StudentError("student.kind unsloth trains LoRA adapters only; set student.lora, or use student.kind=transformers")
    if section.dtype == "float32":
        raise StudentError("student.kind unsloth has no float32; set student.dtype to auto, bfloat16 or float16 (on a T4)")
    import_first("unsloth")
    from unsloth import FastLanguageModel

    source = str(Path(section.path).expanduser()) if section.path.startswith("~") else section.path
    max_length = min(max_length, _own_positions(source) or max_length)
    vllm = {"fast_inference": True, "max_lora_rank": lora.r, "gpu_memory_utilization": section.gpu_memory_utilization}
    try:
        model, tokenizer = FastLanguageModel.from_pretrained(
            model_name=source,
            max_seq_length=max_length,
            dtype=DTYPES[section.dtype],
            load_in_4bit=section.quantize == "nf4",
            load_in_16bit=section.quantize == "none",
            use_gradient_checkpointing="unsloth",
            random_state=seed,
            **(vllm if section.fast_inference else {"fast_inference": False}),
        )
    except torch.OutOfMemoryError as error:
        raise StudentError(
            f"{section.path} does not fit into the GPU's memory: use student.quantize=nf4 or a smaller model, or stop other "
            "programs on the GPU"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise StudentError(f"Unsloth cannot load {section.path}: {str(error).strip().splitlines()[0]}") from error
    model = FastLanguageModel.get_peft_model(
        model,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_targets(lora),
        bias="none",
        use_gradient_checkpointing="unsloth",
        random_state=seed,
        max_seq_length=max_length,
        init_lora_weights="gaussian" if lora.gaussian_init else True,
    )
    for parameter in model.parameters():  # a small learning rate rounds away in 16 bit
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    tokenizer.padding_side = "left"
    return check(Student(model, tokenizer, section.kind, section.path))


def _own_positions(source: str) -> int | None:
    from transformers import AutoConfig

    try:
        return getattr(AutoConfig.from_pretrained(source).get_text_config(), "max_position_embeddings", None)
    except (OSError, ValueError):
        return None  # the load that follows raises a clearer error


def _targets(lora: LoraSection) -> list[str] | str:
    return LINEAR if lora.targets == "all-linear" else lora.targets
