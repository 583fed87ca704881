"""``model_card``: an export's README: how it was trained, what was measured, limits, config."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from thinklab.config.experiment import Experiment
from thinklab.probing.sentences import sentences
from thinklab.probing.table import TITLE, probe_rows
from thinklab.run.folder import RunFolder
from thinklab.run.usage import supervised_usage

OURS = {"thinklab-embedded": "TINY", "thinklab-small-world": "SMALL_WORLD"}
"""Bases that ship with thinklab and are on no hub: their names in ``thinklab.students``."""


def model_card(run: RunFolder, config: Experiment, kind: str, step: int, name: str) -> str:
    """Markdown for ``README.md``. Local paths are shortened to their last part.

    Args:
        kind: ``adapter``, ``merged`` or ``gguf``.
        step: the optimizer step that the weights are from.
        name: title of the card.
    """
    resolved, base = run.resolved(), base_name(config)
    behaviors = ", ".join(resolved["behaviors"]) or "none"
    front = {
        "library_name": "peft" if kind == "adapter" else "transformers",
        "pipeline_tag": "text-generation",
        "tags": list(
            dict.fromkeys(
                [
                    "thinklab",
                    *([config.baseline.kind] if config.baseline else ["thinktuning", "grpo", config.loss.method]),
                    *(["sft"] if config.prime else []),
                ]
            )
        ),
        **({"base_model": base} if base not in OURS else {}),
    }
    parts = [
        "---",
        _yaml(front).strip(),
        "---",
        "",
        f"# {config.name} ({kind})",
        "",
        f"Trained with thinklab from `{base}` {_training(run, config, step)}, on the task `{_without_paths(config.task.name)}`. "
        f"Behaviors: {behaviors}.{_steps_differ(config, step, _started(resolved, config))}",
        "",
        "## Use",
        "",
        "```python",
        *_usage(kind, base, name),
        "```",
        "",
        "## What was measured",
        "",
        *_measured(run),
        "",
        "## What this does not show",
        "",
        *(f"- {line}" for line in limits(run, config, kind, step)),
        "",
        "## How it was made",
        "",
        "| behavior or own code | hash of its file |",
        "| --- | --- |",
        *(f"| {_without_paths(name)} | `{found}` |" for name, found in _hashes(resolved).items()),
        "",
        "```yaml",
        _yaml(
            {"config": _without_paths(_as_trained(resolved["config"], config, step)), "versions": resolved["versions"]}
        ).strip(),
        "```",
        "",
    ]
    return "\n".join(parts)


def _training(run: RunFolder, config: Experiment, step: int) -> str:
    """The training method, as the end of a sentence. ``step`` counts optimizer steps."""
    if config.baseline is not None:
        how = {"sft": f"supervised fine-tuning on {config.baseline.texts} texts", "star": "STaR"}[config.baseline.kind]
        return f"for {step} optimizer steps of {how}, a baseline without policy gradient"
    control = "" if config.loss.method != "grpo" else " without a teacher"
    primed = ""
    if (used := supervised_usage(RunFolder(run.path / RunFolder.PRIME))) and config.prime is not None:
        texts = f"{sum(used['texts'].values())} {config.prime.texts} texts"
        primed = f", after it had imitated {texts} in {used['optimizer_steps']} steps (prime, then reinforce)"
    return f"for {step} steps of ThinkTuning (arXiv 2508.07616), method `{config.loss.method}`{control}{primed}"


def _started(resolved: Mapping[str, Any], config: Experiment) -> int:
    """The ``train.steps`` that the run was started with; its config has those of the last resume."""
    return int(resolved.get("started_steps", config.train.steps))


def _steps_differ(config: Experiment, step: int, started: int) -> str:
    """Sentences for the case that the weights' step differs from ``train.steps``, or that it was raised."""
    asked = config.train.steps
    if config.baseline is not None:
        return f" (`train.steps: {asked}` in its config sets which questions were used, not these steps.)"
    total = max(step, asked)  # version 0.1.0 did not update the config when the steps were raised
    raised = f" The run was started with `train.steps: {started}`, later raised to {total}." if started < total else ""
    return raised + (f" The weights are from step {step} of the {asked} in its config." if step < asked else "")


