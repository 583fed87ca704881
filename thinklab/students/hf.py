"""Loads a Hugging Face causal LM: full precision or nf4 (bitsandbytes), with or without LoRA."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from thinklab.config.devices import DTYPES, default_dtype
from thinklab.config.hardware import best_device
from thinklab.config.student_section import LoraSection, StudentSection
from thinklab.errors import StudentError
from thinklab.interop.renamed_arguments import upstream_warnings_off
from thinklab.students.base import Student, check


def load(section: StudentSection, seed: int = 0) -> Student:
    """Load the model and tokenizer that ``section`` names.

    Raises:
        StudentError: when the folder is missing, incomplete, or not a causal LM, or bitsandbytes is needed and absent.
    """
    source = section.path
    if source is None:
        raise StudentError("student.path is missing: set it to a folder with a Hugging Face model, or to a hub id")
    folder = Path(source).expanduser()
    if os.path.exists(folder):  # False, not an error, for a name that is too long for a file
        if not (folder / "config.json").exists():
            raise StudentError(f"{source} is not a model folder: it has no config.json")
        source = str(folder)
    elif source.startswith((".", "/", "~")) or len(folder.parts) > 2:
        raise StudentError(f"there is no model folder {source}")
    quantization = None
    if section.quantize == "nf4":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES.get(section.dtype, default_dtype()),
        )
    dtype = DTYPES.get(section.dtype, default_dtype())
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        how = {} if quantization is None else {"quantization_config": quantization}  # None would override a stored one
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **how)
    except ImportError as error:
        raise StudentError(f"cannot load {section.path}: {error}") from error
    except (OSError, ValueError, KeyError) as error:
        raise StudentError(f"cannot load {section.path} as a causal language model: {_first_line(error)}") from error
    quantized = getattr(model, "is_loaded_in_4bit", False)  # also where the folder itself is stored in 4 bit
    if not quantized and (device := best_device(section.kind)) != "cpu":
        model = model.to(device)  # type: ignore[arg-type]  # transformers wraps `to` and loses its signature
    if quantized and not torch.cuda.is_available():
        _same_weights_in_eval(model)
    return check(Student(with_lora(model, section.lora, seed), tokenizer, section.kind, str(section.path)))


def with_lora(model, lora: LoraSection | None, seed: int):
    """``model`` with a fresh LoRA adapter in fp32, or with all its weights trainable when ``lora`` is None."""
    if lora is None:
        return model
    if getattr(model, "is_loaded_in_4bit", False):
        # PEFT's prepare_model_for_kbit_training would also raise embeddings, head and norms to fp32. From fp32 norms follow fp32
        # keys and values, also under autocast, and so a cache of twice the size.
        model.requires_grad_(False)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT declares int but accepts any number
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        init_lora_weights="gaussian" if lora.gaussian_init else True,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), upstream_warnings_off():
        torch.manual_seed(seed)
        model = get_peft_model(model, config)
    lora_to_fp32(model)
    return model


def _same_weights_in_eval(model) -> None:
    """On some CPUs bitsandbytes repacks 4-bit weights in eval mode for a bf16 kernel that does not support every width.

    Sampling would then use other weights than training, or fail; so always use one kernel.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def lora_to_fp32(model) -> None:
    """A small learning rate rounds away in 16 bit. (TRL casts a quantized model's adapter down; the trainer undoes it.)"""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
