"""``save`` (adapter, merged model, or GGUF) and ``push`` of a trained student.

    adapter   the LoRA weights alone, a few MB; also needs the base model
    merged    a plain model folder: ``AutoModelForCausalLM.from_pretrained`` needs neither PEFT nor thinklab
    gguf      for llama.cpp and compatible programs; written by Unsloth, on a GPU, from a run of kind ``unsloth`` (unverified here)

Weights are safetensors (or GGUF), never pickles. A student trained on 4-bit weights is merged into those weights, dequantized,
not into the original ones: the adapter was fitted to them, so the merged model gives the same outputs. Unsloth may load
another repository than the requested one (its own 4-bit one, some of whose layers are not quantized): the base is the
one that the checkpoint's adapter names. Every merged model is compared with the trained student, token by token.

Left out: conversion to other formats, and requantization.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

from thinklab.config.experiment import Experiment, StudentSection
from thinklab.errors import ConfigError, RunError, did_you_mean
from thinklab.export.model_card import base_name, model_card
from thinklab.interop.renamed_arguments import upstream_warnings_off
from thinklab.run.checkpoints import COMPLETE
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.run.lock import FolderLock

Kind = Literal["adapter", "merged", "gguf"]
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)
PUBLIC = (".safetensors", ".gguf", ".json", ".jinja", ".md", ".txt", ".model", ".gitattributes")
"""Files that may be pushed. No pickles, no records of rollouts."""


def save(source: Any, kind: Kind = "adapter", out: str | Path | None = None, *, quantization: str = "q4_k_m") -> Path:
    """``save_locked`` for callers without the run's lock: a run in training is rejected.

    Raises:
        RunError: when another process writes into the run's folder; and whatever ``save_locked`` raises.
    """
    if not isinstance(source, str | Path | RunFolder):  # a session or a Lab holds it
        return save_locked(source, kind, out, quantization=quantization)
    folder = source.path if isinstance(source, RunFolder) else Path(source)
    RunFolder.open(folder)  # before a lock is created in a folder without a run
    with FolderLock(folder) if os.access(folder, os.W_OK) else nullcontext():  # a read-only run cannot be in training
        return save_locked(source, kind, out, quantization=quantization)


def save_locked(source: Any, kind: Kind = "adapter", out: str | Path | None = None, *, quantization: str = "q4_k_m") -> Path:
    """Write the trained student into a new folder, with a model card.

    Args:
        source: a run folder (its last checkpoint is used), a ``Session``, or a ``Lab`` (their current student).
        kind: ``adapter``, ``merged`` or ``gguf``.
        out: the output folder; default ``RUN/export/KIND``.
        quantization: ``gguf`` only; a quantization name of Unsloth.

    Returns:
        The folder. It is written atomically.

    Raises:
        ConfigError: for an unknown kind, or one that is not possible for this run.
        RunError: if there is no checkpoint, or the folder exists already or is not writable.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"unknown kind {kind!r}{did_you_mean(str(kind), get_args(Kind))}; one of {', '.join(get_args(Kind))}")
    run, config, live = _source(source)
    if kind == "adapter" and config.student.lora is None:
        raise ConfigError("this run trained all weights (student.lora is null), so there is no adapter; save it as merged")
    if kind == "gguf" and config.student.kind != "unsloth":
        raise ConfigError(
            f"gguf export needs Unsloth, and this run's student is of kind {config.student.kind}: save it as merged, "
            "then convert that folder with llama.cpp's convert_hf_to_gguf.py"
        )
    out = run.path / "export" / kind if out is None else Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} exists already: choose another folder, or move it away")
    with _trained(run, live) as (folder, step, says), _whole(out) as part, _room(), upstream_warnings_off():
        if kind == "adapter":
            _adapter(folder, config, part)
        elif kind == "merged":
            _merged(folder, config, part, says)
        else:
            _gguf(folder, config, part, quantization)
        (part / "README.md").write_text(model_card(run, config, kind, step, os.path.basename(out)), "utf-8")
    return out


