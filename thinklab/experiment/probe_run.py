"""The whole measurement of a finished run: ``thinklab probe RUN`` and ``probe.json``.

before, after   {decoding: rates}         several answers a question at T=1, and greedy
difference      {decoding: ...}           paired by question, 95 % bootstrap interval
reach           how unknown the guidance was to the base, token by token
spill           {before, after}           does it show where it should not?
retention       KL to the base on neutral text
questions       {wanted, measured}: held-out questions that were asked for, and how many there were of them
persistence     what is left after further plain GRPO (only when asked for: it trains)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from thinklab.config.experiment import Experiment
from thinklab.config.ready_made import ReadyMade
from thinklab.errors import RunError
from thinklab.experiment.build import build
from thinklab.experiment.questions import answer_limit
from thinklab.experiment.session import Audience, Session
from thinklab.probing import probe, reach, spill_over
from thinklab.probing.retention import Retention, base_model
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.run.lock import FolderLock
from thinklab.teachers.scripted import ScriptedTeacher
from thinklab.types import rollout_from_json

PERSIST_RATE = 0.3
"""Share of the run's own learning rate for the plain GRPO afterward: plain GRPO wants a lower one than a guided run."""


def full_probe(session: Session, stage: str, questions: int | None = None, samples: int | None = None) -> dict[str, Any]:
    """Both decodings over the held-out questions; every answer goes to ``probe_samples.jsonl`` and replaces the last probe's."""
    lines = [line for line in session.run.read("probe_samples") if line["stage"] != stage]
    results = {}
    for decoding in probe.DECODINGS:
        found = session.probe(decoding, questions, samples or session.config.probe.samples)
        lines += [{"stage": stage, **asdict(s)} for s in found]
        results[decoding] = probe.summarize(found).to_json()
    session.run.rewrite("probe_samples", lines)
    return results


def asked(session: Session, questions: int | None = None) -> dict[str, int]:
    """For ``probe.json``: ``{"wanted": held-out questions asked for, "measured": how many there were of them}``."""
    wanted = questions or session.config.probe.questions
    return {"wanted": wanted, "measured": min(wanted, len(session.test_examples))}


def paired(run: RunFolder) -> dict[str, Any]:
    """After minus before by decoding, from the answers on disk; a decoding without both is left out."""
    answers: dict[tuple[str, str], list[dict]] = {}
    for line in run.read("probe_samples"):
        answers.setdefault((line["decoding"], line["stage"]), []).append(line)
    return {
        d: gap
        for d in probe.DECODINGS
        if (d, "before") in answers
        and (d, "after") in answers
        and (gap := probe.differences(answers[d, "before"], answers[d, "after"]))
    }


def probe_run(
    path: Path,
    questions: int | None = None,
    samples: int | None = None,
    persistence: int = 0,
    say: Callable[[str], None] = lambda text: None,
    parts: ReadyMade = ReadyMade(),
) -> dict[str, Any]:
    """Measure the last checkpoint of a run again and write ``probe.json``.

    Args:
        samples: answers to each question at T=1; None as the run's config says. With another number than before, the
            student before training is measured again as well.
        persistence: steps of plain GRPO to go on with, in ``RUN/persistence``; 0 = none.
        parts: the objects that the run was begun with, where it was; see ``thinklab.probe``.

    Raises:
        RunError: when there is no run or no checkpoint in it, it was begun with an object that is not in ``parts``, or another
            process writes there.
        Interrupted: when a signal ended ``persistence``; its run is saved and continued by the next call.
    """
    RunFolder.open(path)  # says that there is no run, before a lock is made there
    with FolderLock(path):
        return _probe_run(Path(path), questions, samples, persistence, say, parts)


def _probe_run(
    path: Path, questions: int | None, samples: int | None, persistence: int, say: Callable[[str], None], parts: ReadyMade
) -> dict[str, Any]:
    run = RunFolder.open(path)
    found = run.last_checkpoint(thorough=True)
    if found is None:
        raise RunError(f"{path} has no complete checkpoint yet; continue the run with --resume first")
    config = experiment_of(run)
    nobody = ScriptedTeacher(lambda request: None)  # a probe asks no teacher: no key, no second model
    session = build(config, path, resume=True, parts=replace(parts, teacher=nobody), audience=Audience(say))
    known = run.read_json("probe.json") or {}
    room = answer_limit(config)
    known["questions"] = asked(session, questions)
    # loaded just now, its adapter is as it was initialized: the student is its base. An object may have been trained meanwhile
    base = base_model(session.student) if parts.student is not None else None
    with (base or nullcontext)():
        if not same_answers(session, known, questions, samples):
            say("before: rates")
            known["before"] = full_probe(session, "before", questions, samples)
            _keep(run, known)
        if session.behaviors:
            spill_before, texts_before = spill_over.measure(session.student, session.behaviors, max_new_tokens=room)
    retention = Retention.of(session.student)
    with (base or nullcontext)():
        if unknown := measure_reach(session):
            known["reach"] = unknown
    session.trainer.load_checkpoint(found[0])
    say("after: rates")
    known |= {"after": full_probe(session, "after", questions, samples), "steps": found[1]}
    known["difference"] = paired(run)
    _keep(run, known)
    if session.behaviors:
        spill_after, texts_after = spill_over.measure(session.student, session.behaviors, max_new_tokens=room)
        known["spill"] = {"before": spill_before, "after": spill_after}
        write_spill(run, texts_before, texts_after)
    known["retention"] = {"kl": retention.estimate().to_json(), "texts": len(retention.ids)}
    session.say_undecided()  # of the texts of the spill-over
    run.write_json("probe.json", known)
    if persistence:
        say(f"persistence: {persistence} steps of plain GRPO")
        same = replace(parts, teacher=None, judge=None, run_judge=session.judge)  # one account, one cap
        names = [b.name for b in session.behaviors]
        known["persistence"] = persist(run, config, found[0], persistence, questions, samples, say, same, names)
        run.write_json("probe.json", known)
    return known


