"""``probe``, ``thinklab probe RUN``: everything measured on a finished run, persistence too, into ``probe.json``.

before, after   {decoding: rates}         several answers per question at T=1, and greedy
difference      {decoding: ...}           paired by question, 95 % bootstrap interval
reach           how unlikely the guidance was under the base, token by token
spill           {before, after}           does the behavior occur where it should not?
retention       KL to the base on neutral text
questions       {wanted, measured}: held-out questions requested, and how many there were
persistence     how much persists after additional plain GRPO (only on request, because it trains)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from thinklab.behavior.behavior import Behavior
from thinklab.config.experiment import Experiment
from thinklab.config.ready_made import ReadyMade
from thinklab.errors import RunError
from thinklab.experiment.build import build
from thinklab.experiment.prober import kept
from thinklab.experiment.session import Audience
from thinklab.probing.probe import DECODINGS, differences
from thinklab.probing.retention import Retention, base_model
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder
from thinklab.run.lock import FolderLock
from thinklab.teachers.scripted import ScriptedTeacher

PERSIST_RATE = 0.3
"""Share of the run's own learning rate for the plain GRPO afterward: plain GRPO needs a lower one than a guided run."""


def paired(run: RunFolder) -> dict[str, Any]:
    """After minus before by decoding, from the answers on disk; a decoding without both is left out."""
    answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in run.read("probe_samples"):
        answers.setdefault((line["decoding"], line["stage"]), []).append(line)
    return {
        d: gap
        for d in DECODINGS
        if (d, "before") in answers
        and (d, "after") in answers
        and (gap := differences(answers[d, "before"], answers[d, "after"]))
    }