def push(
    folder: str | Path, repo: str, *, private: bool = True, ask: Callable[[str], bool] | None = None, api: Any = None
) -> str:
    """Upload a folder written by ``save`` to a model hub, after listing the files and asking for confirmation.

    Args:
        folder: from ``save``.
        repo: ``owner/name`` on the hub.
        private: whether a newly created repository is private.
        ask: receives the question and returns the answer; None asks on the terminal or in the notebook.
        api: a ``huggingface_hub.HfApi``; None creates one, with the token of ``hf auth login``.

    Returns:
        The address of the commit, or an empty string if the answer was no.

    Raises:
        RunError: if the folder is not an export, contains other files, or the hub rejects it.
    """
    folder = Path(folder)
    card = folder / "README.md"
    if not card.exists() or "thinklab" not in card.read_text("utf-8"):
        raise RunError(f"{folder} was not made by `thinklab save`: it has no thinklab model card")
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if odd := [str(p.relative_to(folder)) for p in files if p.suffix not in PUBLIC and p.name not in PUBLIC]:
        raise RunError(f"{folder} contains files that do not belong to an export: {', '.join(odd[:5])}; move them away")
    size = sum(p.stat().st_size for p in files)
    listed = "\n".join(f"  {p.relative_to(folder)}  {p.stat().st_size / 1e6:,.1f} MB" for p in files)
    question = (
        f"Upload {len(files)} files, {size / 1e6:,.1f} MB, to the hub as {repo} ({'private' if private else 'PUBLIC'})?\n"
        f"{listed}\n"
        "The model card contains the config, the behaviors' hashes, and the probe's results."
    )
    if not (ask or _ask)(question):
        return ""
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    try:
        api.create_repo(repo_id=repo, private=private, exist_ok=True, repo_type="model")
        done = api.upload_folder(repo_id=repo, folder_path=str(folder), repo_type="model", commit_message="Export from thinklab")
    except Exception as error:  # the hub's client raises errors of several libraries
        raise RunError(
            f"the hub rejected {folder}: {str(error).strip().splitlines()[0]} No files were lost; log in with "
            "`hf auth login`, or check the repository's name"
        ) from error
    return str(getattr(done, "commit_url", done))


def _ask(question: str) -> bool:
    try:
        return input(f"{question}\nType yes to upload: ").strip().lower() == "yes"
    except EOFError:
        return False


# ---- the weights ---------------------------------------------------------------------------------------------------


def _source(source: Any) -> tuple[RunFolder, Experiment, Any]:
    """(run, config, live session or None)"""
    session = getattr(source, "session", source)
    if hasattr(session, "trainer") and hasattr(session, "run"):
        return session.run, session.config, session
    run = source if isinstance(source, RunFolder) else RunFolder.open(Path(source))
    return run, experiment_of(run), None


