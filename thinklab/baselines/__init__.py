"""Supervised baselines in the same config, run folder and question budget as GRPO and ThinkTuning.

An experiment with a ``baseline`` section trains on texts in place of the policy gradient:

    baseline: {kind: sft, texts: gold}             # or texts: guided, with a teacher and behaviours
    baseline: {kind: star, rounds: 3}

Everything else means what it means for GRPO. The questions are those that the GRPO run with the same ``train`` section and
seed sees, in the same order and as often: ``train.steps / (iterations * minibatches) * train.questions`` of them. GRPO
itself is ``loss: {method: grpo}`` without a ``baseline`` section. ``budget.json`` says what a run has really used.
"""
from __future__ import annotations

from typing import Any

from thinklab.baselines.fit import fit, steps_for
from thinklab.baselines.sft import train_sft
from thinklab.baselines.star import samples_per_round, train_star
from thinklab.baselines.texts import Text
from thinklab.run import RunFolder
from thinklab.training import Session, question_order
from thinklab.types import Example


def train_baseline(session: Session, resume: bool = False) -> int:
    """Train as ``session.config.baseline`` says; returns the optimizer steps.

    Raises:
        ThinklabError: when there is nothing to train on, or a text does not fit.
    """
    questions = budget_questions(session)
    train = {"sft": train_sft, "star": train_star}[session.config.baseline.kind]
    steps = train(session, questions, resume)
    session.run.write_json("budget.json", {**budget(session.run), "optimizer_steps": steps, "questions": len(questions),
                                           "different_questions": len({e.id for e in questions})})
    return steps


def budget_questions(session: Session) -> list[Example]:
    """The questions that GRPO would see, with those that it would see twice."""
    t = session.config.train
    count = -(-t.steps // (t.iterations * t.minibatches)) * t.questions
    by_id = {e.id: e for e in session.train_examples}
    order = question_order(session.config, session.task, session.train_examples)
    return [by_id[key] for key in order["example_id"][:count]]


def budget(run: RunFolder) -> dict[str, Any]:
    """Answers and tokens that a run has sampled and been told, counted from its records; any kind of run.

    ``{student_answers, student_tokens, teacher_texts, teacher_tokens, texts: {source: texts trained on}}``; teacher tokens are
    those that were trained on.
    """
    used = {"student_answers": 0, "student_tokens": 0, "teacher_texts": 0, "teacher_tokens": 0}
    texts: dict[str, int] = {}
    for line in run.read("rollouts"):
        used["student_answers"] += 1
        used["student_tokens"] += len(line["student_ids"])
        used["teacher_texts"] += bool(line["teacher_ids"])
        used["teacher_tokens"] += len(line["teacher_ids"] or ())
    for line in run.read("rationales"):
        used["student_answers"] += 1
        used["student_tokens"] += len(line["answer_ids"])
        if line["kept"]:
            texts[line["source"]] = texts.get(line["source"], 0) + 1
    for line in run.read("texts"):
        if line["source"] == "guided":
            used["student_answers"] += 1
            used["student_tokens"] += line["student_tokens"]
            used["teacher_texts"] += bool(line["answer_ids"])
            used["teacher_tokens"] += max(0, len(line["answer_ids"]) - line["student_tokens"] + 1) if line["answer_ids"] else 0
        if line["answer_ids"]:
            texts[line["source"]] = texts.get(line["source"], 0) + 1
    return {**used, "texts": texts}


__all__ = ["Text", "budget", "budget_questions", "fit", "samples_per_round", "steps_for", "train_baseline", "train_sft",
           "train_star"]
