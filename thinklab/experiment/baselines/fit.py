"""``fit``: supervised training on texts with TRL's ``SFTTrainer``: its config, steps, and metrics."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from thinklab.config.devices import one_gpu
from thinklab.config.experiment import BaselineSection, Experiment
from thinklab.errors import ConfigError, TrainingError
from thinklab.experiment import reporting
from thinklab.experiment.baselines.texts import Text
from thinklab.experiment.recorder import RunRecorder
from thinklab.experiment.session import Session
from thinklab.experiment.trained_student import load_weights
from thinklab.experiment.trl_arguments import training_arguments
from thinklab.experiment.warm_up import WarmUpAboveZero
from thinklab.interop.peft_wrapper import without_peft
from thinklab.interop.renamed_arguments import upstream_warnings_off
from thinklab.run import checkpoints
from thinklab.run.folder import RunFolder
from thinklab.students.hf import lora_to_fp32


def baseline_of(config: Experiment) -> BaselineSection:
    """``baseline`` of a config that has one."""
    assert config.baseline is not None, "only a run with a baseline is trained on texts"
    return config.baseline


@dataclass(frozen=True)
class Imitation:
    """How texts are imitated, and where that is recorded."""

    config: Experiment
    """Its ``train`` section has the learning rate, its schedule and the optimizer."""
    run: RunFolder
    """Gets the metrics and the probes."""
    epochs: int
    batch: int

    @classmethod
    def of_baseline(cls, session: Session) -> Imitation:
        baseline = baseline_of(session.config)
        return cls(session.config, session.run, baseline.epochs, baseline.batch)

    def steps(self, texts: int) -> int:
        """Number of optimizer steps for this many texts."""
        return self.epochs * math.ceil(texts / self.batch)


def fit(
    session: Session,
    texts: Sequence[Text],
    folder: Path,
    before: int = 0,
    resume: bool = False,
    how: Imitation | None = None,
) -> int:
    """Train ``session.student`` on ``texts``, ``how.epochs`` times over.

    Args:
        folder: where the checkpoints go; with ``resume`` the last complete one there is resumed; a finished one is only loaded.
        before: optimizer steps of earlier rounds; the lines of ``metrics.jsonl`` continue counting from there.
        how: None: as the ``baseline`` section says, into the session's own run.

    Returns:
        Optimizer steps of this training.

    Raises:
        ConfigError: if a text exceeds the student's maximum length.
        TrainingError: when the loss is not finite.
        Interrupted: after a signal; a checkpoint is saved.
    """
    how = how or Imitation.of_baseline(session)
    config, model = how.config, session.student.model
    room = session.student.max_positions
    longest = max(texts, key=lambda t: len(t.prompt_ids) + len(t.answer_ids))
    length = len(longest.prompt_ids) + len(longest.answer_ids)
    if room and length > room:
        raise ConfigError(
            f"the text for question {longest.example_id!r} has {length} tokens including its prompt, but the student's maximum "
            f"is {room}; remove the question or use another student"
        )
    steps = how.steps(len(texts))
    found = checkpoints.newest_whole(folder, True, f"delete {folder} to train this again") if resume else None
    if found and found[1] >= steps:
        load_weights(model, found[0])
        return steps
    checkpoints.set_aside(folder, found[1] if found else 0)
    how.run.rewind(before + (found[1] if found else 0))
    order = list(texts)
    random.Random(f"texts {config.train.seed}").shuffle(order)
    inner = without_peft(model)
    own_forward = inner.__dict__.get("forward")  # TRL patches the model's forward and does not restore it
    trainer = TextTrainer(
        model=model,
        processing_class=session.student.tokenizer,
        args=sft_config(how, folder, steps),
        train_dataset=Dataset.from_list([t.row() for t in order]),
    )
    if inner is not model:
        lora_to_fp32(model)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(SupervisedRecorder(session, before, how.run))
    reporting.report(trainer, config, how.run.path)
    try:
        with upstream_warnings_off():
            trainer.train(resume_from_checkpoint=str(found[0]) if found else None)
    finally:
        inner.__dict__.pop("forward", None)
        if own_forward is not None:
            inner.forward = own_forward
    session.check_signals()
    return trainer.state.global_step


def sft_config(how: Imitation, folder: Path, steps: int) -> SFTConfig:
    """The same learning rate, schedule, optimizer and precision as the GRPO run with this ``train`` section."""
    config, batch = how.config, how.batch
    micro = min(config.train.micro_batch or batch, batch)
    return one_gpu(
        SFTConfig(
            **training_arguments(config, folder, steps),
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=batch // micro,
            max_length=None,
            packing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
    )


class TextTrainer(WarmUpAboveZero, SFTTrainer):
    """TRL's trainer with thinklab's warm-up."""


class SupervisedRecorder(RunRecorder):
    """Ends the training at a signal, or if the loss is not finite.

    Only the steps of the session's own run are told to its listeners: they count those of the policy gradient otherwise.
    """

    def tell(self, line: dict[str, Any]) -> None:
        if self.run == self.session.run:
            super().tell(line)

    def on_step_end(self, args, state, control, **_):
        super().on_step_end(args, state, control)
        if self.session.interrupted:
            control.should_save = control.should_training_stop = True

    def more(self, line: dict[str, Any]) -> dict[str, Any]:
        if not math.isfinite(line.get("loss", 0.0)):
            raise TrainingError(
                f"the loss became {line['loss']} at step {line['step']}. Everything up to the last "
                "checkpoint is kept; start a new run with a lower train.learning_rate"
            )
        return {}
