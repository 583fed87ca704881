"""``train_star``: imitates the student's own correct answers, in rounds (STaR, Zelikman et al. 2022, arXiv 2203.14465).

Each round: the student from the previous round answers every question; if none of its answers is right, it answers again with
the gold answer as a hint (rationalization); correct answers are kept, without the hint; the *untrained* student is trained on
the kept answers. Left out: their few-shot prompt, greedy sampling, and 20 % more steps each round.
"""

from __future__ import annotations

from collections.abc import Sequence

from thinklab.config.experiment import Experiment
from thinklab.errors import TrainingError
from thinklab.experiment.baselines.fit import fit
from thinklab.experiment.baselines.texts import Text
from thinklab.experiment.session import Session
from thinklab.run.chunks import Key, add_chunk, seed_of, whole_chunks
from thinklab.types import Example

CHUNK = 64
"""Answers per batch."""


def samples_per_round(config: Experiment) -> int:
    """Answers to each question in a round: as configured, else so many that all rounds together sample as much as GRPO."""
    return config.supervised.samples or max(1, round(config.train.samples / config.supervised.rounds))


def train_star(session: Session, questions: Sequence[Example], resume: bool) -> int:
    """All rounds; the last one's checkpoints are the run's, those of the others are in ``rounds/``.

    Returns:
        Optimizer steps of all rounds.

    Raises:
        TrainingError: if a round finds no right answer.
    """
    b, steps = session.config.supervised, 0
    untrained = {n: p.detach().cpu().clone() for n, p in session.student.model.named_parameters() if p.requires_grad}
    for number in range(1, b.rounds + 1):
        texts = rationales(session, questions, number)
        if not texts:
            raise TrainingError(
                f"round {number} of STaR found no right answer to any of {len(questions)} questions, so there is "
                "nothing to imitate; try easier questions, more baseline.samples or a stronger student"
            )
        for name, parameter in session.student.model.named_parameters():
            if name in untrained:
                parameter.data.copy_(untrained[name])
        folder = session.run.checkpoints if number == b.rounds else session.run.path / "rounds" / f"round-{number}"
        steps += fit(session, texts, folder, before=steps, resume=resume)
    return steps


def rationales(session: Session, questions: Sequence[Example], number: int) -> list[Text]:
    """The texts of one round; every answer, kept or not, is in ``rationales.jsonl``. Duplicate texts of a question are kept once."""
    n = samples_per_round(session.config)
    done, size = whole_chunks(session.run, "rationales"), max(1, CHUNK // n)
    kept: dict[tuple, Text] = {}
    for k in range(0, len(questions), size):
        part = questions[k : k + size]
        own = _chunk(session, done, (number, "rationale", k), part, n)
        right = {line["example_id"] for line in own if line["kept"]}
        failed = list({e.id: e for e in part if e.id not in right}.values())
        again = []
        if failed and session.config.supervised.rationalize:
            again = _chunk(session, done, (number, "rationalization", k), failed, 1)
        for line in (*own, *again):
            if line["kept"]:
                text = Text.from_json(line)
                kept.setdefault((text.example_id, text.answer_ids), text)
    return list(kept.values())


def _chunk(session: Session, done: dict[Key, list[dict]], key: Key, questions: Sequence[Example], n: int) -> list[dict]:
    if key not in done:
        session.check_signals()
        done[key] = add_chunk(session.run, "rationales", key, _answers(session, key, questions, n))
    return done[key]


def _answers(session: Session, key: Key, questions: Sequence[Example], n: int) -> list[dict]:
    c, student, task = session.config, session.student, session.data.task
    plain = [student.encode(task.prompt(e)) for e in questions]
    told = key[1] == "rationalization"
    asked = [student.encode(_with_hint(task.prompt(e), e, c.supervised.hint)) for e in questions] if told else plain
    sampler = student.sampler(c.train.max_completion_tokens, c.train.temperature, c.train.sample_rows)
    answers = sampler(student.model, asked, n, seed_of("star", c.train.seed, *key))
    lines = []
    for k, ids in enumerate(answers):
        example, text, finished = questions[k // n], student.decode(ids), sampler.finished(ids)
        correct = task.verify(text, example)
        lines.append(
            {
                **Text(example.id, str(key[1]), tuple(plain[k // n]), tuple(ids), text).to_json(),
                "round": key[0],
                "correct": correct,
                "finished": finished,
                "kept": correct and finished,
                "read": len(asked[k // n]),
            }
        )
    return lines


def _with_hint(messages: list, example: Example, hint: str) -> list:
    *before, last = messages
    return [*before, {**last, "content": f"{last['content']}{hint.format(answer=example.gold)}"}]