def _as_trained(resolved: Mapping[str, Any], config: Experiment, step: int) -> dict[str, Any]:
    """The run's config with its actual steps: version 0.1.0 did not record when a run was resumed with more steps."""
    if config.baseline is not None or step <= config.train.steps:
        return dict(resolved)
    return {**resolved, "train": {**resolved["train"], "steps": step}}


def limits(run: RunFolder, config: Experiment, kind: str, step: int) -> Iterator[str]:
    """Limitations, one sentence each."""
    known = run.read_json("probe.json") or {}
    if "after" not in known:
        yield "**Nothing was measured after training.** Whether the behavior was learned is unknown."
    else:
        total = next(iter(known["after"].values()))["accuracy"]["total"]
        yield (
            f"The rates are for answers to held-out questions of one task ({total} answers per decoding), without guidance or "
            "hints. They say nothing about other tasks."
        )
    yield (
        f"One run with one seed ({config.train.seed}). The intervals cover the questions, not the spread between seeds; to "
        "claim that the method caused the change, a control run with plain GRPO is required."
    )
    if known.get("steps") not in (None, step):
        yield f"The measurement is from step {known['steps']}, the weights are from step {step}."
    for key, what in (
        ("spill", "whether the behavior occurs on unrelated prompts"),
        ("retention", "how far the student moved from its base on unrelated text"),
        ("persistence", "whether the behavior persists through further training"),
    ):
        if key not in known:
            yield f"Not measured: {what}."
    if alarms := list(run.read("alarms")):
        yield f"{len(alarms)} alarms were raised during training, the first at step {alarms[0].get('step')}."
    if config.student.quantize == "nf4":
        yield (
            "The student was trained on 4-bit weights. "
            + (
                "This export contains those weights, dequantized, with the adapter merged."
                if kind == "merged"
                else "On the base's original weights it will answer slightly differently."
            )
        )
    yield "Not evaluated for safety, bias, or factuality. The student may have learned the teacher's mistakes as well."


def _measured(run: RunFolder) -> list[str]:
    known = run.read_json("probe.json") or {}
    columns = ("", "decoding", "accuracy", "behavior", "tokens")
    rows = [
        row.cells(columns, behaviors=lambda shown: ", ".join(f"{name} {rate}" for name, rate in shown.items()))
        for row in probe_rows({"after": known})
    ]
    if not rows:
        return ["None: the run has no probe."]
    table = (columns, ["---"] * len(columns), *rows)
    lines = [TITLE, "", *(f"| {' | '.join(line)} |" for line in table)]
    return [*lines, *(f"\n{s}" for s in sentences(known))]


def _usage(kind: str, base: str, name: str) -> list[str]:
    if kind == "gguf":
        return ["# llama.cpp: llama-cli -m FILE.gguf"]
    load = "from transformers import AutoModelForCausalLM, AutoTokenizer"
    if kind == "merged":
        return [
            load,
            f'model = AutoModelForCausalLM.from_pretrained("{name}")',
            f'tokenizer = AutoTokenizer.from_pretrained("{name}")',
        ]
    where = [f"from thinklab.students import {OURS[base]} as base"] if base in OURS else [f'base = "{base}"']
    return [
        load,
        "from peft import PeftModel",
        *where,
        "model = AutoModelForCausalLM.from_pretrained(base)",
        f'model = PeftModel.from_pretrained(model, "{name}")',
        f'tokenizer = AutoTokenizer.from_pretrained("{name}")',
    ]


def _hashes(resolved: Mapping[str, Any]) -> dict[str, str]:
    return {**resolved["behaviors"], **resolved.get("own_code", {})}


def _without_paths(value: Any) -> Any:
    """Absolute and home paths shortened to their last part: they name the machine, not the run."""
    if isinstance(value, Mapping):
        return {k: _without_paths(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_paths(v) for v in value]
    if isinstance(value, str) and value.startswith(("/", "~", "./", "../")):
        return Path(value).name
    return value


def _yaml(data: Any) -> str:
    out = io.StringIO()
    writer = YAML(typ="safe")
    writer.default_flow_style = False
    writer.dump(data, out)
    return out.getvalue()


def base_name(config: Experiment) -> str:
    """The public name of the base: a hub id, the last part of a local folder, or ``thinklab-`` and the kind of a student that ships."""
    path = config.student.path
    if config.student.ships:
        return f"thinklab-{config.student.kind}"
    if path is None:
        return "thinklab-embedded"
    return Path(path).name if Path(path).expanduser().exists() or path.startswith((".", "/", "~")) else path
