"""One run from beginning to end: probe the student, train it, probe it again. What ``thinklab train`` does."""
from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from thinklab.baselines import train_baseline
from thinklab.config import Experiment
from thinklab.errors import ConfigError
from thinklab.probing.full import full_probe, paired
from thinklab.rejections import outcomes, sentence
from thinklab.teachers.money import Estimate
from thinklab.training import Session, build


def run_experiment(config: Experiment, out: Path, resume: bool = False, on_metrics: Callable[[dict], None] | None = None,
                   say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Train as ``config`` says into the run folder ``out``; returns what ``probe.json`` then holds.

    ``{"before": {decoding: result}, "after": {...}, "steps": N, "difference": {...}}``, each result as
    ``ProbeResult.to_json`` gives it. ``thinklab probe`` measures more; see ``thinklab/probing/full.py``. ``stopped`` says why a
    run ended early, ``failed`` that the teacher ended it: it never works again before somebody has mended something.

    Raises:
        ThinklabError: when something cannot be used, or the run cannot go on.
        ConfigError: when the teacher is likely to need more than a cap allows and ``on_cap`` does not say what happens then.
    """
    session = build(config, out, resume)
    if session.fits is not None:
        say(f"dry run: {session.fits}")
    if session.guards is not None:
        session.guards.say = say
    session.say = say
    if cost := session.estimate():
        say(f"teacher, before the run: {cost}")
        if not resume:
            refuse_above_cap(session, cost)
    session.check_start()
    if on_metrics:
        session.listeners.append(on_metrics)
    known = (session.run.read_json("probe.json") or {}) if resume else {}
    if "before" not in known:
        known = {"before": full_probe(session, "before")} if not (resume and session.run.last_checkpoint()) else {}
        session.run.write_json("probe.json", known)
    if config.baseline is not None:
        steps = train_baseline(session, resume)
    else:
        session.train(resume)
        steps = session.trainer.state.global_step
    if session.stopped:
        say(f"stopped at step {steps}: {session.stopped}. Everything is saved")
    if session.guide is not None:
        replies = outcomes(chain(session.run.read("rollouts"), session.run.read("texts")))
        say(sentence(replies, ". Each trained without guidance, as in plain GRPO") or "replies: the teacher was never asked")
    if hasattr(session.teacher, "summary"):
        say(f"teacher, after the run: {session.teacher.summary()}")
    known |= {"after": full_probe(session, "after"), "steps": steps, "stopped": session.stopped,
              "failed": session.guide.failed if session.guide and steps < config.train.steps else ""}
    known["difference"] = paired(session.run)
    session.run.write_json("probe.json", known)
    return known


def refuse_above_cap(session: Session, cost: Estimate) -> None:
    """A run whose money ends halfway is plain GRPO from there on, which is not what was asked for; so it does not begin.

    Raises:
        ConfigError: with what to change; the same run folder can be used then.
    """
    refuse = getattr(session.teacher, "refuse_above_cap", None)
    if refuse is None:
        return
    try:
        refuse(cost, "lower train.steps, train.questions or guidance.gamma")
    except ConfigError:
        session.run.config_file.unlink()
        raise
