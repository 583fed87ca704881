"""``trained_student``: the student of a finished run; ``load_weights`` of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_file

from thinklab.config.experiment import Experiment
from thinklab.config.ready_made import ReadyMade, check_ready_made
from thinklab.errors import RunError
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.students import load_student
from thinklab.students.base import Student


def load_weights(model: torch.nn.Module, folder: Path) -> None:
    """Put the adapter, or all weights, of a checkpoint into ``model``.

    Raises:
        RunError: when the checkpoint holds neither, or weights of another model.
    """
    try:
        if isinstance(model, PeftModel):
            set_peft_model_state_dict(model, load_peft_weights(str(folder), device=str(next(model.parameters()).device)))
            return
        files = sorted(Path(folder).glob("model*.safetensors"))
        if not files:
            raise RunError(f"{folder} holds no model*.safetensors: it is no checkpoint of a fully trained student")
        missing = set(dict(model.named_parameters()))
        for file in files:
            tensors = load_file(file)
            model.load_state_dict(tensors, strict=False)
            missing -= set(tensors)
        if tied := getattr(model, "_tied_weights_keys", None):
            missing -= set(tied)
        if missing:
            raise RunError(f"{folder} lacks weights of this student, such as {min(missing)}")
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"the weights of {folder} do not fit this student: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True)
class Trained:
    """A student and where it comes from."""

    student: Student
    config: Experiment
    step: int


def trained_student(path: Path) -> Trained:
    """The student of a run, at its last complete checkpoint.

    Raises:
        RunError: when there is no run, no complete checkpoint in it, or it was started with a ready-made student.
    """
    run = RunFolder.open(path)
    check_ready_made(path, run.resolved(), ReadyMade(), ["student"])
    found = run.last_checkpoint(thorough=True)
    if found is None:
        raise RunError(f"{path} has no complete checkpoint yet; resume the run with --resume first")
    config = experiment_of(run)
    longest = config.train.max_prompt_tokens + config.train.max_completion_tokens + config.guidance.max_tokens
    student = load_student(config.student, seed=config.train.seed, max_length=longest)
    load_weights(student.model, found[0])
    return Trained(student, config, found[1])