@contextmanager
def _trained(run: RunFolder, live: Any) -> Iterator[tuple[Path, int, list[float] | None]]:
    """A folder with the trained weights and the tokenizer, their step, and the student's fingerprint if known."""
    if live is None:
        found = run.last_checkpoint(thorough=True)
        if found is None:
            raise RunError(f"{run.path} has no checkpoint yet, so there is nothing to save; train it first")
        folder, step = found
        yield folder, step, (RunFolder(folder).read_json(COMPLETE) or {}).get("fingerprint")
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        from thinklab.students.fingerprint import fingerprint

        model = live.trainer.accelerator.unwrap_model(live.trainer.model)
        model.save_pretrained(folder)
        live.student.tokenizer.save_pretrained(folder)
        says = fingerprint(model, live.student.tokenizer, live.trainer.accelerator.autocast)
        yield Path(folder), live.trainer.state.global_step, says


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A temporary folder that replaces ``out`` when it is complete."""
    part = out.with_name(out.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if out.exists():
            out.rmdir()
        os.replace(part, out)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _room() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            "not enough GPU memory for a second copy of the model: close the Lab, or run `thinklab save` in a separate process"
        ) from error


def _adapter(folder: Path, config: Experiment, part: Path) -> None:
    for name in ("adapter_model.safetensors", *TOKENIZER):
        if (folder / name).exists():
            shutil.copy2(folder / name, part / name)
    settings = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    settings["base_model_name_or_path"] = base_name(config)  # not this machine's folder
    (part / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def _merged(folder: Path, config: Experiment, part: Path, says: list[float] | None) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    from thinklab.students import load_student
    from thinklab.students.fingerprint import CLOSE, difference, fingerprint
    from thinklab.teachers.unpatched import unpatched

    section = config.student.model_copy(update={"lora": None, "fast_inference": False})
    if section.kind == "unsloth":  # merging does not need Unsloth's kernels, only its base weights
        section = section.model_copy(update={"kind": "transformers", **_base(folder, section)})
    if config.student.lora is None:
        section = section.model_copy(update={"path": str(folder), "kind": "transformers", "quantize": "none"})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with unpatched():  # in a process with an Unsloth student
        model = load_student(section).model
        if getattr(model, "is_loaded_in_4bit", False):
            model = _dequantized(model)
        if config.student.lora is not None:
            with torch.no_grad():
                model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
        if says is not None and (gap := difference(says, fingerprint(model, tokenizer))) > CLOSE:
            raise RunError(
                f"the merged model differs from the trained student by {gap:.2f} nats per token on a known text (at most {CLOSE} "
                f"allowed). The base in {section.path} is probably not the one used in training; export the adapter alone "
                "with --as adapter"
            )
    model.save_pretrained(part, safe_serialization=True)
    tokenizer.save_pretrained(part)


def _base(folder: Path, section: StudentSection) -> dict[str, str]:
    """The location of the base weights of an Unsloth student, and whether they still need quantization."""
    from transformers import AutoConfig

    stated = json.loads((folder / "adapter_config.json").read_text("utf-8")).get("base_model_name_or_path")
    name = str(stated or section.path)
    try:
        stored = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise RunError(
            f"the base {name!r}, on which this student was trained, cannot be read: {str(error).strip().splitlines()[0]}"
        ) from error
    ready = getattr(stored, "quantization_config", None) is not None
    return {"path": name, "quantize": "none" if ready else section.quantize}


def _dequantized(model: Any) -> Any:
    """The same weights in 16 or 32 bits, as used by the 4-bit layers."""
    dtype = model.dtype
    model = model.dequantize()
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    if read := getattr(model, "_weight_conversions", None):  # metadata of stored 4-bit tensors, which are not written
        model._weight_conversions = [
            c for c in read if not any("Bnb" in type(op).__name__ for op in getattr(c, "operations", ()))
        ]
    return model.to(dtype)


def _gguf(folder: Path, config: Experiment, part: Path, quantization: str) -> None:
    from thinklab.students.unsloth_first import import_first

    import_first("unsloth")
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(model_name=str(folder), load_in_4bit=config.student.quantize == "nf4")
    try:
        model.save_pretrained_gguf(str(part), tokenizer, quantization_method=quantization)
    except RuntimeError as error:
        raise RunError(f"Unsloth could not write GGUF: {str(error).strip().splitlines()[0]}") from error
    beside = part.with_name(part.name + "_gguf")  # where some Unsloth versions put the file
    for file in [*beside.rglob("*.gguf")] if beside.exists() else []:
        shutil.move(file, part / file.name)
    shutil.rmtree(beside, ignore_errors=True)
    if not list(part.rglob("*.gguf")):
        raise RunError("Unsloth reported no error but wrote no GGUF file; it needs llama.cpp, which it builds on first use")
    for file in part.iterdir():  # the merged weights that it also writes are a separate export
        if file.suffix in (".safetensors", ".bin"):
            file.unlink()
