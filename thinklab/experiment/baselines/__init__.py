"""Supervised baselines in the same config, run folder and number of questions as GRPO and ThinkTuning.

An experiment with a ``baseline`` section trains on texts in place of the policy gradient:

    baseline: {kind: sft, texts: gold}             # or texts: guided, with a teacher and behaviors
    baseline: {kind: star, rounds: 3}

Everything else is as for GRPO. The questions are those of the GRPO run with the same ``train`` section and seed, in the same
order and number: ``train.steps / (iterations * minibatches) * train.questions`` of them. GRPO
itself is ``loss: {method: grpo}`` without a ``baseline`` section. ``usage.json`` records the actual usage of a run. ``prime: {texts:
guided}`` imitates texts before a policy gradient.
"""

from __future__ import annotations

from thinklab.experiment.baselines.fit import baseline_of, fit
from thinklab.experiment.baselines.prime import prime
from thinklab.experiment.baselines.sft import train_sft
from thinklab.experiment.baselines.star import samples_per_round, train_star
from thinklab.experiment.baselines.texts import Text
from thinklab.experiment.questions import question_order
from thinklab.experiment.session import Session
from thinklab.run.usage import FILE, usage
from thinklab.types import Example


def train_baseline(session: Session, resume: bool = False) -> int:
    """Train according to ``session.config.baseline``; returns the number of optimizer steps.

    Raises:
        ThinklabError: if there is nothing to train on, or a text does not fit.
    """
    questions = questions_used(session)
    train = {"sft": train_sft, "star": train_star}[baseline_of(session.config).kind]
    steps = train(session, questions, resume)
    used = {**usage(session.run), "questions": len(questions), "different_questions": len({e.id for e in questions})}
    session.run.write_json(FILE, {**used, "optimizer_steps": steps})
    return steps


def questions_used(session: Session) -> list[Example]:
    """The questions that GRPO would see, including repetitions."""
    t = session.config.train
    count = -(-t.steps // t.span) * t.questions
    by_id = {e.id: e for e in session.data.train}
    order = question_order(session.config, session.data)
    return [by_id[key] for key in order["example_id"][:count]]


__all__ = [
    "Text",
    "fit",
    "prime",
    "questions_used",
    "samples_per_round",
    "train_baseline",
    "train_sft",
    "train_star",
    "usage",
]
