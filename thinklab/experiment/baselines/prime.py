"""``prime``: imitates texts before the policy gradient of the same run, which begins with a new optimizer.

This is the recipe of Gandhi et al. 2025 (arXiv 2503.01307) with the run's own texts. The records are in ``prime/`` of the run
(``texts.jsonl``, ``metrics.jsonl``, ``checkpoints/``, ``usage.json``), so that those of the run count the steps of its policy gradient
alone. The policy gradient goes on behind the imitated questions (``experiment/questions.py``), and without guidance where its method
is GRPO. Left out: services in ``train.report_to`` get the policy gradient only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import set_seed

from thinklab.config.experiment import Experiment
from thinklab.config.prime_section import PrimeSection
from thinklab.experiment.baselines.fit import Imitation, fit
from thinklab.experiment.baselines.sft import texts_for
from thinklab.experiment.questions import priming_questions
from thinklab.experiment.session import Session
from thinklab.run.folder import RunFolder
from thinklab.run.usage import FILE, usage


def prime(session: Session, resume: bool = False) -> int:
    """Imitate as ``session.config.prime`` says; returns the number of optimizer steps, 0 if the policy gradient has a checkpoint.

    The student and the random state are the same afterward, whether the imitation was run now or finished earlier.

    Raises:
        ThinklabError: if there is nothing to imitate, or a text does not fit. Interrupted: after a signal.
    """
    section = session.config.prime
    assert section is not None, "only called for a run that primes"
    if resume and session.run.last_checkpoint() is not None:
        return 0
    run = RunFolder(session.run.path / RunFolder.PRIME)
    run.path.mkdir(exist_ok=True)
    run.mend()
    questions = priming_questions(session.config, session.data)
    texts = texts_for(session, questions, section.texts, run)
    how = Imitation(_as_primed(session.config, section), run, section.epochs, section.batch)
    session.say(f"priming: {len(texts)} {section.texts} texts in {how.steps(len(texts))} steps; records in {run.path}")
    with _as_before(session.student.model):
        steps = fit(session, texts, run.checkpoints, resume=resume, how=how)
    used = {"questions": len(questions), "different_questions": len({e.id for e in questions}), "optimizer_steps": steps}
    run.write_json(FILE, {**usage(run), **used})
    set_seed(session.config.train.seed)
    return steps


def _as_primed(config: Experiment, section: PrimeSection) -> Experiment:
    """``config`` with the learning rate of the imitation."""
    own = {"learning_rate": section.learning_rate, "decay": section.decay}
    changed: dict[str, Any] = {"report_to": [], **{key: value for key, value in own.items() if value is not None}}
    return config.model_copy(update={"train": config.train.model_copy(update=changed)})


@contextmanager
def _as_before(model: nn.Module) -> Iterator[None]:
    """Takes off the wrapper for 16-bit computing that accelerate puts on the model: the next trainer puts its own there."""
    names = ("forward", "_original_forward")
    before = {name: vars(model)[name] for name in names if name in vars(model)}
    try:
        yield
    finally:
        for name in names:
            vars(model).pop(name, None)
        vars(model).update(before)
