"""``examine``: the checks of ``thinklab doctor``: packages, GPU, memory, disk, student, teacher, speed.

With a config or a profile, everything is built as for a run, in a temporary folder: behaviors, task, teacher,
student, trainer, and the longest possible batch forward and backward; then a short probe counts tokens per second.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from thinklab.config import hardware, tested_versions
from thinklab.config.experiment import Experiment
from thinklab.errors import ThinklabError
from thinklab.experiment import sampling_choice

PROBE_S = 20.0
PROBE_TOKENS = 128
LOW_DISK = 5 * 2**30
OLDEST = (7, 0)  # compute capability required by bitsandbytes' 4-bit kernels and Unsloth


@dataclass(frozen=True)
class DoctorFinding:
    """One line of the report."""

    level: Literal["ok", "note", "problem"]
    """``problem``: a run would fail."""
    what: str
    advice: str = ""


def examine(config: Experiment | None = None, quick: bool = False) -> Iterator[DoctorFinding]:
    """Yields every finding as soon as it is known.

    Args:
        config: the experiment; None checks the machine and the embedded student.
        quick: build and probe nothing.
    """
    yield from _packages(config)
    yield from _machine()
    if config is None:
        yield DoctorFinding("note", f"profile for this machine: {suggest()}")
    else:
        trouble = list(_student(config))
        yield from trouble
        yield from used(config)
        if quick or any(f.level == "problem" for f in trouble):
            return
    if not quick:
        yield from _try(config)


# ---- what is installed ------------------------------------------------------------------------------------------------


def _packages(config: Experiment | None) -> Iterator[DoctorFinding]:
    """Compares installed versions with the ranges that thinklab declares."""
    extras = {"unsloth"} if config is not None and config.student.kind == "unsloth" else set()
    outside = {(one.package, one.extra): one for one in tested_versions.out_of_range(extras)}
    fine = []
    for required, have, extra in tested_versions.requirements(extras):
        if have is None:
            wanted = tested_versions.range_text(required)
            yield DoctorFinding("problem", f"{required.name} is not installed", f"pip install '{required.name}{wanted}'")
        elif one := outside.get((required.name, extra)):
            level: Literal["note", "problem"] = "problem" if extra else "note"
            yield DoctorFinding(level, f"{one} is outside the range of this version of thinklab", f"pip install {one.wanted}")
        else:
            fine.append(f"{required.name} {have}")
    shown = [x for x in fine if x.split()[0] in ("torch", "transformers", "trl", "peft", "accelerate", "unsloth", "bitsandbytes")]
    yield DoctorFinding("ok", f"Python {platform.python_version()}; {', '.join(shown)}; {len(fine)} packages in range")
    if config is not None and config.student.quantize == "nf4" and not sampling_choice.installed("bitsandbytes"):
        yield DoctorFinding(
            "problem", "student.quantize is nf4 and bitsandbytes is not installed", "pip install bitsandbytes==0.50.2"
        )
    if config is not None and (config.student.fast_inference or config.train.vllm) and not sampling_choice.installed("vllm"):
        yield DoctorFinding(
            "problem",
            "the config samples with vLLM, but vllm is not installed",
            "pip install 'thinklab[vllm]', or remove train.vllm and student.fast_inference",
        )


def _machine() -> Iterator[DoctorFinding]:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            major, minor = torch.cuda.get_device_capability(index)
            yield DoctorFinding(
                "ok",
                f"GPU {index}: {torch.cuda.get_device_name(index)}, compute capability {major}.{minor}, "
                f"{'bf16' if has_bf16() else 'no bf16'}, {_gb(free)} of {_gb(total)} free, "
                f"CUDA {torch.version.cuda}",
            )
            if free < 0.8 * total:
                yield DoctorFinding(
                    "note", f"{_gb(total - free)} of GPU {index} are already in use", "nvidia-smi shows by which process"
                )
        from thinklab.config.devices import unused

        if told := unused():
            what, _, advice = told.partition(" To use")
            yield DoctorFinding("note", what, f"to use{advice}")
    elif hardware.best_device() == "mps":
        yield DoctorFinding(
            "note",
            f"Apple GPU (mps), {_gb(_memory())} of memory free: students of kind transformers and local teachers use it, in float32 and "
            "float16; unverified, because thinklab has never been tested on one",
            "PYTORCH_ENABLE_MPS_FALLBACK=1 moves what PyTorch lacks there to the CPU; the embedded student stays on the CPU",
        )
    elif shutil.which("nvidia-smi"):
        build = "is a CPU build" if torch.version.cuda is None else f"is built for CUDA {torch.version.cuda}"
        yield DoctorFinding(
            "problem",
            f"there is an NVIDIA driver, but PyTorch {torch.__version__} {build} and finds no GPU",
            "install PyTorch's build for the driver's CUDA version (nvidia-smi names it), or set CUDA_VISIBLE_DEVICES",
        )
    else:
        yield DoctorFinding(
            "note",
            f"no GPU: {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, {_gb(_memory())} of memory free",
            "the embedded student and models of about 100 million parameters can train here; larger ones need a GPU",
        )
    free = shutil.disk_usage(".").free
    if free < LOW_DISK:
        yield DoctorFinding("note", f"{_gb(free)} of disk space are left here", "checkpoints and model downloads may not fit")


def has_bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def suggest() -> str:
    """The profile that suits this machine."""
    if not torch.cuda.is_available():
        return "tiny"
    total = torch.cuda.get_device_properties(0).total_memory / 2**30
    if total > 70:
        return "80gb"
    if total > 20:
        return "24gb"
    return "16gb" if has_bf16() or total > 15.5 else "t4"


# ---- what a run would use ----------------------------------------------------------------------------------------


def _student(config: Experiment) -> Iterator[DoctorFinding]:
    s, cuda = config.student, torch.cuda.is_available()
    for _, what, instead in hardware.needs_cuda(config):
        yield DoctorFinding("problem", what, instead)
    if cuda and (s.kind == "unsloth" or s.quantize == "nf4") and torch.cuda.get_device_capability() < OLDEST:
        yield DoctorFinding(
            "problem",
            "Unsloth and 4-bit weights need compute capability 7.0 or newer, which this GPU does not have",
            "student.kind=transformers student.quantize=none with a smaller model",
        )
    if s.dtype == "bfloat16" and cuda and not has_bf16():
        yield DoctorFinding(
            "problem", "student.dtype is bfloat16, which this GPU does not have", "student.dtype=auto, which is float16 here"
        )
    if s.dtype == "float16" and not cuda and s.kind == "transformers":
        yield DoctorFinding(
            "problem", "student.dtype is float16, which does not work for training on a CPU", "student.dtype=auto"
        )
    if s.kind in ("transformers", "unsloth"):
        yield from _model_path(s.path)


def _model_path(path: str | None) -> Iterator[DoctorFinding]:
    if path is None:
        yield DoctorFinding("problem", "student.path is missing", "set it to a folder with a Hugging Face model, or a hub id")
        return
    folder = Path(path).expanduser()
    if folder.exists() or path.startswith((".", "/", "~")):
        if not (folder / "config.json").exists():
            yield DoctorFinding("problem", f"there is no model in {path}", "set it to a folder with a config.json, or a hub id")
        return
    from huggingface_hub import constants, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(path, "config.json"), str):
        yield DoctorFinding("ok", f"{path} is already downloaded")
    elif constants.HF_HUB_OFFLINE:
        yield DoctorFinding(
            "problem", f"{path} is not downloaded, and HF_HUB_OFFLINE prevents the download", "unset it, or use a local folder"
        )
    else:
        yield DoctorFinding("note", f"{path} will be downloaded from the hub at the first run")


def used(config: Experiment) -> Iterator[DoctorFinding]:
    """The settings that follow from ``config`` and this machine."""
    from thinklab.config.devices import default_dtype

    config = sampling_choice.best(config)
    s, t = config.student, config.train
    dtype = s.dtype if s.dtype != "auto" else str(default_dtype()).removeprefix("torch.")
    lora = "all weights" if s.lora is None else f"LoRA r={s.lora.r} in fp32"
    weights = f"the {s.kind} student, float32" if s.ships else f"{s.path} by {s.kind}, {dtype}"
    if s.quantize == "nf4":
        weights += ", 4-bit nf4"
    sampling, faster = sampling_choice.describe(config)
    per_step = t.questions * t.samples // t.minibatches
    micro = t.micro_batch or per_step
    yield DoctorFinding(
        "ok",
        f"a run would use {weights}, {lora}; {sampling}; {t.questions} questions x {t.samples} answers, "
        f"{micro} rollouts per forward pass x {per_step // micro} accumulated; at most {t.max_prompt_tokens} + "
        f"{t.max_completion_tokens} + {config.guidance.max_tokens} tokens (prompt, answer, guidance)",
    )
    if faster:
        yield DoctorFinding("note", f"sampling is by {sampling}", faster)


# ---- building it ---------------------------------------------------------------------------------------------------


def _try(config: Experiment | None) -> Iterator[DoctorFinding]:
    from thinklab.students import load_student

    try:
        if config is None:
            student, prompt, rows, limit = load_student("embedded"), None, 8, 48
        else:
            from thinklab.experiment.build import build

            affordable = torch.cuda.is_available() or config.student.ships
            tried = config.model_copy(update={"train": config.train.model_copy(update={"longest_batch_first": affordable})})
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                session = build(tried, Path(folder) / "run")
            yield DoctorFinding("ok", "behaviors, task, teacher, student and trainer can be built")
            if session.fits is not None:
                yield DoctorFinding("ok", str(session.fits))
            student, rows = session.student, config.train.samples
            prompt = student.encode(session.data.task.prompt(session.data.train[0]))
            limit = min(PROBE_TOKENS, config.train.max_completion_tokens)
        if prompt is None:
            prompt = student.encode([{"role": "user", "content": "Tom has 12 figs and finds 4 more. How many?"}])
        yield DoctorFinding("ok", speed(student, prompt, rows, limit))
    except ThinklabError as error:
        yield DoctorFinding("problem", str(error))


def speed(student, prompt: list[int], rows: int, limit: int, seconds: float = PROBE_S) -> str:
    """Samples for at most about ``seconds`` and reports the speed."""
    sampler = student.sampler(limit)
    sampler(student.model, [prompt], rows, 0)  # the first call loads kernels
    tokens, seed, began = 0, 0, time.perf_counter()
    while seed < 3 or time.perf_counter() - began < min(2.0, seconds):
        seed += 1
        tokens += sum(map(len, sampler(student.model, [prompt], rows, seed)))
        if time.perf_counter() - began > seconds:
            break
    rate = tokens / (time.perf_counter() - began)
    return f"sampling {rate:,.0f} tokens per second with {rows} answers at once"


def _memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


def _gb(count: int) -> str:
    return f"{count / 2**30:.1f} GB"