def _keep(run: RunFolder, known: dict[str, Any]) -> None:
    """What is measured by now, in case the rest is interrupted, without what an earlier probe said about the rest."""
    run.write_json("probe.json", {k: v for k, v in known.items() if k not in ("spill", "retention")})


def same_answers(session: Session, known: dict[str, Any], questions: int | None, samples: int | None) -> bool:
    """True when the student before training was measured on as many answers to as many questions as are asked for now."""
    if "before" not in known:
        return False
    there, wanted = known["before"]["T=1"], samples or session.config.probe.samples
    answers = asked(session, questions)["measured"] * wanted
    totals = [there["accuracy"]["total"], *(rate["total"] for rate in there["behaviors"].values())]
    return there.get("samples", 1) == wanted and all(total == answers for total in totals)  # fewer: a judge was not heard then


def write_spill(run: RunFolder, before: list[dict], after: list[dict]) -> None:
    """Every text behind the rates of spill-over, into ``spill.jsonl``."""
    run.rewrite("spill", [{"stage": s, **t} for s, texts in (("before", before), ("after", after)) for t in texts])


def elsewhere(session: Session) -> dict[str, Any]:
    """Reach, spill-over and retention of a student whose adapter can be switched off, as it is now; ``{}`` for any other."""
    if base_model(session.student) is None:
        return {}
    found, room = {}, answer_limit(session.config)
    if unknown := measure_reach(session):
        found["reach"] = unknown
    if session.behaviors:
        (before, texts_before), (after, texts_after) = (
            spill_over.measure(session.student, session.behaviors, max_new_tokens=room, base=base) for base in (True, False)
        )
        found["spill"] = {"before": before, "after": after}
        write_spill(session.run, texts_before, texts_after)
        session.say_undecided()
    retention = Retention.of(session.student)
    found["retention"] = {"kl": retention.estimate().to_json(), "texts": len(retention.ids)}
    return found


def measure_reach(session: Session, texts: int = reach.MEASURED) -> dict[str, Any] | None:
    """Reach of this run's own first guidance for its base; None where nothing was guided."""
    guided = islice(
        (r for line in session.run.read("rollouts") if line.get("teacher_ids") for r in (rollout_from_json(line),)), texts
    )
    rollouts = list(guided)
    if not rollouts:
        return None
    t, loss = session.config.train, session.config.loss
    found = reach.measure(session.student, rollouts, loss)
    drawn = t.steps // session.span * t.questions * t.samples
    return {**found.to_json(), "advice": reach.advice(found, loss, drawn)}


def persist(
    run: RunFolder,
    config: Experiment,
    checkpoint: Path,
    steps: int,
    questions: int | None = None,
    samples: int | None = None,
    say: Callable[[str], None] = lambda text: None,
    parts: ReadyMade = ReadyMade(),
    behaviors: Sequence[str] = (),
) -> dict[str, Any]:
    """Go on from ``checkpoint`` with plain GRPO for ``steps`` steps, correctness alone rewarded, and probe.

    Nothing pays for the behavior any more and nobody shows it: what is left is what the student keeps by itself. The run
    is in ``RUN/persistence``; one that was stopped there is continued. Guards only warn: the student has already moved.

    Args:
        parts: as for ``probe_run``.
        behaviors: names of all behaviors of the run: none of them earns a bonus any more.

    Raises:
        RunError: when ``RUN/persistence`` holds a run of another kind.
    """
    warn = {} if config.guards.action == "off" else {"action": "warn"}
    plain = config.model_copy(
        update={
            "name": f"{config.name}-persistence",
            "loss": config.loss.model_copy(update={"method": "grpo"}),
            "baseline": None,
            "guards": config.guards.model_copy(update=warn),
            "reward": config.reward.model_copy(update={"bonus": dict.fromkeys(behaviors, 0.0)}),
            "train": config.train.model_copy(
                update={
                    "steps": steps,
                    "decay": "constant",
                    "learning_rate": PERSIST_RATE * config.train.learning_rate,
                }
            ),
        }
    )
    folder = run.path / "persistence"
    resume = (folder / "config.yaml").exists()
    session = build(plain, folder, resume, parts, Audience(say))
    if session.run.last_checkpoint() is None:
        session.trainer.load_checkpoint(checkpoint)
    with session.finishing():
        session.train(resume)
    session.check_signals()
    done = session.trainer.state.global_step
    after = full_probe(session, "after", questions, samples)
    session.run.write_json("probe.json", {"after": after, "steps": done})
    return {"steps": done, "learning_rate": plain.train.learning_rate, "after": after}