def probe(
    run: str | Path,
    *,
    questions: int | None = None,
    samples: int | None = None,
    persistence: int = 0,
    student: Any = None,
    task: Any = None,
    behaviors: Iterable[Behavior] = (),
    judge: Any = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """The function behind ``thinklab probe RUN``: measure the last checkpoint of ``run`` and write its ``probe.json``.

    Args:
        questions: number of held-out questions; None: as in the run's config.
        samples: sampled answers per question at T=1; None: as in the run's config.
        persistence: additional steps of plain GRPO, to measure how much of the behavior persists; 0 = none.
        student: like the next three, the ready-made object that the run was started with (``Lab(student=...)``); its
            ``config.yaml`` lists them, and without them the run cannot be measured. In its state before training.
        task: the run's.
        behaviors: the run's.
        judge: the run's.
        say: receives messages for the user.

    Returns:
        The content of ``probe.json``; the top of this file describes its layout.

    Raises:
        RunError: if there is no run or no checkpoint in it, or an object is missing.
    """
    parts = ReadyMade(student=student, task=task, judge=judge, behaviors={b.name: b for b in behaviors})
    return probe_run(Path(run), questions, samples, persistence, say, parts)


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
        samples: sampled answers per question at T=1; None: as in the run's config. If it differs from before, the student
            before training is also measured again.
        persistence: additional steps of plain GRPO, in ``RUN/persistence``; 0 = none.
        parts: the ready-made objects that the run was started with, if any; see ``thinklab.probe``.

    Raises:
        RunError: when there is no run or no checkpoint in it, it was started with an object that is not in ``parts``, or another
            process writes there.
        Interrupted: if a signal ended ``persistence``; its run is saved and resumed by the next call.
    """
    RunFolder.open(path)  # reports a missing run before a lock is created there
    with FolderLock(path):
        return _probe_run(Path(path), questions, samples, persistence, say, parts)


def _probe_run(
    path: Path, questions: int | None, samples: int | None, persistence: int, say: Callable[[str], None], parts: ReadyMade
) -> dict[str, Any]:
    run = RunFolder.open(path)
    found = run.last_checkpoint(thorough=True)
    if found is None:
        raise RunError(f"{path} has no complete checkpoint yet; resume the run with --resume first")
    config = experiment_of(run)
    nobody = ScriptedTeacher(lambda request: None)  # a probe uses no teacher: no key, no second model
    session = build(config, path, resume=True, parts=replace(parts, teacher=nobody), audience=Audience(say))
    known = run.read_json("probe.json") or {}
    prober = session.prober
    known["questions"] = prober.asked(questions)
    # a newly loaded adapter is untrained, so the student equals its base. An object may have been trained since
    base = base_model(session.student) if parts.student is not None else None
    with (base or nullcontext)():
        if not prober.is_known(known, questions, samples):
            say("before: rates")
            known["before"] = prober.full("before", questions, samples)
            _keep(run, known)
        if prober.behaviors:
            spill_before, texts_before = prober.spill()
    retention = Retention.of(session.student)
    with (base or nullcontext)():
        if unknown := prober.reach():
            known["reach"] = unknown
    session.trainer.load_checkpoint(found[0])
    say("after: rates")
    known |= {"after": prober.full("after", questions, samples), "steps": found[1]}
    known["difference"] = paired(run)
    _keep(run, known)
    if prober.behaviors:
        spill_after, texts_after = prober.spill()
        known["spill"] = {"before": spill_before, "after": spill_after}
        prober.write_spill(texts_before, texts_after)
    known["retention"] = kept(retention)
    prober.say_undecided()  # for the texts of the spill-over
    run.write_json("probe.json", known)
    if persistence:
        say(f"persistence: {persistence} steps of plain GRPO")
        same = replace(parts, teacher=None, judge=None, run_judge=prober.judge)  # one account, one cap
        names = [b.name for b in prober.behaviors]
        known["persistence"] = persist(run, config, found[0], persistence, questions, samples, say, same, names)
        run.write_json("probe.json", known)
    return known


def _keep(run: RunFolder, known: dict[str, Any]) -> None:
    """The measurements so far, in case the rest is interrupted, without the rest of an earlier probe."""
    run.write_json("probe.json", {k: v for k, v in known.items() if k not in ("spill", "retention")})


def correctness_alone(config: Experiment, steps: int, behaviors: Sequence[str]) -> Experiment:
    """``config`` as plain GRPO that rewards only correctness: no teacher, no bonus, no function of the user's own."""
    warn = {} if config.guards.action == "off" else {"action": "warn"}
    return config.model_copy(
        update={
            "name": f"{config.name}-persistence",
            "loss": config.loss.model_copy(update={"method": "grpo"}),
            "baseline": None,
            "prime": None,
            "guards": config.guards.model_copy(update=warn),
            "reward": config.reward.model_copy(
                update={"correct": config.reward.correct or 1.0, "bonus": dict.fromkeys(behaviors, 0.0), "functions": []}
            ),
            "train": config.train.model_copy(
                update={
                    "steps": steps,
                    "decay": "constant",
                    "learning_rate": PERSIST_RATE * config.train.learning_rate,
                }
            ),
        }
    )


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
    """Continue from ``checkpoint`` with plain GRPO for ``steps`` steps, rewarding only correctness, and probe.

    The behavior is no longer rewarded or demonstrated: the remaining rate is what the student retains. The run
    is in ``RUN/persistence``; an interrupted one is resumed. Guards only warn: the student has already moved.

    Args:
        parts: as for ``probe_run``.
        behaviors: names of all behaviors of the run: none of them earns a bonus.

    Raises:
        RunError: when ``RUN/persistence`` holds a run of another kind.
    """
    plain = correctness_alone(config, steps, behaviors)
    folder = run.path / "persistence"
    resume = (folder / "config.yaml").exists()
    session = build(plain, folder, resume, parts, Audience(say))
    if session.run.last_checkpoint() is None:
        session.trainer.load_checkpoint(checkpoint)
    with session.finishing():
        session.train(resume)
    session.check_signals()
    done = session.trainer.state.global_step
    after = session.prober.full("after", questions, samples)
    session.run.write_json("probe.json", {"after": after, "steps": done})
    return {"steps": done, "learning_rate": plain.train.learning_rate, "after": after}
