"""``train_sft``: imitates one text per question: gold solutions, or answers with guidance appended.

No reward is involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from thinklab.config.schedule import Schedule
from thinklab.errors import TeacherStopped, TrainingError
from thinklab.experiment.baselines.fit import fit
from thinklab.experiment.baselines.texts import Text, gold
from thinklab.experiment.session import Session
from thinklab.run.chunks import add_chunk, seed_of, whole_chunks
from thinklab.run.folder import RunFolder
from thinklab.types import Example, Rollout, to_json

CHUNK = 64
"""Questions per batch."""


def train_sft(session: Session, questions: Sequence[Example], resume: bool) -> int:
    """Train on the texts that ``baseline.texts`` names, one per question; returns the optimizer steps.

    Raises:
        TrainingError: if no question has a text, which is only possible with guided texts. TeacherStopped: if the teacher fails.
    """
    texts = texts_for(session, questions, session.config.supervised.texts, session.run)
    return fit(session, texts, session.run.checkpoints, resume=resume)


def texts_for(session: Session, questions: Sequence[Example], kind: Literal["gold", "guided"], run: RunFolder) -> list[Text]:
    """What to imitate, at most one text per question; all of them, and why some were left out, are in ``texts.jsonl`` of ``run``.

    Raises:
        TrainingError: if no question has a text. TeacherStopped: if the teacher fails.
    """
    texts = gold_texts(session, questions, run) if kind == "gold" else guided_texts(session, questions, run)
    if not texts:
        raise TrainingError(
            f"none of the {len(questions)} questions got usable guidance, so there is nothing to imitate; "
            f"{run.path / 'texts.jsonl'} has the reason for each"
        )
    return texts


def gold_texts(session: Session, questions: Sequence[Example], run: RunFolder) -> list[Text]:
    """Gold solutions, or gold answers if there are none."""
    done = whole_chunks(run, "texts")
    if ("gold",) not in done:
        lines = [gold(session.student, session.data.task, e).to_json() for e in questions]
        done["gold",] = add_chunk(run, "texts", ("gold",), lines)
    return [Text.from_json(line) for line in done["gold",]]


def guided_texts(session: Session, questions: Sequence[Example], run: RunFolder) -> list[Text]:
    """One answer of the untrained student to each question, followed by a comment of the teacher, right or wrong.

    Questions whose answer did not end, or whose comment was rejected, are left out.
    """
    done = whole_chunks(run, "texts")
    for k in range(0, len(questions), CHUNK):
        key = ("guided", k)
        if key not in done:
            session.check_signals()
            try:
                lines = _guided(session, questions[k : k + CHUNK], k)
            finally:  # a cap covers the resumed run too
                session.teaching.write_totals(session.run)
            done[key] = add_chunk(run, "texts", key, lines)
    lines = [line for key in sorted(done, key=lambda key: key[1]) for line in done[key]]
    return [Text.from_json(line) for line in lines if line["answer_ids"]]


def _guided(session: Session, questions: Sequence[Example], place: int) -> list[dict]:
    t, student, guide = session.config.train, session.student, session.teaching.guide
    prompts = [student.encode(session.data.task.prompt(e)) for e in questions]
    sampler = student.sampler(t.max_completion_tokens, t.temperature, t.sample_rows)
    answers = sampler(student.model, prompts, 1, seed_of("sft", t.seed, place))
    rollouts = []
    for k, (example, prompt, ids) in enumerate(zip(questions, prompts, answers, strict=True)):
        text = student.decode(ids)
        rollouts.append(Rollout(f"{place}-{k}", k, example, tuple(prompt), tuple(ids), sampler.finished(ids), text, text))
    assert guide is not None, "guided texts need a teacher; the config was checked"
    every = replace(guide, schedule=Schedule(start=1))
    guided = every(rollouts, 0, place)
    if every.failed:
        raise TeacherStopped(f"the teacher has failed: {every.failed}. Its replies so far are kept; continue with --resume")
    lines = []
    for r in guided:
        imitated = Text(r.example.id, "guided", r.prompt_ids, r.completion_ids if r.guided else (), r.text)
        why = "" if r.guided else r.guidance.reason if r.guidance else "not asked: unfinished, or it shows the behavior already"
        lines.append(
            {
                **imitated.to_json(),
                "left_out": why,
                "student_tokens": len(r.student_ids),
                "guidance": to_json(r.guidance) if r.guidance else None,
            }
        )
    return lines
